"""The page of faults has a row for each fault that is tested, and for no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cluster.fault_results import COLUMNS, SUITES, column_of, every_path, fault_names
from cluster.faults_page import PAGE

TEXT = PAGE.read_text("utf-8")
MAKEFILE = (Path(__file__).parents[2] / "Makefile").read_text("utf-8")


def rows(heading: str) -> list[list[str]]:
    """Cells of the table below a heading, its head left out."""
    part = TEXT.partition(f"### {heading}\n")[2].partition("###")[0]
    lines = [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("| ")]
    return lines[1:]


@pytest.mark.parametrize("heading", ["At first", "Once known", "Afterwards"])
def test_each_fault_that_is_tested_has_its_row_and_no_other(heading: str) -> None:
    assert [row[0] for row in rows(heading)] == fault_names()


@pytest.mark.parametrize("heading", ["At first", "Once known"])
def test_each_cell_says_what_was_answered(heading: str) -> None:
    for row in rows(heading):
        assert len(row) == 1 + len(COLUMNS)
        words = r"(whole|named|\d{3}( named)?)"
        assert all(re.fullmatch(rf"{words}( or {words})*(, [\d.]+ s)?", cell) for cell in row[1:]), row


def test_no_two_faults_have_one_name() -> None:
    assert len(set(fault_names())) == len(fault_names())


def test_every_get_endpoint_has_a_column_and_each_column_an_endpoint() -> None:
    assert {column_of(path) for path in every_path(broken_id=1, range_id=1)} == set(COLUMNS)


def test_make_faults_runs_every_suite() -> None:
    assert set(re.findall(r"tests/cluster/(\w+)\.py", MAKEFILE)) == set(SUITES)

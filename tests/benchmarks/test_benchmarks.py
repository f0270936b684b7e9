"""Every benchmark runs and yields its lines, tried with tiny sizes: how fast things are is no matter of tests."""

from __future__ import annotations

import importlib
import re

import pytest

from bench.__main__ import QUESTIONS
from bench.generator import parse_load
from bench.line import Curve, Line
from bench.page import BEGIN, END, page, table, verdict
from bench.scene import Scene
from bench.timing import in_turn

REPORT = """Running 1s test @ https://localhost:1/
  969 requests in 1.01s, 825.82KB read
{errors}Requests/sec:    955.94
"""


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_is_answered_with_figures_or_the_reason_why_there_are_none(name: str) -> None:
    found = list(importlib.import_module(f"bench.{name}").measure(Scene(is_short=True)))
    lines = [each for each in found if isinstance(each, Line)]
    assert lines
    for line in lines:
        assert line.goal
        assert line.note if line.met is None else re.search(r"\d", line.figure)
    for curve in (each for each in found if isinstance(each, Curve)):
        assert all(len(points) > 1 for points in curve.points_by_series.values())


def test_things_are_measured_in_turn_and_the_warm_up_does_not_count() -> None:
    order: list[str] = []

    def measure(name: str) -> float:
        order.append(name)
        return float(len(order))

    assert in_turn(lambda: measure("a"), lambda: measure("b"), rounds=2) == [[3.0, 5.0], [4.0, 6.0]]
    assert order == ["a", "b"] * 3


def test_a_load_counts_whole_answers() -> None:
    load = parse_load(REPORT.format(errors=""))
    assert (load.answers, load.answers_per_s) == (969, 955.94)


@pytest.mark.parametrize(
    "errors",
    [
        "  Non-2xx or 3xx responses: 3\n",
        "  Socket errors: connect 0, read 969, write 0, timeout 0\n",
        "  Socket errors: connect 0, read 0, write 0, timeout 1\n",
    ],
)
def test_a_load_with_an_error_is_no_figure(errors: str) -> None:
    with pytest.raises(AssertionError, match="requests in"):
        parse_load(REPORT.format(errors=errors))


def test_a_server_that_closes_after_each_answer_makes_no_error_by_that() -> None:
    errors = "  Socket errors: connect 0, read 969, write 0, timeout {timeouts}\n"
    assert parse_load(REPORT.format(errors=errors.format(timeouts=0)), closes=True).answers == 969
    with pytest.raises(AssertionError, match="requests in"):
        parse_load(REPORT.format(errors=errors.format(timeouts=1)), closes=True)


LINES = (
    Line("one", "≤ 1 s", "0.5 s", "", True),
    Line("two", "≤ 1 s", "2 s", "the other: 1 s", False, "slow"),
    Line("three", "≤ 1 s", "", "", None, "nothing to measure it with"),
)


def test_the_table_has_a_row_a_line_with_its_verdict() -> None:
    rows = table(LINES).splitlines()
    assert rows[2:] == [
        "| one | ≤ 1 s | 0.5 s |  | met |",
        "| two | ≤ 1 s | 2 s; slow | the other: 1 s | missed |",
        "| three | ≤ 1 s | nothing to measure it with |  | not measured |",
    ]
    assert [verdict(line) for line in LINES] == ["met", "missed", "not measured"]


def test_the_page_keeps_what_is_written_by_hand() -> None:
    before, after = "# Benchmarks\n\nwhy\n\n", "\n## Explanations\n\nbecause\n"
    written = page(f"{before}{BEGIN}old\n{END}{after}", LINES, "two cores.")
    assert written.startswith(before)
    assert written.endswith(after)
    assert "| one |" in written
    assert "old" not in written
    assert page(written, LINES, "two cores.") == written


def test_a_page_without_a_place_for_the_table_is_refused() -> None:
    with pytest.raises(LookupError):
        page("# Benchmarks\n", LINES, "two cores.")

"""The page of benchmarks has its table and its plots, and explains what missed its goal."""

from __future__ import annotations

import re

from bench.page import PAGE

TEXT = PAGE.read_text("utf-8")
ROWS = [line.strip("| ").split(" | ") for line in TEXT.splitlines() if line.startswith("| ")][1:]


def test_each_missed_goal_is_explained_under_its_question() -> None:
    headings = re.findall(r"^### (.*)$", TEXT, re.MULTILINE)
    missed = [row[0] for row in ROWS if row[-1].rstrip("| ") == "missed"]
    assert [question for question in missed if question not in headings] == []


def test_there_is_a_row_a_line_with_a_verdict_and_no_two_are_about_one_question() -> None:
    assert ROWS
    assert {row[-1].rstrip("| ") for row in ROWS} <= {"met", "missed", "not measured"}
    assert len({row[0] for row in ROWS}) == len(ROWS)


def test_each_plot_is_there_and_shown() -> None:
    shown = set(re.findall(r"\]\((\S+\.svg)\)", TEXT))
    assert shown == {path.name for path in PAGE.parent.glob("*.svg")}
    assert shown

"""The reference of problems has a section a kind and every limit, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rangeland.checks.check import Check
from rangeland.checks.table import CHECKS, KINDS, LIMITS
from rangeland.openapi.problems import filled_problems, number_text

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
INDEX = (REFERENCE / "problems.md").read_text("utf-8")
PAGES = {page.stem: page.read_text("utf-8") for page in (REFERENCE / "problems").glob("*.md")}

each_check = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)


@each_check
def test_every_kind_has_its_section_on_the_page_of_its_check(check: Check) -> None:
    """With its link in the table of kinds."""
    sections = re.findall(r"^### (\w+)$", PAGES[check.name], re.MULTILINE)
    assert sorted(sections) == sorted(check.kinds)
    for kind, meaning in check.kinds.items():
        assert f"| [`{kind}`](problems/{check.name}.md#{kind}) | {meaning} |" in INDEX


@each_check
def test_every_limit_is_named_there_and_has_its_default_in_the_index(check: Check) -> None:
    for limit in check.limits:
        assert f"`{limit.name}`" in PAGES[check.name]
        assert f"| `{limit.name}` | {number_text(limit.default)} |" in INDEX


def test_no_page_is_about_a_check_that_does_not_exist() -> None:
    assert PAGES.keys() == {*(check.name for check in CHECKS), "progress"}


def test_names_are_given_once() -> None:
    """A kind leads to one check, a limit to one number."""
    assert len(KINDS) == sum(len(check.kinds) for check in CHECKS)
    limits = [limit for check in CHECKS for limit in check.limits]
    assert all(limit == LIMITS[limit.name] for limit in limits)


def test_the_index_is_what_the_checks_say() -> None:
    """`make openapi` writes it."""
    assert INDEX.count("<!-- end -->") == 2
    assert filled_problems(INDEX) == INDEX

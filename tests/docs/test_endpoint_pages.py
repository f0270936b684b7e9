"""Each endpoint's page has a place for every field and every parameter: the tables stand between two markers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.answered import ANSWERED, fields_of
from rangeland.api.routes import ENDPOINTS

PAGES = sorted((Path(__file__).parents[2] / "docs" / "reference" / "endpoints").glob("*.md"))
MARKER = re.compile(r"^<!-- (?P<kind>fields|parameters): (?P<name>\w+) -->$", re.MULTILINE)


def marked(kind: str) -> Iterator[str]:
    """The names in the pages' markers of that kind, as often as they stand there."""
    for page in PAGES:
        yield from (
            found["name"] for found in MARKER.finditer(page.read_text(encoding="utf-8")) if found["kind"] == kind
        )


def test_answers_lead_to_the_types_within_them() -> None:
    """Also to those that stay bytes on their way."""
    assert {"TxnInfo", "Lease", "Tier", "RangeDescriptor", "Sizes", "Grant"} <= ANSWERED.keys()


@pytest.mark.parametrize("name", [name for name in ANSWERED if fields_of(name)])
def test_every_type_of_an_answer_has_its_table_on_one_page(name: str) -> None:
    assert list(marked("fields")).count(name) == 1


def test_no_table_is_of_a_type_that_does_not_exist() -> None:
    assert set(marked("fields")) <= ANSWERED.keys()


def test_every_endpoint_has_its_table_of_parameters_and_no_other_has() -> None:
    operations = [each.answer.__name__ for each in ENDPOINTS if each.path.startswith("/api/v2/")]
    assert sorted(marked("parameters")) == sorted(operations)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_marker_has_its_end(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    kinds = re.findall(r"^<!-- (fields|parameters|end)\b.*-->$", text, re.MULTILINE)
    assert kinds[1::2] == ["end"] * (len(kinds) // 2)
    assert "end" not in kinds[::2]
    assert len(kinds) % 2 == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_page_shows_how_to_ask_and_what_comes(page: Path) -> None:
    """An example for each endpoint: a command and its answer."""
    text = page.read_text(encoding="utf-8")
    endpoints = len(re.findall(r"^## (?:GET|POST) /", text, re.MULTILINE))
    assert endpoints >= 1
    assert len(re.findall(r"^```sh\ncurl ", text, re.MULTILINE)) == endpoints
    assert len(re.findall(r"^```(?:json|yaml|text)$", text, re.MULTILINE)) == endpoints

"""Each endpoint's page has a place for every field and every parameter: the tables stand between two markers."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct
from msgspec.inspect import DictType, Field, ListType, Metadata, StructType, Type, UnionType

import rangeland.wire
from rangeland.api.routes import ENDPOINTS

PAGES = sorted((Path(__file__).parents[2] / "docs" / "reference" / "endpoints").glob("*.md"))
PRIVATE = {"members", "parts"}  # what nodes tell each other
MARKER = re.compile(r"^<!-- (?P<kind>fields|parameters): (?P<name>\w+) -->$", re.MULTILINE)


def public_types() -> dict[str, type[Struct]]:
    """The types of the API by name."""
    modules = [
        importlib.import_module(f"rangeland.wire.{module.name}")
        for module in pkgutil.iter_modules(rangeland.wire.__path__)
        if module.name not in PRIVATE
    ]
    return {
        name: found
        for module in modules
        for name, found in vars(module).items()
        if isinstance(found, type) and issubclass(found, Struct) and found.__module__ == module.__name__
    }


PUBLIC = public_types()


def reachable(root: type[Struct]) -> set[str]:
    """The names of all types in an answer, those that are passed on as bytes among them."""
    found: set[str] = set()
    waiting: list[Type] = [msgspec.inspect.type_info(root)]
    while waiting:
        match waiting.pop():
            case StructType(cls=cls, fields=fields) if cls.__name__ not in found:
                found.add(cls.__name__)
                waiting.extend(field.type for field in fields)
            case ListType(item_type=inner) | DictType(value_type=inner):
                waiting.append(inner)
            case UnionType(types=types):
                waiting.extend(types)
            case Metadata(type=inner, extra_json_schema=schema):
                reference = (schema or {}).get("$ref", "")
                named = PUBLIC.get(reference.rpartition("/")[2])
                waiting.append(msgspec.inspect.type_info(named) if named else inner)
    return found


def fields_of(name: str) -> tuple[Field, ...]:
    told = msgspec.inspect.type_info(PUBLIC[name])
    assert isinstance(told, StructType)
    return told.fields


def marked(kind: str) -> Iterator[str]:
    """The names in the pages' markers of that kind, as often as they stand there."""
    for page in PAGES:
        yield from (
            found["name"] for found in MARKER.finditer(page.read_text(encoding="utf-8")) if found["kind"] == kind
        )


ANSWERED = sorted(set().union(*(reachable(found) for name, found in PUBLIC.items() if name.endswith("Answer"))))


def test_answers_lead_to_the_types_within_them() -> None:
    """Also to those that stay bytes on their way."""
    assert {"TxnInfo", "Lease", "Tier", "RangeDescriptor", "Sizes", "Grant"} <= set(ANSWERED)
    assert set(ANSWERED) == set(PUBLIC)


@pytest.mark.parametrize("name", [name for name in ANSWERED if fields_of(name)])
def test_every_type_of_an_answer_has_its_table_on_one_page(name: str) -> None:
    assert list(marked("fields")).count(name) == 1


def test_no_table_is_of_a_type_that_does_not_exist() -> None:
    assert set(marked("fields")) <= set(ANSWERED)


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
    assert len(re.findall(r"^```json$", text, re.MULTILINE)) == endpoints

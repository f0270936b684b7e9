"""The document of the API: valid, what the code computes, and true to the bytes that msgspec writes."""

from __future__ import annotations

import json
import re
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET, Struct, UnsetType
from openapi_spec_validator import OpenAPIV31SpecValidator

from contract.committed import FIELDS
from contract.record_examples import TOKEN, answer_type, operations, text_operations
from contract.strict import departures_from
from rangeland.api import openapi
from rangeland.api.authenticate import Access
from rangeland.api.routes import ENDPOINTS, Endpoint
from rangeland.openapi.comments import comments_of
from rangeland.openapi.document import EXAMPLES, as_text, openapi_document
from rangeland.openapi.schemas import component_schemas
from rangeland.openapi.written import is_written, written_files
from rangeland.wire.json import encode

ROOT = Path(__file__).parents[2]
DOCUMENT = openapi_document()
FILES = written_files(ROOT)
JSON_OPERATIONS = {
    operation["operationId"]: operation for method in ("get", "post") for _, operation in operations(DOCUMENT, method)
}


class Colour(IntEnum):
    """What it looks like."""

    RED = 1  # as a tomato
    BLUE = 3


class Part(Struct, frozen=True, omit_defaults=True):
    """A part."""

    name: str = ""


class Thing(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A thing."""

    always: int  # from 1
    # and up. Source: pg_class.oid
    # and a second table
    never_zero: int = 0
    since: str  # RFC 3339, UTC
    until: str = ""  # RFC 3339, UTC; absent: for ever
    key: bytes = b""  # "#1" is a key, too
    text: str = ""  # in brackets, where it wouldn't fit in a line
    # Source: nowhere
    colour: Colour = Colour.RED
    measured: float | UnsetType = UNSET  # a comment that
    # goes on
    part: Part | None = None  # absent: whole
    parts: dict[int, list[Part]] = {}

    # additions of ours
    added: str = ""
    added_too: list[int] = []  # numbers

    # without a meaning here
    flag: bool = False


class AlwaysPrinted(Struct, frozen=True):
    """Defaults, and yet all is printed, apart from what is unset."""

    number: int = 0
    unset: int | UnsetType = UNSET


SCHEMAS = component_schemas({Thing, AlwaysPrinted})


@pytest.mark.parametrize("path", FILES, ids=str)
def test_what_is_committed_is_what_the_code_computes(path: Path) -> None:
    assert is_written(ROOT / path, FILES[path]), "run: make openapi"


def test_the_document_is_valid_openapi() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_the_validator_would_say_what_is_wrong() -> None:
    broken = json.loads(as_text(DOCUMENT))
    del broken["paths"]["/api/v2/nodes/{node_id}/ranges/"]["get"]["parameters"][0]
    assert list(OpenAPIV31SpecValidator(broken).iter_errors())


def test_every_public_row_is_in_it_and_no_peers_row() -> None:
    written = {(path, method.upper()) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert written == {(row.public_path, row.method) for row in ENDPOINTS if row.access is not Access.PEER}


def test_a_row_that_lacks_something_is_refused() -> None:
    async def silent(_: Any) -> Any: ...

    with pytest.raises(ValueError, match="silent has no docstring"):
        openapi_document([Endpoint("GET", "/api/v2/new", Access.READER, silent, "text/plain")])
    with pytest.raises(ValueError, match="show_docs doesn't declare what it returns"):
        openapi_document([Endpoint("GET", "/api/v2/new", Access.READER, openapi.show_docs)])


def test_it_names_no_version_of_ours_and_no_host() -> None:
    """Else the committed file would change with each release, and with each machine."""
    assert DOCUMENT["info"]["version"] == "2.0"
    assert [server["url"] for server in DOCUMENT["servers"]] == ["/"]


@pytest.mark.parametrize("name", JSON_OPERATIONS)
def test_each_operation_has_a_recorded_example_that_keeps_its_schema(name: str) -> None:
    content = JSON_OPERATIONS[name]["responses"]["200"]["content"]["application/json"]
    assert departures_from(DOCUMENT, answer_type(JSON_OPERATIONS[name]), content["example"]) == []


def test_no_example_is_missing_and_none_is_left_of_an_operation_that_is_gone() -> None:
    texts = {operation["operationId"] for _, operation in text_operations(DOCUMENT)}
    assert {path.stem for path in EXAMPLES.iterdir()} == set(JSON_OPERATIONS) | texts


def test_examples_hold_no_token() -> None:
    """Tokens begin with a protobuf's id, in base64."""
    assert json.loads((EXAMPLES / "log_in.json").read_text()) == {"session": TOKEN}
    assert not [
        path for path in EXAMPLES.glob("*.json") if re.search(r'"C[A-I][A-Za-z0-9+/]{30,38}==?"', path.read_text())
    ]


def test_errors_have_their_texts() -> None:
    responses = DOCUMENT["paths"]["/api/v2/nodes/{node_id}/ranges/"]["get"]["responses"]
    assert list(responses) == ["200", "400", "401", "403", "500"]
    texts = {each["value"] for each in responses["400"]["content"]["text/plain"]["examples"].values()}
    assert texts >= {"invalid node ID\n", "invalid range ID\n"}
    at_root = DOCUMENT["paths"]["/health"]["get"]["responses"]["503"]["content"]
    assert at_root == {"application/json": {"schema": {"$ref": "#/components/schemas/UnreadyAnswer"}}}


def test_who_may_is_told_with_both_places_of_the_token() -> None:
    both: list[dict[str, list[str]]] = [{"SessionHeader": []}, {"SessionHeader": [], "SessionCookie": []}]
    assert DOCUMENT["paths"]["/api/v2/sessions/"]["get"]["security"] == both
    assert DOCUMENT["paths"]["/api/v2/health/"]["get"]["security"] == []


def test_stability_is_the_contract_s() -> None:
    """Source: Cluster API v2.0, support policy."""
    unstable = {
        path
        for path, methods in DOCUMENT["paths"].items()
        for each in methods.values()
        if each["x-stability"] != "stable"
    }
    documented = {"events/", "nodes/{node_id}/ranges/", "problems/", "ranges/{range_id}/", "sessions/", "whoami/"}
    documented |= {"sessions/{session_id}/cancel/", "sessions/{session_id}/terminate/"}  # ours
    assert unstable == {f"/api/v2/{path}" for path in documented} & DOCUMENT["paths"].keys()


def test_fields_without_a_default_are_required_and_others_where_they_are_always_printed() -> None:
    assert SCHEMAS["Thing"]["required"] == ["always", "since"]
    assert SCHEMAS["AlwaysPrinted"]["required"] == ["number"]
    printed = json.loads(encode(Thing(always=1, since="2026-01-01T00:00:00Z")))
    assert sorted(printed) == sorted(SCHEMAS["Thing"]["required"])
    assert list(json.loads(encode(AlwaysPrinted()))) == ["number"]


def test_schemas_are_what_is_on_the_wire() -> None:
    fields = SCHEMAS["Thing"]["properties"]
    assert fields["always"] == {"type": "integer", "format": "int64", "description": "from 1 and up."}
    assert fields["never_zero"]["default"] == 0
    assert fields["since"]["format"] == "date-time"
    assert "default" not in fields["until"]  # "" is no time
    assert fields["key"]["contentEncoding"] == "base64"
    assert fields["key"]["description"] == '"#1" is a key, too'
    assert fields["text"]["description"] == "in brackets, where it wouldn't fit in a line"
    assert fields["measured"]["description"] == "a comment that goes on"
    assert fields["part"] == {"$ref": "#/components/schemas/Part", "description": "absent: whole"}  # never null
    assert fields["parts"]["propertyNames"] == {"pattern": "^[0-9]+$"}
    assert SCHEMAS["Colour"]["type"] == "integer"
    assert SCHEMAS["Colour"]["enum"] == [1, 3]
    assert SCHEMAS["Colour"]["x-enum-varnames"] == ["RED", "BLUE"]
    assert SCHEMAS["Colour"]["description"].endswith("* 1 RED: as a tomato\n* 3 BLUE")


def test_sections_of_a_type_mark_and_describe_their_fields() -> None:
    comments = comments_of(Thing)
    assert [name for name, comment in comments.items() if comment.is_addition] == ["added", "added_too"]
    assert comments["added"].text == ""
    assert comments["added_too"].text == "numbers"
    assert comments["flag"].text == "without a meaning here"


@pytest.mark.parametrize("name", sorted(FIELDS.keys() & DOCUMENT["components"]["schemas"].keys()))
def test_schemas_and_the_committed_fields_say_the_same(name: str) -> None:
    """Name by name, what is always there, and what is added."""
    schema = DOCUMENT["components"]["schemas"][name]
    fields = schema["properties"]
    assert set(fields) == {each.removeprefix("+") for each in FIELDS[name]}
    always = {each.removeprefix("+") for each, kind in FIELDS[name].items() if not kind.endswith("?")}
    assert set(schema["required"]) == always
    for kind, format_ in (("time", "date-time"), ("uuid", "uuid")):
        said = {each.removeprefix("+") for each, told in FIELDS[name].items() if told.rstrip("?") == kind}
        assert {each for each, field in fields.items() if field.get("format") == format_} == said


def test_the_page_s_style_is_known_by_its_hash() -> None:
    page = openapi._page()
    assert b"<script" not in page.plain
    assert page.plain.count(b"<style>") == 1
    assert not re.search(
        rb'(?:src|href)="(?!#|/api/v2/openapi\.json")', page.plain
    )  # loads nothing, leads nowhere else
    assert "'unsafe" not in page.headers["content-security-policy"]


def test_the_page_shows_every_operation_and_every_type_once() -> None:
    text = FILES[Path("src/rangeland/api/openapi.html")]
    ids = re.findall(r' id="([^"]+)"', text)
    assert sorted(set(ids)) == sorted(ids)
    assert set(JSON_OPERATIONS) <= set(ids)
    assert {f"type-{name}" for name in DOCUMENT["components"]["schemas"]} <= set(ids)
    assert set(re.findall(r'href="#([^"]+)"', text)) <= set(ids)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"start": "2026-11-23 21:38:36"}, "is not a 'date-time'"),
        ({"active_txn": None}, "is not of type 'object'"),
        ({"node_id": "1"}, "is not of type 'integer'"),
        ({"status": 7}, "is not one of"),
        ({"new": 1}, "Additional properties are not allowed"),
    ],
)
def test_another_answer_than_the_recorded_one_would_be_refused(change: dict[str, Any], complaint: str) -> None:
    """Else the tests of examples and live answers would hold whatever the schemas say."""
    answer = json.loads((EXAMPLES / "list_sessions.json").read_text("utf-8"))
    answer["sessions"][0] |= change
    [departure] = departures_from(DOCUMENT, "SessionsAnswer", answer)
    assert complaint in departure

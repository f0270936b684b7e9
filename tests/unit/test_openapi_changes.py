"""The guard of the contract: each way of taking something from a client is seen, and adding is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest

from rangeland.openapi.changes import breaking_changes, skeleton
from rangeland.openapi.document import Json, as_text, openapi_document
from rangeland.openapi.written import BASELINE

ROOT = Path(__file__).parents[2]
TEXT = as_text(openapi_document())
Change = Callable[[Json], object]


def sessions(document: Json) -> Json:
    operation: Json = document["paths"]["/api/v2/sessions/"]["get"]
    return operation


def form(document: Json) -> Json:
    content = document["paths"]["/api/v2/login/"]["post"]["requestBody"]["content"]
    schema: Json = content["application/x-www-form-urlencoded"]["schema"]
    return schema


def type_(document: Json, name: str) -> Json:
    schema: Json = document["components"]["schemas"][name]
    return schema


def field(document: Json, name: str, field_name: str) -> Json:
    schema: Json = type_(document, name)["properties"][field_name]
    return schema


BREAKING: dict[str, Change] = {
    "GET /api/v2/nodes/: gone": lambda d: d["paths"].pop("/api/v2/nodes/"),
    "POST /api/v2/login/: gone": lambda d: d["paths"]["/api/v2/login/"].pop("post"),
    "GET /api/v2/sessions/: another operationId": lambda d: sessions(d).update(operationId="other"),
    "GET /api/v2/sessions/: another security": lambda d: sessions(d)["security"].pop(),
    "GET /api/v2/sessions/: query parameter username is gone": lambda d: sessions(d)["parameters"].pop(0),
    "GET /api/v2/sessions/: username is required": lambda d: sessions(d)["parameters"][0].update(required=True),
    "GET /api/v2/sessions/: username: type was 'string', is 'integer'": (
        lambda d: sessions(d)["parameters"][0]["schema"].update(type="integer")
    ),
    "GET /api/v2/sessions/: new is required": lambda d: sessions(d)["parameters"].append(
        {"name": "new", "in": "query", "required": True, "schema": {"type": "string"}}
    ),
    "GET /api/v2/sessions/: 403 is gone": lambda d: sessions(d)["responses"].pop("403"),
    "GET /api/v2/sessions/: 200: no longer application/json": (
        lambda d: sessions(d)["responses"]["200"]["content"].pop("application/json")
    ),
    "POST /api/v2/login/: 503 lost its header Retry-After": (
        lambda d: d["paths"]["/api/v2/login/"]["post"]["responses"]["503"].pop("headers")
    ),
    "GET /api/v2/nodes/: no longer stable": (
        lambda d: d["paths"]["/api/v2/nodes/"]["get"].update({"x-stability": "unstable"})
    ),
    "POST /api/v2/login/: a body is required": (
        lambda d: d["paths"]["/api/v2/login/"]["post"]["requestBody"].update(required=True)
    ),
    "POST /api/v2/login/: body.password: gone": lambda d: form(d)["properties"].pop("password"),
    "POST /api/v2/login/: body.otp: is required": lambda d: (
        form(d)["properties"].update(otp={"type": "string"}),
        form(d)["required"].append("otp"),
    ),
    "Tier: gone": lambda d: d["components"]["schemas"].pop("Tier"),
    "SessionCookie: gone": lambda d: d["components"]["securitySchemes"].pop("SessionCookie"),
    "Session.end: gone": lambda d: type_(d, "Session")["properties"].pop("end"),
    "Session.start: no longer always there": lambda d: type_(d, "Session")["required"].remove("start"),
    "Session.end: was optional": lambda d: type_(d, "Session")["required"].append("end"),
    "Session.start: format was 'date-time', is None": lambda d: field(d, "Session", "start").pop("format"),
    "Session.id: contentEncoding was 'base64', is None": lambda d: field(d, "Session", "id").pop("contentEncoding"),
    "Session.node_id: type was 'integer', is 'string'": lambda d: field(d, "Session", "node_id").update(
        type="string"
    ),
    "Session.node_id: default was 0, is 1": lambda d: field(d, "Session", "node_id").update(default=1),
    "Session.blocking_pids[]: type was 'integer', is 'string'": (
        lambda d: field(d, "Session", "blocking_pids")["items"].update(type="string")
    ),
    "RangeAnswer.responses_by_node_id[]: $ref was '#/components/schemas/RangeDetail', is None": (
        lambda d: field(d, "RangeAnswer", "responses_by_node_id")["additionalProperties"].pop("$ref")
    ),
    "Liveness: no longer 6": lambda d: type_(d, "Liveness")["enum"].remove(6),
}

HARMLESS: dict[str, Change] = {
    "a path": lambda d: d["paths"].update({"/api/v2/new/": deepcopy(d["paths"]["/api/v2/nodes/"])}),
    "a method": lambda d: d["paths"]["/api/v2/nodes/"].update(post=deepcopy(sessions(d))),
    "an optional parameter": lambda d: sessions(d)["parameters"].append(
        {"name": "new", "in": "query", "required": False, "schema": {"type": "string"}}
    ),
    "a status": lambda d: sessions(d)["responses"].update({"429": deepcopy(sessions(d)["responses"]["403"])}),
    "a type": lambda d: d["components"]["schemas"].update(New=deepcopy(type_(d, "Tier"))),
    "a field": lambda d: type_(d, "Session")["properties"].update(new={"type": "string"}),
    "a field that is always there": lambda d: (
        type_(d, "Session")["properties"].update(new={"type": "string"}),
        type_(d, "Session")["required"].append("new"),
    ),
    "an optional field of the form": lambda d: form(d)["properties"].update(otp={"type": "string"}),
    "a value": lambda d: type_(d, "Liveness")["enum"].append(7),
    "a promise": lambda d: sessions(d).update({"x-stability": "stable"}),
    "other words": lambda d: (
        sessions(d).update(summary="", description=""),
        field(d, "Session", "start").update(description=""),
        d["info"].update(description=""),
    ),
    "another order": lambda d: sessions(d)["parameters"].reverse(),
}


@pytest.fixture
def document() -> Json:
    """A copy: what the tests do to it stays with them."""
    copy: Json = json.loads(TEXT)
    return copy


def test_the_api_has_lost_nothing_of_its_baseline(document: Json) -> None:
    """What may change is told in docs/explanation/stability.md; `make openapi` keeps the baseline."""
    assert breaking_changes(json.loads((ROOT / BASELINE).read_text("utf-8")), document) == []


@pytest.mark.parametrize("change", BREAKING)
def test_what_a_client_would_miss_is_named(document: Json, change: str) -> None:
    before = deepcopy(document)
    BREAKING[change](document)
    assert change in breaking_changes(before, document)


@pytest.mark.parametrize("change", HARMLESS)
def test_adding_and_better_words_pass(document: Json, change: str) -> None:
    before = deepcopy(document)
    HARMLESS[change](document)
    assert document != before
    assert breaking_changes(before, document) == []


def test_the_baseline_holds_no_words_and_loses_nothing_else(document: Json) -> None:
    bare = skeleton(document)
    assert not {"info", "tags", "servers"} & bare.keys()
    assert "description" not in bare["paths"]["/api/v2/sessions/"]["get"]
    assert breaking_changes(bare, document) == breaking_changes(document, bare) == []
    names = {"properties": {"description": {"type": "string", "description": "x"}}}
    assert skeleton(names) == {"properties": {"description": {"type": "string"}}}

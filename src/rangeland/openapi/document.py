"""The OpenAPI document: one operation for each public row of api/routes.py, one schema for each wire type."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from msgspec import Struct

from rangeland.api import failures
from rangeland.api.authenticate import Access
from rangeland.api.failures import Failure
from rangeland.api.parameters import Parameter
from rangeland.api.routes import ENDPOINTS, Endpoint
from rangeland.openapi.schemas import component_schemas

Json = dict[str, Any]

EXAMPLES = Path(__file__).with_name("examples")  # one file an operation, recorded by examples.py
CONTRACT_VERSION = "2.0"  # the Cluster API's, not this package's: the document changes with the API only
FORM = "application/x-www-form-urlencoded"

_TEXT = """\
One REST API that every node of a PostgreSQL cluster hosts and that answers for all nodes; wire-compatible with the
Cluster API v2.0.

Each path answers with and without its last slash. Enumerations are numbers, durations and many moments are
nanoseconds as JSON numbers, bytes are base64. A field that isn't required is absent when it is empty, zero or
unknown. Fields marked `x-addition` are not in Cluster API v2.0. Fields and operations are added in later versions,
never changed or removed: ignore what you don't know. Every answer has `Cache-Control: no-cache`; other methods than
those listed are 405, of `/api/v2/login/` and `/api/v2/logout/` 404."""

_HEADER = (
    "The token of `POST /api/v2/login/`; or the word `cookie`, for the token of the cookie `session`. Readers are "
    "superusers and members of the admin role or of pg_monitor. A node that runs insecure asks for none."
)
_COOKIE = "The token of `POST /api/v2/login/`; counts only beside `X-Cockroach-API-Session: cookie`."

SECURITY_SCHEMES: Json = {
    "SessionHeader": {"type": "apiKey", "in": "header", "name": "X-Cockroach-API-Session", "description": _HEADER},
    "SessionCookie": {"type": "apiKey", "in": "cookie", "name": "session", "description": _COOKIE},
}
_SECURITY: dict[Access, list[Json]] = {
    Access.ANYONE: [],
    Access.LOGGED_IN: [{"SessionHeader": []}, {"SessionHeader": [], "SessionCookie": []}],
    Access.READER: [{"SessionHeader": []}, {"SessionHeader": [], "SessionCookie": []}],
}
_WHO = {
    Access.ANYONE: "Anyone may ask.",
    Access.LOGGED_IN: "For any live session, whatever its rights.",
    Access.READER: "For readers.",
}


def public_endpoints() -> list[Endpoint]:
    """The rows that clients may use, by path and method."""
    public = [endpoint for endpoint in ENDPOINTS if endpoint.access is not Access.PEER]
    return sorted(public, key=lambda endpoint: (endpoint.public_path, endpoint.method))


def openapi_document(endpoints: Iterable[Endpoint] | None = None) -> Json:
    """The whole document. Raises: ValueError for a row that lacks what it needs."""
    rows = public_endpoints() if endpoints is None else list(endpoints)
    paths: dict[str, Json] = {}
    for endpoint in rows:
        paths.setdefault(endpoint.public_path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Rangeland",
            "summary": "The Cluster API for PostgreSQL",
            "description": _TEXT,
            "version": CONTRACT_VERSION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The node that this document came from; every other one will do."}],
        "tags": [{"name": tag} for tag in sorted({_tag(endpoint) for endpoint in rows})],
        "paths": paths,
        "components": {"schemas": component_schemas(_answers(rows)), "securitySchemes": SECURITY_SCHEMES},
    }


def as_text(document: Json) -> str:
    """The document as it is committed and served."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _operation(endpoint: Endpoint) -> Json:
    summary, text = _docstring(endpoint)
    operation: Json = {
        "operationId": endpoint.operation,
        "summary": summary,
        "description": f"{text} {_WHO[endpoint.access]}",
        "tags": [_tag(endpoint)],
        "x-stability": "stable" if endpoint.stable else "unstable",
        "security": _SECURITY[endpoint.access],
        "parameters": [_parameter(taken) for taken in endpoint.takes if taken.where != "form"],
        "responses": {"200": _answer(endpoint), **_failures(endpoint.failures)},
    }
    if form := [taken for taken in endpoint.takes if taken.where == "form"]:
        operation["requestBody"] = _form(form)
    return operation


def _docstring(endpoint: Endpoint) -> tuple[str, str]:
    """The handler's: its first line up to a semicolon, and all of it that clients may want to read."""
    text = inspect.getdoc(endpoint.answer)
    if not text:
        raise ValueError(f"{endpoint.operation} has no docstring: it is the operation's summary")
    whole = " ".join(re.sub(r"\s*(Source|Raises):.*", "", text, flags=re.DOTALL).split())
    first = text.splitlines()[0].partition(";")[0].rstrip(".")
    return first, whole


def _tag(endpoint: Endpoint) -> str:
    """The noun that names the handler's file in every room."""
    return endpoint.answer.__module__.rpartition(".")[2]


def _parameter(parameter: Parameter) -> Json:
    made: Json = {
        "name": parameter.name,
        "in": parameter.where,
        "description": parameter.text,
        "required": parameter.where == "path",
        "schema": parameter.schema,
        "example": _example_value(parameter),
    }
    return {**made, "style": "form", "explode": False} if _is_list(parameter) else made


def _example_value(parameter: Parameter) -> object:
    if not _is_list(parameter):
        return parameter.example
    parts = str(parameter.example).split(",")
    return parts if parameter.schema["items"] == {"type": "string"} else [int(part) for part in parts]


def _is_list(parameter: Parameter) -> bool:
    """Separated by commas in the address."""
    return parameter.schema.get("type") == "array"


def _form(parameters: list[Parameter]) -> Json:
    schema = {
        "type": "object",
        "properties": {
            each.name: {**each.schema, "description": each.text, "examples": [each.example]} for each in parameters
        },
        "required": [each.name for each in parameters if not each.is_optional],
    }
    return {"required": False, "content": {FORM: {"schema": schema}}}


def _answer(endpoint: Endpoint) -> Json:
    if endpoint.returns is None:
        raise ValueError(f"{endpoint.operation} doesn't declare what it returns, see api/routes.py")
    if isinstance(endpoint.returns, str):
        is_json = endpoint.returns == "application/json"
        content = {"schema": {"type": "object" if is_json else "string"}, **_example(endpoint)}
        return {"description": _docstring(endpoint)[0], "content": {endpoint.returns: content}}
    content = {"schema": _reference(endpoint.returns), **_example(endpoint)}
    return {"description": inspect.getdoc(endpoint.returns) or "", "content": {"application/json": content}}


def _example(endpoint: Endpoint) -> Json:
    """What was recorded: of a text its first lines."""
    text, value = (EXAMPLES / f"{endpoint.operation}.{kind}" for kind in ("txt", "json"))
    if text.exists():
        return {"example": text.read_text("utf-8")}
    return {"example": json.loads(value.read_text("utf-8"))} if value.exists() else {}


def _failures(reasons: Iterable[Failure]) -> Json:
    """By status; several reasons for one status are its examples."""
    by_status: dict[int, list[Failure]] = {}
    for failure in reasons:
        by_status.setdefault(failure.status, []).append(failure)
    return {str(status): _failure(reasons) for status, reasons in sorted(by_status.items())}


def _failure(reasons: list[Failure]) -> Json:
    content: Json = {}
    texts = [each for each in reasons if each.answer is None]
    if texts:
        examples = {_example_name(each): {"summary": each.when, "value": f"{each.text}\n"} for each in texts}
        content["text/plain"] = {"schema": {"type": "string"}, "examples": examples}
    for each in reasons:
        if each.answer is not None:
            content["application/json"] = {"schema": _reference(each.answer)}
    made: Json = {"description": " ".join(dict.fromkeys(each.when for each in reasons)), "content": content}
    if any(each.has_retry_after for each in reasons):
        schema = {"type": "integer", "format": "int32", "minimum": 1}
        made["headers"] = {"Retry-After": {"description": "Seconds, where it helps to wait.", "schema": schema}}
    return made


def _example_name(failure: Failure) -> str:
    """The name that it has in api/failures.py."""
    return next(name.lower() for name, each in vars(failures).items() if each is failure)


def _reference(type_: type[Struct]) -> Json:
    return {"$ref": f"#/components/schemas/{type_.__name__}"}


def _answers(endpoints: list[Endpoint]) -> set[type[Struct]]:
    """Every type that a body may be."""
    bodies = [endpoint.returns for endpoint in endpoints]
    bodies += [failure.answer for endpoint in endpoints for failure in endpoint.failures]
    return {body for body in bodies if isinstance(body, type)}

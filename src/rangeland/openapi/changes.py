"""What a change of the API would break: two documents compared.

Adding passes: operations, optional parameters, statuses, fields, values of enumerations. What else a client could
notice does not: that something is gone, is of another type, is required where it wasn't, or no longer where it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

_WORDS = {"description", "summary", "title", "example", "examples", "tags", "info", "servers"}  # for people
_NAMED = {"properties", "schemas", "paths", "headers", "content", "responses", "securitySchemes"}  # maps of names
_COMPARED_APART = {"properties", "required", "enum", "items", "additionalProperties"}


def skeleton(document: Json) -> Json:
    """The document without its words: what the baseline keeps."""
    return {
        name: {key: _bare(each) for key, each in value.items()} if name in _NAMED else _bare(value)
        for name, value in document.items()
        if name not in _WORDS
    }


def _bare(value: Any) -> Any:
    if isinstance(value, dict):
        return skeleton(value)
    return [_bare(each) for each in value] if isinstance(value, list) else value


def breaking_changes(before: Json, after: Json) -> list[str]:
    """What clients of `before` would miss in `after`, each as `place: what`; [] when they would miss nothing."""
    return list(_document_changes(skeleton(before), skeleton(after)))


def _document_changes(before: Json, after: Json) -> Iterator[str]:
    for path, methods in before["paths"].items():
        for method, operation in methods.items():
            place = f"{method.upper()} {path}"
            if (now := after["paths"].get(path, {}).get(method)) is None:
                yield f"{place}: gone"
            else:
                yield from _operation_changes(place, operation, now)
    for kind in ("schemas", "securitySchemes"):
        for name, schema in before["components"][kind].items():
            if (now := after["components"][kind].get(name)) is None:
                yield f"{name}: gone"
            else:
                yield from _schema_changes(name, schema, now, is_request=False)


def _operation_changes(place: str, before: Json, after: Json) -> Iterator[str]:
    for name in ("operationId", "security"):
        if before[name] != after[name]:
            yield f"{place}: another {name}"
    if before["x-stability"] == "stable" != after["x-stability"]:
        yield f"{place}: no longer stable"
    yield from _parameter_changes(place, before["parameters"], after["parameters"])
    yield from _body_changes(place, before.get("requestBody", {}), after.get("requestBody", {}))
    for status, response in before["responses"].items():
        if (now := after["responses"].get(status)) is None:
            yield f"{place}: {status} is gone"
            continue
        for name in response.get("headers", {}).keys() - now.get("headers", {}).keys():
            yield f"{place}: {status} lost its header {name}"
        yield from _content_changes(f"{place}: {status}", response["content"], now["content"], is_request=False)


def _parameter_changes(place: str, before: list[Json], after: list[Json]) -> Iterator[str]:
    then = {(each["in"], each["name"]): each for each in before}
    now = {(each["in"], each["name"]): each for each in after}
    for key, parameter in now.items():
        if parameter["required"] and not then.get(key, {}).get("required"):
            yield f"{place}: {key[1]} is required"
    for key, parameter in then.items():
        if key not in now:
            yield f"{place}: {key[0]} parameter {key[1]} is gone"
        else:
            yield from _schema_changes(f"{place}: {key[1]}", parameter["schema"], now[key]["schema"], is_request=True)


def _body_changes(place: str, before: Json, after: Json) -> Iterator[str]:
    if after.get("required") and not before.get("required"):
        yield f"{place}: a body is required"
    yield from _content_changes(
        f"{place}: body", before.get("content", {}), after.get("content", {}), is_request=True
    )


def _content_changes(place: str, before: Json, after: Json, *, is_request: bool) -> Iterator[str]:
    for media_type, content in before.items():
        if media_type not in after:
            yield f"{place}: no longer {media_type}"
        else:
            yield from _schema_changes(place, content["schema"], after[media_type]["schema"], is_request=is_request)


def _schema_changes(place: str, before: Json, after: Json, *, is_request: bool) -> Iterator[str]:
    for keyword in sorted({*before, *after} - _COMPARED_APART):
        if before.get(keyword) != after.get(keyword) and not keyword.startswith("x-"):
            yield f"{place}: {keyword} was {before.get(keyword)!r}, is {after.get(keyword)!r}"
    yield from (
        f"{place}: no longer {value}" for value in before.get("enum", ()) if value not in after.get("enum", ())
    )
    fields, now = before.get("properties", {}), after.get("properties", {})
    required, required_now = set(before.get("required", ())), set(after.get("required", ()))
    for name, schema in fields.items():
        if name not in now:
            yield f"{place}.{name}: gone"
            continue
        if (name in required) != (name in required_now):
            yield f"{place}.{name}: {'no longer always there' if name in required else 'was optional'}"
        yield from _schema_changes(f"{place}.{name}", schema, now[name], is_request=is_request)
    if is_request:
        yield from (f"{place}.{name}: is required" for name in sorted(required_now - set(fields)))
    for inner in ("items", "additionalProperties"):
        if inner in before or inner in after:
            yield from _schema_changes(
                f"{place}[]", before.get(inner, {}), after.get(inner, {}), is_request=is_request
            )

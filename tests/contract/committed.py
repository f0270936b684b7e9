"""The committed contract, `fields.json`, and where an answer departs from it.

A type is `int`, `number`, `number or null`, `text`, `flag`, `scalar` (any of these), `base64`, `uuid`, `time`
(RFC 3339, UTC), the name of another entry, `[T]` or `{T}` (an object of T, whatever its keys). `?`: absent when it is
empty, zero or false, and never printed then, unless the type begins with `zero or`. A field with `+` is an addition
of ours.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

FIELDS: dict[str, dict[str, str]] = json.loads(Path(__file__).with_name("fields.json").read_text("utf-8"))

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,8}[1-9])?Z")


def departures(value: Any, kind: str, place: str = "") -> list[str]:
    """Where the value isn't of that kind, each as `place: what is wrong`; [] when it keeps the contract."""
    return list(_departures(value, kind, place or kind))


def _departures(value: Any, kind: str, place: str) -> Iterator[str]:
    if kind.startswith("["):
        if not isinstance(value, list):
            yield f"{place}: {value!r} is no list"
            return
        for number, each in enumerate(value):
            yield from _departures(each, kind[1:-1], f"{place}[{number}]")
    elif kind.startswith("{") or kind in FIELDS:
        if not isinstance(value, dict):
            yield f"{place}: {value!r} is no object"
        elif kind in FIELDS:
            yield from _object_departures(value, FIELDS[kind], place)
        else:
            for name, each in value.items():
                yield from _departures(each, kind[1:-1], f"{place}.{name}")
    elif not _is_scalar(value, kind):
        yield f"{place}: {value!r} is no {kind}"


def _object_departures(value: dict[str, Any], fields: dict[str, str], place: str) -> Iterator[str]:
    known = {name.removeprefix("+"): kind for name, kind in fields.items()}
    for name in value.keys() - known.keys():
        yield f"{place}: {name} is not in the contract"
    for name, kind in known.items():
        if name in value:
            if kind.endswith("?") and not value[name] and not kind.startswith("zero or"):
                yield f"{place}.{name}: {value[name]!r} should have been left out"
            yield from _departures(value[name], kind.removesuffix("?").removeprefix("zero or "), f"{place}.{name}")
        elif not kind.endswith("?"):
            yield f"{place}: {name} is missing"


def _is_scalar(value: Any, kind: str) -> bool:
    match kind:
        case "int":
            return type(value) is int
        case "number":
            return type(value) in (int, float)
        case "number or null":
            return value is None or type(value) in (int, float)
        case "flag":
            return isinstance(value, bool)
        case "text":
            return isinstance(value, str)
        case "scalar":
            return isinstance(value, str | int | float)
        case "base64":
            return isinstance(value, str) and base64.b64encode(base64.b64decode(value)).decode() == value
        case "uuid":
            return isinstance(value, str) and str(UUID(value)) == value
        case "time":
            return isinstance(value, str) and _TIME.fullmatch(value) is not None
    raise AssertionError(f"fields.json has an unknown type: {kind}")

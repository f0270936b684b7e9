"""A type's fields in words, as the page and the tables of the reference show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Field:
    """`presence` is "always", or when the field is absent."""

    name: str
    schema: Schema
    presence: str
    text: str
    is_addition: bool


def fields_of(schema: Schema) -> list[Field]:
    """In the order of the type; [] for an enumeration and for `{}`."""
    return [
        Field(
            name=name,
            schema=field,
            presence="always" if name in schema["required"] else _absence(field),
            text=field.get("description", ""),
            is_addition=field.get("x-addition", False),
        )
        for name, field in schema.get("properties", {}).items()
    ]


def type_text(schema: Schema) -> str:
    """`int`, `text`, `list of Session`, `ranges by node id` …: one word where one does."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(type_text(kind) for kind in schema["anyOf"])
    if "const" in schema:
        return f"“{schema['const']}”"
    match schema.get("type"):
        case "array":
            return f"list of {type_text(schema['items'])}"
        case "object":
            return (
                f"object of {type_text(schema['additionalProperties'])}" if "additionalProperties" in schema else "{}"
            )
        case "string":
            return _string_text(schema)
        case "integer":
            return "integer"
        case "boolean":
            return "flag"
        case kind:
            return str(kind)


def _string_text(schema: Schema) -> str:
    words = {"date-time": "time", "uuid": "UUID", "password": "text"}
    return "base64" if "contentEncoding" in schema else words.get(schema.get("format", ""), "text")


def _absence(field: Schema) -> str:
    """What a missing field says: its default, or that nothing is known."""
    if "default" not in field:
        return "if known"
    default = field["default"]
    if default in ("", [], {}):
        return "unless empty"
    return "if true" if default is False else f"unless {default}"

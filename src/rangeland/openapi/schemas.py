"""The wire types as JSON Schema: msgspec's, put right where they aren't what is on the wire.

msgspec calls every field with a default optional, a `None` that vanishes nullable, and knows no comments; see the
functions below. Objects stay open: fields are added in later versions.
"""

from __future__ import annotations

import enum
import inspect
from typing import Any, cast

import msgspec
from msgspec import Struct
from msgspec.inspect import DictType, IntType, StructType, Type

from rangeland.openapi.comments import Comment, comments_of
from rangeland.wire.history import NodeHistory
from rangeland.wire.hot_range_history import HotRangeHistory
from rangeland.wire.ranges import RangeInfo
from rangeland.wire.sessions import Session

Schema = dict[str, Any]
REFERENCE = "#/components/schemas/{name}"
PASSED_THROUGH: set[type[Struct]] = {
    Session,
    RangeInfo,
    NodeHistory,
    HotRangeHistory,
}  # bytes in the answers that hold them, which only name their schema

_FORMATS = {"RFC 3339": "date-time", "UUID": "uuid"}  # by what the comment of a text says


def component_schemas(types: set[type[Struct]]) -> dict[str, Schema]:
    """The schemas of these types and of all that they are made of, by name, in order of name."""
    roots = sorted(types | PASSED_THROUGH, key=lambda type_: type_.__name__)
    _, components = msgspec.json.schema_components(roots, ref_template=REFERENCE)
    class_by_name = _classes(roots)
    return {name: _corrected(class_by_name[name], schema) for name, schema in sorted(components.items())}


def _classes(roots: list[type[Struct]]) -> dict[str, type]:
    """Every struct and enumeration that is reached from the roots, by name."""
    found: dict[str, type] = {}

    def visit(type_: Type) -> None:
        class_ = getattr(type_, "cls", None)
        if isinstance(class_, type):
            if class_.__name__ in found:
                return
            found[class_.__name__] = class_
        for field in getattr(type_, "fields", ()):
            visit(field.type)
        for name in ("item_type", "key_type", "value_type", "type"):
            if isinstance(inner := getattr(type_, name, None), Type):
                visit(inner)
        for inner in getattr(type_, "types", ()):
            visit(inner)

    for root in roots:
        visit(msgspec.inspect.type_info(root))
    return found


def _corrected(class_: type, schema: Schema) -> Schema:
    described = {**schema, "description": _description(class_)}
    if issubclass(class_, enum.IntEnum):
        return _enumeration(class_, described)
    if issubclass(class_, enum.StrEnum):
        return _words(class_, described)
    info = cast(StructType, msgspec.inspect.type_info(class_))
    comments = comments_of(class_)
    properties = {
        field.encode_name: _property(schema["properties"][field.encode_name], field, comments[field.name])
        for field in info.fields
    }
    always = [field.encode_name for field in info.fields if _is_always_there(info, field)]
    for name in always:
        properties[name].pop("default", None)
    return {**described, "properties": properties, "required": always}


def _is_always_there(info: StructType, field: msgspec.inspect.Field) -> bool:
    """Printed whatever it is: a default is only left out where the type says `omit_defaults`, UNSET everywhere."""
    may_be_unset = field.name in _unset_by_default(info.cls)
    return field.required or not (may_be_unset or info.cls.__struct_config__.omit_defaults)


def _unset_by_default(class_: type[Struct]) -> set[str]:
    """msgspec's description of a type doesn't tell UNSET from no default at all."""
    values = class_.__struct_defaults__
    names = class_.__struct_fields__[len(class_.__struct_fields__) - len(values) :]
    return {name for name, value in zip(names, values, strict=True) if value is msgspec.UNSET}


def _property(schema: Schema, field: msgspec.inspect.Field, comment: Comment) -> Schema:
    made = _plain(schema)
    if made.get("default", ...) is None:
        del made["default"]  # absent, not null
    if made.get("type") == "string":
        for word, format_ in _FORMATS.items():
            if word in comment.text:
                made["format"] = format_
                made.pop("default", None)
    if isinstance(field.type, DictType) and isinstance(field.type.key_type, IntType):
        made["propertyNames"] = {"pattern": "^[0-9]+$"}
    if comment.text:
        made["description"] = comment.text
    if comment.is_addition:
        made["x-addition"] = True
    return made


def _plain(schema: Schema, *, is_field: bool = True) -> Schema:
    """With the widths that generated clients ask for, and without null: it is printed within lists only."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    made = {**schema}
    if len(kinds) == 1 and is_field:
        del made["anyOf"]
        made = {**kinds[0], **made}
    elif len(kinds) == 1:
        made["anyOf"] = [_plain(kind) for kind in made["anyOf"]]
    if made.get("type") == "integer":
        made["format"] = "int64"
    elif made.get("type") == "number":
        made["format"] = "double"
    for inner in ("items", "additionalProperties"):
        if isinstance(made.get(inner), dict):
            made[inner] = _plain(made[inner], is_field=False)
    return made


def _enumeration(class_: type[enum.IntEnum], schema: Schema) -> Schema:
    comments = comments_of(class_)
    names = [member.name for member in class_]
    meanings = [
        f"{member.value} {member.name}" + (f": {comments[member.name].text}" if comments[member.name].text else "")
        for member in class_
    ]
    text = "\n".join([schema["description"], "", *(f"* {meaning}" for meaning in meanings)])
    return {**schema, "type": "integer", "description": text, "x-enum-varnames": names}


def _words(class_: type[enum.StrEnum], schema: Schema) -> Schema:
    comments = comments_of(class_)
    meanings = [f"* {member.value}: {comments[member.name].text}" for member in class_]
    return {**schema, "type": "string", "description": "\n".join([schema["description"], "", *meanings])}


def _description(class_: type) -> str:
    return inspect.cleandoc(class_.__doc__ or "")

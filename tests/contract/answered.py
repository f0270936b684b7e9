"""The types that answers of the API are made of."""

from __future__ import annotations

import importlib
import pkgutil

import msgspec
from msgspec import Struct
from msgspec.inspect import DictType, Field, ListType, Metadata, StructType, Type, UnionType

import rangeland.wire

PRIVATE = {"members", "parts"}  # what nodes tell each other


def _public_types() -> dict[str, type[Struct]]:
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


def _reached(public: dict[str, type[Struct]]) -> dict[str, type[Struct]]:
    """From what is called an answer, also through what is passed on as bytes and only names its type."""
    found: dict[str, type[Struct]] = {}
    waiting: list[Type] = [
        msgspec.inspect.type_info(each) for name, each in public.items() if name.endswith("Answer")
    ]
    while waiting:
        match waiting.pop():
            case StructType(cls=cls, fields=fields) if cls.__name__ not in found:
                found[cls.__name__] = cls
                waiting.extend(field.type for field in fields)
            case ListType(item_type=inner) | DictType(value_type=inner):
                waiting.append(inner)
            case UnionType(types=types):
                waiting.extend(types)
            case Metadata(type=inner, extra_json_schema=schema):
                named = public.get(str((schema or {}).get("$ref", "")).rpartition("/")[2])
                waiting.append(msgspec.inspect.type_info(named) if named else inner)
    return found


ANSWERED = _reached(_public_types())  # by name


def fields_of(name: str) -> dict[str, Field]:
    """The fields of an answer's type by their names on the wire, in their order."""
    told = msgspec.inspect.type_info(ANSWERED[name])
    assert isinstance(told, StructType)
    return {field.encode_name: field for field in told.fields}

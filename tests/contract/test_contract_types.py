"""The types of the API are those of fields.json: no field is missing, none is unknown, none changed its presence.

A live answer proves that of the fields it happens to have; this of all, also of those that PostgreSQL never fills.
"""

from __future__ import annotations

import pytest
from msgspec import NODEFAULT, Struct
from msgspec.inspect import (
    BoolType,
    BytesType,
    DictType,
    EnumType,
    Field,
    FloatType,
    IntType,
    ListType,
    Metadata,
    NoneType,
    StrType,
    StructType,
    Type,
    UnionType,
)

from contract.answered import ANSWERED, fields_of
from contract.committed import FIELDS

TEXTS = {"text", "time", "uuid"}


def is_always_printed(field: Field, owner: type[Struct]) -> bool:
    """UNSET is no default here: it never prints anything."""
    has_default = field.default is not NODEFAULT or field.default_factory is not NODEFAULT
    return field.required or (has_default and not owner.__struct_config__.omit_defaults)


def is_of_kind(told: Type, kind: str) -> bool:
    """Whether what the type holds is printed as a value of that kind of fields.json."""
    match told:
        case UnionType() if kind == "scalar":
            return True
        case UnionType(types=types):
            return all(is_of_kind(each, kind) for each in types if not isinstance(each, NoneType))
        case Metadata(extra_json_schema=schema):
            return str((schema or {}).get("$ref", "")).endswith(f"/{kind}")
        case ListType(item_type=inner):
            return kind.startswith("[") and is_of_kind(inner, kind[1:-1])
        case DictType(value_type=inner):
            return kind.startswith("{") and is_of_kind(inner, kind[1:-1])
        case StructType(cls=cls):
            return kind == cls.__name__
        case BoolType():
            return kind == "flag"
        case IntType():
            return kind == "int"
        case EnumType(cls=cls):
            return kind == ("int" if issubclass(cls, int) else "text")
        case FloatType():
            return kind in ("number", "number or null")
        case BytesType():
            return kind == "base64"
        case StrType():
            return kind in TEXTS
    return False


def test_every_type_is_in_the_contract_and_every_entry_is_a_type() -> None:
    assert sorted(ANSWERED) == sorted(FIELDS)


@pytest.mark.parametrize("name", FIELDS)
def test_a_type_has_the_fields_of_the_contract_and_no_other(name: str) -> None:
    assert sorted(fields_of(name)) == sorted(field.removeprefix("+") for field in FIELDS[name])


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_is_always_printed_where_the_contract_says_so(name: str) -> None:
    fields = fields_of(name)
    found = {field: is_always_printed(fields[field.removeprefix("+")], ANSWERED[name]) for field in FIELDS[name]}
    assert found == {field: not kind.endswith("?") for field, kind in FIELDS[name].items()}


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_has_the_type_of_the_contract(name: str) -> None:
    fields = fields_of(name)
    kinds = {field: kind.removesuffix("?").removeprefix("zero or ") for field, kind in FIELDS[name].items()}
    assert [
        field for field, kind in kinds.items() if not is_of_kind(fields[field.removeprefix("+")].type, kind)
    ] == []

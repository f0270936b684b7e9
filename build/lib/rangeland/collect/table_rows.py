"""One table's catalogue rows as the wire types, and as the statement that makes it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from rangeland.collect.text import text_from_bytes
from rangeland.wire.databases import Column, Index

_NAME_BYTES = 63  # NAMEDATALEN less one; a longer name is nobody's


class TableRow(NamedTuple):
    """A row of sql/databases.sql, find_table."""

    oid: int
    schema_name: bytes
    table_name: bytes
    quoted_name: bytes
    kind: str
    owner: bytes
    is_unlogged: bool
    is_plain: bool  # columns, constraints, partition key and storage parameters make it
    is_locked: bool  # expressions with columns can't be read now
    partition_key: bytes | None
    options: list[bytes] | None  # as "fillfactor=70"
    analyzed_at: datetime | None


class ColumnRow(NamedTuple):
    """A row of list_columns."""

    name: bytes
    quoted_name: bytes
    type: bytes
    is_nullable: bool
    default_value: bytes | None
    generation: bytes | None
    generation_kind: str  # "STORED", "VIRTUAL", or "" where it isn't generated
    identity: str  # "ALWAYS", "BY DEFAULT", or ""
    quoted_collation: bytes | None  # None: its type's own


class IndexRow(NamedTuple):
    """A row of list_indexes: one column of an index."""

    name: bytes
    is_unique: bool
    seq: int
    column_name: bytes | None  # None: an expression that a lock hides
    direction: str
    is_stored: bool
    definition: bytes | None  # None where a lock hides it
    is_own: bool  # no constraint makes it


class ConstraintRow(NamedTuple):
    """A row of list_constraints."""

    quoted_name: bytes
    definition: bytes


def parse_table_name(name: str) -> tuple[list[str], list[str]]:
    """What `name` may mean, schemas and tables in pairs, likeliest first.

    `a.b` is table b of schema a, else a table in public whose name has a dot in it, as `b` is one in public.
    """
    if len(name.encode()) > 2 * _NAME_BYTES + 1:
        return [], []
    dots = [place for place, letter in enumerate(name) if letter == "."]
    pairs = [*((name[:dot], name[dot + 1 :]) for dot in dots), ("public", name)]
    fitting = [pair for pair in pairs if all(0 < len(each.encode()) <= _NAME_BYTES for each in pair)]
    return [schema for schema, _ in fitting], [table for _, table in fitting]


def column_from_row(row: ColumnRow) -> Column:
    return Column(
        name=text_from_bytes(row.name),
        type=text_from_bytes(row.type),
        nullable=row.is_nullable,
        default_value=text_from_bytes(row.default_value),
        generation_expression=text_from_bytes(row.generation),
        identity=row.identity,
    )


def index_from_row(row: IndexRow) -> Index:
    return Index(
        name=text_from_bytes(row.name),
        unique=row.is_unique,
        seq=row.seq,
        column=text_from_bytes(row.column_name),
        direction=row.direction,
        storing=row.is_stored,
    )


def create_statement(
    table: TableRow,
    columns: Sequence[ColumnRow],
    indexes: Sequence[IndexRow],
    constraints: Sequence[ConstraintRow],
) -> str:
    """CREATE TABLE and a CREATE INDEX for each index that no constraint makes; "" where that wouldn't make it.

    Without what PostgreSQL keeps apart from the table: owner, grants, comments, triggers, policies, sequences.
    """
    if not table.is_plain or table.is_locked:
        return ""
    parts = [
        *(f"    {_column_definition(column)}" for column in columns),
        *(f"    CONSTRAINT {_text(each.quoted_name)} {_text(each.definition)}" for each in constraints),
    ]
    statement = f"CREATE {'UNLOGGED ' if table.is_unlogged else ''}TABLE {_text(table.quoted_name)} (\n"
    statement += ",\n".join(parts) + "\n)"
    if table.partition_key is not None:
        statement += f" PARTITION BY {_text(table.partition_key)}"
    if table.options:
        statement += f" WITH ({', '.join(_storage_parameter(_text(option)) for option in table.options)})"
    definitions = [_text(index.definition) for index in indexes if index.is_own and index.seq == 1]
    return ";\n".join([statement, *definitions]) + ";"


def _column_definition(column: ColumnRow) -> str:
    words = [_text(column.quoted_name), _text(column.type)]
    if column.quoted_collation is not None:
        words.append(f"COLLATE {_text(column.quoted_collation)}")
    if column.generation is not None:
        words.append(f"GENERATED ALWAYS AS ({_text(column.generation)}) {column.generation_kind}")
    if column.default_value is not None:
        words.append(f"DEFAULT {_text(column.default_value)}")
    if column.identity:
        words.append(f"GENERATED {column.identity} AS IDENTITY")
    if not column.is_nullable:
        words.append("NOT NULL")
    return " ".join(words)


def _storage_parameter(option: str) -> str:
    name, _, value = option.partition("=")
    quoted = value.replace("'", "''")
    return f"{name}='{quoted}'"


def _text(raw: bytes | None) -> str:
    return text_from_bytes(raw)

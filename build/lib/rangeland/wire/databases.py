"""Databases as /databases/ and the paths below it show them. Source: Cluster API v2.0, /databases/."""

from msgspec import UNSET, Struct, UnsetType

from rangeland.wire.ranges import Sizes


class DatabasesAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Databases by name, as bytes compare."""

    databases: list[str] = []
    next: int = 0  # offset of the next page; absent on the last one


class DatabaseAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One database."""

    descriptor_id: int = 0  # its oid

    # additions of ours
    owner: str = ""
    encoding: str = ""  # PostgreSQL's name of it, such as UTF8
    size_bytes: int | UnsetType = UNSET  # all its files; absent when counting took too long


class Grant(Struct, frozen=True, omit_defaults=True):
    """What one role may do; of "public": what everybody may."""

    user: str = ""
    privileges: list[str] = []


class GrantsAnswer(Struct, frozen=True, omit_defaults=True):
    """Grants by user, as bytes compare."""

    grants: list[Grant]
    next: int = 0  # offset of the next page; absent on the last one


class TablesAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tables of a database by schema and name, as bytes compare."""

    table_names: list[str] = []  # with their schema, quoted as in SQL where they must be
    next: int = 0  # offset of the next page; absent on the last one


class Column(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A column of a table. What is absent is empty or false."""

    name: str = ""
    type: str = ""
    nullable: bool = False
    default_value: str = ""  # an expression
    generation_expression: str = ""
    hidden: bool = False  # without a meaning in PostgreSQL

    # additions of ours
    identity: str = ""  # "ALWAYS" or "BY DEFAULT"


class Index(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One column of an index."""

    name: str = ""
    unique: bool = False
    seq: int = 0  # from 1
    column: str = ""  # its name, or the expression
    direction: str = ""  # "ASC", "DESC" or "N/A"
    storing: bool = False  # only stored: INCLUDE
    implicit: bool = False  # without a meaning in PostgreSQL


class ZoneConfig(Struct, frozen=True):
    """Always there and always empty: PostgreSQL has no zones."""


class TableAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One table. What PostgreSQL doesn't know is absent."""

    grants: list[Grant]  # by user, as bytes compare
    columns: list[Column]  # in their order
    indexes: list[Index]  # by name, a row for each of their columns
    range_count: int = 0  # 1, or how many partitions with rows of their own it has
    create_table_statement: str = ""
    descriptor_id: int = 0  # its oid
    zone_config: ZoneConfig
    stats_last_created_at: str = ""  # RFC 3339, UTC: when the answering server last analysed it
    data_total_bytes: int | UnsetType = UNSET  # as sizes.total_bytes

    # additions of ours
    schema_name: str = ""
    table: str = ""
    kind: str = ""  # "table", "partitioned table", "partition", "materialized view" or "foreign table"
    owner: str = ""
    sizes: Sizes | None = None  # of all its ranges; absent when a lock kept us from looking at one of them

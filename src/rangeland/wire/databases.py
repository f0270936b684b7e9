"""Databases as /databases/ and the paths below it show them. Source: Cluster API v2.0, /databases/."""

from msgspec import UNSET, Struct, UnsetType

from rangeland.wire.ranges import Sizes


class DatabasesAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Databases by name, as bytes compare."""

    databases: list[str] = []  # names; absent when the page is empty
    # (pg_database.datname where datallowconn, no template, and the node's role may connect)
    next: int = 0  # offset of the next page; absent on the last one


class DatabaseAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One database."""

    descriptor_id: int = 0  # its oid (pg_database.oid)

    # additions of ours
    owner: str = ""  # the role that owns it (pg_database.datdba, pg_get_userbyid())
    encoding: str = ""  # PostgreSQL's name of it, such as UTF8 (pg_database.encoding, pg_encoding_to_char())
    size_bytes: int | UnsetType = UNSET  # of all its files; absent when counting them takes over a second
    # (pg_database_size() on the server that answers)


class Grant(Struct, frozen=True, omit_defaults=True):
    """What one role may do; of "public": what everybody may."""

    user: str = ""  # the role, or "public" (grantee in aclexplode(), pg_roles.rolname)
    privileges: list[str] = []  # PostgreSQL's words, such as CONNECT or SELECT, in alphabetical order
    # (privilege_type in aclexplode() of pg_database.datacl or pg_class.relacl; acldefault() where that is NULL)


class GrantsAnswer(Struct, frozen=True, omit_defaults=True):
    """Grants by user, as bytes compare."""

    grants: list[Grant]  # [] when the page is empty
    next: int = 0  # offset of the next page; absent on the last one


class TablesAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tables of a database by schema and name, as bytes compare."""

    table_names: list[str] = []  # with their schema, quoted as in SQL where they must be; absent when empty
    # (pg_namespace.nspname, pg_class.relname, quote_ident(); relkind r, p, m, f, nothing temporary)
    next: int = 0  # offset of the next page; absent on the last one


class Column(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A column of a table. What is absent is empty or false."""

    name: str = ""  # the column's name, unquoted (pg_attribute.attname)
    type: str = ""  # as SQL writes it, such as character varying(20)
    # (format_type() of pg_attribute.atttypid and atttypmod)
    nullable: bool = False  # absent of a column that is NOT NULL (pg_attribute.attnotnull)
    default_value: str = ""  # an expression; absent without one, and of a generated column
    # (pg_attrdef.adbin, pg_get_expr())
    generation_expression: str = ""  # of a generated column; absent of others, and while the table is locked
    # (pg_attrdef.adbin, pg_get_expr(), where pg_attribute.attgenerated is set)
    hidden: bool = False  # PostgreSQL doesn't have it: never printed

    # additions of ours
    identity: str = ""  # "ALWAYS" or "BY DEFAULT"; absent when it is no identity column (pg_attribute.attidentity)


class Index(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One column of an index."""

    name: str = ""  # of the index (pg_class.relname)
    unique: bool = False  # absent of an index that isn't (pg_index.indisunique)
    seq: int = 0  # the column's place in the index, from 1 (the place in pg_index.indkey)
    column: str = ""  # its name, or the expression, which is absent while the table is locked
    # (pg_attribute.attname, pg_get_indexdef())
    direction: str = ""  # "ASC", "DESC", or "N/A" where there is no order
    # (pg_index.indoption, pg_indexam_has_property('can_order'))
    storing: bool = False  # only stored (INCLUDE); absent of a key column (pg_index.indnkeyatts)
    implicit: bool = False  # PostgreSQL doesn't have it: never printed


class ZoneConfig(Struct, frozen=True):
    """Always there and always empty: PostgreSQL has no zones."""


class TableAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One table. What PostgreSQL doesn't know is absent."""

    grants: list[Grant]  # by user, as bytes compare
    columns: list[Column]  # in their order
    indexes: list[Index]  # by name, a row for each of their columns
    range_count: int = 0  # 1, or how many partitions with rows of their own it has; absent of a foreign table
    # (pg_class, pg_inherits)
    create_table_statement: str = ""  # absent of what CREATE TABLE alone doesn't make, and while the table is locked
    # (pg_attribute, pg_get_constraintdef(), pg_get_partkeydef(), pg_get_indexdef(), pg_class.reloptions)
    descriptor_id: int = 0  # its oid (pg_class.oid)
    zone_config: ZoneConfig  # PostgreSQL doesn't have it: always {}
    stats_last_created_at: str = ""  # RFC 3339, UTC: when this server last analysed it; absent when never
    # (the later of pg_stat_all_tables.last_analyze and last_autoanalyze)
    data_total_bytes: int | UnsetType = UNSET  # as sizes.total_bytes; absent with it

    # additions of ours
    schema_name: str = ""  # the table's schema, unquoted (pg_namespace.nspname)
    table: str = ""  # its name, unquoted (pg_class.relname)
    kind: str = ""  # "table", "partitioned table", "partition", "materialized view" or "foreign table"
    # (pg_class.relkind, relispartition)
    owner: str = ""  # the role that owns it (pg_class.relowner, pg_get_userbyid())
    sizes: Sizes | None = None  # of all its ranges; absent while one is locked, above 10,000, and without files here

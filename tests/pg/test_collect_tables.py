"""A database's tables: which are listed, what is told of one, that its statement makes it, and that no lock makes
anybody wait.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import psycopg
import pytest
from msgspec import UNSET, structs

from fix_collect import WATCHER, ask, execute, number_databases, soon, value
from fix_engine import wait_for_replay
from rangeland.collect.databases import Databases
from rangeland.collect.tables import TableCollector
from rangeland.engine.server import PostgresServer
from rangeland.pg import Server
from rangeland.wire.databases import Column, Grant, Index, TableAnswer
from rangeland.wire.parts import DatabaseParams, TableParams

T = TypeVar("T")


def collect(pg: PostgresServer, work: Callable[[TableCollector], Awaitable[T]]) -> T:
    async def run(server: Server) -> T:
        return await work(TableCollector(server, Databases(server, number_databases)))

    return ask(pg, run)


def names(pg: PostgresServer, database: str) -> list[str]:
    params = DatabaseParams(database=database)
    answer = collect(pg, lambda collector: collector.collect_tables(params, soon())).answer
    assert answer is not None
    return answer.table_names


def find(pg: PostgresServer, database: str, table: str) -> TableAnswer | None:
    params = TableParams(database=database, table=table)
    return collect(pg, lambda collector: collector.collect_table(params, soon())).answer


def require(pg: PostgresServer, database: str, table: str) -> TableAnswer:
    answer = find(pg, database, table)
    assert answer is not None
    return answer


def test_what_holds_rows_is_listed_by_schema_and_name(pg_primary: PostgresServer, database: str) -> None:
    execute(
        pg_primary,
        database,
        'CREATE SCHEMA "Odd schema"',
        'CREATE TABLE "Odd schema".t ()',
        "CREATE TABLE parted (n int) PARTITION BY LIST (n)",
        "CREATE TABLE one PARTITION OF parted FOR VALUES IN (1)",
        "CREATE MATERIALIZED VIEW seen AS SELECT 1 AS one",
        "CREATE VIEW looked AS SELECT 1 AS one",
        "CREATE SEQUENCE counter",
        "CREATE UNLOGGED TABLE quick ()",
    )
    with psycopg.connect(pg_primary.conninfo(database), autocommit=True) as connection:
        connection.execute("CREATE TEMPORARY TABLE passing ()")
        assert names(pg_primary, database) == [
            '"Odd schema".t',
            "public.one",
            "public.parted",
            "public.quick",
            "public.seen",
        ]


def test_a_table_is_told_in_full(pg_primary: PostgresServer, pg_standby: PostgresServer, database: str) -> None:
    execute(
        pg_primary,
        database,
        "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text DEFAULT 'x' NOT NULL, "
        "long int GENERATED ALWAYS AS (length(note)) STORED)",
        "CREATE INDEX by_note ON t (lower(note) DESC, note) INCLUDE (long)",
        "CREATE INDEX hashed ON t USING hash (note)",
        f"GRANT SELECT, INSERT ON t TO {WATCHER}",
        "INSERT INTO t (note) SELECT repeat('x', n) FROM generate_series(1, 1000) n",
        "ANALYZE t",
    )
    wait_for_replay(pg_primary, pg_standby)
    told = require(pg_primary, database, "t")
    assert told.columns == [
        Column(name="id", type="integer", identity="ALWAYS"),
        Column(name="note", type="text", default_value="'x'::text"),
        Column(name="long", type="integer", nullable=True, generation_expression="length(note)"),
    ]
    assert told.indexes == [
        Index(name="by_note", seq=1, column="lower(note)", direction="DESC"),
        Index(name="by_note", seq=2, column="note", direction="ASC"),
        Index(name="by_note", seq=3, column="long", direction="N/A", storing=True),
        Index(name="hashed", seq=1, column="note", direction="N/A"),
        Index(name="t_pkey", unique=True, seq=1, column="id", direction="ASC"),
    ]
    assert Grant(WATCHER, ["INSERT", "SELECT"]) in told.grants
    assert "SELECT" in next(grant for grant in told.grants if grant.user == told.owner).privileges
    assert told.descriptor_id == value(pg_primary, database, "SELECT 't'::regclass::oid::int8")
    assert (told.schema_name, told.table, told.kind, told.range_count) == ("public", "t", "table", 1)
    assert told.stats_last_created_at.endswith("Z")
    assert told.sizes is not None
    assert told.data_total_bytes == told.sizes.total_bytes
    assert told.sizes.table_bytes == value(pg_primary, database, "SELECT pg_relation_size('t')") > 0
    assert told.sizes.indexes_bytes == value(pg_primary, database, "SELECT pg_indexes_size('t')")
    assert require(pg_standby, database, "t") == structs.replace(told, stats_last_created_at="")


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE made ()"],
        ['CREATE TABLE made ("Odd ""name" text COLLATE "C" DEFAULT \'it\'\'s\', b numeric(5,2)[] NOT NULL)'],
        [
            "CREATE UNLOGGED TABLE made (a int GENERATED BY DEFAULT AS IDENTITY, b int, "
            "c int GENERATED ALWAYS AS (b * 2) STORED, CHECK (b > 0), PRIMARY KEY (a), UNIQUE (b, c)) "
            "WITH (fillfactor = 70, autovacuum_enabled = off)",
            "CREATE UNIQUE INDEX partly ON made (b DESC NULLS LAST) WHERE c > 1",
            "CREATE INDEX looked ON made USING hash ((a + b))",
        ],
        [
            "CREATE TABLE made (n int, t text, UNIQUE (n)) PARTITION BY RANGE (n)",
            "CREATE INDEX by_t ON made (lower(t))",
        ],
        [
            "CREATE TABLE other (id int PRIMARY KEY)",
            "CREATE TABLE made (id int REFERENCES other ON DELETE CASCADE, span int4range, "
            "EXCLUDE USING gist (span WITH &&) DEFERRABLE)",
        ],
    ],
    ids=["empty", "names", "plain", "parted", "linked"],
)
def test_the_statement_makes_the_same_table_again(
    pg_primary: PostgresServer, database: str, statements: list[str]
) -> None:
    execute(pg_primary, database, *statements)
    before = require(pg_primary, database, "made")
    execute(pg_primary, database, "DROP TABLE made", before.create_table_statement)
    after = require(pg_primary, database, "made")
    assert after == structs.replace(before, descriptor_id=after.descriptor_id)


def test_what_no_such_statement_makes_has_none(pg_primary: PostgresServer, database: str) -> None:
    execute(
        pg_primary,
        database,
        "CREATE TABLE parent (n int)",
        "CREATE TABLE child () INHERITS (parent)",
        "CREATE TYPE pair AS (a int, b int)",
        "CREATE TABLE typed OF pair",
        "CREATE TABLE parted (n int) PARTITION BY LIST (n)",
        "CREATE TABLE one PARTITION OF parted FOR VALUES IN (1)",
        "CREATE MATERIALIZED VIEW seen AS SELECT 1 AS one",
    )
    for name in ("child", "typed", "one", "seen"):
        assert require(pg_primary, database, name).create_table_statement == ""
    assert require(pg_primary, database, "parent").create_table_statement != ""


def test_a_partitioned_table_has_the_ranges_and_sizes_of_its_leaves(
    pg_primary: PostgresServer, database: str
) -> None:
    execute(
        pg_primary,
        database,
        "CREATE TABLE parted (n int) PARTITION BY RANGE (n)",
        "CREATE TABLE low PARTITION OF parted FOR VALUES FROM (1) TO (10)",
        "CREATE TABLE high PARTITION OF parted FOR VALUES FROM (10) TO (99) PARTITION BY LIST (n)",
        "CREATE TABLE ten PARTITION OF high FOR VALUES IN (10)",
        "INSERT INTO parted SELECT 1 + n % 10 FROM generate_series(1, 5000) n",
    )
    told = require(pg_primary, database, "parted")
    assert (told.kind, told.range_count) == ("partitioned table", 2)
    assert told.data_total_bytes == value(
        pg_primary, database, "SELECT pg_relation_size('low') + pg_relation_size('ten')"
    )
    assert require(pg_primary, database, "high").range_count == 1
    execute(pg_primary, database, "CREATE TABLE hollow (n int) PARTITION BY RANGE (n)")
    hollow = require(pg_primary, database, "hollow")
    assert (hollow.range_count, hollow.sizes, hollow.data_total_bytes) == (0, None, UNSET)


def test_a_lock_hides_what_it_covers_and_makes_nobody_wait(pg_primary: PostgresServer, database: str) -> None:
    execute(
        pg_primary,
        database,
        "CREATE TABLE t (a int DEFAULT 5 PRIMARY KEY CHECK (a > 0), b int GENERATED ALWAYS AS (a) STORED)",
        "CREATE INDEX by_half ON t ((a / 2))",
        "CREATE TABLE p (a int) PARTITION BY RANGE (abs(a))",
    )
    with psycopg.connect(pg_primary.conninfo(database)) as connection:
        connection.execute("LOCK TABLE t, p IN ACCESS EXCLUSIVE MODE")
        begun = time.monotonic()
        told = require(pg_primary, database, "t")
        assert require(pg_primary, database, "p").create_table_statement == ""
        assert time.monotonic() - begun < 2
    assert (told.sizes, told.data_total_bytes, told.create_table_statement) == (None, UNSET, "")
    assert [(column.default_value, column.generation_expression) for column in told.columns] == [("5", ""), ("", "")]
    assert [(index.name, index.column) for index in told.indexes] == [("by_half", ""), ("t_pkey", "a")]
    assert require(pg_primary, database, "t").create_table_statement


def test_a_standby_tells_an_unlogged_table_without_sizes(
    pg_primary: PostgresServer, pg_standby: PostgresServer, database: str
) -> None:
    execute(pg_primary, database, "CREATE UNLOGGED TABLE quick (n int)", "INSERT INTO quick VALUES (1)")
    wait_for_replay(pg_primary, pg_standby)
    assert require(pg_primary, database, "quick").sizes is not None
    assert require(pg_standby, database, "quick").sizes is None
    assert require(pg_standby, database, "quick").columns == [Column(name="n", type="integer", nullable=True)]


def test_a_name_is_taken_with_or_without_its_schema(pg_primary: PostgresServer, database: str) -> None:
    execute(
        pg_primary,
        database,
        "CREATE SCHEMA a",
        "CREATE TABLE a.b (in_schema int)",
        'CREATE TABLE "a.b" (with_dot int)',
        'CREATE TABLE a."b.c" (deep int)',
        "CREATE TABLE a.hidden (n int)",
    )
    columns = {
        name: [column.name for column in require(pg_primary, database, name).columns]
        for name in ("a.b", "public.a.b", "a.b.c", "a.hidden")
    }
    assert columns == {"a.b": ["in_schema"], "public.a.b": ["with_dot"], "a.b.c": ["deep"], "a.hidden": ["n"]}
    for name in ("hidden", "A.b", "pg_class", "pg_catalog.pg_class", "a.", ".b", ".", "x" * 64, "x." * 5000):
        assert find(pg_primary, database, name) is None
    assert find(pg_primary, "no_such_database", "t") is None


def test_a_visit_leaves_no_connection_behind(pg_primary: PostgresServer, database: str) -> None:
    """Else nobody could drop the database."""
    execute(pg_primary, database, "CREATE TABLE t (n int)")
    require(pg_primary, database, "t")
    names(pg_primary, database)
    execute(pg_primary, "postgres", f"DROP DATABASE {database}")

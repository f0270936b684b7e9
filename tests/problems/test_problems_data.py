"""Damaged pages, collations that changed, sequences near their end, empty and unlogged tables."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from fix_cluster import wait_until
from fix_engine import wait_for_replay
from fix_problems import Clinic, clinic

ROWS = 200_000  # of 28 bytes and a pointer: 7 MB


@pytest.fixture(scope="module")
def sick() -> Iterator[Clinic]:
    with clinic(2, limits={"table_empty_bytes": 1_000_000, "sequence_used_ratio": 0.8}) as made:
        made.server(2).configure(wal_receiver_status_interval="1s")  # how soon it tells which rows it needs
        yield made


@pytest.fixture(autouse=True)
def well_before_and_after(sick: Clinic) -> Iterator[None]:
    sick.require_well()
    yield
    sick.require_well()


def values(sick: Clinic, statement: str, *, node: int = 1, dbname: str = "postgres") -> tuple[object, ...]:
    with psycopg.connect(sick.server(node).conninfo(dbname), autocommit=True) as connection:
        row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return row


@contextmanager
def dropping(sick: Clinic, *what: str) -> Iterator[None]:
    try:
        yield
    finally:
        sick.sql(*(f"DROP {each}" for each in what))


def vacuum(sick: Clinic, table: str) -> None:
    """Until the dead rows are gone: for a moment the standby may still need them."""

    def is_clean() -> bool:
        sick.sql(f"VACUUM (ANALYZE) {table}")
        return values(sick, f"SELECT pg_stat_get_dead_tuples('{table}'::regclass)") == (0,)

    wait_until(is_clean, "no dead row is left", timeout_s=20.0, poll_s=0.5)


# sequences


def test_a_sequence_that_the_node_may_read_is_told_near_its_end_with_its_column(sick: Clinic) -> None:
    sick.sql(
        'CREATE TABLE "Order" (id smallserial)',
        'GRANT SELECT ON SEQUENCE "Order_id_seq" TO rangeland',
        """SELECT setval('"Order_id_seq"', 26213)""",  # one below four fifths of 32,767
    )
    with dropping(sick, 'TABLE "Order"'):
        sick.require_well()
        sick.sql("""SELECT nextval('"Order_id_seq"'), nextval('"Order_id_seq"')""")
        problem = sick.only("sequence_near_end", node=2)
        assert (problem["severity"], problem["database"], problem["object"]) == (
            "warning",
            "postgres",
            "public.Order_id_seq",
        )
        assert problem["evidence"] == {
            "used_ratio": 0.8,
            "limit": 32767,
            "last_value": 26215,
            "sequence_type": "smallint",
            "table": "public.Order",
            "column": "id",
            "column_type": "smallint",
        }
        assert sick.follow(problem)[0][:2] == ("public", "Order_id_seq")
        sick.sql("""SELECT setval('"Order_id_seq"', 32766)""")
        sick.wait_for_severity("sequence_near_end", "critical")
        sick.sql(
            'ALTER TABLE "Order" ALTER id TYPE bigint', 'ALTER SEQUENCE "Order_id_seq" AS bigint'
        )  # as it suggests
        sick.require_well()


def test_a_sequence_whose_column_could_hold_more_is_mended_by_the_statement(sick: Clinic) -> None:
    sick.sql(
        "CREATE TABLE wide (id bigint)",
        "CREATE SEQUENCE narrow AS integer OWNED BY wide.id",
        "GRANT SELECT ON SEQUENCE narrow TO rangeland",
        "SELECT setval('narrow', 2147483647)",
    )
    with dropping(sick, "TABLE wide"):
        problem = sick.only("sequence_near_end")
        assert (problem["severity"], problem["evidence"]["used_ratio"]) == ("critical", 1.0)
        assert problem["sql"] == 'ALTER SEQUENCE "public"."narrow" AS bigint NO MAXVALUE'
        sick.follow(problem)
        sick.sql("SELECT nextval('narrow')")


def test_a_large_sequence_of_a_small_column_counts_by_the_column(sick: Clinic) -> None:
    """As those have that were made before PostgreSQL 10."""
    sick.sql(
        "CREATE TABLE old (id integer)",
        "CREATE SEQUENCE old_id_seq AS bigint OWNED BY old.id",
        "GRANT SELECT ON SEQUENCE old_id_seq TO rangeland",
        "SELECT setval('old_id_seq', 2100000000)",
    )
    with dropping(sick, "TABLE old"):
        problem = sick.only("sequence_near_end")
        assert (problem["evidence"]["limit"], problem["evidence"]["sequence_type"]) == (2147483647, "bigint")
        assert problem["sql"].startswith("SELECT")


def test_a_sequence_that_counts_down_is_told_too(sick: Clinic) -> None:
    sick.sql(
        "CREATE SEQUENCE down INCREMENT -1 MINVALUE -100 START -1",
        "GRANT SELECT ON SEQUENCE down TO rangeland",
        "SELECT setval('down', -90)",
    )
    with dropping(sick, "SEQUENCE down"):
        assert sick.only("sequence_near_end")["evidence"]["last_value"] == -90


def test_a_sequence_that_begins_again_is_no_problem(sick: Clinic) -> None:
    sick.sql(
        "CREATE SEQUENCE round MAXVALUE 100 CYCLE",
        "GRANT SELECT ON SEQUENCE round TO rangeland",
        "SELECT setval('round', 99)",
    )
    with dropping(sick, "SEQUENCE round"):
        sick.require_looked_again()
        sick.require_well()


def test_of_a_sequence_that_the_node_may_not_read_the_rows_tell(sick: Clinic) -> None:
    sick.sql(
        "CREATE TABLE small (id smallserial)",
        "INSERT INTO small SELECT FROM generate_series(1, 30000)",
        "ANALYZE small",
    )
    with dropping(sick, "TABLE small"):
        problem = sick.only("sequence_near_end")
        assert (problem["severity"], problem["evidence"]["rows_at_least"]) == ("warning", 30000)
        assert "last_value" not in problem["evidence"]
        [row] = sick.follow(problem)
        assert row[-1] == 30000
        sick.sql("GRANT SELECT ON SEQUENCE small_id_seq TO rangeland", "SELECT setval('small_id_seq', 5)")


def test_an_unreadable_sequence_of_few_rows_is_passed_over_in_silence(sick: Clinic) -> None:
    sick.sql("CREATE TABLE few (id smallserial)", "SELECT setval('few_id_seq', 32767)")
    with dropping(sick, "TABLE few"):
        sick.require_looked_again()
        sick.require_well()


def test_a_sequence_that_somebody_locks_is_passed_over_and_nothing_waits(sick: Clinic) -> None:
    sick.sql(
        "CREATE SEQUENCE held MAXVALUE 10", "GRANT SELECT ON SEQUENCE held TO rangeland", "SELECT setval('held', 9)"
    )
    with dropping(sick, "SEQUENCE held"):
        sick.only("sequence_near_end")
        with psycopg.connect(sick.server(1).conninfo()) as connection:
            connection.execute("ALTER SEQUENCE held CACHE 2")
            sick.require_well()  # nothing is unchecked for want of the lock
            connection.rollback()
        sick.only("sequence_near_end")


# tables


def test_a_table_that_was_emptied_is_told_with_what_is_free_at_least(sick: Clinic) -> None:
    sick.sql(
        "CREATE TABLE emptied (a bigint, b bigint, c bigint) WITH (autovacuum_enabled = off)",
        f"INSERT INTO emptied SELECT g, g, g FROM generate_series(1, {ROWS}) AS g",
        "VACUUM (ANALYZE) emptied",
    )
    with dropping(sick, "TABLE emptied"):
        sick.require_looked_again()
        sick.require_well()  # a full table is no problem
        sick.sql("DELETE FROM emptied WHERE a % 20 > 0")
        vacuum(sick, "emptied")
        problem = sick.only("table_mostly_empty")
        assert (problem["severity"], problem["database"], problem["object"]) == ("info", "postgres", "public.emptied")
        [real] = values(sick, "SELECT pg_relation_size('emptied')")
        evidence = problem["evidence"]
        assert evidence["size_bytes"] == real
        assert evidence["rows"] == ROWS / 20
        assert 0.88 <= evidence["free_ratio_at_least"] <= 0.95
        [[live, *_]] = sick.follow(problem)
        assert live == ROWS / 20
        sick.sql("VACUUM (FULL, ANALYZE) emptied")  # as it suggests
        sick.require_well()


def test_what_is_said_to_be_free_is_less_than_what_vacuum_full_gives_back(sick: Clinic) -> None:
    """Also of rows of any length, of which no more is known than that they fit in a quarter of a page."""
    sick.sql(
        "CREATE TABLE texts (a int, b text, c numeric(10,2), d varchar(30)) WITH (autovacuum_enabled = off)",
        "INSERT INTO texts SELECT g, repeat(md5(g::text), 30), g, g FROM generate_series(1, 20000) AS g",
        "DELETE FROM texts WHERE a % 40 > 0",
    )
    vacuum(sick, "texts")
    with dropping(sick, "TABLE texts"):
        evidence = sick.only("table_mostly_empty")["evidence"]
        sick.sql("VACUUM (FULL, ANALYZE) texts")
        [left] = values(sick, "SELECT pg_relation_size('texts')")
        assert isinstance(left, int)
        assert evidence["free_bytes_at_least"] <= evidence["size_bytes"] - left


def test_dead_rows_are_not_free_space(sick: Clinic) -> None:
    """They are vacuum's affair."""
    sick.sql(
        "CREATE TABLE dying (a bigint) WITH (autovacuum_enabled = off)",
        f"INSERT INTO dying SELECT g FROM generate_series(1, {ROWS}) AS g",
        "ANALYZE dying",
        "DELETE FROM dying",
        "ANALYZE dying",
    )
    with dropping(sick, "TABLE dying"):
        sick.require_looked_again()
        assert "table_mostly_empty" not in {each["kind"] for each in sick.problems()}


def test_an_unlogged_table_of_a_cluster_with_standbys_is_a_note(sick: Clinic) -> None:
    sick.sql(
        "CREATE UNLOGGED TABLE cache (id serial)",
        "INSERT INTO cache SELECT FROM generate_series(1, 1000)",  # five pages, and one of the sequence
        "VACUUM (ANALYZE) cache",
    )
    with dropping(sick, "TABLE cache"):
        problem = sick.only("table_unlogged", node=2)
        assert (problem["severity"], problem["object"], problem["database"]) == ("info", "public.cache", "postgres")
        assert problem["evidence"] == {
            "tables": 1,
            "sequences": 1,
            "size_bytes": 6 * 8192,
            "largest": "public.cache",
        }
        assert [name for name, *_ in sick.follow(problem)] == ["cache", "cache_id_seq"]
        sick.sql("ALTER TABLE cache SET LOGGED")
        sick.require_well()


# collations


@pytest.fixture
def builtin(sick: Clinic) -> Iterator[str]:
    """A database whose collation has a version, and a table in it with indexes on text."""
    name = f"texts_{secrets.token_hex(4)}"
    sick.sql(f"CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'")
    sick.sql(
        "CREATE TABLE words (word text PRIMARY KEY, EXCLUDE (word WITH =))",
        "CREATE COLLATION own (PROVIDER = builtin, LOCALE = 'C.UTF-8')",
        "CREATE COLLATION unused (PROVIDER = builtin, LOCALE = 'C.UTF-8')",
        "CREATE TABLE names (name text COLLATE own)",
        "CREATE INDEX by_name ON names (name)",
        dbname=name,
    )
    yield name
    sick.sql(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_database_that_was_sorted_by_another_version_is_told_and_rebuilt(sick: Clinic, builtin: str) -> None:
    sick.sql(f"UPDATE pg_database SET datcollversion = '0.9' WHERE datname = '{builtin}'")
    problem = sick.only("collation_changed", node=2)
    assert (problem["severity"], problem["database"], problem["run_on_node_id"]) == ("warning", builtin, 1)
    assert problem["evidence"] == {"made_with": "0.9", "read_with": "1"}
    statements = [statement for (statement,) in sick.follow(problem)]
    assert statements == [
        "REINDEX INDEX CONCURRENTLY public.words_pkey",
        "REINDEX INDEX public.words_word_excl",
        f'ALTER DATABASE "{builtin}" REFRESH COLLATION VERSION',
    ]
    sick.sql(*statements, dbname=builtin)
    sick.require_well()


def test_a_collation_in_use_that_changed_is_told_with_its_indexes_and_rebuilt(sick: Clinic, builtin: str) -> None:
    sick.require_looked_again()
    sick.sql("UPDATE pg_collation SET collversion = '0.9' WHERE collname = 'own'", dbname=builtin)
    problem = sick.only("collation_changed")
    assert (problem["database"], problem["object"]) == (builtin, "public.own")
    assert problem["evidence"] == {"made_with": "0.9", "read_with": "1", "indexes": 1}
    statements = [statement for (statement,) in sick.follow(problem)]
    assert statements == [
        "REINDEX INDEX CONCURRENTLY public.by_name",
        'ALTER COLLATION "public"."own" REFRESH VERSION',
    ]
    sick.sql(*statements, dbname=builtin)
    sick.require_well()


def test_a_collation_that_nothing_uses_is_no_problem(sick: Clinic, builtin: str) -> None:
    sick.sql("UPDATE pg_collation SET collversion = '0.9' WHERE collname = 'unused'", dbname=builtin)
    sick.require_looked_again()
    sick.require_well()


# damage


def flip_a_byte(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(8192 - 1)
        byte = file.read(1)
        file.seek(8192 - 1)
        file.write(bytes([byte[0] ^ 0xFF]))


def test_a_page_whose_checksum_is_wrong_is_told_of_the_server_that_has_it(sick: Clinic) -> None:
    sick.sql("CREATE TABLE damaged (a int)", "INSERT INTO damaged VALUES (1)", "CHECKPOINT")
    wait_for_replay(sick.server(1), sick.server(2))
    sick.sql("CHECKPOINT", node=2)
    assert values(sick, "SHOW data_checksums") == ("on",)
    [path] = values(sick, "SELECT pg_relation_filepath('damaged')")
    file = sick.server(2).data_dir / str(path)
    sick.server(2).stop()
    flip_a_byte(file)
    try:
        sick.server(2).start()
        with pytest.raises(psycopg.errors.DataCorrupted):
            sick.sql("SELECT * FROM damaged", node=2)
        assert values(sick, "SELECT * FROM damaged") == (1,)  # the primary's copy is whole
        problem = sick.only("checksum_failures")
        assert (problem["severity"], problem["node_id"], problem["database"]) == ("critical", 2, "postgres")
        assert problem["evidence"]["checksum_failures"] == 1
        assert problem["evidence"]["last_failure"].startswith("20")
        assert sick.follow(problem)[0][0] == 1
    finally:
        sick.server(2).stop()
        flip_a_byte(file)
        sick.server(2).start()
        sick.sql("SELECT * FROM damaged", "SELECT pg_stat_reset()", node=2)
        sick.sql("DROP TABLE damaged")

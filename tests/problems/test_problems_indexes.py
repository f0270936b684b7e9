"""Indexes that are invalid, there twice, or used nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from fix_cluster import wait_until
from fix_engine import wait_for_replay
from fix_problems import Clinic, clinic

ROWS = 60_000  # an index of them is some 1.3 MB
SOON_S = 30.0  # each database is visited again within seconds
SCHEMA = 'CREATE SCHEMA "Odd ""name"'
LARGE = f"CREATE TABLE large AS SELECT n AS a, n AS b, n AS c FROM generate_series(1, {ROWS}) AS n"


@pytest.fixture(scope="module")
def sick() -> Iterator[Clinic]:
    with clinic(2, limits={"index_unused_s": 0, "index_unused_bytes": 0}) as made:
        yield made


@pytest.fixture(autouse=True)
def well_before_and_after(sick: Clinic) -> Iterator[None]:
    sick.require_well()
    yield
    sick.sql("DROP TABLE IF EXISTS large, twice", 'DROP SCHEMA IF EXISTS "Odd ""name" CASCADE')
    sick.require_well()


def objects(sick: Clinic) -> set[tuple[str, str]]:
    return {(each["kind"], each["object"]) for each in sick.problems()}


def wait_for(sick: Clinic, *found: tuple[str, str]) -> None:
    wait_until(lambda: objects(sick) == set(found), f"the problems are {found}", timeout_s=SOON_S, poll_s=0.2)


def test_what_a_failed_build_left_is_told_and_built_again(sick: Clinic) -> None:
    sick.sql(
        SCHEMA,
        'CREATE TABLE "Odd ""name".twins (a int)',
        'INSERT INTO "Odd ""name".twins VALUES (1), (1)',
    )
    with pytest.raises(psycopg.errors.UniqueViolation):
        sick.sql('CREATE UNIQUE INDEX CONCURRENTLY "Of it" ON "Odd ""name".twins (a)')
    problem = sick.only("index_invalid")
    assert (problem["database"], problem["object"], problem["severity"]) == (
        "postgres",
        'Odd "name.Of it',
        "warning",
    )
    assert problem["evidence"]["table"] == 'Odd "name.twins'
    assert problem["run_on_node_id"] == 1
    sick.sql('DELETE FROM "Odd ""name".twins WHERE ctid = \'(0,1)\'')
    sick.follow(problem)
    sick.require_well()


def test_one_that_is_being_built_is_not_told(sick: Clinic) -> None:
    """It waits for an older transaction; that the nodes looked meanwhile, another index shows."""
    sick.sql("CREATE TABLE large (a int)")
    with (
        closing(psycopg.connect(sick.server().conninfo())) as older,
        closing(psycopg.connect(sick.server().conninfo(), autocommit=True)) as builder,
    ):
        older.execute("INSERT INTO large VALUES (1)")
        builder.pgconn.send_query(b"CREATE INDEX CONCURRENTLY slowly ON large (a)")
        wait_until(lambda: any("slowly" in str(row) for row in invalid(sick)), "it is in the catalogue")
        sick.sql("CREATE TABLE twice (b int)", "CREATE INDEX one ON twice (b)", "CREATE INDEX two ON twice (b)")
        wait_for(sick, ("index_duplicate", "public.two"))
        assert invalid(sick), "it is being built still"
        sick.sql("DROP TABLE twice")
        older.rollback()
        wait_until(lambda: not invalid(sick), "it is built")
    sick.require_well()


def invalid(sick: Clinic) -> list[tuple[object, ...]]:
    with psycopg.connect(sick.server().conninfo()) as connection:
        return connection.execute("SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid").fetchall()


def test_of_two_that_do_the_same_the_younger_is_told_and_dropped(sick: Clinic) -> None:
    """Those that differ in anything are both of use."""
    sick.sql(
        "CREATE TABLE twice (a int, b text, PRIMARY KEY (a))",
        "CREATE INDEX first ON twice (b)",
        "CREATE INDEX again ON twice (b)",
        "CREATE INDEX of_part ON twice (b) WHERE a > 0",
        "CREATE INDEX backwards ON twice (b DESC)",
        "CREATE INDEX of_patterns ON twice (b text_pattern_ops)",
        'CREATE INDEX of_bytes ON twice (b COLLATE "C")',
        "CREATE INDEX with_more ON twice (b) INCLUDE (a)",
        "CREATE INDEX of_two ON twice (b, a)",
        "CREATE INDEX hashed ON twice USING hash (b)",
        "CREATE INDEX computed ON twice (lower(b))",
        "CREATE UNIQUE INDEX enforced ON twice (a)",
    )
    problem = sick.only("index_duplicate")
    assert (problem["object"], problem["evidence"]["same_as"]) == ("public.again", "first")
    assert (problem["severity"], problem["database"]) == ("info", "postgres")
    sick.follow(problem)
    sick.require_well()


def test_one_that_repeats_what_a_constraint_has_is_told_and_not_the_constraint_s(sick: Clinic) -> None:
    sick.sql("CREATE TABLE twice (a int)", "CREATE INDEX older ON twice (a)", "ALTER TABLE twice ADD PRIMARY KEY (a)")
    problem = sick.only("index_duplicate")
    assert (problem["object"], problem["evidence"]["same_as"]) == ("public.older", "twice_pkey")
    sick.follow(problem)
    sick.require_well()


def test_one_that_no_server_used_is_told_and_dropped_and_one_that_a_standby_used_is_not(sick: Clinic) -> None:
    sick.sql(
        LARGE,
        "CREATE INDEX of_a ON large (a)",
        "CREATE INDEX of_b ON large (b)",
        "ALTER TABLE large ADD PRIMARY KEY (c)",
    )
    wait_for_replay(sick.server(1), sick.server(2))
    sick.sql("SET enable_seqscan = off; SELECT FROM large WHERE b = 7", node=2)
    wait_for(sick, ("index_unused", "public.of_a"))
    problem = sick.only("index_unused", node=2)
    assert (problem["severity"], problem["database"], problem["run_on_node_id"]) == ("info", "postgres", 1)
    assert problem["evidence"]["servers"] == 2
    assert problem["evidence"]["scans"] == 0
    assert problem["evidence"]["size_bytes"] > 2**20
    assert problem["since"].endswith("Z")
    sick.follow(problem)
    sick.require_well()


def test_while_a_node_is_down_nobody_says_that_one_is_unused(sick: Clinic) -> None:
    sick.sql(LARGE, "CREATE INDEX of_a ON large (a)")
    sick.only("index_unused")
    node = sick.cluster.nodes[1]
    node.kill()
    try:
        assert ("index_unused", "public.of_a") not in objects(sick)
    finally:
        node.start()
        node.wait_until_ready()
    wait_for(sick, ("index_unused", "public.of_a"))


def test_a_small_one_is_not_told(sick: Clinic) -> None:
    """The large one shows that the nodes looked."""
    sick.sql(LARGE, "CREATE INDEX small ON large (a) WHERE a < 10", "CREATE INDEX whole ON large (b)")
    wait_for(sick, ("index_unused", "public.whole"))

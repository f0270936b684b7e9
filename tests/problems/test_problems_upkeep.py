"""Databases that grow old, and tables that autovacuum doesn't come to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from fix_cluster import wait_until
from fix_problems import FOUND_S, Clinic, Found, clinic

FREEZE_AGE = 100_000  # the least that PostgreSQL takes
MULTIXACT_AGE = 10_000
ROWS = 5_000


@pytest.fixture(scope="module")
def sick() -> Iterator[Clinic]:
    with clinic(2, limits={"table_overdue_rows": ROWS, "wraparound_age_ratio": 1.5}) as made:
        made.restart_servers(
            autovacuum_freeze_max_age=FREEZE_AGE,
            vacuum_failsafe_age=FREEZE_AGE * 2,
            autovacuum_multixact_freeze_max_age=MULTIXACT_AGE,
            autovacuum_naptime="1h",  # it is on, and doesn't come while a test looks
            hot_standby_feedback="off",
        )
        made.sql("CREATE DATABASE shop", "CREATE DATABASE other", "ALTER DATABASE template0 ALLOW_CONNECTIONS true")
        yield made


@pytest.fixture(autouse=True)
def well_before_and_after(sick: Clinic) -> Iterator[None]:
    sick.require_well()
    yield
    freeze_all_but(sick)
    in_shop(sick, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    sick.require_well()


def in_shop(sick: Clinic, *statements: str) -> None:
    with psycopg.connect(sick.server().conninfo("shop"), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def freeze_all_but(sick: Clinic, *spared: str) -> None:
    for name in {"postgres", "template0", "template1", "shop", "other"} - set(spared):
        with psycopg.connect(sick.server().conninfo(name), autocommit=True) as connection:
            connection.execute("VACUUM (FREEZE)")


def burn(sick: Clinic, transactions: int) -> None:
    sick.sql(
        "SET synchronous_commit = off",
        f"DO $$ BEGIN FOR i IN 1..{transactions} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$",
    )


def burn_multixacts(sick: Clinic, multixacts: int) -> None:
    """Each of two transactions that lock a row together."""
    in_shop(
        sick,
        "CREATE TABLE IF NOT EXISTS locked (id int PRIMARY KEY)",
        "INSERT INTO locked VALUES (1) ON CONFLICT DO NOTHING",
        f"""DO $$ BEGIN
            FOR i IN 1..{multixacts} LOOP
                PERFORM FROM locked FOR KEY SHARE;
                BEGIN
                    PERFORM FROM locked FOR NO KEY UPDATE;
                EXCEPTION WHEN division_by_zero THEN NULL;
                END;
                COMMIT;
            END LOOP;
        END $$""",
    )


def test_a_database_that_grows_old_is_told_with_its_oldest_table(sick: Clinic) -> None:
    in_shop(sick, "CREATE TABLE old (id int)")
    burn(sick, FREEZE_AGE // 2 * 3)
    in_shop(sick, "CREATE TABLE young (id int)")
    freeze_all_but(sick, "shop")
    problem = sick.only("xid_wraparound", node=2)
    assert (problem["node_id"], problem["run_on_node_id"], problem["object"]) == (1, 1, "shop")
    assert problem["severity"] == "warning"
    evidence = problem["evidence"]
    assert evidence["age_transactions"] > FREEZE_AGE * 1.5
    assert evidence["left_transactions"] == 2**31 - 1 - 3_000_000 - evidence["age_transactions"]
    assert evidence["autovacuum_freeze_max_age"] == FREEZE_AGE
    assert evidence["vacuum_failsafe_age"] == FREEZE_AGE * 2
    assert problem["sql"] == "VACUUM"  # all its catalogues are as old
    sick.follow(problem)
    sick.require_well()


def test_where_few_tables_are_old_those_are_vacuumed(sick: Clinic) -> None:
    in_shop(sick, 'CREATE TABLE "Old one" (id int, payload text)')
    burn(sick, FREEZE_AGE * 2)
    freeze_all_but(sick, "shop")
    with psycopg.connect(sick.server().conninfo("shop"), autocommit=True) as connection:
        names = connection.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'm') AND relname <> 'Old one'"
        ).fetchall()
        connection.execute(f"VACUUM (FREEZE) {', '.join(name for (name,) in names)}".encode())
    wait_until(
        lambda: [each["sql"] for each in sick.problems()] == ['VACUUM "public"."Old one"'],
        "the table and its TOAST table are the oldest",
        timeout_s=FOUND_S,
    )
    problem = sick.only("xid_wraparound")
    assert problem["evidence"]["oldest_table"] == "public.Old one"
    assert problem["severity"] == "critical"  # VACUUM leaves the indexes alone from here on
    sick.follow(problem)
    sick.require_well()


def test_a_temporary_table_that_nobody_else_can_vacuum_leads_to_its_session(sick: Clinic) -> None:
    with psycopg.connect(sick.server().conninfo("shop"), autocommit=True) as owner:
        owner.execute("CREATE TEMPORARY TABLE mine (id int)")
        burn(sick, FREEZE_AGE * 2)
        freeze_all_but(sick)
        wait_until(
            lambda: [each["evidence"]["oldest_table"].endswith(".mine") for each in sick.problems()] == [True],
            "its table is the oldest",
            timeout_s=FOUND_S,
        )
        problem = sick.only("xid_wraparound")
        assert problem["database"] == "shop"
        assert sick.follow(problem) == [(owner.info.backend_pid,)]
    freeze_all_but(sick)
    sick.require_well()


def test_a_database_that_autovacuum_may_still_come_to_in_time_is_no_problem(sick: Clinic) -> None:
    freeze_all_but(sick)
    burn(sick, FREEZE_AGE // 100 * 102)  # autovacuum is forced to come, and is not late yet
    sick.require_well()


def test_who_keeps_a_database_old_is_told_in_its_place(sick: Clinic) -> None:
    """With what it leads to, and long before the limits of the holder alone; not also the database."""
    freeze_all_but(sick)
    with closing(psycopg.connect(sick.server().conninfo("shop"), application_name="report")) as held:
        held.execute("SELECT pg_current_xact_id()")
        burn(sick, FREEZE_AGE * 2)
        freeze_all_but(sick)
        problem = sick.only("vacuum_held_by_transaction")
        assert (problem["object"], problem["severity"]) == (f"pid {held.info.backend_pid}", "critical")
        assert problem["evidence"]["oldest_age_transactions"] > FREEZE_AGE * 1.5  # of all: they share catalogues
        assert problem["evidence"]["oldest_left_transactions"] > 2e9
        sick.follow(problem)
    freeze_all_but(sick)


def test_a_forgotten_slot_that_keeps_databases_old_is_critical() -> None:
    """Told as the forgotten slot that it is."""
    with clinic(1, limits={"slot_inactive_s": 1.0, "wraparound_age_ratio": 1.0}) as made:
        made.restart_servers(
            autovacuum_freeze_max_age=FREEZE_AGE, vacuum_failsafe_age=0, autovacuum_naptime="1h", wal_level="logical"
        )
        made.sql("SELECT pg_create_logical_replication_slot('warehouse', 'pgoutput')")
        burn(made, FREEZE_AGE // 10 * 11)
        problem = made.only("slot_inactive")
        assert problem["severity"] == "critical"
        assert problem["evidence"]["catalog_xmin_age_transactions"] > FREEZE_AGE
        made.follow(problem)


def test_a_database_that_runs_out_of_multixacts_is_told(sick: Clinic) -> None:
    burn_multixacts(sick, MULTIXACT_AGE * 2)
    freeze_all_but(sick, "shop")
    problem = sick.only("multixact_wraparound")
    assert (problem["node_id"], problem["object"]) == (1, "shop")
    assert problem["evidence"]["age_multixacts"] > MULTIXACT_AGE * 1.5
    assert problem["evidence"]["autovacuum_multixact_freeze_max_age"] == MULTIXACT_AGE
    sick.follow(problem)
    sick.require_well()


def fill(sick: Clinic, name: str, rows: int, *, options: str = "", analyze: bool = True) -> None:
    in_shop(
        sick,
        f"CREATE TABLE {name} (id int) {options}",
        f"INSERT INTO {name} SELECT generate_series(1, {rows})",
        *([f"VACUUM (ANALYZE) {name}"] if analyze else []),
    )


def forget_vacuum(sick: Clinic, name: str) -> None:
    """As if the counters of the table had begun anew: nothing tells when it was last vacuumed or analyzed."""
    in_shop(sick, f"SELECT pg_stat_reset_single_table_counters('{name}'::regclass)")


def only_of(sick: Clinic, kind: str) -> Found:
    problem = sick.only(kind)
    assert (problem["database"], problem["run_on_node_id"]) == ("shop", 1)
    return problem


@pytest.mark.parametrize("options", ["", "WITH (autovacuum_enabled = off)"])
def test_a_table_of_dead_rows_is_told_and_vacuumed(sick: Clinic, options: str) -> None:
    fill(sick, "gone", ROWS * 2, options=options)
    forget_vacuum(sick, "gone")
    in_shop(sick, *["UPDATE gone SET id = id + 1"] * 2, "DELETE FROM gone")
    problem = only_of(sick, "table_vacuum_overdue")
    assert problem["object"] == "public.gone"
    assert problem["evidence"]["dead_rows"] > ROWS * 5  # a page that is read may be cleaned of some
    assert problem["evidence"]["vacuum_threshold_rows"] == 50 + ROWS * 2 // 5
    assert problem["evidence"]["autovacuum_enabled"] is (options == "")
    assert problem["severity"] == ("info" if options == "" else "warning")
    sick.follow(problem)
    sick.require_well()


def test_a_tables_own_threshold_is_what_counts(sick: Clinic) -> None:
    """The same dead rows in a table that is meant to have so many."""
    fill(
        sick,
        "busy",
        ROWS * 2,
        options="WITH (autovacuum_vacuum_threshold = 1000000, autovacuum_analyze_threshold = 1000000)",
    )
    forget_vacuum(sick, "busy")
    in_shop(sick, *["UPDATE busy SET id = id + 1"] * 2, "DELETE FROM busy")
    require_unseen(sick)


def test_a_table_that_was_vacuumed_just_now_may_have_dead_rows(sick: Clinic) -> None:
    fill(sick, "busy", ROWS * 2)
    in_shop(sick, *["UPDATE busy SET id = id + 1"] * 2, "DELETE FROM busy")
    require_unseen(sick)


def require_unseen(sick: Clinic) -> None:
    """A table that is told is made beside it: once that one is seen, all tables have been looked at."""
    fill(sick, "beside", ROWS * 2, analyze=False)
    problem = only_of(sick, "table_never_analyzed")
    assert problem["object"] == "public.beside"
    in_shop(sick, "DROP TABLE beside")
    sick.require_well()


def test_a_large_table_that_was_never_analyzed_is_told_and_analyzed(sick: Clinic) -> None:
    fill(sick, '"New one"', ROWS * 2, analyze=False)
    problem = only_of(sick, "table_never_analyzed")
    assert problem["object"] == "public.New one"
    assert problem["evidence"]["live_rows"] == ROWS * 2
    sick.follow(problem)
    sick.require_well()


def test_a_small_table_that_was_never_analyzed_is_no_problem(sick: Clinic) -> None:
    fill(sick, "small", ROWS, analyze=False)
    require_unseen(sick)


def test_many_tables_alike_are_one_problem(sick: Clinic) -> None:
    for number in range(6):
        fill(sick, f"loaded{number}", ROWS * 2, analyze=False)
    wait_until(
        lambda: [each["evidence"].get("tables") for each in sick.problems()] == [6],
        "six are told as one",
        timeout_s=15,
    )
    problem = only_of(sick, "table_never_analyzed")
    sick.follow(problem)
    sick.require_well()


def test_a_table_that_changed_much_since_its_analyze_is_told_when_that_is_long_ago() -> None:
    with clinic(1, limits={"table_overdue_rows": ROWS, "table_overdue_s": 2.0}) as made:
        made.sql(
            "CREATE TABLE changed (id int) WITH (autovacuum_enabled = off)",
            f"INSERT INTO changed SELECT generate_series(1, {ROWS * 2})",
        )
        made.sql("VACUUM (ANALYZE) changed")  # apart: a session's counters are told when it ends
        made.sql(
            f"INSERT INTO changed SELECT generate_series(1, {ROWS * 2})",
        )
        problem = made.only("table_analyze_overdue")
        assert (problem["object"], problem["severity"]) == ("public.changed", "warning")
        assert problem["evidence"]["changed_rows"] == ROWS * 2
        assert problem["evidence"]["analyze_threshold_rows"] == 50 + ROWS * 2 // 10
        assert problem["since"]
        made.follow(problem)
        made.require_well()

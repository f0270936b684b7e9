"""Who holds back vacuum, on which node ever: sessions, standbys' sessions, slots, prepared transactions."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import psycopg
import pytest

from fix_cluster import wait_until
from fix_engine import wait_for_replay
from fix_problems import Clinic, Found, clinic

Connection = psycopg.Connection[Any]
AGE = 500  # transactions that the clinic calls too many


@pytest.fixture(scope="module")
def sick() -> Iterator[Clinic]:
    limits = {
        "vacuum_held_transactions": AGE,
        "vacuum_held_since_unknown_transactions": AGE * 20,
        "vacuum_held_s": 1.0,
        "prepared_transaction_s": 1.0,
        "slot_inactive_s": 1e6,
    }
    with clinic(3, limits=limits) as made:
        made.restart_servers(max_prepared_transactions=10, wal_level="logical", wal_receiver_status_interval="1s")
        made.sql("CREATE DATABASE shop")
        yield made


@pytest.fixture(autouse=True)
def well_before_and_after(sick: Clinic) -> Iterator[None]:
    sick.require_well()
    yield
    sick.require_well()


def burn(sick: Clinic, transactions: int = AGE * 2) -> None:
    """Use up that many transaction ids."""
    with psycopg.connect(sick.server().conninfo(), autocommit=True) as connection:
        connection.execute(
            f"DO $$ BEGIN FOR i IN 1..{transactions} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"
        )
    for standby in sick.cluster.servers[1:]:
        wait_for_replay(sick.server(), standby)


@contextmanager
def snapshot(sick: Clinic, name: str, *, node: int = 1) -> Iterator[Connection]:
    """A session that keeps one view of the shop, in a transaction that another may end."""
    connection = psycopg.connect(sick.server(node).conninfo("shop"), application_name=name)
    try:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SELECT FROM pg_database")
        yield connection
    finally:
        connection.close()


def wait_for_holders(sick: Clinic, *names: str) -> None:
    """Until these standbys are the only ones that hold what is old: each reports once a second."""
    held = "SELECT slot_name FROM pg_replication_slots WHERE age(xmin) > %s ORDER BY slot_name"
    with psycopg.connect(sick.server().conninfo(), autocommit=True) as connection:
        wait_until(
            lambda: [name for (name,) in connection.execute(held, [AGE])] == list(names),
            f"only {names} hold what is old",
        )


@pytest.mark.parametrize("asked", [1, 2])
def test_a_long_transaction_is_told_and_ended(sick: Clinic, asked: int) -> None:
    with snapshot(sick, "report") as held:
        burn(sick)
        problem = sick.only("vacuum_held_by_transaction", node=asked)
        assert (problem["node_id"], problem["run_on_node_id"], problem["database"]) == (1, 1, "shop")
        assert problem["object"] == f"pid {held.info.backend_pid}"
        assert problem["evidence"]["age_transactions"] >= AGE * 2
        assert problem["evidence"]["application_name"] == "report"
        assert problem["since"]
        assert sick.follow(problem) == [(True,)]


def test_snapshots_that_are_old_because_of_a_writer_are_not_told_beside_it(sick: Clinic) -> None:
    """In another database and on a standby: each of them begins with the oldest transaction that has written."""
    with closing(psycopg.connect(sick.server().conninfo(), application_name="writer")) as writer:
        writer.execute("SELECT pg_current_xact_id()")
        burn(sick)
        with snapshot(sick, "reader") as reader, snapshot(sick, "analyst", node=2):
            reader.execute("SELECT pg_sleep(1.5)")
            problem = sick.only("vacuum_held_by_transaction")
            assert (problem["object"], problem["database"]) == (f"pid {writer.info.backend_pid}", "postgres")
            assert problem["evidence"]["application_name"] == "writer"
        sick.follow(problem)


def test_of_a_database_the_oldest_is_told(sick: Clinic) -> None:
    with snapshot(sick, "older") as older:
        burn(sick)
        with snapshot(sick, "younger"):
            burn(sick)
            problem = sick.only("vacuum_held_by_transaction")
            assert problem["object"] == f"pid {older.info.backend_pid}"
            sick.follow(problem)
            assert sick.only("vacuum_held_by_transaction")["evidence"]["application_name"] == "younger"


def test_an_old_transaction_while_nothing_is_written_is_no_problem(sick: Clinic) -> None:
    """It is open for longer than the limit, and fewer transactions than the other limit came after it."""
    with snapshot(sick, "quiet") as held:
        burn(sick, AGE // 2)
        held.execute("SELECT pg_sleep(1.5)")
        assert sick.problems() == []


@pytest.mark.parametrize("node", [2, 3])
def test_a_standbys_session_is_named_on_its_own_node(sick: Clinic, node: int) -> None:
    """The primary knows only that a standby holds; the standby only knows its session: the judge has both."""
    with snapshot(sick, "analyst", node=node) as held:
        burn(sick)
        wait_for_holders(sick, f"server{node}")
        for asked in (1, 2, 3):
            problem = sick.only("vacuum_held_by_standby", node=asked)
            assert (problem["node_id"], problem["run_on_node_id"], problem["database"]) == (node, node, "shop")
            assert problem["object"] == f"pid {held.info.backend_pid}"
            assert problem["evidence"]["application_name"] == "analyst"
            assert problem["evidence"]["standby"] == f"server{node}"
            assert problem["evidence"]["age_transactions"] >= AGE * 2
        assert sick.follow(problem) == [(True,)]


def test_a_standbys_session_that_tells_the_primary_nothing_is_no_problem(sick: Clinic) -> None:
    """Without hot_standby_feedback it holds back nobody."""
    standby = sick.server(2)
    standby.configure(hot_standby_feedback="off")
    try:
        with psycopg.connect(sick.server().conninfo(), autocommit=True) as connection:
            wait_until(
                lambda: (
                    connection.execute("SELECT xmin FROM pg_replication_slots WHERE slot_name = 'server2'").fetchone()
                    == (None,)
                ),
                "the standby holds nothing",
            )
        with snapshot(sick, "analyst", node=2) as held:
            burn(sick)
            held.execute("SELECT pg_sleep(1.5)")
            wait_for_holders(sick)
            assert sick.problems() == []
    finally:
        standby.configure(hot_standby_feedback="on")


def test_a_slot_whose_follower_is_gone_for_a_while_is_told(sick: Clinic) -> None:
    """Not yet long enough for slot_inactive, and already too many transactions."""
    sick.sql("SELECT pg_create_logical_replication_slot('warehouse', 'pgoutput')")
    burn(sick, AGE * 21)
    problem = sick.only("vacuum_held_by_slot", node=2)
    assert (problem["node_id"], problem["object"], problem["database"]) == (1, "warehouse", "postgres")
    assert problem["evidence"]["catalog_xmin_age_transactions"] > AGE * 20
    sick.follow(problem)


def test_a_slot_that_holds_back_little_is_no_problem(sick: Clinic) -> None:
    wait_for_holders(sick)  # a new slot begins with the oldest transaction that any other holds
    sick.sql("SELECT pg_create_logical_replication_slot('warehouse', 'pgoutput')")
    burn(sick, AGE * 10)
    assert sick.problems() == []
    sick.sql("SELECT pg_drop_replication_slot('warehouse')")


def test_a_forgotten_prepared_transaction_is_told_once(sick: Clinic) -> None:
    """Not also as one that holds back vacuum."""
    with psycopg.connect(sick.server().conninfo("shop"), autocommit=True) as manager:
        manager.execute("BEGIN")
        manager.execute("SELECT pg_current_xact_id()")
        manager.execute(r"PREPARE TRANSACTION 'order 1''\'")
    burn(sick)
    problem = sick.only("prepared_transaction_old", node=3)
    assert (problem["node_id"], problem["database"], problem["object"]) == (1, "shop", "order 1'\\")
    assert problem["evidence"]["age_transactions"] >= AGE * 2
    assert problem["evidence"]["owner"] == "postgres"
    sick.follow(problem)


def test_a_vacuum_that_runs_holds_back_nobody(sick: Clinic) -> None:
    sick.sql("CREATE TABLE slow AS SELECT generate_series(1, 300000) AS id", "DELETE FROM slow")
    vacuum = psycopg.connect(sick.server().conninfo(), autocommit=True)
    vacuum.execute("SET vacuum_cost_limit = 1")
    vacuum.execute("SET vacuum_cost_delay = '20ms'")
    thread = threading.Thread(target=_run_until_cancelled, args=(vacuum, "VACUUM slow"))
    thread.start()
    try:
        with psycopg.connect(sick.server().conninfo(), autocommit=True) as connection:
            pid = vacuum.info.backend_pid
            wait_until(lambda: _vacuums_with_xmin(connection, pid), "VACUUM works, with a transaction of its own")
        burn(sick)
        with psycopg.connect(sick.server().conninfo(), autocommit=True) as connection:
            connection.execute("SELECT pg_sleep(1.5)")
            assert _vacuums_with_xmin(connection, pid)
        assert sick.problems() == []
    finally:
        vacuum.cancel_safe(timeout=5)
        thread.join()
        vacuum.close()
        sick.sql("DROP TABLE slow")


def _run_until_cancelled(connection: Connection, statement: str) -> None:
    with suppress(psycopg.errors.QueryCanceled):
        connection.execute(statement.encode())


def _vacuums_with_xmin(connection: Connection, pid: int) -> bool:
    """The transaction's age would be told of any other session."""
    statement = """SELECT FROM pg_stat_progress_vacuum JOIN pg_stat_activity USING (pid)
                    WHERE pid = %s AND backend_xmin IS NOT NULL"""
    return connection.execute(statement, (pid,)).fetchone() is not None


def test_where_a_standbys_node_is_silent_the_standby_is_told_by_name(sick: Clinic) -> None:
    """From the limit on that is for those of which nothing tells since when."""
    node = sick.cluster.nodes[2]
    node.stop()
    try:
        with snapshot(sick, "analyst", node=3):
            burn(sick, AGE * 21)
            # Another standby may be a report behind for a moment.
            wait_until(
                lambda: [each["object"] for each in _held_by_standby(sick)] == ["server3"], "the standby is told"
            )
            [problem] = _held_by_standby(sick)
            assert problem["node_id"] == 1
            assert "pid" not in problem["evidence"]
            assert "run_on_node_id" not in problem
        wait_until(lambda: not _held_by_standby(sick), "it has gone")
    finally:
        node.start()
        node.wait_until_serving()


def _held_by_standby(sick: Clinic) -> list[Found]:
    found: list[Found] = sick.answer(1, kind="vacuum_held_by_standby")["problems"]
    return found

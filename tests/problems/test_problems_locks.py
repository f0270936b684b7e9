"""Sessions that hold up others, and those that leave their transaction open."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
import pytest

from fix_cluster import wait_until
from fix_engine import wait_for_replay
from fix_problems import Clinic, clinic

Connection = psycopg.Connection[Any]


@pytest.fixture(scope="module")
def sick() -> Iterator[Clinic]:
    limits = {"blocked_s": 1.0, "blocked_sessions": 4, "idle_in_transaction_s": 2.0, "prepared_transaction_s": 3600.0}
    with clinic(2, limits=limits) as made:
        made.restart_servers(max_prepared_transactions=10, max_connections=200, max_standby_streaming_delay="-1")
        made.sql("CREATE DATABASE shop")
        with psycopg.connect(made.server().conninfo("shop"), autocommit=True) as connection:
            connection.execute('CREATE TABLE "Order" (id int PRIMARY KEY, state text)')
            connection.execute('INSERT INTO "Order" VALUES (1), (2) ON CONFLICT DO NOTHING')
        yield made


@pytest.fixture(autouse=True)
def well_before_and_after(sick: Clinic) -> Iterator[None]:
    sick.require_well()
    yield
    sick.require_well()


@contextmanager
def session(sick: Clinic, name: str, *, node: int = 1, autocommit: bool = False) -> Iterator[Connection]:
    """A session of the shop, which may have been ended by others when the test leaves it."""
    conninfo = sick.server(node).conninfo("shop")
    connection = psycopg.connect(conninfo, autocommit=autocommit, application_name=name)
    try:
        yield connection
    finally:
        connection.close()


class Waiter:
    """A session that runs a statement in a thread of its own, until it is done or fails."""

    def __init__(self, sick: Clinic, statement: str, *, node: int = 1) -> None:
        self._connection = psycopg.connect(
            sick.server(node).conninfo("shop"), autocommit=True, application_name="waiter"
        )
        self.pid = self._connection.info.backend_pid
        self.error: psycopg.Error | None = None
        self._thread = threading.Thread(target=self._run, args=(statement,), daemon=True)

    def __enter__(self) -> Waiter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self._connection.cancel_safe(timeout=5)
        self._thread.join(timeout=5)
        assert not self._thread.is_alive()
        self._connection.close()

    def _run(self, statement: str) -> None:
        try:
            self._connection.execute(statement.encode())
        except psycopg.Error as exc:
            self.error = exc


def wait_for_waiters(sick: Clinic, count: int, *, node: int = 1) -> None:
    with psycopg.connect(sick.server(node).conninfo(), autocommit=True) as connection:

        def are_there() -> bool:
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'waiter'"
            ).fetchone()
            return row == (count,)

        wait_until(are_there, f"{count} sessions wait for locks")


def test_the_root_of_a_queue_is_told_once_with_all_who_wait(sick: Clinic) -> None:
    """The root is idle in its transaction, which alone would be a problem, too; one waits for a waiter."""
    with ExitStack() as stack:
        root = stack.enter_context(session(sick, "checkout"))
        root.execute("""UPDATE "Order" SET state = 'paid' WHERE id = 1""")
        first = stack.enter_context(Waiter(sick, """UPDATE "Order" SET state = 'sent' WHERE id = 1"""))
        wait_for_waiters(sick, 1)
        stack.enter_context(Waiter(sick, 'ALTER TABLE "Order" ADD COLUMN IF NOT EXISTS note text'))
        wait_for_waiters(sick, 2)
        stack.enter_context(Waiter(sick, 'SELECT FROM "Order"'))
        wait_for_waiters(sick, 3)
        by_one, problem = sick.only("sessions_blocked"), sick.only("sessions_blocked", node=2)
        assert by_one["object"] == problem["object"] == f"pid {root.info.backend_pid}"
        assert (problem["node_id"], problem["run_on_node_id"], problem["database"]) == (1, 1, "shop")
        assert problem["severity"] == "warning"
        wait_until(lambda: sick.problems()[0]["evidence"].get("table") == "public.Order", "the table has its name")
        evidence = sick.only("sessions_blocked")["evidence"]
        assert evidence["application_name"] == "checkout"
        assert evidence["state"] == "idle in transaction"
        assert evidence["waiting_sessions"] == 3
        assert evidence["longest_waiting_pid"] == first.pid
        assert evidence["longest_wait_seconds"] > 1
        assert "pg_terminate_backend" in problem["sql"]
        wait_until(
            lambda: sick.problems()[0]["evidence"]["longest_wait_seconds"] > 2.5, "it is idle for too long, too"
        )
        sick.only("sessions_blocked")
        sick.follow(problem)


def test_a_long_queue_is_critical_and_a_running_root_is_cancelled(sick: Clinic) -> None:
    with ExitStack() as stack:
        root = stack.enter_context(Waiter(sick, """DO $$ BEGIN LOCK TABLE "Order"; PERFORM pg_sleep(60); END $$"""))
        with psycopg.connect(sick.server().conninfo("shop"), autocommit=True) as connection:
            wait_until(lambda: _locks(connection, root.pid), "the root has its lock")
        for _ in range(4):
            stack.enter_context(Waiter(sick, 'SELECT FROM "Order"'))
        problem = sick.only("sessions_blocked")
        assert problem["severity"] == "critical"
        assert problem["evidence"]["waiting_sessions"] == problem["evidence"]["waiting_directly"] == 4
        assert problem["sql"] == f"SELECT pg_cancel_backend({root.pid})"
        assert sick.follow(problem) == [(True,)]
    assert isinstance(root.error, psycopg.errors.QueryCanceled)


def _locks(connection: Connection, pid: int) -> bool:
    statement = "SELECT FROM pg_locks WHERE pid = %s AND mode = 'AccessExclusiveLock' AND granted"
    return connection.execute(statement, (pid,)).fetchone() is not None


def test_several_who_hold_up_the_same_are_told_as_one(sick: Clinic) -> None:
    with ExitStack() as stack:
        roots = [stack.enter_context(session(sick, f"report {number}")) for number in range(3)]
        for root in roots:
            root.execute('SELECT FROM "Order"')
        stack.enter_context(Waiter(sick, 'TRUNCATE "Order"'))
        problem = sick.only("sessions_blocked")
        assert problem["object"] == f"pid {roots[0].info.backend_pid}"
        assert problem["evidence"]["blocking_sessions"] == 3
        sick.follow(problem)
    _refill(sick)


def _refill(sick: Clinic) -> None:
    with psycopg.connect(sick.server().conninfo("shop"), autocommit=True) as connection:
        connection.execute('INSERT INTO "Order" VALUES (1), (2) ON CONFLICT DO NOTHING')


def test_of_more_than_a_hundred_who_wait_all_are_counted(sick: Clinic) -> None:
    """Not all of them are asked for whom they wait."""
    with ExitStack() as stack:
        root = stack.enter_context(session(sick, "root"))
        root.execute('LOCK TABLE "Order"')
        for _ in range(120):
            stack.enter_context(Waiter(sick, 'SELECT FROM "Order"'))
        wait_for_waiters(sick, 120)
        wait_until(
            lambda: (
                [
                    each["evidence"].get("waiting_sessions")
                    for each in sick.problems()
                    if each["kind"] == "sessions_blocked"
                ]
                == [120]
            ),
            "all 120 are counted",
        )
        root.rollback()


def test_a_short_wait_and_a_short_pause_are_no_problems(sick: Clinic) -> None:
    """Seen by the server as they are, and told by nobody: this node's limits are longer than they last."""
    with ExitStack() as stack:
        root = stack.enter_context(session(sick, "quick"))
        root.execute("""UPDATE "Order" SET state = 'new' WHERE id = 2""")
        stack.enter_context(Waiter(sick, """UPDATE "Order" SET state = 'old' WHERE id = 2"""))
        wait_for_waiters(sick, 1)
        assert sick.problems() == []
        root.rollback()


@pytest.mark.parametrize(
    ("node", "has_written", "severity"), [(1, True, "warning"), (1, False, "info"), (2, False, "info")]
)
def test_a_session_idle_in_transaction_is_told_and_ended(
    sick: Clinic, node: int, has_written: bool, severity: str
) -> None:
    with session(sick, "forgetful", node=node) as idle:
        idle.execute('INSERT INTO "Order" VALUES (7)' if has_written else 'SELECT FROM "Order"')
        problem = sick.only("idle_in_transaction", node=3 - node)
        assert (problem["node_id"], problem["database"], problem["severity"]) == (node, "shop", severity)
        assert problem["object"] == f"pid {idle.info.backend_pid}"
        assert problem["evidence"]["idle_seconds"] >= 2
        assert problem["evidence"]["has_written"] is has_written
        assert sick.follow(problem) == [(True,)]


def test_a_session_idle_outside_a_transaction_is_no_problem(sick: Clinic) -> None:
    with session(sick, "pooled", autocommit=True) as idle:
        idle.execute('SELECT FROM "Order"')
        with psycopg.connect(sick.server().conninfo(), autocommit=True) as connection:
            wait_until(
                lambda: _idle_s(connection, idle.info.backend_pid) > 2.5, "it is idle for longer than the limit"
            )
        assert sick.problems() == []


def _idle_s(connection: Connection, pid: int) -> float:
    row = connection.execute(
        "SELECT extract(epoch FROM clock_timestamp() - state_change)::float8 FROM pg_stat_activity WHERE pid = %s",
        (pid,),
    ).fetchone()
    assert row is not None
    return float(row[0])


def test_a_prepared_transaction_that_others_wait_for_is_told_as_one(sick: Clinic) -> None:
    """Long before it is old by itself."""
    with ExitStack() as stack:
        with session(sick, "manager", autocommit=True) as manager:
            manager.execute("BEGIN")
            manager.execute("""UPDATE "Order" SET state = 'due' WHERE id = 1""")
            manager.execute(r"PREPARE TRANSACTION 'it''s \ two'")
        stack.enter_context(Waiter(sick, """UPDATE "Order" SET state = 'gone' WHERE id = 1"""))
        problem = sick.only("prepared_transaction_old", node=2)
        assert (problem["node_id"], problem["database"], problem["object"]) == (1, "shop", r"it's \ two")
        assert problem["evidence"]["waiting_sessions"] == 1
        sick.follow(problem)


def test_a_prepared_transaction_that_nobody_waits_for_may_be_young(sick: Clinic) -> None:
    with session(sick, "manager", autocommit=True) as manager:
        manager.execute("BEGIN")
        manager.execute("""UPDATE "Order" SET state = 'due' WHERE id = 1""")
        manager.execute("PREPARE TRANSACTION 'young'")
        assert sick.problems() == []
        manager.execute("ROLLBACK PREPARED 'young'")


def test_a_standby_that_waits_for_the_primarys_lock_is_told_with_who_has_it(sick: Clinic) -> None:
    with ExitStack() as stack:
        root = stack.enter_context(session(sick, "migration"))
        root.execute('LOCK TABLE "Order" IN ACCESS EXCLUSIVE MODE')
        sick.sql("SELECT pg_logical_emit_message(true, 'test', 'a commit that takes the lock along to the disk')")
        wait_for_replay(sick.server(), sick.server(2))
        stack.enter_context(Waiter(sick, 'SELECT FROM "Order"', node=2))
        wait_for_waiters(sick, 1, node=2)
        wait_until(lambda: "sessions_blocked" in [each["kind"] for each in sick.problems()], "the wait is told")
        [problem] = [each for each in sick.problems() if each["kind"] == "sessions_blocked"]
        assert (problem["node_id"], problem["run_on_node_id"]) == (2, 1)
        assert "pg_terminate_backend" not in problem["sql"]
        [(pid, table)] = sick.follow(problem)
        assert (pid, table) == (root.info.backend_pid, '"Order"')
        sick.sql(f"SELECT pg_terminate_backend({pid})")

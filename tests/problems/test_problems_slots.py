"""Replication slots that nobody follows, or whose follower is slow or lost its way."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from fix_cluster import wait_until
from fix_engine import VERSIONS, wait_for_replay
from fix_problems import Clinic, clinic
from rangeland.engine.binaries import find_major

# of every server, or that they differ would be told, too
SERVER_SETTINGS = {"wal_level": "logical", "wal_keep_size": "0", "max_wal_size": "1GB"}
RETAINED_BYTES = 20 << 20  # more than a segment
FILL = "SELECT pg_logical_emit_message(true, 'filler', repeat('x', 8000000)) FROM generate_series(1, 4)"


@pytest.fixture(scope="module", params=VERSIONS, ids=lambda major: f"pg{major}")
def sick(request: pytest.FixtureRequest) -> Iterator[Clinic]:
    if find_major(request.param) is None:
        pytest.skip(f"PostgreSQL {request.param} is not installed")
    with clinic(
        2,
        limits={"slot_inactive_s": 0.5, "slot_retained_bytes": RETAINED_BYTES, "standby_connect_s": 0},
        major=request.param,
    ) as made:
        made.restart_servers(**SERVER_SETTINGS)
        yield made


@pytest.fixture(autouse=True)
def well_before_and_after(sick: Clinic) -> Iterator[None]:
    sick.require_well()
    yield
    sick.require_well()


def test_a_slot_that_nobody_follows_is_told_by_every_node_and_dropped(sick: Clinic) -> None:
    sick.sql("SELECT pg_create_physical_replication_slot('forgotten', true)")
    [problem, _] = [sick.only("slot_inactive", node=asked) for asked in (1, 2)]
    assert (problem["node_id"], problem["object"], problem["severity"]) == (1, "forgotten", "warning")
    assert problem["evidence"]["active"] is False
    assert problem["evidence"]["retained_bytes"] >= 0
    sick.follow(problem)


def test_a_logical_slot_that_nobody_follows_is_told_with_its_database(sick: Clinic) -> None:
    sick.sql("SELECT pg_create_logical_replication_slot('unread', 'pgoutput')")
    problem = sick.only("slot_inactive", node=2)
    assert (problem["object"], problem["database"]) == ("unread", "postgres")
    assert problem["evidence"]["slot_type"] == "logical"
    sick.follow(problem)


def test_a_temporary_slot_ends_with_its_session_and_is_no_problem(sick: Clinic) -> None:
    with psycopg.connect(sick.server().conninfo(), autocommit=True) as connection:
        connection.execute("SELECT pg_create_physical_replication_slot('passing', true, true)")
        sick.sql(FILL)
        wait_until(lambda: has_all(sick), "the standby's own slot keeps up")
        assert [sick.problems(asked) for asked in (1, 2)] == [[], []]


def test_a_slot_that_holds_no_wal_yet_is_told_all_the_same(sick: Clinic) -> None:
    """It may be waited for by who never comes; that it retains nothing is in the evidence."""
    sick.sql("SELECT pg_create_physical_replication_slot('unused')")
    problem = sick.only("slot_inactive")
    assert "retained_bytes" not in problem["evidence"]
    sick.follow(problem)


def test_a_slot_on_a_standby_is_told_only_when_it_holds_back_much(sick: Clinic) -> None:
    """What runs the servers keeps such slots for a failover, and moves them on."""
    sick.sql("CHECKPOINT")
    wait_for_replay(sick.server(1), sick.server(2))
    sick.sql("CHECKPOINT", "SELECT pg_create_physical_replication_slot('spare', true)", node=2)  # it begins there
    with psycopg.connect(sick.server(2).conninfo(), autocommit=True) as connection:
        age = "SELECT clock_timestamp() > %s::timestamptz + interval '1 s'"
        began = connection.execute("SELECT clock_timestamp()").fetchone()
        wait_until(lambda: connection.execute(age, began).fetchone() == (True,), "longer than slot_inactive_s")
    assert [sick.problems(asked) for asked in (1, 2)] == [[], []]
    sick.sql(FILL)
    problem = sick.only("slot_inactive")
    assert (problem["node_id"], problem["object"]) == (2, "spare")
    assert problem["evidence"]["retained_bytes"] > RETAINED_BYTES
    sick.follow(problem)


def test_a_slot_whose_wal_was_removed_is_lost(sick: Clinic) -> None:
    """It fell behind by more than max_slot_wal_keep_size."""
    sick.sql("SELECT pg_create_physical_replication_slot('late', true)", "SELECT pg_switch_wal()", FILL)
    sick.sql("SELECT pg_switch_wal()")
    wait_until(lambda: has_all(sick), "the standby's own slot keeps up")
    with keeping(sick, 1):
        sick.sql("CHECKPOINT")
        problem = sick.only("slot_lost", node=2)
        assert (problem["node_id"], problem["object"], problem["severity"]) == (1, "late", "critical")
        assert problem["evidence"]["wal_status"] == "lost"
        sick.follow(problem)


def test_a_slot_whose_follower_stands_still_is_told_once_it_holds_back_much(sick: Clinic) -> None:
    with standing_still(sick):
        sick.sql(FILL.replace("1, 4", "1, 1"))
        assert [sick.problems(asked) for asked in (1, 2)] == [[], []]
        sick.sql(FILL)
        problem = sick.only("slot_retains_wal", node=2)
        assert (problem["node_id"], problem["object"], problem["severity"]) == (1, "server2", "warning")
        assert problem["evidence"]["active"] is True
        assert problem["evidence"]["retained_bytes"] > RETAINED_BYTES
        assert len(sick.follow(problem)) == 1


def test_a_slot_that_is_about_to_lose_wal_is_critical_and_can_still_catch_up(sick: Clinic) -> None:
    with keeping(sick, 16):
        sick.sql("CHECKPOINT")
        with standing_still(sick):
            sick.sql(FILL, FILL)
            problem = sick.only("slot_retains_wal")
            assert (problem["object"], problem["severity"]) == ("server2", "critical")
            assert problem["evidence"]["wal_status"] == "unreserved"
            assert problem["evidence"]["safe_wal_size_bytes"] <= 0
        sick.require_well()


def is_inactive(sick: Clinic) -> bool:
    """Whether nobody has followed the standby's slot for longer than the limit."""
    with psycopg.connect(sick.server().conninfo(), autocommit=True) as connection:
        since = "coalesce(to_jsonb(s)->>'inactive_since', '2000-01-01')::timestamptz"  # before 17 it counts at once
        found = connection.execute(
            f"SELECT NOT active AND now() > {since} + interval '1 s' FROM pg_replication_slots AS s "
            "WHERE slot_name = 'server2'".encode()
        )
        return found.fetchone() == (True,)


def has_all(sick: Clinic) -> bool:
    """Whether the standby has all WAL, and the primary knows it."""
    behind = "SELECT pg_current_wal_lsn() - restart_lsn FROM pg_replication_slots WHERE slot_name = 'server2'"
    with psycopg.connect(sick.server().conninfo(), autocommit=True) as connection:
        return connection.execute(behind).fetchone() == (0,)


def test_a_standby_that_gets_no_wal_is_told_and_not_its_slot(sick: Clinic) -> None:
    with sick.reconfigured(2, primary_conninfo="host=127.0.0.1 port=1"):
        sick.only("standby_not_streaming")
        wait_until(lambda: is_inactive(sick), "longer than slot_inactive_s")
        sick.only("standby_not_streaming", node=2)


def test_a_standby_that_is_down_is_told_and_its_slot_only_once_that_holds_back_much(sick: Clinic) -> None:
    sick.server(2).stop()
    wait_until(lambda: is_inactive(sick), "longer than slot_inactive_s")
    sick.only("server_down")
    sick.sql(FILL)
    wait_until(
        lambda: {each["kind"] for each in sick.problems()} == {"server_down", "slot_inactive"}, "both are told"
    )
    sick.server(2).start()


def test_a_slot_beside_that_of_a_standby_that_is_down_is_told(sick: Clinic) -> None:
    sick.server(2).stop()
    sick.sql("SELECT pg_create_physical_replication_slot('forgotten', true)")
    wait_until(lambda: len(sick.problems()) == 3, "either may be the one that nobody follows")
    assert {each.get("object") for each in sick.problems()} >= {"forgotten", "server2"}
    sick.sql("SELECT pg_drop_replication_slot('forgotten')")
    sick.only("server_down")
    sick.server(2).start()


def test_a_standby_whose_slot_is_lost_is_told_as_that_alone(sick: Clinic) -> None:
    """It can't go on without a new copy; that it gets no WAL is no second problem."""
    sick.server(2).stop()
    sick.sql(FILL, "SELECT pg_switch_wal()")
    with keeping(sick, 1):
        sick.sql("CHECKPOINT")
        sick.server(2).start()
        problem = sick.only("slot_lost")
        assert (problem["node_id"], problem["object"]) == (1, "server2")
        sick.server(2).remove()
        sick.follow(problem)
        sick.server(2).become_standby(sick.server(1))
        sick.server(2).configure(**SERVER_SETTINGS)
        sick.server(2).restart()
    sick.require_well()


@contextmanager
def keeping(sick: Clinic, megabytes: int) -> Iterator[None]:
    """No slot holds back more than that."""
    for server in sick.cluster.servers:
        server.configure(max_slot_wal_keep_size=f"{megabytes}MB")
    with psycopg.connect(sick.server().conninfo(), autocommit=True) as connection:
        show = "SHOW max_slot_wal_keep_size"
        wait_until(lambda: connection.execute(show).fetchone() == (f"{megabytes}MB",), "the setting is in force")
    try:
        yield
    finally:
        for server in sick.cluster.servers:
            server.configure(max_slot_wal_keep_size="256MB")


@contextmanager
def standing_still(sick: Clinic) -> Iterator[None]:
    """The process of the standby that gets the WAL is stopped; its server answers."""
    with psycopg.connect(sick.server(2).conninfo(), autocommit=True) as connection:
        found = connection.execute("SELECT pid FROM pg_stat_wal_receiver").fetchone()
    assert found is not None
    os.kill(found[0], signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(found[0], signal.SIGCONT)

"""Standbys that fall behind, stand still or get nothing, and commits that wait for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from threading import Thread

import psycopg
import pytest

from fix_cluster import wait_until
from fix_engine import wait_for_replay
from fix_problems import Clinic, clinic
from rangeland.engine.ports import free_port
from rangeland.engine.server import PostgresServer

LIMIT_BYTES, LIMIT_S = 4 << 20, 3.0
FILL = "SELECT pg_logical_emit_message(true, 'filler', repeat('x', %d))"


@pytest.fixture(scope="module")
def sick() -> Iterator[Clinic]:
    limits = {"replication_lag_bytes": LIMIT_BYTES, "replication_lag_s": LIMIT_S, "standby_connect_s": 0}
    with clinic(3, limits=limits) as made:
        made.sql("CREATE TABLE held (id int)")
        yield made


@pytest.fixture(autouse=True)
def well_before_and_after(sick: Clinic) -> Iterator[None]:
    sick.require_well()
    yield
    sick.require_well()


@pytest.mark.parametrize("asked", [1, 2])
def test_replay_that_is_paused_is_told_with_what_waits_and_goes_on_by_the_step(sick: Clinic, asked: int) -> None:
    sick.sql("SELECT pg_wal_replay_pause()", node=2)
    sick.sql(FILL % (2 * LIMIT_BYTES))
    wait_until(
        lambda: sick.only("replay_paused", node=asked)["evidence"]["replay_lag_bytes"] > LIMIT_BYTES, "it waits"
    )
    problem = sick.only("replay_paused", node=asked)
    assert (problem["node_id"], problem["object"], problem["severity"]) == (2, "server2", "warning")
    assert problem["evidence"]["pause_state"] == "paused"
    sick.follow(problem)


def test_replay_that_a_session_holds_up_is_told_by_bytes_and_names_the_session(sick: Clinic) -> None:
    with holding(sick) as holder:
        sick.sql(FILL % (LIMIT_BYTES // 4))
        assert [sick.problems(asked) for asked in (1, 2, 3)] == [[], [], []]
        sick.sql(FILL % (2 * LIMIT_BYTES))
        wait_until(
            lambda: sick.only("replication_lag", node=3)["evidence"]["lag_bytes"] > LIMIT_BYTES, "all of it waits"
        )
        problem = sick.only("replication_lag", node=3)
        assert (problem["node_id"], problem["object"], problem["run_on_node_id"]) == (2, "server2", 2)
        assert problem["evidence"]["waits_for"] == "relation"
        pids = [row[0] for row in sick.follow(problem)]
        assert holder in pids
        sick.sql(f"SELECT pg_terminate_backend({pids[0]})", node=2)
        sick.require_well()


def test_replay_that_is_late_by_little_wal_is_told_by_seconds(sick: Clinic) -> None:
    with holding(sick) as holder:
        sick.sql("INSERT INTO held VALUES (1)")
        problem = sick.only("replication_lag")
        assert problem["evidence"]["lag_s"] > LIMIT_S
        assert problem["evidence"]["lag_bytes"] < LIMIT_BYTES
        sick.sql(f"SELECT pg_terminate_backend({holder})", node=2)
        sick.require_well()


def test_an_idle_primary_that_writes_again_has_no_late_standby(sick: Clinic) -> None:
    """However long ago the standbys' last transaction was."""
    with psycopg.connect(sick.server(2).conninfo(), autocommit=True) as connection:
        age = "SELECT now() - pg_last_xact_replay_timestamp() > make_interval(secs => %s)"
        wait_until(lambda: one(connection, age, 2 * LIMIT_S), "nothing was written for long", timeout_s=20)
    for _ in range(20):
        sick.sql("INSERT INTO held VALUES (1)")
        assert sick.problems() == []


def test_a_standby_that_is_late_on_purpose_is_no_problem(sick: Clinic) -> None:
    sick.server(2).configure(recovery_min_apply_delay="1h")
    try:
        with psycopg.connect(sick.server(2).conninfo(), autocommit=True) as connection:
            wait_until(lambda: one(connection, "SHOW recovery_min_apply_delay") == "1h", "the setting is in force")
            sick.sql("INSERT INTO held VALUES (1)", FILL % (2 * LIMIT_BYTES))
            behind = "SELECT pg_last_wal_receive_lsn() - pg_last_wal_replay_lsn() > %s"
            wait_until(lambda: one(connection, behind, LIMIT_BYTES), "it is behind")
            age = "SELECT now() - pg_last_xact_replay_timestamp() > make_interval(secs => %s)"
            wait_until(lambda: one(connection, age, 2 * LIMIT_S), "for long", timeout_s=20)
        assert [sick.problems(asked) for asked in (1, 2, 3)] == [[], [], []]
    finally:
        sick.server(2).configure(recovery_min_apply_delay="0")


def test_a_standby_that_gets_no_wal_is_told_while_its_primary_is_up(sick: Clinic) -> None:
    with sick.reconfigured(3, primary_conninfo="host=127.0.0.1 port=1"):
        problems = [sick.only("standby_not_streaming", node=asked) for asked in (1, 3)]
        assert {(each["node_id"], each["object"], each["severity"]) for each in problems} == {
            (3, "server3", "warning")
        }
        assert problems[0]["evidence"]["primary_node_id"] == problems[0]["run_on_node_id"] == 1
        assert ("server3", False) in [row[:2] for row in sick.follow(problems[0])]


def test_a_standby_that_restores_from_an_archive_is_told_only_when_it_is_far_behind(sick: Clinic) -> None:
    """It is always a segment or so behind, and never streams."""
    with sick.reconfigured(3, primary_conninfo="", restore_command="false"):
        with psycopg.connect(sick.server(3).conninfo(), autocommit=True) as connection:
            wait_until(lambda: one(connection, "SELECT count(*) FROM pg_stat_wal_receiver") == 0, "it is on its own")
        assert [sick.problems(asked) for asked in (1, 3)] == [[], []]
        sick.sql(FILL % (2 * LIMIT_BYTES))
        wait_until(lambda: sick.only("replication_lag")["node_id"] == 3, "the other standby has replayed it")
        problem = sick.only("replication_lag")
        assert problem["evidence"]["receiver"] == "none"
        assert problem["evidence"]["lag_bytes"] > LIMIT_BYTES
        assert len(sick.follow(problem)) == 1


def test_a_standby_without_a_node_is_told_by_the_server_that_feeds_it(sick: Clinic) -> None:
    primary = sick.server(1)
    stray = PostgresServer(sick.cluster.workplace, primary.binaries, name="stray", port=free_port())
    stray.become_standby(primary)
    try:
        wait_for_replay(primary, stray)
        sick.require_well()
        with psycopg.connect(stray.conninfo(), autocommit=True) as connection:
            connection.execute("SELECT pg_wal_replay_pause()")
            sick.sql(FILL % (2 * LIMIT_BYTES))
            problem = sick.only("replication_lag", node=2)
            assert (problem["node_id"], problem["object"]) == (1, "stray")
            [row] = [row for row in sick.follow(problem) if row[0] == "stray"]
            assert row[5] > LIMIT_BYTES
            connection.execute("SELECT pg_wal_replay_resume()")
        sick.require_well()
    finally:
        stray.remove()
        slot = "SELECT count(pg_drop_replication_slot('stray')) FROM pg_replication_slots WHERE slot_name = 'stray'"
        with psycopg.connect(primary.conninfo(), autocommit=True) as connection:
            free = "SELECT count(*) = 0 FROM pg_replication_slots WHERE slot_name = 'stray' AND active"
            wait_until(lambda: one(connection, free), "its slot is free")
            connection.execute(slot.encode())


def test_a_dead_synchronous_standby_is_told_as_what_commits_wait_for(sick: Clinic) -> None:
    sick.server(1).configure(synchronous_standby_names="server3")
    try:
        wait_until(lambda: shows(sick, "server3"), "the setting is in force")
        assert [sick.problems(asked) for asked in (1, 2)] == [[], []]
        sick.server(3).stop()
        writer = Thread(target=sick.sql, args=["INSERT INTO held VALUES (1)"])
        writer.start()
        problems: list[object] = []

        def waits() -> bool:
            problems[:] = [sick.only("server_down", node=2)]
            return bool(problems[0]["evidence"].get("waiting_commits"))  # type: ignore[index]

        wait_until(waits, "a commit waits")
        [problem] = [sick.only("server_down", node=2)]
        assert (problem["node_id"], problem["severity"]) == (3, "critical")
        told = problem["evidence"]
        assert (told["synchronous_needed"], told["synchronous_streaming"], told["waiting_commits"]) == (1, 0, 1)
        assert "commits wait" in problem["summary"]
        sick.server(3).start()
        writer.join()
        sick.require_well()
    finally:
        sick.server(1).configure(synchronous_standby_names="")


def test_a_dead_standby_of_which_another_takes_the_place_holds_no_commit_up(sick: Clinic) -> None:
    sick.server(1).configure(synchronous_standby_names="ANY 1 (*)")
    try:
        wait_until(lambda: shows(sick, "ANY 1 (*)"), "the setting is in force")
        sick.server(3).stop()
        problem = sick.only("server_down")
        assert problem["severity"] == "warning"
        assert "waiting_commits" not in problem["evidence"]
        sick.server(3).start()
    finally:
        sick.server(1).configure(synchronous_standby_names="")


def test_a_synchronous_standby_that_nobody_is_is_told_of_the_primary(sick: Clinic) -> None:
    sick.server(1).configure(synchronous_standby_names="FIRST 1 (server4)")
    try:
        problem = sick.only("synchronous_standbys_missing", node=3)
        assert (problem["node_id"], problem["severity"]) == (1, "critical")
        assert problem["evidence"] == {
            "synchronous_standby_names": "FIRST 1 (server4)",
            "synchronous_needed": 1,
            "synchronous_streaming": 0,
            "waiting_commits": 0,
        }
        assert {(row[0], row[3]) for row in sick.follow(problem)} == {("server2", "async"), ("server3", "async")}
    finally:
        sick.server(1).configure(synchronous_standby_names="")


@contextmanager
def holding(sick: Clinic) -> Iterator[int]:
    """Replay of standby 2 waits for a session there, whose pid this is, until that is ended."""
    sick.server(2).configure(max_standby_streaming_delay=-1)
    try:
        with psycopg.connect(sick.server(2).conninfo(), autocommit=True) as watcher:
            wait_until(lambda: one(watcher, "SHOW max_standby_streaming_delay") == "-1", "the setting is in force")
            with closing(psycopg.connect(sick.server(2).conninfo())) as reader:
                reader.execute("SELECT FROM held")
                sick.sql("TRUNCATE held")
                waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"
                wait_until(lambda: one(watcher, waits) == 1, "replay waits")
                yield reader.info.backend_pid
    finally:
        sick.server(2).configure(max_standby_streaming_delay="30s")


def shows(sick: Clinic, names: str) -> bool:
    """Whether the primary has that synchronous_standby_names, and a standby is one where one can be."""
    with psycopg.connect(sick.server().conninfo(), autocommit=True) as connection:
        is_set = one(connection, "SHOW synchronous_standby_names") == names
        chosen = "SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')"
        return is_set and int(str(one(connection, chosen))) > 0


def one(connection: psycopg.Connection, statement: str, *params: object) -> object:
    row = connection.execute(statement.encode(), params or None).fetchone()
    assert row is not None
    return row[0]

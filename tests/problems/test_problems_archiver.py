"""WAL that can't be archived, or waits; base backups that are old."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import psycopg
import pytest

from fix_cluster import wait_until
from fix_problems import Clinic, clinic

SEGMENT_BYTES = 16 << 20
WAITING_BYTES = 5 * SEGMENT_BYTES
NEXT = "SELECT pg_logical_emit_message(true, 'filler', 'x'), pg_switch_wal()"
LIMITS = {
    "archiver_failing_s": 0,
    "archiver_stale_s": 0.5,
    "archive_waiting_bytes": WAITING_BYTES,
    "backup_age_s": 3.0,
}


@pytest.fixture(scope="module")
def sick() -> Iterator[Clinic]:
    with clinic(2, limits=LIMITS) as made:
        made.require_well()  # archive_mode is off: a server without archiving is no problem
        for server in made.cluster.servers:
            server.configure(archive_mode="on", archive_command="/bin/true")
            server.restart()
        yield made


@pytest.fixture(autouse=True)
def well_before_and_after(sick: Clinic) -> Iterator[None]:
    sick.require_well()
    yield
    sick.require_well()


@pytest.mark.parametrize("asked", [1, 2])
def test_an_archiver_that_fails_is_told_until_it_works(sick: Clinic, asked: int) -> None:
    with archiving(sick, "/bin/false"):
        sick.sql(NEXT)
        problem = sick.only("archiver_failing", node=asked)
        assert (problem["node_id"], problem["severity"], problem["run_on_node_id"]) == (1, "warning", 1)
        assert problem["object"] == problem["evidence"]["last_failed"]
        assert problem["evidence"]["failed"] > 0
        assert problem["evidence"]["waiting_files"] == ready(sick) > 0
        assert dict(sick.follow(problem))["archive_command"] == "/bin/false"


def test_an_archiver_that_fails_while_much_waits_is_critical(sick: Clinic) -> None:
    with archiving(sick, "/bin/false"):
        for _ in range(WAITING_BYTES // SEGMENT_BYTES + 1):
            sick.sql(NEXT)
        problem = sick.only("archiver_failing")
        assert problem["severity"] == "critical"
        assert problem["evidence"]["waiting_bytes"] > WAITING_BYTES


def test_a_standby_that_does_not_archive_has_no_archiver_to_fail(sick: Clinic) -> None:
    """As archive_mode is on and not always: after a promotion it would."""
    with archiving(sick, "/bin/false", node=2):
        sick.sql(NEXT)
        assert [sick.problems(asked) for asked in (1, 2)] == [[], []]


def test_an_archiver_that_hangs_is_told_once_some_segments_wait(sick: Clinic) -> None:
    """It neither fails nor succeeds."""
    go_on = sick.server().home / "go on"
    with archiving(sick, f"until test -e '{go_on}'; do sleep 0.05; done"):
        sick.sql(NEXT)
        wait_until(lambda: ready(sick) > 0, "one waits")
        assert sick.problems() == []
        for _ in range(3):
            sick.sql(NEXT)
        problem = sick.only("archiver_behind", node=2)
        assert (problem["node_id"], problem["severity"]) == (1, "warning")
        assert problem["evidence"]["waiting_bytes"] >= 3 * SEGMENT_BYTES
        assert problem["evidence"]["waiting_files"] == ready(sick)
        [(pid, _, _)] = sick.follow(problem)
        assert [child.name() for child in psutil.Process(pid).children()] == ["sh"]
        go_on.touch()


def test_an_archiver_that_was_told_nothing_to_run_is_told(sick: Clinic) -> None:
    with archiving(sick, ""):
        problem = sick.only("archiver_not_configured", node=2)
        assert (problem["node_id"], problem["object"], problem["severity"]) == (1, "archive_command", "warning")
        assert ("archive_command", "") in [row[:2] for row in sick.follow(problem)]


def test_a_base_backup_that_is_old_is_told_until_there_is_a_new_one(sick: Clinic) -> None:
    """Known from the first one on: none at all is no problem."""
    back_up(sick)
    sick.require_well()
    problem = sick.only("backup_old", node=2)
    assert (problem["node_id"], problem["severity"]) == (1, "info")
    assert problem["evidence"]["backup_age_s"] >= 3
    assert len(sick.follow(problem)) == 1
    back_up(sick)
    sick.require_well()
    forget_backups(sick)


@contextmanager
def archiving(sick: Clinic, command: str, *, node: int = 1) -> Iterator[None]:
    """By that command, until the block ends and all has been archived."""
    server = sick.server(node)
    sick.sql(NEXT)
    server.configure(archive_command=command)
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        wait_until(lambda: connection.execute("SHOW archive_command").fetchone() == (command,), "it is in force")
        yield
        server.configure(archive_command="/bin/true")
        wait_until(lambda: connection.execute("SHOW archive_command").fetchone() == ("/bin/true",), "it is mended")
    if node == 1:
        sick.sql(NEXT)  # which wakes it
        wait_until(lambda: ready(sick) == 0, "all is archived", timeout_s=20)


def ready(sick: Clinic) -> int:
    """How many files wait for the primary's archiver."""
    return len(list((sick.server().data_dir / "pg_wal/archive_status").glob("*.ready")))


def back_up(sick: Clinic) -> None:
    """As every backup tool does it, but for the copying."""
    with psycopg.connect(sick.server().conninfo(), autocommit=True) as connection:
        connection.execute("SELECT pg_backup_start('test', true)")
        connection.execute("SELECT pg_backup_stop(false)")


def forget_backups(sick: Clinic) -> None:
    for file in (sick.server().data_dir / "pg_wal").glob("**/*.backup*"):
        file.unlink()

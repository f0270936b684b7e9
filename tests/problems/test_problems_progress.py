"""Commands that run, beside the problems: how far each is, while it is."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fix_cluster import wait_until
from fix_engine import wait_for_replay
from fix_problems import Clinic, clinic

SLOWLY = "SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1"
NEVER = "SET statement_timeout = '60s'"


@pytest.fixture(scope="module")
def sick() -> Iterator[Clinic]:
    with clinic(2) as made:
        made.server().configure(full_page_writes="on")  # else a standby can't be backed up
        made.sql("CHECKPOINT")
        made.sql(
            "CREATE TABLE large AS SELECT n AS a, repeat('x', 100) AS b FROM generate_series(1, 50000) AS n",
            "ALTER TABLE large SET (autovacuum_enabled = off)",
            "CREATE DATABASE other",
            "CHECKPOINT",
        )
        wait_for_replay(made.server(1), made.server(2))
        made.sql("CHECKPOINT", node=2)
        yield made


@pytest.fixture(autouse=True)
def nothing_runs_afterwards(sick: Clinic) -> Iterator[None]:
    yield
    wait_until(lambda: not progress(sick), "nothing runs")


def progress(sick: Clinic, node: int = 1) -> list[dict[str, Any]]:
    """Autovacuum may look at a catalogue meanwhile."""
    return [each for each in sick.answer(node)["progress"] if not each.get("object", "").startswith("pg_catalog.")]


def running(sick: Clinic, node: int = 1) -> dict[str, Any]:
    """The only command that runs, once it is told and knows how much there is to do."""
    found: list[dict[str, Any]] = []

    def is_told() -> bool:
        found[:] = progress(sick, node)
        return len(found) == 1

    wait_until(is_told, "it is told", timeout_s=15, poll_s=0.1)
    return found[0]


@contextmanager
def statement(sick: Clinic, text: str, *, dbname: str = "postgres", before: str = NEVER) -> Iterator[int]:
    """One that runs until the block is left; its process."""
    with closing(psycopg.connect(sick.server().conninfo(dbname), autocommit=True)) as connection:
        connection.execute(before.encode())
        connection.pgconn.send_query(text.encode())
        yield connection.info.backend_pid
        connection.cancel()
        while connection.pgconn.get_result():
            pass


def test_nothing_runs_in_a_cluster_at_rest(sick: Clinic) -> None:
    wait_until(lambda: not progress(sick), "nothing runs")


def test_a_vacuum(sick: Clinic) -> None:
    with statement(sick, "VACUUM (FREEZE) large", before=SLOWLY) as pid:
        for node in (1, 2):
            found = running(sick, node)
            assert (found["command"], found["node_id"], found["pid"]) == ("VACUUM", 1, pid)
            assert (found["database"], found["object"], found["unit"]) == ("postgres", "public.large", "blocks")
        wait_until(lambda: 0 < running(sick).get("done", 0) < running(sick)["total"], "it is under way")


def test_an_analyze(sick: Clinic) -> None:
    with statement(sick, "ANALYZE large", before=SLOWLY):
        found = running(sick)
        assert (found["command"], found["object"]) == ("ANALYZE", "public.large")


def test_an_index_that_waits_to_be_built(sick: Clinic) -> None:
    with closing(psycopg.connect(sick.server().conninfo())) as older:
        older.execute("UPDATE large SET a = a WHERE a = 1")
        with statement(sick, "CREATE INDEX CONCURRENTLY slowly ON large (a)"):
            found = running(sick)
            assert (found["command"], found["object"]) == ("CREATE INDEX CONCURRENTLY", "public.large")
            wait_until(
                lambda: running(sick)["phase"] == "waiting for writers before build", "it waits for the older one"
            )
        older.rollback()
    sick.sql("DROP INDEX slowly")


def test_a_copy_of_a_table_of_another_database_has_its_oid(sick: Clinic) -> None:
    with closing(psycopg.connect(sick.server().conninfo("other"))) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE filled (a int)")
        [oid] = cursor.execute("SELECT 'filled'::regclass::oid").fetchone() or [0]
        connection.commit()
        with cursor.copy("COPY filled FROM STDIN") as copy:
            copy.write_row((1,))
            found = running(sick)
            assert (found["command"], found["database"], found["object"]) == ("COPY FROM", "other", str(oid))
            assert found["unit"] == "bytes"


@pytest.mark.parametrize("node", [1, 2])
def test_a_base_backup_of_any_server(sick: Clinic, node: int, tmp_path: Path) -> None:
    """The last WAL of one that ends half-way may be lost: that is no matter here."""
    argv = [
        str(sick.server().binaries.tool("pg_basebackup")),
        "-d",
        sick.server(node).conninfo(),
        "-D",
        str(tmp_path),
    ]
    argv += ["--max-rate=100k", "--checkpoint=fast", "--wal-method=none", "--no-sync"]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as backup:
        try:
            found = running(sick)
            assert (found["command"], found["node_id"]) == ("BASE BACKUP", node)
            assert "database" not in found
            assert "object" not in found
        finally:
            backup.terminate()

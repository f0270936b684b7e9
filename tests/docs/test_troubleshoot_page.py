"""The commands of docs/howto/troubleshoot.md, as they stand there, on a live cluster that is ill and well."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from fix_cluster import wait_until
from fix_problems import Clinic, clinic
from howto import programs_of

PAGE = "troubleshoot.md"
SUMMARY = "nobody follows slot reports, and it holds back "

pytestmark = pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="needs curl and jq")


@pytest.fixture(scope="module")
def sick() -> Iterator[Clinic]:
    with clinic(2, limits={"slot_inactive_s": 0}) as made:
        made.require_well()
        yield made


@pytest.fixture
def warned(sick: Clinic) -> Iterator[None]:
    sick.sql("SELECT pg_create_physical_replication_slot('reports', true)")
    sick.only("slot_inactive")
    yield
    sick.sql("SELECT pg_drop_replication_slot('reports')")
    sick.require_well()


def run(source: str, sick: Clinic, directory: Path) -> tuple[int, str]:
    """The status of a program of the page, and what it printed."""
    node = sick.cluster.nodes[0]
    (directory / "session.header").write_text(f"X-Cockroach-API-Session: {sick.token}\n", "ascii")
    environ = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(directory),
        "RANGELAND_NODE_URL": node.url,
        "RANGELAND_CERTS_DIR": node.certs_dir or "",
        "NODE_URL": node.url,
        "CERTS_DIR": node.certs_dir or "",
        "API": f"{node.url}/api/v2",
        "CA": str(sick.cluster.ca_cert),
    }
    argv = ["bash", "-u", "-c", source]
    done = subprocess.run(argv, cwd=directory, env=environ, capture_output=True, text=True, timeout=30, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout


def programs(section: str) -> list[str]:
    return programs_of(PAGE, section)


@pytest.mark.usefixtures("warned")
def test_the_commands_of_a_host_tell_what_is_wrong(sick: Clinic, tmp_path: Path) -> None:
    doctor, watch, rows = programs("On a node's host")
    status, text = run(doctor, sick, tmp_path)
    assert (status, SUMMARY in text) == (1, True)
    assert watch.split()[:3] == ["rangeland", "doctor", "--watch"], "tests/cli/test_doctor.py runs it"
    _, text = run(rows, sick, tmp_path)
    assert text.startswith("warning slot_inactive reports: Bring its standby or subscriber back; ")


@pytest.mark.usefixtures("warned")
def test_curl_and_jq_tell_the_same(sick: Clinic, tmp_path: Path) -> None:
    [program] = programs("With curl and jq")
    status, text = run(program, sick, tmp_path)
    first, last = text.splitlines()
    assert status == 0
    assert first.startswith(f"warning slot_inactive node 1: {SUMMARY}")
    assert last == "0"


def test_of_a_healthy_cluster_they_tell_nothing(sick: Clinic, tmp_path: Path) -> None:
    [program] = programs("With curl and jq")
    assert run(program, sick, tmp_path) == (0, "0\n")
    [check] = programs("As a check of Nagios or Icinga")
    status, text = run(check, sick, tmp_path)
    assert (status, text.partition(" | ")[0]) == (0, "RANGELAND OK: nothing is wrong")


def test_the_session_that_holds_up_another_is_ended(sick: Clinic, tmp_path: Path) -> None:
    [program] = programs("End a session that holds up others")
    assert run(program, sick, tmp_path) == (0, "")
    conninfo = sick.cluster.servers[0].conninfo(user=sick.cluster.username)
    with closing(psycopg.connect(conninfo)) as blocker, closing(psycopg.connect(conninfo)) as waiter:
        blocker.execute("SELECT pg_advisory_xact_lock(1)")
        waiter.pgconn.send_query(b"SELECT pg_advisory_xact_lock(1)")
        printed: list[tuple[int, str]] = []

        def is_ended() -> bool:
            printed.append(run(program, sick, tmp_path))
            return bool(printed[-1][1])

        wait_until(is_ended, "the wait is seen")
        assert printed[-1] == (0, '{"signalled":true}')
        result = waiter.pgconn.get_result()
        assert result is not None
        assert result.status == psycopg.pq.ExecStatus.TUPLES_OK
        with pytest.raises(psycopg.errors.AdminShutdown):
            blocker.execute("SELECT 1")


@pytest.mark.usefixtures("warned")
def test_the_check_warns(sick: Clinic, tmp_path: Path) -> None:
    [check] = programs("As a check of Nagios or Icinga")
    status, text = run(check, sick, tmp_path)
    assert status == 1
    assert text.startswith(f"RANGELAND WARNING: 0 critical, 1 warning, 0 info; warning: node 1: {SUMMARY}")


@pytest.mark.usefixtures("warned")
def test_the_metric_shows_it(sick: Clinic, tmp_path: Path) -> None:
    [scrape] = programs("As an alert of Prometheus")

    def counted() -> bool:
        return 'rangeland_problems{kind="slot_inactive",severity="warning"} 1.0' in run(scrape, sick, tmp_path)[1]

    wait_until(counted, "it is counted: a minute after a count that did not have it", timeout_s=80, poll_s=0.5)


def test_a_limit_is_taken(sick: Clinic, tmp_path: Path) -> None:
    [start] = programs("Where a default doesn't fit")
    source = start.replace("rangeland start", "rangeland start --server-url postgresql://localhost")
    status, text = run(source, sick, tmp_path)
    assert status == 0, text
    assert 'limits = ["slot_inactive_s=36000"]' in text

"""`rangeland doctor` on a live cluster: for people, for scripts, and as a check of Nagios."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from fix_cluster import wait_until
from fix_commands import Completed, run_command
from fix_problems import FOUND_S, Clinic, clinic
from rangeland.cli.doctor import COLUMNS
from rangeland.cli.format import FORMATS
from rangeland.engine.ports import free_port

ROLE = "crowded"
FIGURES = r"critical=(\d+);;0;0 warning=(\d+);0;;0 info=(\d+);;;0 unchecked=(\d+);;;0"
Ask = Callable[..., Completed]


@pytest.fixture(scope="module")
def sick() -> Iterator[Clinic]:
    with clinic(2, limits={"slot_inactive_s": 0}) as made:
        made.require_well()
        yield made


@pytest.fixture(autouse=True)
def well_afterwards(sick: Clinic) -> Iterator[None]:
    yield
    sick.require_well()


@pytest.fixture
def ask(sick: Clinic, tmp_path: Path) -> Ask:
    """Run the command beside node 1."""
    node = sick.cluster.nodes[0]

    def run(*words: str, **variables: str) -> Completed:
        own = {"RANGELAND_NODE_URL": node.url, "RANGELAND_CERTS_DIR": node.certs_dir or ""}
        return run_command("doctor", *words, home=tmp_path, **(own | variables))

    return run


@pytest.fixture
def noted(sick: Clinic) -> Iterator[None]:
    """An index that is there twice: info."""
    sick.sql("CREATE TABLE twice (b int)", "CREATE INDEX one ON twice (b)", "CREATE INDEX two ON twice (b)")
    sick.only("index_duplicate")
    yield
    sick.sql("DROP TABLE twice")


@pytest.fixture
def warned(sick: Clinic) -> Iterator[None]:
    """A slot that nobody follows: a warning. Its name would be figures, or an escape, if it were believed."""
    sick.sql("SELECT pg_create_physical_replication_slot('left_over', true)")
    sick.only("slot_inactive")
    yield
    sick.sql("SELECT pg_drop_replication_slot('left_over')")


@pytest.fixture
def alarmed(sick: Clinic) -> Iterator[None]:
    """A role whose only connection is taken: critical."""
    password = sick.server().create_role(ROLE, "LOGIN CONNECTION LIMIT 1")
    with psycopg.connect(sick.server().url("postgres", ROLE, password), application_name="a|b\x1b[31m"):
        sick.only("connections_near_limit")
        yield
    sick.sql(f"DROP ROLE {ROLE}")


def rows_of(done: Completed) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(done.stdout), delimiter="\t"))


def test_a_healthy_cluster_is_an_empty_list_and_0(ask: Ask) -> None:
    done = ask()
    assert (done.returncode, done.stderr, rows_of(done)) == (0, "", [])


@pytest.mark.usefixtures("noted")
def test_a_note_is_told_and_is_no_fault(ask: Ask) -> None:
    done = ask()
    [row] = rows_of(done)
    assert (done.returncode, row["severity"], row["kind"]) == (0, "info", "index_duplicate")
    assert row["sql"].startswith("DROP INDEX CONCURRENTLY ")


@pytest.mark.usefixtures("warned")
def test_a_warning_is_1(ask: Ask) -> None:
    done = ask()
    [row] = rows_of(done)
    assert (done.returncode, row["severity"], row["object"]) == (1, "warning", "left_over")
    assert (row["node_id"], row["run_on"], row["shell"]) == ("1", "1", "NULL")


@pytest.mark.usefixtures("alarmed")
def test_what_is_critical_is_2(ask: Ask) -> None:
    done = ask()
    [row] = rows_of(done)
    assert (done.returncode, row["severity"], row["object"]) == (2, "critical", ROLE)


@pytest.mark.parametrize("output_format", FORMATS)
@pytest.mark.usefixtures("warned")
def test_every_format_has_all_columns(ask: Ask, output_format: str) -> None:
    done = ask("--format", output_format)
    assert (done.returncode, done.stderr) == (1, "")
    if output_format == "json":
        [row] = json.loads(done.stdout)
        assert tuple(row) == COLUMNS
        assert (row["node_id"], row["database"]) == (1, None)
    else:
        assert all(re.search(rf"\b{column}\b", done.stdout) for column in COLUMNS if output_format != "raw")
    assert "left_over" in done.stdout


# As a check.


def test_a_check_of_a_healthy_cluster_is_one_line(ask: Ask) -> None:
    done = ask("--check")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(rf"RANGELAND OK: nothing is wrong \| {FIGURES}\n", done.stdout)


@pytest.mark.usefixtures("alarmed", "noted_later")
def test_a_check_tells_the_worst_first_its_figures_and_then_every_problem(ask: Ask) -> None:
    done = ask("--check")
    first, *others = done.stdout.splitlines()
    match = re.fullmatch(
        rf"RANGELAND CRITICAL: 1 critical, 0 warning, 1 info; critical: node 1: 1 of 1 .* \| {FIGURES}", first
    )
    assert match is not None, first
    assert match.groups() == ("1", "0", "1", "0")
    assert (done.returncode, len(others)) == (2, 2)
    assert [each.partition(":")[0] for each in others] == ["critical", "info"]
    assert "|" not in "".join(others)


@pytest.fixture
def noted_later(sick: Clinic) -> Iterator[None]:
    """As `noted`, beside another problem."""
    sick.sql("CREATE TABLE twice (b int)", "CREATE INDEX one ON twice (b)", "CREATE INDEX two ON twice (b)")
    wait_until(lambda: len(sick.problems()) == 2, "both are told", timeout_s=FOUND_S, poll_s=0.2)
    yield
    sick.sql("DROP TABLE twice")


@pytest.mark.usefixtures("warned")
def test_a_check_of_a_warning_says_so(ask: Ask) -> None:
    done = ask("--check")
    assert done.returncode == 1
    assert done.stdout.startswith("RANGELAND WARNING: 0 critical, 1 warning, 0 info; ")


# When nobody can say.


def test_a_node_that_is_down_is_3_with_one_line_that_names_it(ask: Ask) -> None:
    url = f"https://localhost:{free_port()}"
    done = ask(RANGELAND_NODE_URL=url)
    assert (done.returncode, done.stdout) == (3, "")
    assert re.fullmatch(rf"ERROR: {url}: .+\n", done.stderr)
    check = ask("--check", RANGELAND_NODE_URL=url)
    assert (check.returncode, check.stderr) == (3, "")
    assert re.fullmatch(rf"RANGELAND UNKNOWN: {url}: .+\n", check.stdout)


def test_a_missing_cluster_key_is_3(ask: Ask, tmp_path: Path) -> None:
    done = ask("--check", RANGELAND_CERTS_DIR=str(tmp_path))
    assert done.returncode == 3
    assert done.stdout.startswith("RANGELAND UNKNOWN: ")


def test_a_node_that_does_not_answer_another_is_told_as_not_known(ask: Ask, sick: Clinic) -> None:
    """Of the two nodes the one that isn't asked."""
    sick.cluster.nodes[1].kill()
    try:
        wait_until(lambda: sick.answer()["errors"], "it is known to be silent")
        done = ask()
        assert done.returncode in (1, 2), "what is told of it depends on the checks of nodes"
        assert "NO ANSWER failed to dial into node 2 (NODE_STATUS_UNAVAILABLE): " in done.stderr
        assert re.search(r"unchecked=[1-9]", ask("--check").stdout)
    finally:
        sick.cluster.nodes[1].start()
        sick.cluster.nodes[1].wait_until_ready()


def test_a_database_that_can_not_be_read_alone_is_3(ask: Ask, sick: Clinic) -> None:
    sick.sql("CREATE DATABASE shut", "ALTER DATABASE shut CONNECTION LIMIT 0")

    def is_told() -> bool:
        return any(each.get("database") == "shut" for each in sick.answer()["unchecked"])

    try:
        wait_until(is_told, "it can't be read", timeout_s=FOUND_S, poll_s=0.2)
        done = ask()
        assert (done.returncode, rows_of(done)) == (3, [])
        assert re.search(r"^UNCHECKED node \d, database shut: ", done.stderr, re.MULTILINE)
        assert ask("--check").stdout.startswith("RANGELAND UNKNOWN: 0 critical, 0 warning, 0 info, ")
    finally:
        sick.sql("DROP DATABASE shut")


# For people.


class Terminal:
    """The command on a terminal of its own; what it has written so far."""

    def __init__(self, sick: Clinic, *words: str) -> None:
        node = sick.cluster.nodes[0]
        own = {"RANGELAND_NODE_URL": node.url, "RANGELAND_CERTS_DIR": node.certs_dir or "", "TERM": "xterm"}
        master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rangeland", "doctor", *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "COLUMNS": "100", **own},
            start_new_session=True,
        )
        os.close(slave)
        self._master = master
        self._written = b""

    def text(self) -> str:
        """Without colours, lines as they are."""
        while select.select([self._master], [], [], 0)[0]:
            try:
                piece = os.read(self._master, 65536)
            except OSError:  # the other side is closed
                break
            if not piece:
                break
            self._written += piece
        return re.sub(r"\x1b\[[0-9;]*m", "", self._written.decode()).replace("\r\n", "\n")

    def raw(self) -> str:
        self.text()
        return self._written.decode()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        os.close(self._master)


@pytest.fixture
def on_terminal(sick: Clinic) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def open_one(*words: str) -> Terminal:
        opened.append(Terminal(sick, *words))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


@pytest.mark.usefixtures("alarmed", "noted_later")
def test_a_terminal_shows_the_worst_first_what_to_do_and_a_command_to_paste(
    on_terminal: Callable[..., Terminal],
) -> None:
    terminal = on_terminal()
    wait_until(lambda: terminal.process.poll() is not None, "it ends")
    assert terminal.process.returncode == 2
    lines = terminal.text().splitlines()
    assert lines[0] == "CRITICAL  node 1  connections_near_limit"
    assert lines[1].startswith("          1 of 1 connections are taken: the connection limit of role crowded")
    at = lines.index("          in psql at the server of node 1:")
    assert lines[at + 1] == f'              ALTER ROLE "{ROLE}" CONNECTION LIMIT 2;'
    assert "INFO      database postgres  index_duplicate" in lines
    assert "          in psql at the server of node 1, database postgres:" in lines
    assert lines[-1] == "1 critical, 0 warning, 1 info"
    assert all(len(line) <= 100 for line in lines)
    assert "\x1b[31m\x1b[1mCRITICAL\x1b[0m" in terminal.raw(), "severities have colours"


def test_a_terminal_is_told_that_nothing_is_wrong(on_terminal: Callable[..., Terminal]) -> None:
    terminal = on_terminal()
    wait_until(lambda: terminal.process.poll() is not None, "it ends")
    assert (terminal.process.returncode, terminal.text().splitlines()[-1]) == (0, "nothing is wrong")


def test_a_report_tells_what_runs(on_terminal: Callable[..., Terminal], sick: Clinic) -> None:
    with psycopg.connect(sick.server().conninfo()) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE kept_open (a int)")
        with cursor.copy("COPY kept_open FROM STDIN") as copy:
            copy.write_row((1,))
            terminal = on_terminal()
            wait_until(lambda: terminal.process.poll() is not None, "it ends")
    assert re.search(r"^RUNS +node 1, database postgres, process \d+: COPY FROM", terminal.text(), re.MULTILINE)


@pytest.mark.usefixtures("warned")
def test_watch_looks_again_until_ctrl_c(on_terminal: Callable[..., Terminal]) -> None:
    terminal = on_terminal("--watch", "1s")
    wait_until(lambda: terminal.text().count("0 critical, 1 warning, 0 info") >= 2, "it looked twice", timeout_s=20)
    terminal.process.send_signal(signal.SIGINT)
    wait_until(lambda: terminal.process.poll() is not None, "it ends", timeout_s=10)
    assert terminal.process.returncode == 130
    assert "Traceback" not in terminal.text()


def test_watch_goes_on_while_the_node_is_away(on_terminal: Callable[..., Terminal], sick: Clinic) -> None:
    terminal = on_terminal("--watch", "1s", "--check")
    node = sick.cluster.nodes[0]
    wait_until(lambda: "RANGELAND OK" in terminal.text(), "it looked", timeout_s=20)
    node.kill()
    wait_until(lambda: "RANGELAND UNKNOWN" in terminal.text(), "it says that nobody answers", timeout_s=20)
    node.start()
    node.wait_until_ready()
    seen = terminal.text().count("RANGELAND OK")
    wait_until(lambda: terminal.text().count("RANGELAND OK") > seen, "it goes on", timeout_s=FOUND_S)


@pytest.mark.parametrize("duration", ["0s", "10", "soon"])
def test_watch_takes_a_second_or_more(ask: Ask, duration: str) -> None:
    begun = time.monotonic()
    done = ask("--watch", duration)
    assert (done.returncode, done.stdout) == (2, "")
    assert time.monotonic() - begun < 10

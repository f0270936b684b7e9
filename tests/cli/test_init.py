"""`rangeland init` and `uninstall` on real servers: what they make, what stops them, what they leave."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fix_commands import Completed, complaint, run_command
from fix_engine import start_servers
from rangeland.engine.server import PostgresServer
from rangeland.engine.workplace import Workplace

ALL = b"""
SELECT rolname::text FROM pg_roles WHERE rolname !~ '^pg_'
 UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname = 'rangeland'
 UNION ALL SELECT 'grant ' || acl::text FROM pg_database, unnest(datacl) AS acl WHERE datname = 'postgres'
 ORDER BY 1"""
Run = Callable[..., Completed]


@pytest.fixture(scope="module")
def server(workplace: Workplace, server_version: int) -> Iterator[PostgresServer]:
    """A server of its own: the tests remove what they make, and see that nothing else is there."""
    [own] = start_servers(workplace, 1, server_version)
    yield own
    own.remove()


@pytest.fixture
def before(server: PostgresServer) -> list[str]:
    """Roles, our schema and grants of database postgres, before the test."""
    return state_of(server)


@pytest.fixture
def run(server: PostgresServer, tmp_path: Path) -> Iterator[Run]:
    """Run a command on the server as its superuser; afterwards everything is removed."""

    def command(*words: str, **variables: str) -> Completed:
        return run_command(*words, home=tmp_path, RANGELAND_URL=server.url(), **variables)

    yield command
    command("uninstall")


def query(server: PostgresServer, statement: bytes) -> list[tuple[Any, ...]]:
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def state_of(server: PostgresServer) -> list[str]:
    return [row[0] for row in query(server, ALL)]


def settings_of(server: PostgresServer) -> dict[str, str]:
    return dict(query(server, b"SELECT name, value FROM rangeland.settings"))


def test_init_twice_changes_nothing_the_second_time(run: Run, server: PostgresServer) -> None:
    first = run("init")
    assert (first.returncode, first.stderr) == (0, "")
    settings = settings_of(server)
    assert first.stdout == (
        f"schema rangeland is made in database postgres; the cluster's id is {settings['cluster_id']}\n"
    )
    made = state_of(server)
    assert run("init").stdout == first.stdout.replace("made", "up to date")
    assert (settings_of(server), state_of(server)) == (settings, made)


def test_a_database_without_an_encoding_will_do(server: PostgresServer, tmp_path: Path) -> None:
    """The driver would give bytes in the place of texts."""
    query(server, b"CREATE DATABASE plain ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
    try:
        made = run_command("init", home=tmp_path, RANGELAND_URL=server.url("plain"))
        assert (made.returncode, made.stderr) == (0, "")
        again = run_command("init", home=tmp_path, RANGELAND_URL=server.url("plain"))
        assert again.stdout == made.stdout.replace("made", "up to date")
        assert run_command("uninstall", home=tmp_path, RANGELAND_URL=server.url("plain")).returncode == 0
    finally:
        query(server, b"DROP DATABASE plain")


def test_uninstall_leaves_nothing(run: Run, server: PostgresServer, before: list[str]) -> None:
    run("init")
    made = set(state_of(server))
    assert {"admin", "rangeland", "schema rangeland"} <= made
    done = run("uninstall")
    assert (done.returncode, done.stdout, done.stderr) == (0, "removed\n", "")
    assert [name for name in state_of(server) if not name.startswith("grant ")] == [
        name for name in before if not name.startswith("grant ")
    ]
    assert not any("rangeland" in line or "admin" in line for line in state_of(server))
    assert run("uninstall").stdout == "removed\n"


def test_the_nodes_role_gets_its_password_and_may_read(run: Run, server: PostgresServer) -> None:
    run("init", RANGELAND_ROLE_PASSWORD="pass word'\"")
    with psycopg.connect(server.conninfo(user="rangeland", password="pass word'\"")) as connection:
        found = connection.execute(b"SELECT rolconnlimit FROM pg_roles WHERE rolname = session_user").fetchone()
        assert found == (10,)
        assert connection.execute(b"SELECT count(*) FROM rangeland.nodes").fetchone() == (0,)
    [hashed] = query(server, b"SELECT rolpassword ~ '^SCRAM-SHA-256' FROM pg_authid WHERE rolname = 'rangeland'")
    assert hashed == (True,)


def may_signal(server: PostgresServer) -> bool:
    """Whether the nodes' role has the rights of pg_signal_backend."""
    [found] = query(server, b"SELECT pg_has_role('rangeland', 'pg_signal_backend', 'USAGE')")
    return bool(found[0])


def test_the_nodes_may_end_sessions_only_after_allow_cancel(run: Run, server: PostgresServer) -> None:
    run("init")
    assert not may_signal(server)
    for _ in range(2):
        done = run("init", "--allow-cancel")
        assert (done.returncode, done.stderr) == (0, "")
        assert may_signal(server)
        assert settings_of(server)["allow_cancel"] == "true"


def test_init_without_the_flag_leaves_what_was_allowed_and_the_other_takes_it_back(
    run: Run, server: PostgresServer
) -> None:
    run("init", RANGELAND_ALLOW_CANCEL="true")
    run("init")
    assert may_signal(server)
    for _ in range(2):
        done = run("init", "--no-allow-cancel")
        assert (done.returncode, done.stderr) == (0, "")
        assert not may_signal(server)
        assert "allow_cancel" not in settings_of(server)
    run("init")
    assert not may_signal(server)


def test_what_another_role_has_granted_is_taken_back_too(run: Run, server: PostgresServer) -> None:
    """From 16 on REVOKE takes back only what the one who revokes has granted."""
    run("init", "--allow-cancel")
    query(server, b"CREATE ROLE dba IN ROLE pg_signal_backend")
    query(server, b"GRANT pg_signal_backend TO dba WITH ADMIN OPTION")
    try:
        query(server, b"SET ROLE dba; GRANT pg_signal_backend TO rangeland")
        run("init", "--no-allow-cancel")
        assert not may_signal(server)
    finally:
        query(server, b"DROP OWNED BY dba CASCADE")
        run("uninstall")
        query(server, b"DROP ROLE dba")


def test_a_dry_run_shows_the_grant_and_grants_nothing(run: Run, server: PostgresServer) -> None:
    run("init")
    assert "pg_signal_backend" not in run("init", "--dry-run").stdout
    assert "GRANT pg_signal_backend TO" in run("init", "--dry-run", "--allow-cancel").stdout
    assert "REVOKE pg_signal_backend FROM" in run("init", "--dry-run", "--no-allow-cancel").stdout
    assert not may_signal(server)


def test_a_role_that_inherits_nothing_is_not_allowed_in_vain(run: Run, server: PostgresServer) -> None:
    """From 16 on the grant itself says that it is inherited."""
    query(server, b"CREATE ROLE rangeland LOGIN NOINHERIT")
    try:
        done = run("init", "--allow-cancel")
        if server.major < 16:
            assert "ALTER ROLE rangeland INHERIT" in complaint(done)
        else:
            assert done.returncode == 0
            assert may_signal(server)
    finally:
        run("uninstall")
        query(server, b"DROP OWNED BY rangeland")
        query(server, b"DROP ROLE rangeland")


def test_uninstall_takes_it_back_from_a_role_that_stays(run: Run, server: PostgresServer) -> None:
    query(server, b"CREATE ROLE rangeland LOGIN")
    try:
        run("init", "--allow-cancel")
        assert may_signal(server)
        assert run("uninstall").returncode == 0
        assert not may_signal(server)
    finally:
        query(server, b"DROP OWNED BY rangeland")
        query(server, b"DROP ROLE rangeland")


@pytest.mark.skipif(shutil.which("psql") is None, reason="psql is not installed")
def test_psql_can_run_the_dry_run_instead(run: Run, server: PostgresServer) -> None:
    planned = run("init", "--dry-run")
    assert (planned.returncode, planned.stderr) == (0, "")
    assert "schema rangeland" not in state_of(server)
    psql = ["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", server.url()]
    done = subprocess.run(psql, input=planned.stdout, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    by_psql = state_of(server)
    run("uninstall")
    run("init")
    assert state_of(server) == by_psql


def test_a_foreign_role_admin_stops_init_until_it_is_named(run: Run, server: PostgresServer) -> None:
    query(server, b"CREATE ROLE admin")
    try:
        before = state_of(server)
        assert "--admin-role" in complaint(run("init"))
        assert "--admin-role" in complaint(run("init", "--dry-run"))
        assert state_of(server) == before
        assert run("init", "--admin-role", "admin").returncode == 0
        assert run("init").returncode == 0  # the name is known by now
        assert run("uninstall").returncode == 0
        assert "admin" in state_of(server)
    finally:
        query(server, b"DROP OWNED BY admin")
        query(server, b"DROP ROLE admin")


def test_a_role_for_redacted_readers_that_is_not_ours_stops_init(
    server: PostgresServer, run: Run, before: list[str]
) -> None:
    """Whoever made it could let people in."""
    query(server, b"CREATE ROLE rangeland_redacted")
    try:
        assert "rangeland_redacted" in complaint(run("init"))
    finally:
        query(server, b"DROP ROLE rangeland_redacted")
    assert state_of(server) == before
    assert run("init").returncode == 0


def test_another_admin_role_is_remembered_and_removed(run: Run, server: PostgresServer, before: list[str]) -> None:
    run("init", "--admin-role", "o'ps")
    assert settings_of(server)["admin_role"] == "o'ps"
    run("init")
    assert settings_of(server)["admin_role"] == "o'ps"
    assert "admin" not in state_of(server)
    run("uninstall")
    assert "o'ps" not in state_of(server)


def test_a_foreign_schema_rangeland_is_left_alone(run: Run, server: PostgresServer) -> None:
    query(server, b"CREATE SCHEMA rangeland CREATE TABLE precious (id int)")
    try:
        for command in ("init", "uninstall"):
            assert complaint(run(command)) == "there is a schema rangeland that is not ours: rename or drop it"
        assert query(server, b"SELECT count(*) FROM rangeland.precious") == [(0,)]
    finally:
        query(server, b"DROP SCHEMA rangeland CASCADE")


def test_a_role_without_the_right_is_told_so_and_nothing_is_made(
    run: Run, server: PostgresServer, tmp_path: Path
) -> None:
    server.create_role("weak")
    try:
        before = state_of(server)
        done = run_command("init", home=tmp_path, RANGELAND_URL=server.url(user="weak"))
        assert complaint(done).startswith("the role of --url may not create roles")
        planned = run_command("init", "--dry-run", home=tmp_path, RANGELAND_URL=server.url(user="weak"))
        assert planned.stdout.startswith("BEGIN;")
        assert state_of(server) == before
    finally:
        query(server, b"DROP ROLE weak")


def test_what_others_gave_the_admin_role_stops_its_removal_and_changes_nothing(
    run: Run, server: PostgresServer
) -> None:
    run("init")
    query(server, b"CREATE TABLE public.theirs (id int)")
    query(server, b"GRANT SELECT ON public.theirs TO admin")
    try:
        assert 'role "admin" cannot be dropped' in complaint(run("uninstall"))
        assert "schema rangeland" in state_of(server)
    finally:
        query(server, b"DROP TABLE public.theirs")


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("postgresql://postgres@127.0.0.1:1/postgres", "Connection refused"),
        ("postgresql://postgres@nowhere.invalid/postgres", "nowhere.invalid"),
        ("postgresql://a,b/postgres", "--url must name one server"),
        ("postgresql:///?service=x", "can't name a service"),
        ("nonsense", "--url is not a PostgreSQL URL"),
    ],
)
@pytest.mark.parametrize("command", ["init", "uninstall"])
def test_a_wrong_url_is_one_line(command: str, url: str, text: str, tmp_path: Path) -> None:
    assert text in complaint(run_command(command, "--url", url, home=tmp_path))


@pytest.mark.parametrize("command", ["init", "uninstall"])
def test_a_standby_is_refused(command: str, pg_standby: PostgresServer, tmp_path: Path) -> None:
    done = run_command(command, home=tmp_path, RANGELAND_URL=pg_standby.url())
    assert complaint(done).startswith("this server is a standby")


def test_a_url_with_a_password_works_as_a_flag_too(server: PostgresServer, tmp_path: Path) -> None:
    """It is moved out of the process title before anything is done with it."""
    assert run_command("init", "--url", server.url(), "--dry-run", home=tmp_path).stdout.startswith("BEGIN;")

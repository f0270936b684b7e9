"""A PostgreSQL server that we run ourselves."""

import os
import signal
import socket
import stat
import time
from pathlib import Path

import psutil
import psycopg
import pytest

from fix_engine import MakeServers, wait_for_replay
from rangeland.engine.server import PostgresServer
from rangeland.errors import EngineError


def test_a_standby_streams_what_its_primary_writes(
    pg_primary: PostgresServer, pg_standby: PostgresServer, database: str
) -> None:
    with psycopg.connect(pg_primary.conninfo(database)) as connection:
        connection.execute("CREATE TABLE t AS SELECT 42 AS answer")
    wait_for_replay(pg_primary, pg_standby)
    with psycopg.connect(pg_standby.conninfo(database)) as connection:
        assert connection.execute("SELECT answer, pg_is_in_recovery() FROM t").fetchone() == (42, True)


def test_a_standby_streams_through_a_slot_with_its_name(
    pg_primary: PostgresServer, pg_standby: PostgresServer
) -> None:
    with psycopg.connect(pg_primary.conninfo()) as connection:
        slots = connection.execute("SELECT slot_name FROM pg_replication_slots WHERE active").fetchall()
    assert slots == [(pg_standby.name,)]


def test_it_is_the_version_that_was_asked_for(pg_primary: PostgresServer, server_version: int) -> None:
    with psycopg.connect(pg_primary.conninfo()) as connection:
        assert connection.info.server_version // 10000 == server_version == pg_primary.major


def test_every_way_in_wants_a_password(pg_primary: PostgresServer) -> None:
    for host in ("127.0.0.1", str(pg_primary.socket_dir)):
        with pytest.raises(psycopg.OperationalError, match=r"no password supplied|password authentication"):
            psycopg.connect(pg_primary.conninfo(host=host, password="", user="postgres") + " passfile=/nowhere")


def test_no_setting_of_a_standby_holds_a_password(pg_standby: PostgresServer) -> None:
    """Members of pg_monitor may read primary_conninfo."""
    with psycopg.connect(pg_standby.conninfo()) as connection:
        row = connection.execute("SELECT current_setting('primary_conninfo')").fetchone()
    assert row is not None
    assert "passfile=" in row[0]
    assert "password=" not in row[0]


def test_no_file_that_others_can_read_holds_a_password(pg_primary: PostgresServer) -> None:
    secrets = [secret.encode() for secret in pg_primary.password_by_user.values()]
    readable = [path for path in _files(pg_primary.workplace.path) if path.stat().st_mode & 0o077]
    assert [path for path in readable if any(secret in path.read_bytes() for secret in secrets)] == []


def test_nobody_else_can_enter_its_directory(pg_primary: PostgresServer) -> None:
    assert stat.S_IMODE(pg_primary.home.stat().st_mode) == 0o700


def test_a_killed_server_starts_again_with_its_data(make_servers: MakeServers) -> None:
    [server] = make_servers(1)
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept ()")
    server.kill()
    assert not server.is_running
    server.start()
    with psycopg.connect(server.conninfo()) as connection:
        connection.execute("SELECT FROM kept")


def test_a_standby_can_be_promoted(make_servers: MakeServers) -> None:
    primary, standby = make_servers(2)
    primary.kill()
    standby.promote()
    with psycopg.connect(standby.conninfo(), autocommit=True) as connection:
        connection.execute("CREATE TABLE written ()")


def test_a_paused_server_answers_nothing_until_it_is_resumed(make_servers: MakeServers) -> None:
    [server] = make_servers(1)
    with server.paused(), pytest.raises(psycopg.errors.ConnectionTimeout):
        psycopg.connect(server.conninfo(), connect_timeout=2)
    psycopg.connect(server.conninfo(), connect_timeout=10).close()


def test_a_paused_server_can_be_stopped(make_servers: MakeServers) -> None:
    [server] = make_servers(1)
    server.pause()
    server.stop()
    assert not server.is_running


def test_settings_and_access_rules_change_while_it_runs(make_servers: MakeServers) -> None:
    [server] = make_servers(1)
    server.configure(work_mem="7MB")
    server.write_hba("host all all 127.0.0.1/32 trust\n" + server.read_hba())
    _wait_until(lambda: _can_enter_without_password(server))
    with psycopg.connect(server.conninfo()) as connection:
        assert connection.execute("SHOW work_mem").fetchone() == ("7MB",)


def test_one_that_cannot_start_says_why(make_servers: MakeServers) -> None:
    [server] = make_servers(1)
    server.stop()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", server.port))
        taken.listen()
        server.configure(listen_addresses="127.0.0.1")
        with pytest.raises(EngineError, match=r"did not start: could not create any TCP/IP sockets"):
            server.start()


def test_a_role_gets_the_password_that_was_asked_for(pg_primary: PostgresServer, database: str) -> None:
    name = f"somebody_{database}"
    pg_primary.create_role(name, "LOGIN", password="it's: a \\ password")
    try:
        with psycopg.connect(pg_primary.url(database, name)) as connection:
            assert connection.info.user == name
        assert "password" not in pg_primary.log.read_text()
    finally:
        with psycopg.connect(pg_primary.conninfo(), autocommit=True) as connection:
            connection.execute(f'DROP ROLE "{name}"'.encode())


def test_killing_the_postmaster_alone_is_seen(make_servers: MakeServers) -> None:
    [server] = make_servers(1)
    os.kill(server.pid, signal.SIGKILL)
    _wait_until(lambda: not server.is_running)
    server.start()
    assert psutil.pid_exists(server.pid)


def _can_enter_without_password(server: PostgresServer) -> bool:
    try:
        psycopg.connect(server.conninfo(password="") + " passfile=/nowhere").close()
    except psycopg.OperationalError:
        return False
    return True


def _files(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


def _wait_until(is_so: object, timeout_s: float = 10.0) -> None:
    assert callable(is_so)
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.02)

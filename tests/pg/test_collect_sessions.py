"""This server's sessions, as a client of the API sees them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from fix_collect import WATCHER, ask, execute, soon
from rangeland.collect.sessions import SessionCollector
from rangeland.engine.server import PostgresServer
from rangeland.pg import Server
from rangeland.wire.json import decode
from rangeland.wire.parts import ListPart, SessionsParams
from rangeland.wire.sessions import Session, SessionStatus
from rangeland.wire.times import rfc3339

NODE_ID = 7


def collect(pg: PostgresServer, params: SessionsParams | None = None) -> list[Session]:
    async def work(server: Server) -> ListPart:
        collector = SessionCollector(server)
        return await collector.collect(params or SessionsParams(), node_id=NODE_ID, deadline=soon())

    return sessions_of(ask(pg, work))


def sessions_of(part: ListPart) -> list[Session]:
    return [decode(Session, item.body) for item in part.items]


def named(sessions: list[Session], application_name: str) -> Session:
    found = [session for session in sessions if session.application_name == application_name]
    assert len(found) == 1, [session.application_name for session in sessions]
    return found[0]


@contextmanager
def client(pg: PostgresServer, name: str, **more: Any) -> Iterator[psycopg.Connection]:
    with psycopg.connect(pg.conninfo(), application_name=name, autocommit=True, **more) as connection:
        yield connection


def test_an_idle_client_is_shown_with_all_that_the_server_knows(pg_primary: PostgresServer) -> None:
    with client(pg_primary, "some client") as connection:
        connection.execute("SELECT 'something'")
        session = named(collect(pg_primary), "some client")
        pid = connection.info.backend_pid
        port = connection.execute("SELECT inet_client_port()").fetchone()
    assert port is not None
    assert session.username == "postgres"
    assert session.database == "postgres"
    assert session.node_id == NODE_ID
    assert session.client_address == f"127.0.0.1:{port[0]}"
    assert session.pg_backend_pid == pid
    assert session.status is SessionStatus.IDLE
    assert session.state == "idle"
    assert session.backend_type == "client backend"
    assert session.last_active_query == "SELECT 'something'"
    assert session.active_queries == []
    assert session.active_txn is None
    assert len(session.id) == 16
    assert session.end == ""


def test_a_running_statement_is_an_active_query_in_a_transaction(pg_primary: PostgresServer) -> None:
    with client(pg_primary, "runner") as connection:
        with running(connection, "SELECT pg_sleep(60)"):
            session = named(collect(pg_primary), "runner")
        (query,) = session.active_queries
        assert session.status is SessionStatus.ACTIVE
        assert query.sql == "SELECT pg_sleep(60)"
        assert query.database == "postgres"
        assert query.pid == connection.info.backend_pid
        assert query.elapsed_time > 0
        assert session.active_txn is not None
        assert session.active_txn.id == query.txn_id
        assert (session.wait_event_type, session.wait_event) == ("Timeout", "PgSleep")
        assert session.last_active_query == ""


def test_idle_in_transaction_is_idle_with_an_open_transaction(pg_primary: PostgresServer) -> None:
    with client(pg_primary, "forgetful") as connection:
        connection.execute("BEGIN")
        session = named(collect(pg_primary), "forgetful")
    assert session.status is SessionStatus.IDLE
    assert session.state == "idle in transaction"
    assert session.active_txn is not None
    assert session.active_txn.start >= session.start


def test_who_waits_for_a_lock_names_whom_it_waits_for(pg_primary: PostgresServer, database: str) -> None:
    execute(pg_primary, database, "CREATE TABLE t ()")
    with (
        psycopg.connect(pg_primary.conninfo(database), application_name="holder") as holder,
        psycopg.connect(pg_primary.conninfo(database), application_name="waiter", autocommit=True) as waiter,
    ):
        holder.execute("LOCK TABLE t")
        with running(waiter, "TABLE t"):
            sessions = collect(pg_primary)
        holder_pid = holder.info.backend_pid
    assert named(sessions, "waiter").wait_event_type == "Lock"
    assert named(sessions, "waiter").blocking_pids == [holder_pid]
    assert named(sessions, "holder").blocking_pids == []


def test_a_client_on_a_unix_socket_is_local(pg_primary: PostgresServer) -> None:
    with psycopg.connect(pg_primary.conninfo(host=str(pg_primary.socket_dir)), application_name="near"):
        assert named(collect(pg_primary), "near").client_address == "[local]"


def test_a_standby_answers_for_its_own_clients_only(pg_primary: PostgresServer, pg_standby: PostgresServer) -> None:
    with client(pg_primary, "on the primary"), client(pg_standby, "on the standby"):
        names = [session.application_name for session in collect(pg_standby)]
    assert "on the standby" in names
    assert "on the primary" not in names


def test_sessions_come_by_ascending_start(pg_primary: PostgresServer) -> None:
    with ExitStack() as clients:
        for number in range(4):
            clients.enter_context(client(pg_primary, f"client {number}"))
        sessions = collect(pg_primary)
    starts = [session.start for session in sessions]
    assert starts == sorted(starts)
    names = [session.application_name for session in sessions if session.application_name.startswith("client ")]
    assert names == [f"client {number}" for number in range(4)]


def test_a_username_chooses_exactly(pg_primary: PostgresServer) -> None:
    pg_primary.create_role("joe")
    with (
        client(pg_primary, "a postgres"),
        psycopg.connect(pg_primary.conninfo(user="joe"), application_name="a joe"),
    ):
        sessions = collect(pg_primary, SessionsParams(username="joe"))
    assert [session.application_name for session in sessions] == ["a joe"]


@pytest.mark.parametrize("name", ["nobody", "JOE", "j\0e", "j\ud800e", "x" * 100, "'; --", "%s"])
def test_a_username_that_nobody_has_finds_nothing(pg_primary: PostgresServer, name: str) -> None:
    assert collect(pg_primary, SessionsParams(username=name)) == []


def test_our_own_connections_are_hidden_but_nobody_hides_behind_our_name(pg_primary: PostgresServer) -> None:
    with client(pg_primary, "rangeland"):
        sessions = collect(pg_primary)
    assert named(sessions, "rangeland").username == "postgres"
    assert WATCHER not in {session.username for session in sessions}


def test_one_request_is_one_statement(pg_primary: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    fetch = Server.fetch

    async def counted(self: Server, resource: str, name: str, *, deadline: float, **params: Any) -> Any:
        asked.append(f"{resource}.{name}")
        return await fetch(self, resource, name, deadline=deadline, **params)

    monkeypatch.setattr(Server, "fetch", counted)
    collect(pg_primary)
    assert asked == ["sessions.list_sessions"]


def test_a_password_in_a_statement_is_not_shown(pg_primary: PostgresServer) -> None:
    with client(pg_primary, "careless") as connection:
        connection.execute("CREATE ROLE careless PASSWORD 's3cr3t'; DROP ROLE careless")
        session = named(collect(pg_primary), "careless")
    assert session.last_active_query == "CREATE ROLE careless PASSWORD '********'; DROP ROLE careless"


def test_a_statement_in_another_encoding_does_no_harm(pg_primary: PostgresServer, database: str) -> None:
    name = f"{database}_latin1"
    execute(pg_primary, "postgres", f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    with psycopg.connect(
        pg_primary.conninfo(name), application_name="latin", client_encoding="latin1", autocommit=True
    ) as connection:
        connection.execute("SELECT 'é'")
        session = named(collect(pg_primary), "latin")
    assert session.last_active_query == "SELECT '\ufffd'"
    execute(pg_primary, "postgres", f"DROP DATABASE {name} WITH (FORCE)")


def test_a_session_keeps_its_id_and_another_never_has_it(pg_primary: PostgresServer) -> None:
    with client(pg_primary, "one"), client(pg_primary, "two"):
        first, second = collect(pg_primary), collect(pg_primary)
    assert named(first, "one").id == named(second, "one").id
    assert named(first, "one").id != named(first, "two").id


def test_a_session_that_ends_between_pages_moves_none_that_live(pg_primary: PostgresServer) -> None:
    """Page by page everybody is shown exactly once, and who has ended is CLOSED for a minute."""

    async def work(server: Server) -> tuple[list[Session], list[Session], list[Session], list[Session]]:
        collector = SessionCollector(server)
        with ExitStack() as clients:
            connections = [clients.enter_context(client(pg_primary, f"paged {n}")) for n in range(6)]
            first = await collector.collect(SessionsParams(limit=3), node_id=1, deadline=soon())
            pid = connections[0].info.backend_pid
            connections[0].close()
            await _until_gone(server, pid)
            pages, index = [first], first.next_index
            while index:
                pages.append(
                    await collector.collect(SessionsParams(limit=2, index=index), node_id=1, deadline=soon())
                )
                index = pages[-1].next_index
            now = await collector.collect(SessionsParams(), node_id=1, deadline=soon())
            open_ones = await collector.collect(SessionsParams(exclude_closed=True), node_id=1, deadline=soon())
            later = await collector.collect(
                SessionsParams(), node_id=1, deadline=soon(), now=datetime.now(UTC) + timedelta(seconds=61)
            )
        paged = [session for page in pages for session in sessions_of(page)]
        return paged, sessions_of(now), sessions_of(open_ones), sessions_of(later)

    paged, now, open_ones, later = ask(pg_primary, work)
    expected = [f"paged {n}" for n in range(6)]
    assert [s.application_name for s in paged if s.application_name.startswith("paged")] == expected
    closed = named(now, "paged 0")
    assert closed.status is SessionStatus.CLOSED
    assert closed.start <= closed.end <= rfc3339(datetime.now(UTC))
    assert closed.state == ""
    for sessions in (open_ones, later):
        assert "paged 0" not in {session.application_name for session in sessions}


def test_a_session_that_no_page_has_shown_is_gone_when_it_ends(pg_primary: PostgresServer) -> None:
    async def work(server: Server) -> list[Session]:
        collector = SessionCollector(server)
        with client(pg_primary, "brief") as connection:
            await collector.collect(SessionsParams(), node_id=1, deadline=soon())
            pid = connection.info.backend_pid
        await _until_gone(server, pid)
        return sessions_of(await collector.collect(SessionsParams(), node_id=1, deadline=soon()))

    assert "brief" not in {session.application_name for session in ask(pg_primary, work)}


async def _until_gone(server: Server, pid: int) -> None:
    while True:
        rows = await server.fetch("sessions", "list_sessions", deadline=soon(), username="")
        if pid not in {row[1] for row in rows}:
            return


@contextmanager
def running(connection: psycopg.Connection, statement: str) -> Iterator[None]:
    """Have the statement running for as long as the block; then cancel it."""
    connection.pgconn.send_query(statement.encode())
    _until_running(connection)
    yield
    connection.cancel_safe()
    while connection.pgconn.get_result() is not None:
        pass


def _until_running(connection: psycopg.Connection) -> None:
    """Wait until the statement waits for something: then the server shows all of it."""
    give_up = time.monotonic() + 5
    with psycopg.connect(connection.info.dsn, password=connection.info.password, autocommit=True) as other:
        while time.monotonic() < give_up:
            row = other.execute(
                "SELECT state = 'active' AND wait_event IS NOT NULL FROM pg_stat_activity WHERE pid = %s",
                [connection.info.backend_pid],
            ).fetchone()
            if row and row[0]:
                return
            time.sleep(0.01)
    raise AssertionError("the statement did not begin to wait within 5 s")

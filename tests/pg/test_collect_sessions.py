"""This server's sessions, as a client of the API sees them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from fix_collect import WATCHER, ask, execute, soon, value
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


def test_a_query_id_is_shown_where_the_server_computes_them(pg_primary: PostgresServer) -> None:
    with (
        client(pg_primary, "numbered", options="-c compute_query_id=on") as connection,
        running(connection, "SELECT pg_sleep(60)"),
    ):
        session = named(collect(pg_primary), "numbered")
        query = "SELECT query_id::text FROM pg_stat_activity WHERE pid = "
        expected = value(pg_primary, "postgres", f"{query}{connection.info.backend_pid}")
    assert session.query_id == expected
    assert int(expected) != 0


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


def test_a_session_that_an_answer_has_shown_is_closed_in_the_next_for_a_minute(pg_primary: PostgresServer) -> None:
    """Also without paging; and left out where that is wanted."""

    async def work(server: Server) -> list[list[Session]]:
        collector = SessionCollector(server)
        with client(pg_primary, "brief") as connection:
            connection.execute("SELECT 'brief', 1")
            await collector.collect(SessionsParams(), node_id=1, deadline=soon())
            pid = connection.info.backend_pid
        await _until_gone(server, pid)
        now = datetime.now(UTC)
        answers = [
            await collector.collect(params, node_id=1, deadline=soon(), now=now + timedelta(seconds=seconds))
            for params, seconds in (
                (SessionsParams(), 0),
                (SessionsParams(exclude_closed=True), 0),
                (SessionsParams(), 61),
            )
        ]
        return [sessions_of(answer) for answer in answers]

    answer, of_open_ones, later = ask(pg_primary, work)
    closed = named(answer, "brief")
    assert closed.status is SessionStatus.CLOSED
    assert closed.start < closed.end <= rfc3339(datetime.now(UTC))
    assert closed.last_active_query_no_constants == "SELECT _, _"
    assert (closed.active_queries, closed.active_txn) == ([], None)
    for sessions in (of_open_ones, later):
        assert "brief" not in {session.application_name for session in sessions}


def test_a_session_that_no_answer_has_shown_is_gone_when_it_ends(pg_primary: PostgresServer) -> None:
    async def work(server: Server) -> list[Session]:
        collector = SessionCollector(server)
        with client(pg_primary, "brief") as connection:
            await collector.collect(SessionsParams(username=WATCHER), node_id=1, deadline=soon())
            pid = connection.info.backend_pid
        await _until_gone(server, pid)
        return sessions_of(await collector.collect(SessionsParams(), node_id=1, deadline=soon()))

    assert "brief" not in {session.application_name for session in ask(pg_primary, work)}


def test_statements_come_without_constants_too(pg_primary: PostgresServer) -> None:
    with client(pg_primary, "speaker") as connection:
        connection.execute("SELECT 'secret', 42 /* 43 */ FROM pg_class WHERE relname = $$44$$ LIMIT 1")
        idle = named(collect(pg_primary), "speaker")
        with running(connection, "SELECT pg_sleep(60.5) FROM pg_class"):
            (query,) = named(collect(pg_primary), "speaker").active_queries
    assert idle.last_active_query_no_constants == "SELECT _, _ FROM pg_class WHERE relname = _ LIMIT _"
    assert idle.last_active_query_anon == idle.last_active_query_no_constants
    assert query.sql == "SELECT pg_sleep(60.5) FROM pg_class"
    assert query.sql_no_constants == query.sql_anon == "SELECT pg_sleep(_) FROM pg_class"
    assert query.sql_summary == "SELECT FROM pg_class"


def test_a_statement_that_the_server_cut_off_shows_no_constant_either(pg_primary: PostgresServer) -> None:
    """track_activity_query_size is 1,024 bytes: the text ends inside a string."""
    with client(pg_primary, "long") as connection:
        connection.execute(f"SELECT {'7, ' * 200} '{'secret' * 200}'".encode())
        session = named(collect(pg_primary), "long")
    assert session.last_active_query.endswith("secretsecrets…")
    assert session.last_active_query_no_constants == f"SELECT {'_, ' * 199}_,…"


def test_a_redacted_reader_sees_constants_in_their_own_statements_only(pg_primary: PostgresServer) -> None:
    pg_primary.create_role("ann")
    own_conninfo = pg_primary.conninfo(user="ann")
    with (
        client(pg_primary, "other") as other,
        psycopg.connect(own_conninfo, application_name="own", autocommit=True) as own,
    ):
        for connection in (other, own):
            connection.execute("SELECT 'private'")
        unsure = other.info.backend_pid
        redacted = collect(pg_primary, SessionsParams(redacted_for="ann"))
        clear = collect(pg_primary, SessionsParams())
        other.execute("SELECT 'it ends here\\', 'or here'")
        with running(own, "SELECT pg_sleep(60)"):
            running_own = named(collect(pg_primary, SessionsParams(redacted_for="ann")), "own")
        untold = named(collect(pg_primary, SessionsParams(redacted_for="ann")), "other")
    assert named(redacted, "other").last_active_query == "SELECT _"
    assert named(redacted, "other").pg_backend_pid == unsure
    assert named(redacted, "own").last_active_query == "SELECT 'private'"
    assert named(clear, "other").last_active_query == "SELECT 'private'"
    assert running_own.active_queries[0].sql == "SELECT pg_sleep(60)"
    assert (untold.last_active_query, untold.last_active_query_no_constants) == ("", "")


@pytest.mark.parametrize(
    ("statement", "is_implicit"),
    [
        ("SELECT pg_sleep(60)", True),
        ("  SELECT pg_sleep(60) ; ", True),
        ("SELECT 1; SELECT pg_sleep(60)", False),
        ("BEGIN; SELECT pg_sleep(60)", False),
        ("DO $$ BEGIN PERFORM pg_sleep(60); END $$", True),
    ],
)
def test_a_transaction_of_one_statement_is_implicit(
    pg_primary: PostgresServer, statement: str, is_implicit: bool
) -> None:
    with client(pg_primary, f"one {statement}"[:60]) as connection, running(connection, statement):
        transaction = named(collect(pg_primary), f"one {statement}"[:60]).active_txn
    assert transaction is not None
    assert (transaction.implicit, transaction.read_only) == (is_implicit, False)


def test_a_statement_in_a_block_is_not_implicit(pg_primary: PostgresServer) -> None:
    """Neither the first one, nor one after COMMIT AND CHAIN, nor one in a procedure that has committed."""
    execute(
        pg_primary,
        "postgres",
        "CREATE OR REPLACE PROCEDURE two() LANGUAGE plpgsql AS 'BEGIN COMMIT; PERFORM pg_sleep(60); END'",
    )
    found = []
    for name, before, statement in (
        ("first", ["BEGIN"], "SELECT pg_sleep(60)"),
        ("chained", ["BEGIN", "COMMIT AND CHAIN"], "SELECT pg_sleep(60)"),
        ("committed", [], "CALL two()"),
    ):
        with client(pg_primary, name) as connection:
            for each in before:
                connection.execute(each.encode())
            with running(connection, statement):
                found.append(named(collect(pg_primary), name).active_txn)
    execute(pg_primary, "postgres", "DROP PROCEDURE two()")
    assert [transaction and transaction.implicit for transaction in found] == [False, False, False]


def test_on_a_standby_every_transaction_is_read_only(pg_standby: PostgresServer) -> None:
    with client(pg_standby, "follower") as connection:
        connection.execute("BEGIN")
        transaction = named(collect(pg_standby), "follower").active_txn
        shown = connection.execute("SHOW transaction_read_only").fetchone()
    assert transaction is not None
    assert (transaction.read_only, shown) == (True, ("on",))


def test_what_postgresql_does_not_tell_of_a_transaction_is_left_out(pg_primary: PostgresServer) -> None:
    """Each of these has another isolation level or access mode, and the view shows the same of all."""
    seen = set()
    for mode in ("ISOLATION LEVEL SERIALIZABLE", "ISOLATION LEVEL READ COMMITTED", "READ ONLY"):
        with client(pg_primary, mode) as connection:
            connection.execute(f"BEGIN {mode}".encode())
            connection.execute("SELECT 1")
            transaction = named(collect(pg_primary), mode).active_txn
            assert transaction is not None
            seen.add((transaction.isolation_level, transaction.read_only, transaction.num_statements_executed))
    assert seen == {("", False, 0)}


def test_parallel_workers_are_shown_with_their_leader(pg_primary: PostgresServer, database: str) -> None:
    execute(
        pg_primary,
        database,
        "CREATE TABLE big AS SELECT generate_series(1, 10000) AS n",
        "CREATE FUNCTION slow(int) RETURNS bool PARALLEL SAFE LANGUAGE plpgsql COST 10000 "
        "AS 'BEGIN PERFORM pg_sleep(60); RETURN true; END'",
        "ALTER TABLE big SET (parallel_workers = 2)",
        "ANALYZE big",
    )
    options = "-c parallel_setup_cost=0 -c parallel_tuple_cost=0 -c min_parallel_table_scan_size=0"
    with psycopg.connect(
        pg_primary.conninfo(database), application_name="leader", autocommit=True, options=options
    ) as connection:
        with running(connection, "SELECT count(*) FROM big WHERE slow(n)"):
            count = (
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE backend_type = 'parallel worker' AND wait_event = 'PgSleep'"
            )
            give_up = time.monotonic() + 5
            while value(pg_primary, "postgres", count) != 2 and time.monotonic() < give_up:
                time.sleep(0.01)
            sessions = collect(pg_primary)
            leader_pid = connection.info.backend_pid
            pids = value(
                pg_primary,
                "postgres",
                f"SELECT array_agg(pid ORDER BY pid) FROM pg_stat_activity WHERE leader_pid = {leader_pid}",
            )
        (query,) = named(sessions, "leader").active_queries
        connection.execute("SELECT 1")
        after = named(collect(pg_primary), "leader")
    assert [worker.pid for worker in query.parallel_workers] == pids
    assert {(worker.wait_event_type, worker.wait_event) for worker in query.parallel_workers} == {
        ("Timeout", "PgSleep")
    }
    assert query.parallel_workers[0].elapsed_time > 0
    assert not query.is_distributed
    assert {session.backend_type for session in sessions} == {"client backend"}
    assert after.active_queries == []


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
    with psycopg.connect(
        connection.info.dsn, password=connection.info.password, application_name="onlooker", autocommit=True
    ) as other:
        while time.monotonic() < give_up:
            row = other.execute(
                "SELECT state = 'active' AND wait_event IS NOT NULL FROM pg_stat_activity WHERE pid = %s",
                [connection.info.backend_pid],
            ).fetchone()
            if row and row[0]:
                return
            time.sleep(0.01)
    raise AssertionError("the statement did not begin to wait within 5 s")

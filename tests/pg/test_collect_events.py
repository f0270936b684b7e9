"""The table of events on a real server: written once, newest first, trimmed, and never in anybody's way."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import psycopg
import pytest

from fix_collect import execute, soon, value
from fix_engine import wait_for_replay
from rangeland.collect.events import collect_events
from rangeland.engine.server import PostgresServer
from rangeland.errors import NotPrimaryError, ServerError
from rangeland.pg import Server
from rangeland.sql import block
from rangeland.state import events as table
from rangeland.state.init import NODE_ROLE, init_cluster, uninstall_cluster
from rangeland.wire.events import EventInfo, EventsAnswer, NodeLeft, NodeReturn, UserLogin, info_text
from rangeland.wire.members import EventToKeep
from rangeland.wire.parts import EventsParams

T = TypeVar("T")
PASSWORD = "of the nodes"
NOW_NS = time.time_ns() // 1000 * 1000


@pytest.fixture
def installed(pg_primary: PostgresServer, pg_standby: PostgresServer) -> Iterator[str]:
    """A database in which `rangeland init` has run."""
    name = f"events_{secrets.token_hex(4)}"
    execute(pg_primary, "postgres", f"CREATE DATABASE {name}")
    init_cluster(pg_primary.url(name), role_password=PASSWORD)
    wait_for_replay(pg_primary, pg_standby)
    yield name
    uninstall_cluster(pg_primary.url(name))
    execute(pg_primary, "postgres", f"DROP DATABASE {name} WITH (FORCE)")


def as_node(pg: PostgresServer, dbname: str, work: Callable[[Server], Awaitable[T]]) -> T:
    """Do the work as a node does it: with the role and the rights that `init` gave it."""

    async def run() -> T:
        server = Server(pg.url(dbname, NODE_ROLE, PASSWORD))
        server.start()
        try:
            await server.wait_until_up(deadline=soon())
            return await work(server)
        finally:
            await server.close()

    return asyncio.run(run())


def add(pg: PostgresServer, dbname: str, *events: EventToKeep) -> None:
    as_node(pg, dbname, lambda server: table.add_events(server, 7, events, deadline=soon()))


def listed(pg: PostgresServer, dbname: str, **params: int | str) -> EventsAnswer:
    wanted = EventsParams(**params)  # type: ignore[arg-type]
    return as_node(pg, dbname, lambda server: collect_events(server, wanted, deadline=soon()))


def told(info: EventInfo, at_ns: int = NOW_NS) -> EventToKeep:
    return EventToKeep(
        event_id=uuid.uuid4(),
        happened_at_ns=at_ns,
        event_type=info.event_type,
        info=info_text(info, at_ns=at_ns),
    )


def login(name: str, at_ns: int = NOW_NS) -> EventToKeep:
    return told(UserLogin(User=name, Method="password"), at_ns)


def fill(pg: PostgresServer, dbname: str, count: int, event_type: str, age: str = "1 hour") -> None:
    """So many rows, a millisecond apart, the youngest of that age."""
    execute(
        pg,
        dbname,
        "INSERT INTO rangeland.events SELECT gen_random_uuid(), "
        f"now() - interval '{age}' - n * interval '1 ms', '{event_type}', 1, '{{}}' "
        f"FROM generate_series(0, {count - 1}) AS n",
    )


def count(pg: PostgresServer, dbname: str, condition: str = "true") -> int:
    return int(value(pg, dbname, f"SELECT count(*) FROM rangeland.events WHERE {condition}"))


def test_an_event_is_told_as_it_was_written_on_both_servers(
    pg_primary: PostgresServer, pg_standby: PostgresServer, installed: str
) -> None:
    event = login("Zoë 🐘\0")
    add(pg_primary, installed, event)
    wait_for_replay(pg_primary, pg_standby)
    for server in (pg_primary, pg_standby):
        [found] = listed(server, installed).events
        moment = datetime.fromisoformat(found.timestamp)
        assert moment - datetime(1970, 1, 1, tzinfo=UTC) == timedelta(microseconds=NOW_NS // 1000)
        assert (found.event_type, found.reporting_id, found.info) == ("user_login", 7, event.info)
        assert found.unique_id == event.event_id.bytes


def test_a_database_in_another_encoding_takes_every_letter(pg_primary: PostgresServer) -> None:
    name = f"events_{secrets.token_hex(4)}"
    execute(pg_primary, "postgres", f"CREATE DATABASE {name} ENCODING LATIN1 TEMPLATE template0 LOCALE 'C'")
    init_cluster(pg_primary.url(name), role_password=PASSWORD)
    try:
        left = told(NodeLeft(NodeID=1, Reason="silent", Since=5, Cause="отказ 🐘\0"))
        add(pg_primary, name, left)
        assert [each.info for each in listed(pg_primary, name).events] == [left.info]
        gone = as_node(pg_primary, name, lambda server: table.list_gone_nodes(server, deadline=soon()))
        assert gone[1].Cause == "отказ 🐘\0"
    finally:
        uninstall_cluster(pg_primary.url(name))
        execute(pg_primary, "postgres", f"DROP DATABASE {name} WITH (FORCE)")


def test_an_event_that_is_written_twice_is_there_once(pg_primary: PostgresServer, installed: str) -> None:
    first, second = login("a"), login("b")
    add(pg_primary, installed, first)
    add(pg_primary, installed, first, second)
    assert count(pg_primary, installed) == 2


def test_a_standby_takes_none(pg_primary: PostgresServer, pg_standby: PostgresServer, installed: str) -> None:
    with pytest.raises(NotPrimaryError):
        add(pg_standby, installed, login("a"))


def test_newest_first_in_pages_and_by_type(pg_primary: PostgresServer, installed: str) -> None:
    """The order in which they were written doesn't count: what waited for a primary is where it happened."""
    events = [login(str(number), NOW_NS - number * 10**9) for number in range(5)]
    returned = told(NodeReturn(NodeID=1), NOW_NS - 10**12)
    add(pg_primary, installed, *events[2:], returned, *events[:2])
    by_time = [*events, returned]
    whole = listed(pg_primary, installed)
    assert [each.unique_id for each in whole.events] == [each.event_id.bytes for each in by_time]
    assert whole.next == 0
    page = listed(pg_primary, installed, limit=4, offset=2)
    assert (page.events, page.next) == (whole.events[2:], 0)
    assert listed(pg_primary, installed, limit=3, offset=2) == EventsAnswer(whole.events[2:5], next=5)
    assert listed(pg_primary, installed, event_type="node_return").events == whole.events[5:]
    assert listed(pg_primary, installed, event_type="user_login", limit=2).next == 2
    assert listed(pg_primary, installed, event_type="node").events == []


def test_over_the_cap_the_oldest_of_their_kind_go(pg_primary: PostgresServer, installed: str) -> None:
    fill(pg_primary, installed, table.KEPT + 150, "user_login")
    fill(pg_primary, installed, 100, "node_join", age="2 hours")
    add(pg_primary, installed, login("new"))
    assert count(pg_primary, installed, "event_type = 'user_login'") == table.KEPT + 1  # counted before it came
    assert count(pg_primary, installed, "event_type = 'node_join'") == 100
    add(pg_primary, installed, login("newer"))
    assert count(pg_primary, installed, "event_type = 'user_login'") == table.KEPT + 1
    users = [each.info for each in listed(pg_primary, installed, event_type="user_login", limit=2).events]
    assert all('"User":"new' in info for info in users)


def test_what_is_too_old_goes_a_few_at_a_time(pg_primary: PostgresServer, installed: str) -> None:
    fill(pg_primary, installed, 250, "node_join", age=f"{table.KEPT_DAYS + 1} days")
    fill(pg_primary, installed, 10, "node_join", age=f"{table.KEPT_DAYS - 1} days")
    add(pg_primary, installed, login("a"))
    assert count(pg_primary, installed) == 10 + 50 + 1
    add(pg_primary, installed, login("b"))
    assert count(pg_primary, installed) == 10 + 2


def test_writing_into_a_full_table_touches_few_pages(pg_primary: PostgresServer, installed: str) -> None:
    """It counts what the table holds and takes the oldest from an index: 0.4 MB in memory, some milliseconds."""
    fill(pg_primary, installed, table.KEPT + 1, "user_login")
    fill(pg_primary, installed, table.KEPT + 1, "node_join")
    execute(pg_primary, installed, "VACUUM ANALYZE rangeland.events")
    statement = block("events", "add_events", pg_primary.major * 10000).text
    params = {
        "event_ids": [uuid.uuid4()],
        "moments": [datetime.now(UTC)],
        "event_types": ["user_login"],
        "infos": ["{}"],
        "node_id": 1,
        "kept": table.KEPT,
        "days": table.KEPT_DAYS,
    }
    with psycopg.connect(pg_primary.conninfo(installed), autocommit=True) as connection:
        row = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}".encode(), params).fetchone()
    assert row is not None
    plan = row[0][0]["Plan"]
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 600
    assert count(pg_primary, installed) == 2 * table.KEPT + 1
    assert '"Sort"' not in json.dumps(plan)


def test_a_lock_on_the_table_is_waited_for_a_tenth_of_a_second(pg_primary: PostgresServer, installed: str) -> None:
    with psycopg.connect(pg_primary.conninfo(installed)) as connection:
        connection.execute("LOCK TABLE rangeland.events")
        begun = time.monotonic()
        with pytest.raises(ServerError, match="lock"):
            add(pg_primary, installed, login("a"))
        assert time.monotonic() - begun < 1.5
    add(pg_primary, installed, login("a"))
    assert count(pg_primary, installed) == 1


def test_who_left_and_did_not_return_is_gone(pg_primary: PostgresServer, installed: str) -> None:
    def left(node_id: int, second: int) -> EventToKeep:
        return told(NodeLeft(NodeID=node_id, Reason="silent", Since=5), NOW_NS + second * 10**9)

    def returned(node_id: int, second: int) -> EventToKeep:
        return told(NodeReturn(NodeID=node_id), NOW_NS + second * 10**9)

    add(pg_primary, installed, left(1, 1), left(2, 1), returned(2, 2), left(3, 1), returned(3, 2), left(3, 3))
    gone = as_node(pg_primary, installed, lambda server: table.list_gone_nodes(server, deadline=soon()))
    assert {node_id: each.Since for node_id, each in gone.items()} == {1: 5, 3: 5}


def test_the_last_primary_is_noted_and_noted_anew(pg_primary: PostgresServer, installed: str) -> None:
    async def work(server: Server) -> list[tuple[int, int] | None]:
        found = [await table.read_last_primary(server, deadline=soon())]
        for term in ((1, 1), (2, 2)):
            await table.write_last_primary(server, *term, deadline=soon())
            found.append(await table.read_last_primary(server, deadline=soon()))
        return found

    assert as_node(pg_primary, installed, work) == [None, (1, 1), (2, 2)]


def test_what_somebody_else_wrote_into_the_tables_is_passed_over(pg_primary: PostgresServer, installed: str) -> None:
    for info in ("{}", "[]", '{"NodeID":"x"}'):
        execute(
            pg_primary,
            installed,
            f"INSERT INTO rangeland.events VALUES (gen_random_uuid(), now(), 'node_left', 1, '{info}')",
        )
    execute(pg_primary, installed, "INSERT INTO rangeland.settings VALUES ('last_primary', 'x;1')")
    add(pg_primary, installed, told(NodeLeft(NodeID=1, Reason="silent", Since=5)))
    gone = as_node(pg_primary, installed, lambda server: table.list_gone_nodes(server, deadline=soon()))
    assert list(gone) == [1]
    assert as_node(pg_primary, installed, lambda server: table.read_last_primary(server, deadline=soon())) is None


def test_only_names_of_roles_are_known(pg_primary: PostgresServer, installed: str) -> None:
    names = ["postgres", "my password", "Zoë", NODE_ROLE]
    known = as_node(pg_primary, installed, lambda server: table.list_known_names(server, names, deadline=soon()))
    assert known == {"postgres", NODE_ROLE}

"""A node's connections to its own server, while that is stopped, killed, restarted, promoted or locked."""

from __future__ import annotations

import asyncio
import time

import psycopg
import pytest

from fix_collect import WATCHER, ask, soon
from fix_engine import MakeServers, wait_for_replay
from rangeland.config import STATEMENT_TIMEOUT_S
from rangeland.engine.server import PostgresServer
from rangeland.errors import NotPrimaryError, ServerDownError, ServerError
from rangeland.pg import Role, Server
from rangeland.state.init import NODE_ROLE, init_cluster
from rangeland.state.tables import keep_setting, list_members

PASSWORD = "the nodes' own"


def initialised(make_servers: MakeServers, major: int, count: int = 1) -> list[PostgresServer]:
    """Servers with our schema and role, on every one of them."""
    servers = make_servers(count, major)
    init_cluster(servers[0].url(), role_password=PASSWORD)
    for standby in servers[1:]:
        wait_for_replay(servers[0], standby)
    for server in servers:
        server.password_by_user[WATCHER] = PASSWORD
    return servers


def node_url(server: PostgresServer) -> str:
    return server.url("postgres", NODE_ROLE, PASSWORD)


async def opened(server: PostgresServer) -> Server:
    own = Server(node_url(server))
    own.start()
    await own.wait_until_up(deadline=soon())
    return own


def test_a_stopped_server_is_found_down_before_a_statement_times_out(
    make_servers: MakeServers, server_version: int
) -> None:
    (pg,) = initialised(make_servers, server_version)

    async def scenario() -> None:
        server = await opened(pg)
        with pg.paused():
            began = time.monotonic()
            with pytest.raises(ServerDownError):
                await list_members(server, deadline=soon(10))
            assert time.monotonic() - began < STATEMENT_TIMEOUT_S
            assert server.down is not None
            began = time.monotonic()
            with pytest.raises(ServerDownError):
                await list_members(server, deadline=soon(10))
            assert time.monotonic() - began < STATEMENT_TIMEOUT_S / 2
        await server.wait_until_up(deadline=soon(5))
        assert await list_members(server, deadline=soon()) == []
        await server.close()

    asyncio.run(scenario())


def test_a_restart_between_two_questions_goes_unnoticed(make_servers: MakeServers, server_version: int) -> None:
    (pg,) = initialised(make_servers, server_version)

    async def scenario() -> None:
        server = await opened(pg)
        # at once, so that more than one connection is kept, and all of them are closed by the restart
        await asyncio.gather(*(list_members(server, deadline=soon()) for _ in range(2)))
        await asyncio.to_thread(pg.restart)
        assert await list_members(server, deadline=soon()) == []
        await server.close()

    asyncio.run(scenario())


def test_a_killed_server_is_told_at_once_and_found_again_within_two_seconds(
    make_servers: MakeServers, server_version: int
) -> None:
    (pg,) = initialised(make_servers, server_version)

    async def scenario() -> None:
        server = await opened(pg)
        await asyncio.to_thread(pg.kill)
        began = time.monotonic()
        with pytest.raises(ServerDownError):
            await list_members(server, deadline=soon())
        assert time.monotonic() - began < STATEMENT_TIMEOUT_S / 2
        await asyncio.to_thread(pg.start)
        await server.wait_until_up(deadline=soon(2))
        await server.close()

    asyncio.run(scenario())


def test_a_held_lock_is_soon_given_up_and_is_no_outage(make_servers: MakeServers, server_version: int) -> None:
    (pg,) = initialised(make_servers, server_version)

    async def scenario() -> None:
        server = await opened(pg)
        with psycopg.connect(pg.conninfo()) as holder:
            holder.execute("LOCK TABLE rangeland.nodes IN ACCESS EXCLUSIVE MODE")
            began = time.monotonic()
            with pytest.raises(ServerError) as refused:
                await list_members(server, deadline=soon())
            assert refused.value.sqlstate == "55P03"  # lock_not_available
            assert time.monotonic() - began < STATEMENT_TIMEOUT_S / 2
            assert server.down is None
        await server.close()

    asyncio.run(scenario())


def test_a_write_does_not_wait_for_a_synchronous_standby_that_is_dead(
    make_servers: MakeServers, server_version: int
) -> None:
    (pg,) = initialised(make_servers, server_version)
    pg.configure(synchronous_standby_names="nobody")

    async def scenario() -> None:
        server = await opened(pg)
        await keep_setting(server, "key_check", "value", deadline=soon(2))
        await server.close()

    asyncio.run(scenario())


def test_when_all_slots_are_taken_the_kept_connection_still_serves(
    make_servers: MakeServers, server_version: int
) -> None:
    (pg,) = initialised(make_servers, server_version)

    async def scenario() -> None:
        server = await opened(pg)
        await list_members(server, deadline=soon())
        with psycopg.connect(pg.conninfo(), autocommit=True) as connection:
            connection.execute("ALTER ROLE rangeland CONNECTION LIMIT 1")
        answers = await asyncio.gather(
            *(list_members(server, deadline=soon()) for _ in range(2)), return_exceptions=True
        )
        assert [] in answers
        assert server.down is None
        assert await list_members(server, deadline=soon()) == []
        await server.close()

    asyncio.run(scenario())


def test_a_standby_takes_no_write_until_it_is_promoted(make_servers: MakeServers, server_version: int) -> None:
    _, standby = initialised(make_servers, server_version, 2)

    async def scenario() -> None:
        server = await opened(standby)
        assert (server.role, server.timeline) == (Role.STANDBY, 1)
        with pytest.raises(NotPrimaryError):
            await keep_setting(server, "key_check", "value", deadline=soon())
        await asyncio.to_thread(standby.promote)
        await server.look_again(deadline=soon())
        assert (server.role, server.timeline) == (Role.PRIMARY, 2)
        await keep_setting(server, "key_check", "value", deadline=soon())
        await server.close()

    asyncio.run(scenario())


def test_a_node_keeps_at_most_three_connections(pg_primary: PostgresServer) -> None:
    async def scenario(server: Server) -> None:
        await asyncio.gather(
            *(server.fetch("server", "identify_server", deadline=soon()) for _ in range(50)),
        )
        with psycopg.connect(pg_primary.conninfo()) as connection:
            row = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = %s", [WATCHER]).fetchone()
        assert row is not None
        assert 1 <= row[0] <= 3

    ask(pg_primary, scenario)


def test_a_wrong_password_is_told_as_such(pg_primary: PostgresServer) -> None:
    async def scenario() -> None:
        server = Server(pg_primary.url("postgres", WATCHER, "wrong"))
        server.start()
        with pytest.raises(ServerDownError, match="password authentication failed"):
            await server.wait_until_up(deadline=soon(0.5))
        await server.close()

    asyncio.run(scenario())

"""This server's users, on a primary and a standby."""

from __future__ import annotations

from fix_collect import WATCHER, ask, execute, soon
from fix_engine import wait_for_replay
from rangeland.collect.users import collect_users
from rangeland.engine.server import PostgresServer
from rangeland.pg import Server
from rangeland.wire.parts import PageParams
from rangeland.wire.users import UsersAnswer


def collect(pg: PostgresServer, *, limit: int = 0, offset: int = 0) -> UsersAnswer:
    async def work(server: Server) -> UsersAnswer:
        return await collect_users(server, PageParams(limit=limit, offset=offset), deadline=soon())

    return ask(pg, work)


def test_roles_that_may_log_in_are_users_by_name(pg_primary: PostgresServer, pg_standby: PostgresServer) -> None:
    execute(pg_primary, "postgres", 'CREATE ROLE "Zoë x" LOGIN', "CREATE ROLE a_group NOLOGIN")
    wait_for_replay(pg_primary, pg_standby)
    for server in (pg_primary, pg_standby):
        names = [user.username for user in collect(server).users]
        assert names == sorted(names, key=str.encode)
        assert {"Zoë x", WATCHER} <= set(names)
        assert "a_group" not in names
        assert collect(server, limit=1, offset=1) == UsersAnswer(collect(server).users[1:2], next=2)
    execute(pg_primary, "postgres", 'DROP ROLE "Zoë x"', "DROP ROLE a_group")

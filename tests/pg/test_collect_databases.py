"""This server's databases and their grants, and that only what may be visited exists."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from fix_collect import WATCHER, ask, execute, soon, value
from fix_engine import wait_for_replay
from rangeland.collect.databases import DatabaseCollector
from rangeland.engine.server import PostgresServer
from rangeland.pg import Server
from rangeland.wire.databases import Grant
from rangeland.wire.parts import DatabaseParams, PageParams

T = TypeVar("T")


def collect(pg: PostgresServer, work: Callable[[DatabaseCollector], Awaitable[T]]) -> T:
    async def run(server: Server) -> T:
        return await work(DatabaseCollector(server))

    return ask(pg, run)


def names(pg: PostgresServer) -> list[str]:
    return collect(pg, lambda collector: collector.collect_databases(PageParams(), soon())).databases


def grants(pg: PostgresServer, database: str) -> list[Grant] | None:
    params = DatabaseParams(database=database)
    part = collect(pg, lambda collector: collector.collect_grants(params, soon()))
    return part.answer.grants if part.answer else None


def test_a_database_without_connect_is_not_there(pg_primary: PostgresServer, database: str) -> None:
    params = DatabaseParams(database=database)
    assert database in names(pg_primary)
    found = collect(pg_primary, lambda collector: collector.collect_database(params, soon())).answer
    assert found is not None
    assert found.descriptor_id == value(
        pg_primary, "postgres", f"SELECT oid::int8 FROM pg_database WHERE datname = '{database}'"
    )
    assert found.size_bytes == value(pg_primary, "postgres", f"SELECT pg_database_size('{database}')")
    execute(pg_primary, "postgres", f"REVOKE CONNECT ON DATABASE {database} FROM public")
    assert database not in names(pg_primary)
    assert collect(pg_primary, lambda collector: collector.collect_database(params, soon())).answer is None
    assert grants(pg_primary, database) is None


def test_grants_are_each_role_s_privileges_once(
    pg_primary: PostgresServer, pg_standby: PostgresServer, database: str
) -> None:
    execute(
        pg_primary,
        "postgres",
        f"GRANT CREATE ON DATABASE {database} TO {WATCHER}",
        f"REVOKE TEMPORARY ON DATABASE {database} FROM public",
    )
    wait_for_replay(pg_primary, pg_standby)
    for server in (pg_primary, pg_standby):
        found = grants(server, database)
        assert found is not None
        assert {"public": ["CONNECT"], WATCHER: ["CREATE"]}.items() <= {
            grant.user: grant.privileges for grant in found
        }.items()
        assert [grant.user for grant in found] == sorted(grant.user for grant in found)

"""Asking a collector, as a test does: in a loop of its own, as a role no bigger than a node's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import psycopg

from rangeland.collect.databases import SHARED_OID
from rangeland.engine.server import PostgresServer
from rangeland.pg import Server

T = TypeVar("T")
WATCHER = "watcher"  # a member of pg_monitor, as `rangeland init` makes its role


def ask(pg: PostgresServer, work: Callable[[Server], Awaitable[T]], *, dbname: str = "postgres") -> T:
    """Do the work with a node's connection to the server, as a node does it: as a member of pg_monitor."""

    async def run() -> T:
        server = Server(pg.url(dbname, WATCHER))
        server.start()
        try:
            await server.wait_until_up(deadline=soon())
            return await work(server)
        finally:
            await server.close()

    return asyncio.run(run())


def soon(seconds: float = 4.0) -> float:
    """A deadline in loop time."""
    return asyncio.get_running_loop().time() + seconds


async def number_databases(oids: list[int], *, deadline: float) -> dict[int, int]:
    """As the primary's node would: 1 for what is shared, then as they come; here simply by oid."""
    return {oid: 1 if oid == SHARED_OID else oid for oid in oids}


def execute(pg: PostgresServer, dbname: str, *statements: str) -> None:
    """Run each statement on its own."""
    with psycopg.connect(pg.conninfo(dbname), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def value(pg: PostgresServer, dbname: str, statement: str) -> Any:
    """The first column of the first row."""
    with psycopg.connect(pg.conninfo(dbname), autocommit=True) as connection:
        row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return row[0]

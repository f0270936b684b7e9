"""The databases of this node's server: which may be visited, their numbers, visiting them one at a time, and what
there is to say of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypeVar

from msgspec import UNSET, UnsetType

from rangeland.collect.text import text_from_bytes
from rangeland.errors import ServerError, ServerTimeoutError
from rangeland.merge.paging import page_of_window, window
from rangeland.pg import Server
from rangeland.wire.databases import DatabaseAnswer, DatabasesAnswer, Grant, GrantsAnswer
from rangeland.wire.parts import DatabaseGrantsPart, DatabaseParams, DatabasePart, PageParams

T = TypeVar("T")

SHARED_NUMBER = 1  # of the catalogues that all databases share
SHARED_OID = 0  # stands for them where database oids are numbered
_GONE = {"3D000", "57P04"}  # no such database; dropped while we were there
_RECOVERY_CONFLICT = "40001"
ENDS_A_VISIT = _GONE | {_RECOVERY_CONFLICT}  # whatever else is to be read there
_SIZE_TIMEOUT_S = 1.0  # 100,000 files; a larger database is shown without its size


class Fetch(Protocol):
    """A place to run statements: the server's state database, or a visit to another one."""

    async def fetch(self, resource: str, name: str, /, *, deadline: float, **params: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a named statement. Raises: ServerError."""


class Place(Protocol):
    """What has to be known of a database to visit it."""

    @property
    def name(self) -> str: ...

    @property
    def is_state(self) -> bool: ...


class Visitable(NamedTuple):
    """A row of sql/ranges.sql, list_databases."""

    oid: int
    name: str
    is_state: bool  # the one that connections are kept to
    counters_since: datetime | None  # changes when its counters begin anew; None: never reset


class NumberDatabases(Protocol):
    """Gives databases their numbers, by oid; one that can't be numbered now, for want of a primary, is absent."""

    async def __call__(self, oids: list[int], *, deadline: float) -> dict[int, int]: ...


@dataclass(frozen=True, slots=True)
class Database:
    """A database that may be visited."""

    number: int  # upper half of its ranges' ids
    oid: int
    name: str
    is_state: bool  # the one that connections are kept to
    counters_since: datetime | None  # changes when its counters begin anew; None: never reset


class Databases:
    """Finds and visits the databases; `allowed` are the names to visit, None: all that can be."""

    def __init__(
        self, server: Server, number_databases: NumberDatabases, *, allowed: frozenset[str] | None = None
    ) -> None:
        self._server = server
        self._number_databases = number_databases
        self._allowed = allowed

    async def list_visitable(self, *, deadline: float) -> list[Visitable]:
        """Return the databases by oid, also those without a number. Raises: ServerError."""
        rows = await self._server.fetch("ranges", "list_databases", deadline=deadline)
        found = map(Visitable._make, rows)
        return [each for each in found if self._allowed is None or each.name in self._allowed or each.is_state]

    async def list(self, *, deadline: float) -> list[Database]:
        """Return the databases by ascending number, without those that can't be numbered now."""
        found = await self.list_visitable(deadline=deadline)
        numbers = await self._number_databases([SHARED_OID, *(each.oid for each in found)], deadline=deadline)
        numbered = [Database(numbers[each.oid], *each) for each in found if each.oid in numbers]
        return sorted(numbered, key=lambda database: database.number)

    async def read(self, database: Place, work: Callable[[Fetch], Awaitable[T]], *, deadline: float) -> T | None:
        """Run `work` in the database, once more after a recovery conflict; None when it has been dropped."""
        for is_last_try in (False, True):
            try:
                return await self._read(database, work, deadline)
            except ServerError as exc:
                if exc.sqlstate in _GONE:
                    return None
                if exc.sqlstate != _RECOVERY_CONFLICT or is_last_try:
                    raise
        raise AssertionError("the last try returns or raises")

    async def _read(self, database: Place, work: Callable[[Fetch], Awaitable[T]], deadline: float) -> T:
        if database.is_state:
            return await work(self._server)
        async with self._server.visit(database.name, deadline=deadline) as visit:
            return await work(visit)


class FoundDatabase(NamedTuple):
    """A row of sql/databases.sql, find_database, behind the name that was looked for."""

    name: str
    oid: int
    is_state: bool  # the one that connections are kept to
    owner: bytes
    encoding: str


class DatabaseCollector:
    """Each answer takes the parameters and a deadline in loop time, and may raise ServerError.

    Only databases that may be visited exist for it. Any server of the cluster gives the same answers, except sizes.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    async def collect_databases(self, params: PageParams, deadline: float) -> DatabasesAnswer:
        """List databases by name, all or a page."""
        skip, page_size = window(params.limit, params.offset)
        rows = await self._server.fetch(
            "databases", "list_databases", deadline=deadline, skip=skip, page_size=page_size
        )
        page, next_offset = page_of_window(rows, params.limit, params.offset)
        return DatabasesAnswer(databases=[text_from_bytes(row[0]) for row in page], next=next_offset)

    async def collect_database(self, params: DatabaseParams, deadline: float) -> DatabasePart:
        """Describe a database."""
        found = await find_database(self._server, params.database, deadline=deadline)
        if found is None:
            return DatabasePart(answer=None)
        answer = DatabaseAnswer(
            descriptor_id=found.oid,
            owner=text_from_bytes(found.owner),
            encoding=found.encoding,
            size_bytes=await self._size(found.oid, deadline),
        )
        return DatabasePart(answer=answer)

    async def collect_grants(self, params: DatabaseParams, deadline: float) -> DatabaseGrantsPart:
        """List who may do what with a database by name, all or a page."""
        found = await find_database(self._server, params.database, deadline=deadline)
        if found is None:
            return DatabaseGrantsPart(answer=None)
        skip, page_size = window(params.limit, params.offset)
        rows = await self._server.fetch(
            "databases", "list_database_grants", deadline=deadline, oid=found.oid, skip=skip, page_size=page_size
        )
        page, next_offset = page_of_window(rows, params.limit, params.offset)
        return DatabaseGrantsPart(answer=GrantsAnswer([grant_from_row(row) for row in page], next=next_offset))

    async def _size(self, oid: int, deadline: float) -> int | UnsetType:
        deadline = min(deadline, asyncio.get_running_loop().time() + _SIZE_TIMEOUT_S)
        try:
            rows = await self._server.fetch("databases", "read_database_size", deadline=deadline, oid=oid)
        except ServerTimeoutError:
            return UNSET
        return rows[0][0] if rows and rows[0][0] is not None else UNSET


async def find_database(server: Server, name: str, *, deadline: float) -> FoundDatabase | None:
    """Return the database of that name if it may be visited. Raises: ServerError."""
    rows = await server.fetch("databases", "find_database", deadline=deadline, name=name)
    return FoundDatabase(name, *rows[0]) if rows else None


def grant_from_row(row: tuple[Any, ...]) -> Grant:
    """Of a role's name and its privileges."""
    return Grant(text_from_bytes(row[0]), row[1])

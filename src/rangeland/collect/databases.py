"""The databases of this node's server: which may be visited, their numbers, and visiting them one at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from rangeland.errors import ServerError
from rangeland.pg import Server

T = TypeVar("T")

SHARED_NUMBER = 1  # of the catalogues that all databases share
SHARED_OID = 0  # stands for them where database oids are numbered
_GONE = {"3D000", "57P04"}  # no such database; dropped while we were there
_RECOVERY_CONFLICT = "40001"


class Fetch(Protocol):
    """A place to run statements: the server's state database, or a visit to another one."""

    async def fetch(self, resource: str, name: str, /, *, deadline: float, **params: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a named statement. Raises: ServerError."""


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

    async def list(self, *, deadline: float) -> list[Database]:
        """Return the databases by ascending number, without those that can't be numbered now."""
        rows = await self._server.fetch("ranges", "list_databases", deadline=deadline)
        found = [row for row in rows if self._allowed is None or row[1] in self._allowed or row[2]]
        numbers = await self._number_databases([SHARED_OID, *(row[0] for row in found)], deadline=deadline)
        numbered = [Database(numbers[row[0]], *row) for row in found if row[0] in numbers]
        return sorted(numbered, key=lambda database: database.number)

    async def read(self, database: Database, work: Callable[[Fetch], Awaitable[T]], *, deadline: float) -> T | None:
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

    async def _read(self, database: Database, work: Callable[[Fetch], Awaitable[T]], deadline: float) -> T:
        if database.is_state:
            return await work(self._server)
        async with self._server.visit(database.name, deadline=deadline) as visit:
            return await work(visit)

"""What this node's server says to the checks: the rows of each reading."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import Raw, Struct

from rangeland.checks.check import Reading
from rangeland.collect.databases import ENDS_A_VISIT, Databases, Fetch
from rangeland.collect.text import text_from_bytes
from rangeland.errors import ServerDownError, ServerError, ServerTimeoutError
from rangeland.pg import Server
from rangeland.sql import block
from rangeland.wire.json import encode
from rangeland.wire.parts import ProblemsPart, StatusPart
from rangeland.wire.problems import Unchecked

ROWS = 1000  # of one reading of one place, at most: the worst come first
SHARE = (
    100  # a database is read again when this many times as long has passed as its last reading took: 1 % of a core
)
VISITS_S = 2.0  # for all databases of one answer; those that are left over come first in the next one


@dataclass(frozen=True, slots=True)
class _Place:
    """A database to visit."""

    oid: int
    name: str
    is_state: bool


@dataclass(slots=True)
class _Rows:
    """What a database said at the last visit; times are of the loop's clock."""

    by_reading: dict[str, list[Struct]] = field(default_factory=dict)
    unchecked: list[Unchecked] = field(default_factory=list)
    due_at: float = 0.0


class ProblemCollector:
    """Reads what is the server's with each answer, and of each database as often as its cost allows."""

    def __init__(
        self,
        server: Server,
        databases: Databases,
        readings: Sequence[Reading[Any]],
        status: Callable[[float], Awaitable[StatusPart]],
    ) -> None:
        self._server = server
        self._databases = databases
        self._of_server = [reading for reading in readings if not reading.in_each_database]
        self._of_databases = [reading for reading in readings if reading.in_each_database]
        self._status = status
        self._kept: dict[int, _Rows] = {}  # by database oid
        self._visiting = asyncio.Lock()

    async def collect(self, *, node_id: int, deadline: float) -> ProblemsPart:
        """Never raises: what can't be read is in `unchecked`."""
        status = await self._status(deadline)
        if not status.server_up:
            return ProblemsPart(status=status, rows={})
        rows: dict[str, list[Struct]] = {}
        unchecked: list[Unchecked] = []
        for reading in self._of_server:
            try:
                found = await self._read(self._server, reading, deadline)
            except ServerError as exc:
                unchecked.append(Unchecked(node_id=node_id, check=reading.name, message=str(exc)))
                continue
            if found is not None:
                rows[reading.name] = found
        for kept in await self._of_each_database(node_id, deadline):
            unchecked += kept.unchecked
            for name, found in kept.by_reading.items():
                rows.setdefault(name, []).extend(found)
        encoded = {name: Raw(encode(found)) for name, found in rows.items()}
        return ProblemsPart(status=status, rows=encoded, unchecked=unchecked)

    async def _read(self, place: Fetch, reading: Reading[Any], deadline: float, *first: str) -> list[Struct] | None:
        """The rows, with `first` before their columns; None where they are another role's. Raises: ServerError."""
        on = block("problems", reading.name, self._server.version).on
        if on != "any" and on != self._server.role.value:
            return None
        rows = await place.fetch("problems", reading.name, deadline=deadline, page_size=ROWS)
        return [reading.row(*first, *map(_plain, row)) for row in rows]

    async def _of_each_database(self, node_id: int, deadline: float) -> list[_Rows]:
        """What is known of each, those that are due read again, by oid. One answer at a time visits."""
        try:
            found = await self._server.fetch("ranges", "list_databases", deadline=deadline)
        except ServerError as exc:
            return [_Rows(unchecked=[Unchecked(node_id=node_id, check="databases", message=str(exc))])]
        places = [_Place(oid, name, is_state) for oid, name, is_state, _ in found]
        self._kept = {place.oid: self._kept.get(place.oid, _Rows()) for place in places}
        until = min(deadline, asyncio.get_running_loop().time() + VISITS_S)
        async with self._visiting:
            for place in sorted(places, key=lambda place: self._kept[place.oid].due_at):
                await self._refresh(place, node_id, until)
        return [self._kept[place.oid] for place in places if place.oid in self._kept]

    async def _refresh(self, place: _Place, node_id: int, until: float) -> None:
        now = asyncio.get_running_loop().time
        began = now()
        kept = self._kept[place.oid]
        if began < kept.due_at:
            return
        if began >= until:
            if not kept.by_reading:
                kept.unchecked = self._all_unchecked(place, node_id, "there was no time for this database yet")
            return
        try:
            fresh = await self._databases.read(
                place, lambda at: self._visited(at, place, node_id, until), deadline=until
            )
        except ServerError as exc:
            fresh = _Rows(unchecked=self._all_unchecked(place, node_id, str(exc)))
        if fresh is None:
            self._kept.pop(place.oid, None)  # dropped meanwhile
            return
        fresh.due_at = now() + SHARE * (now() - began)
        self._kept[place.oid] = fresh

    async def _visited(self, at: Fetch, place: _Place, node_id: int, deadline: float) -> _Rows:
        """Raises: ServerError where the visit is over, or to be made again."""
        rows = _Rows()
        for number, reading in enumerate(self._of_databases):
            try:
                found = await self._read(at, reading, deadline, place.name)
            except ServerTimeoutError as exc:  # the connection ended with the statement
                rows.unchecked += self._all_unchecked(place, node_id, str(exc), first=number)
                break
            except ServerError as exc:
                if isinstance(exc, ServerDownError) or exc.sqlstate in ENDS_A_VISIT:
                    raise
                rows.unchecked.append(_unchecked(place, node_id, reading, str(exc)))
                continue
            if found is not None:
                rows.by_reading[reading.name] = found
        return rows

    def _all_unchecked(self, place: _Place, node_id: int, message: str, *, first: int = 0) -> list[Unchecked]:
        return [_unchecked(place, node_id, reading, message) for reading in self._of_databases[first:]]


def _unchecked(place: _Place, node_id: int, reading: Reading[Any], message: str) -> Unchecked:
    return Unchecked(node_id=node_id, check=reading.name, database=place.name, message=message)


def _plain(value: object) -> object:
    return text_from_bytes(value) if isinstance(value, bytes) else value

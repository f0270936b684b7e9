"""What this node's server says to the checks: the rows of each reading."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import Raw, Struct

from rangeland.checks.check import Reading
from rangeland.collect.databases import ENDS_A_VISIT, Databases, Fetch, Visitable
from rangeland.collect.text import text_from_bytes
from rangeland.errors import ServerDownError, ServerError
from rangeland.pg import Server
from rangeland.sql import block
from rangeland.wire.json import encode
from rangeland.wire.parts import ProblemsPart, StatusPart
from rangeland.wire.problems import Unchecked

ROWS = 1000  # of one reading, of all databases together, at most: the worst come first; some 150 kB
LEAST_ROWS = 10  # of each database, however many there are
CPU_PERCENT = 1  # of a core, that reading one database may take; it waits 100 times as long as it took
ALL_DATABASES = 5  # times that, that reading all of them may take, however many there are
RETRY_S = 60.0  # one that could not be read is tried again after that long at the latest; at 3 s each, 5 % of a core
PATIENCE_S = 1.0  # an answer waits that long for databases that are being read; the next one will have the rest
VISIT_S = 10.0  # for one database: three statements that run into their timeout


@dataclass(slots=True)
class _Rows:
    """What a database said at the last visit; times are of the loop's clock."""

    by_reading: dict[str, list[Struct]] = field(default_factory=dict)
    unchecked: list[Unchecked] = field(default_factory=list)
    took_s: float = 0.0
    due_at: float = 0.0


class ProblemCollector:
    """Reads what is the server's with each answer, and each database as often as its cost allows.

    Databases are read one after the other by one task at a time, whoever asks: an answer holds what is known when it
    has to go.
    """

    def __init__(
        self,
        server: Server,
        databases: Databases,
        readings: Sequence[Reading[Any]],
        status: Callable[[float], Awaitable[StatusPart]],
        *,
        cpu_percent: float = CPU_PERCENT,
    ) -> None:
        self._server = server
        self._databases = databases
        self._of_server = [reading for reading in readings if not reading.in_each_database]
        self._of_databases = [reading for reading in readings if reading.in_each_database]
        self._status = status
        self._rest_factor = 100 / cpu_percent
        self._of_server_now: dict[str, list[Struct]] = {}  # rows, as last read
        # What a reading changes with, and its rows, by name.
        self._unchanged: dict[str, tuple[list[tuple[Any, ...]], list[Struct]]] = {}
        self._kept: dict[int, _Rows] = {}  # by database oid
        self._round: asyncio.Task[None] | None = None

    async def close(self) -> None:
        if self._round is not None:
            self._round.cancel()

    async def collect(self, *, node_id: int, deadline: float) -> ProblemsPart:
        """Never raises: what can't be read is in `unchecked`."""
        status = await self._status(deadline)
        if not status.server_up:
            why = self._server.down.reason if self._server.down else "it did not answer in time"
            down = Unchecked(node_id=node_id, message=f"the server is down: {why}")
            return ProblemsPart(status=status, rows={}, unchecked=[down])
        rows, unchecked = await self._of_the_server(node_id, deadline)
        self._of_server_now = dict(rows)
        for kept in await self._of_each_database(node_id, deadline):
            unchecked += kept.unchecked
            for name, found in kept.by_reading.items():
                rows.setdefault(name, []).extend(found)
        encoded = {name: Raw(encode(found)) for name, found in rows.items()}
        return ProblemsPart(status=status, rows=encoded, unchecked=unchecked)

    async def _of_the_server(self, node_id: int, deadline: float) -> tuple[dict[str, list[Struct]], list[Unchecked]]:
        """Rows by reading. Once the server doesn't answer, nothing more is asked of it."""
        rows: dict[str, list[Struct]] = {}
        unchecked: list[Unchecked] = []
        for number, reading in enumerate(self._of_server):
            if not self._is_for_this_role(reading):
                continue
            try:
                rows[reading.name] = await self._of_server_if_changed(reading, deadline)
            except ServerDownError as exc:
                unchecked += [_unchecked(node_id, each.name, exc) for each in self._of_server[number:]]
                break
            except ServerError as exc:
                unchecked.append(_unchecked(node_id, reading.name, exc))
        return rows, unchecked

    async def _of_server_if_changed(self, reading: Reading[Any], deadline: float) -> list[Struct]:
        """The rows, the earlier ones where they are the same. Raises: ServerError."""
        if not reading.changes_with:
            return await self._read(self._server, reading, deadline, ROWS)
        found = await self._server.fetch("problems", reading.changes_with, deadline=deadline)
        known, rows = self._unchanged.get(reading.name, (None, []))
        if known != found:
            rows = await self._read(self._server, reading, deadline, ROWS)
            self._unchanged[reading.name] = (found, rows)
        return rows

    async def _read(
        self, place: Fetch, reading: Reading[Any], deadline: float, page_size: int, *first: str
    ) -> list[Struct]:
        """The rows, with `first` before their columns. Raises: ServerError."""
        rows = await place.fetch("problems", reading.name, deadline=deadline, page_size=page_size)
        return [reading.row(*first, *map(_plain, row)) for row in rows]

    def _is_for_this_role(self, reading: Reading[Any]) -> bool:
        return block("problems", reading.name, self._server.version).on in ("any", self._server.role.value)

    async def _of_each_database(self, node_id: int, deadline: float) -> list[_Rows]:
        """What is known of each by now, by oid."""
        now = asyncio.get_running_loop().time
        try:
            places = await self._databases.list_visitable(deadline=deadline)
        except ServerError as exc:
            return [_Rows(unchecked=[_unchecked(node_id, "databases", exc)])]
        self._kept = {place.oid: self._kept.get(place.oid, _Rows()) for place in places}
        is_first = self._begin_round(places, node_id)
        is_new = any(not self._kept[place.oid].due_at for place in places)
        if self._round is not None and (is_first or is_new):
            patience_s = min(PATIENCE_S, (deadline - now()) / 2)
            await asyncio.wait({self._round}, timeout=max(0.0, patience_s))
        return [self._known(place, node_id) for place in places if place.oid in self._kept]

    def _begin_round(self, places: Sequence[Visitable], node_id: int) -> bool:
        """Whether this call began to read the databases that are due, those that are due the longest first."""
        if self._round is not None:
            if not self._round.done():
                return False
            self._round.result()
        now = asyncio.get_running_loop().time()
        due = sorted(
            (place for place in places if self._kept[place.oid].due_at <= now),
            key=lambda place: self._kept[place.oid].due_at,
        )
        page_size = max(LEAST_ROWS, ROWS // max(1, len(places)))
        self._round = asyncio.create_task(self._visit(due, node_id, page_size)) if due else None
        return bool(due)

    def _known(self, place: Visitable, node_id: int) -> _Rows:
        kept = self._kept[place.oid]
        if kept.due_at:
            return kept
        message = "it is being read, for the first time; ask again in a moment"
        return _Rows(unchecked=[Unchecked(node_id=node_id, database=place.name, message=message)])

    async def _visit(self, places: Sequence[Visitable], node_id: int, page_size: int) -> None:
        for place in places:
            if self._server.down is not None:
                return
            if place.oid in self._kept:  # else it was dropped meanwhile
                await self._refresh(place, node_id, page_size)

    async def _refresh(self, place: Visitable, node_id: int, page_size: int) -> None:
        now = asyncio.get_running_loop().time
        began = now()
        until = began + VISIT_S
        try:
            fresh = await self._databases.read(
                place, lambda at: self._visited(at, place, node_id, until, page_size), deadline=until
            )
        except ServerError as exc:
            fresh = _Rows(unchecked=[_unchecked(node_id, "", exc, place.name)])
        if fresh is None:
            self._kept.pop(place.oid, None)  # dropped meanwhile
            return
        fresh.took_s = now() - began
        all_took_s = fresh.took_s + sum(kept.took_s for oid, kept in self._kept.items() if oid != place.oid)
        wait_s = self._rest_factor * max(fresh.took_s, all_took_s / ALL_DATABASES)
        fresh.due_at = now() + (min(wait_s, RETRY_S) if fresh.unchecked else wait_s)
        if place.oid in self._kept:
            self._kept[place.oid] = fresh

    async def _visited(self, at: Fetch, place: Visitable, node_id: int, deadline: float, page_size: int) -> _Rows:
        """Raises: ServerError where the visit is over, or to be made again."""
        rows = _Rows()
        could_find = await self._signs(at, deadline)
        for reading in self._of_databases:
            if not self._is_for_this_role(reading) or not reading.is_wanted(self._of_server_now, place.name):
                continue
            try:
                found = (
                    await self._read(at, reading, deadline, page_size, place.name)
                    if could_find.get(reading.name, True)
                    else []
                )
            except ServerError as exc:
                if _ends_a_visit(exc):
                    raise
                rows.unchecked.append(_unchecked(node_id, reading.name, exc, place.name))
            else:
                rows.by_reading[reading.name] = found
        return rows

    async def _signs(self, at: Fetch, deadline: float) -> Mapping[str, bool]:
        """Whether a reading could find something there, by name; of one that is absent nobody knows.

        Raises: ServerError where the visit is over, or to be made again.
        """
        try:
            rows = await at.fetch("problems", "signs", deadline=deadline)
        except ServerError as exc:
            if _ends_a_visit(exc):
                raise
            return {}
        return block("problems", "signs", self._server.version).by_name(rows[0])


def _ends_a_visit(exc: ServerError) -> bool:
    """The connection ended with the statement, or the database is to be visited anew."""
    return isinstance(exc, ServerDownError) or exc.sqlstate in ENDS_A_VISIT


def _unchecked(node_id: int, check: str, exc: ServerError, database: str = "") -> Unchecked:
    return Unchecked(node_id=node_id, check=check, database=database, message=str(exc))


def _plain(value: object) -> object:
    return text_from_bytes(value) if isinstance(value, bytes) else value

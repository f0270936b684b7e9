"""This server's ranges: every table, partition and materialised view with its indexes and TOAST."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from msgspec import UNSET, Raw, UnsetType

from rangeland.collect.databases import SHARED_NUMBER, Database, Databases, Fetch
from rangeland.collect.hot_ranges import Sample, Sampler, statistics_from_rates
from rangeland.collect.range_rows import RangeRow, range_id_of, span_from_row, split_range_id
from rangeland.collect.sizes import KnownSizes, SizeBook
from rangeland.collect.text import text_from_bytes
from rangeland.pg import Server
from rangeland.wire.json import encode
from rangeland.wire.number import nonzero
from rangeland.wire.parts import Item, ListPart, RangeParams, RangePart, RangesParams
from rangeland.wire.ranges import (
    IndexInfo,
    Lease,
    Problems,
    RangeDescriptor,
    RangeInfo,
    RangeStatistics,
    Replica,
    ReplicaType,
    Timestamp,
)

# A page of 1,000 and the one that tells whether more follow: the limit within sql/ranges.sql, list_range_oids. In a
# fresh connection 12 ms to describe, 80 to size.
CHUNK_ROWS = 1001
SLICE_ROWS = 100  # translated and encoded at a time: 2 ms
SIZED_RANGES = 10_000  # of one answer: 0.8 s; those behind them come with their last known sizes


@dataclass(frozen=True, slots=True)
class RangeContext:
    """What the cluster knows when this node is asked for its ranges."""

    node_id: int
    leaseholder_node_id: int  # the primary's node; 0: there is no primary
    timeline: int  # of the primary's WAL; 0: unknown
    standby_target: int | None = None  # how many standbys should stream; None: nobody says
    retained_wal_limit_bytes: int | None = None  # how much WAL a slot may hold back; None: nobody says


class _Area(NamedTuple):
    """A stretch of range ids: one database's, or those of the shared catalogues."""

    number: int
    database: Database
    scope: str  # as list_range_oids takes it


class _Stretch(NamedTuple):
    """What was found in an area."""

    skipped: int
    items: list[Item]


class RangeCollector:
    """This node's ranges. Each answer visits the databases that it needs, one at a time."""

    def __init__(self, server: Server, databases: Databases, sampler: Sampler, book: SizeBook) -> None:
        self._server = server
        self._databases = databases
        self._sampler = sampler
        self._book = book

    async def collect_ranges(self, params: RangesParams, *, context: RangeContext, deadline: float) -> ListPart:
        """List ranges by ascending id: all, a page, or the given ones. Raises: ServerError."""
        writer = await self._writer(context, deadline, is_first=not params.after)
        databases = await self._databases.list(deadline=deadline)
        if params.range_ids is None:
            items = await self._window(databases, params, writer, deadline)
        else:
            items = await self._chosen(databases, params.range_ids, writer, deadline)
            items = items[params.offset :] if params.limit else items
        if params.limit and len(items) > params.limit:
            return ListPart(items=items[: params.limit], next_index=params.offset + params.limit)
        return ListPart(items=items)

    async def collect_range(self, params: RangeParams, *, context: RangeContext, deadline: float) -> RangePart:
        """Describe one range; an id made of an index's or TOAST's oid answers with its table's.

        Raises: ServerError.
        """
        number, oid = split_range_id(params.range_id)
        databases = await self._databases.list(deadline=deadline)
        area = next((area for area in _areas(databases, system=True) if area.number == number), None)
        if area is None:
            return RangePart(range_info=None)
        writer = await self._writer(context, deadline, is_first=True)
        work = partial(self._find, area=area, oid=oid, writer=writer, deadline=deadline)
        return RangePart(range_info=await self._databases.read(area.database, work, deadline=deadline))

    async def _writer(self, context: RangeContext, deadline: float, *, is_first: bool) -> _Writer:
        """Only the first stretch of a list waits for a sample that is not there yet."""
        sample = await self._sampler.latest(deadline=deadline if is_first else 0.0)
        problems = await self._problems(context, deadline)
        now = asyncio.get_running_loop().time()
        return _Writer(context, _lease_history(context), problems, sample, self._book, now)

    async def _problems(self, context: RangeContext, deadline: float) -> Problems:
        """Those that this server and the cluster know; what a standby lacks, the primary's node says."""
        if not context.leaseholder_node_id:
            return Problems(no_lease=True)
        target, limit = context.standby_target, context.retained_wal_limit_bytes
        if context.leaseholder_node_id != context.node_id or (target is None and limit is None):
            return Problems()
        rows = await self._server.fetch("ranges", "read_replication", deadline=deadline)
        standbys, retained = rows[0]
        return Problems(
            underreplicated=target is not None and standbys < target,
            raft_log_too_large=limit is not None and retained is not None and retained > limit,
        )

    async def _window(
        self, databases: Sequence[Database], params: RangesParams, writer: _Writer, deadline: float
    ) -> list[Item]:
        """Return the items from `offset` on, one more than `limit` if there are more; all without a limit."""
        items: list[Item] = []
        to_skip = params.offset if params.limit and not params.after else 0
        number, oid = split_range_id(params.after)
        for area in _areas(databases, system=params.system):
            if area.number < number:
                continue
            wanted = params.limit + 1 - len(items) if params.limit else None
            if wanted == 0:
                break
            work = partial(
                self._read_area,
                area=area,
                after=oid if area.number == number else 0,
                to_skip=to_skip,
                wanted=wanted,
                sized=SIZED_RANGES - len(items) if params.read_sizes else 0,
                writer=writer,
                deadline=deadline,
            )
            stretch = await self._databases.read(area.database, work, deadline=deadline)
            if stretch is not None:
                to_skip -= stretch.skipped
                items += stretch.items
        return items

    async def _read_area(
        self,
        fetch: Fetch,
        *,
        area: _Area,
        after: int,
        to_skip: int,
        wanted: int | None,
        sized: int,
        writer: _Writer,
        deadline: float,
    ) -> _Stretch:
        if to_skip:
            rows = await fetch.fetch("ranges", "skip_ranges", deadline=deadline, scope=area.scope, skip=to_skip)
            if not rows:
                counted = await fetch.fetch("ranges", "count_ranges", deadline=deadline, scope=area.scope)
                return _Stretch(min(counted[0][0], to_skip), [])
            after = rows[0][0]
        items: list[Item] = []
        while wanted is None or len(items) < wanted:
            page_size = CHUNK_ROWS if wanted is None else min(CHUNK_ROWS, wanted - len(items))
            oids = await self._oids(fetch, area, after, page_size, deadline)
            is_sized = len(items) < sized
            items += await self._items(fetch, area, oids, writer, is_sized=is_sized, deadline=deadline)
            if len(oids) < page_size:
                break
            after = oids[-1]
        return _Stretch(to_skip, items)

    async def _oids(self, fetch: Fetch, area: _Area, after: int, page_size: int, deadline: float) -> list[int]:
        rows = await fetch.fetch(
            "ranges",
            "list_range_oids",
            deadline=deadline,
            scope=area.scope,
            after_oid=after,
            page_size=page_size,
        )
        return [row[0] for row in rows]

    async def _chosen(
        self, databases: Sequence[Database], range_ids: Sequence[int], writer: _Writer, deadline: float
    ) -> list[Item]:
        """Return the given ranges by ascending id; those that don't exist are passed over."""
        wanted = [split_range_id(range_id) for range_id in sorted(set(range_ids)) if range_id > 0]
        items: list[Item] = []
        for area in _areas(databases, system=True):
            oids = [oid for number, oid in wanted if number == area.number]
            if oids:
                work = partial(self._items, area=area, oids=oids, writer=writer, is_sized=True, deadline=deadline)
                items += await self._databases.read(area.database, work, deadline=deadline) or []
        return items

    async def _items(
        self,
        fetch: Fetch,
        area: _Area,
        oids: Sequence[int],
        writer: _Writer,
        *,
        is_sized: bool,
        deadline: float,
    ) -> list[Item]:
        """Encode each range once; from here on it is passed on as bytes. In slices: others are answered between."""
        rows = await self._rows(fetch, area, oids, is_sized=is_sized, deadline=deadline)
        items: list[Item] = []
        for first in range(0, len(rows), SLICE_ROWS):
            items += [writer.item(area.number, row) for row in rows[first : first + SLICE_ROWS]]
            await asyncio.sleep(0)
        return items

    async def _find(
        self, fetch: Fetch, *, area: _Area, oid: int, writer: _Writer, deadline: float
    ) -> RangeInfo | None:
        found = await fetch.fetch("ranges", "find_range", deadline=deadline, oid=oid)
        oids = [row[0] for row in found]
        rows = await self._rows(fetch, area, oids, is_sized=True, deadline=deadline)
        return writer.info(area.number, rows[0]) if rows else None

    async def _rows(
        self, fetch: Fetch, area: _Area, oids: Sequence[int], *, is_sized: bool, deadline: float
    ) -> list[RangeRow]:
        """Describe tables by ascending oid; those that are gone, or not of this area, are missing."""
        if not oids:
            return []
        found = await fetch.fetch("ranges", "describe_ranges", deadline=deadline, oids=list(oids))
        rows = [row for row in map(RangeRow._make, found) if row.is_shared == (area.number == SHARED_NUMBER)]
        if is_sized:
            await self._book.read(fetch, area.number, [row.oid for row in rows], deadline=deadline)
        return rows


def _areas(databases: Sequence[Database], *, system: bool) -> list[_Area]:
    """The areas by ascending number. The shared catalogues are read where a connection is kept."""
    own = [_Area(each.number, each, "system" if system else "user") for each in databases]
    shared = [_Area(SHARED_NUMBER, each, "shared") for each in databases if each.is_state]
    return sorted([*shared, *own], key=lambda area: area.number)


@dataclass(frozen=True, slots=True)
class _Writer:
    """What all ranges of one answer have in common, and how a row becomes a RangeInfo; pure."""

    context: RangeContext
    lease_history: list[Lease]
    problems: Problems
    sample: Sample | None
    book: SizeBook
    now: float  # loop time when the answer was begun: a size that was read before it is an old one

    def item(self, number: int, row: RangeRow) -> Item:
        info = self.info(number, row)
        return Item(key=float(info.desc.range_id), body=Raw(encode(info)))

    def info(self, number: int, row: RangeRow) -> RangeInfo:
        range_id = range_id_of(number, row.oid)
        known = self.book.last(range_id)
        span = span_from_row(row)
        rates = self.sample.rates(range_id) if self.sample else None
        return RangeInfo(
            desc=RangeDescriptor(
                range_id=range_id,
                start_key=span.start_key.encode(),
                end_key=span.end_key.encode(),
                store_id=0,
                queries_per_second=0.0,
            ),
            span=span,
            source_node_id=self.context.node_id,
            source_store_id=self.context.node_id,
            lease_history=self.lease_history,
            problems=Problems() if row.is_unlogged else self.problems,
            stats=statistics_from_rates(rates) if rates else RangeStatistics(),
            database=text_from_bytes(row.database),
            schema_name=text_from_bytes(row.schema_name),
            table=text_from_bytes(row.table_name),
            kind=row.kind,
            sizes=known.sizes if known else None,
            indexes=_indexes(row, known),
            size_age_seconds=nonzero(self.now - known.read_at) if known and known.read_at < self.now else UNSET,
            window_seconds=rates.window_s if rates else UNSET,
        )


def _indexes(row: RangeRow, known: KnownSizes | None) -> list[IndexInfo]:
    """The indexes of now by name, with what is known of their sizes."""
    size_by_name = {index.name: index for index in known.indexes} if known else {}
    names = [text_from_bytes(name) for name in row.index_names or ()]
    return [
        IndexInfo(name=name, size_bytes=_or_unset(size.size_bytes), scans=_or_unset(size.scans))
        if (size := size_by_name.get(name))
        else IndexInfo(name=name)
        for name in names
    ]


def _or_unset(value: int | None) -> int | UnsetType:
    return UNSET if value is None else value


def _lease_history(context: RangeContext) -> list[Lease]:
    """The present lease: the primary's. When it became one is not known."""
    holder = context.leaseholder_node_id
    if not holder:
        return []
    replica = Replica(node_id=holder, store_id=holder, replica_id=holder, type=ReplicaType.VOTER_FULL)
    unknown = Timestamp()
    return [
        Lease(
            start=unknown,
            replica=replica,
            proposed_ts=unknown,
            epoch=context.timeline,
            min_expiration=unknown,
            term=context.timeline,
        )
    ]

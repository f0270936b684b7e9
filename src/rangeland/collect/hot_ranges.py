"""The sampler: reads the counters of all ranges now and then, and makes rates of the differences.

It reads once when the node starts, so that the first answer isn't empty, and then only while somebody has asked in
the last 10 minutes: every 10 s, or less often where that would cost more than 1 % of a core.
"""

from __future__ import annotations

import asyncio
import heapq
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from msgspec import UNSET

from rangeland.collect.databases import SHARED_NUMBER, Database, Databases, Fetch
from rangeland.collect.range_rows import RangeRow, range_id_of, span_from_row, split_range_id
from rangeland.collect.sizes import SizeBook
from rangeland.collect.text import text_from_bytes
from rangeland.config import STATEMENT_TIMEOUT_S
from rangeland.errors import ServerError
from rangeland.pg import Server
from rangeland.wire.hot_ranges import HotRange
from rangeland.wire.number import nonzero
from rangeland.wire.parts import HotParams, HotPart
from rangeland.wire.ranges import RangeStatistics

MAX_HOT = 128  # ranges a node, as the reference
INTERVAL_S = 10.0  # counters of a session that went idle take as long to arrive
WANTED_S = 600.0  # how long after the last question the sampler goes on
COST_FACTOR = 120.0  # rest so many times as long as a sample took: 1 % of a core, though node and server overlap
SHORTEST_WINDOW_S = 1.0  # a busy session reports its counters once a second
PATIENCE_S = 1.5  # of an answer that finds no recent sample
VISIT_TIMEOUT_S = STATEMENT_TIMEOUT_S + 1.0  # the server's own timeout comes first, and is no outage
COUNT_AGE_S = 600.0  # of the number of ranges
SIZE_AGE_S = 60.0  # of a hot range's size

_COLUMNS = 5  # counters a range, as in Rates


class Rates(NamedTuple):
    """Of one range on this server, per second over `window_s` seconds."""

    scans: float  # started on the table and its indexes
    tuples_read: float
    tuples_written: float
    blocks: float  # buffers touched, of the table, its indexes and TOAST
    disk_blocks: float  # of these, not found in shared buffers
    window_s: float
    block_size: int  # bytes


@dataclass(slots=True)
class Reading:
    """Counters of one database at one moment: 48 bytes a range, for there may be 100,000."""

    read_at: float  # loop time
    since: datetime | None  # when the counters began anew; another value: don't compare
    oids: array[int] = field(default_factory=lambda: array("q"))  # ascending
    values: array[int] = field(default_factory=lambda: array("q"))  # _COLUMNS for each oid

    def add(self, row: Sequence[Any]) -> None:
        """Append a row of sql/hot_ranges.sql, read_counters, which come by ascending oid."""
        oid, _, scans, read, written, fetched, hit = row
        self.oids.append(oid)
        self.values.extend((scans, read, written, fetched, fetched - hit))


def differences(before: Reading, after: Reading) -> Iterator[tuple[int, array[int]]]:
    """Yield the oids that changed, with the differences; a counter that fell has begun anew and is no rate."""
    if before.since != after.since:
        return
    nothing = array("q", [0] * _COLUMNS)  # a range that was never touched has no row
    old_at = 0
    for new_at, oid in enumerate(after.oids):
        while old_at < len(before.oids) and before.oids[old_at] < oid:
            old_at += 1
        is_known = old_at < len(before.oids) and before.oids[old_at] == oid
        old = before.values[old_at * _COLUMNS : (old_at + 1) * _COLUMNS] if is_known else nothing
        new = after.values[new_at * _COLUMNS : (new_at + 1) * _COLUMNS]
        if new != old:
            difference = array("q", [now - then for now, then in zip(new, old, strict=True)])
            if min(difference) >= 0:
                yield oid, difference


def rates_by_range_id(number: int, before: Reading, after: Reading, block_size: int) -> dict[int, Rates]:
    """Return the rates of the ranges of one database that did anything between two readings."""
    window_s = after.read_at - before.read_at
    rates: dict[int, Rates] = {}
    for oid, difference in differences(before, after):
        scans, read, written, blocks, disk_blocks = (value / window_s for value in difference)
        rates[range_id_of(number, oid)] = Rates(scans, read, written, blocks, disk_blocks, window_s, block_size)
    return rates


def heat(rates: Rates) -> tuple[float, float]:
    """What hot is ordered by: buffers touched, then writes: on newer servers a table that only grows touches none."""
    return rates.blocks, rates.tuples_written


class HotRow(NamedTuple):
    """One of the busiest ranges."""

    range_id: int
    row: RangeRow
    rates: Rates


@dataclass(slots=True)
class Sample:
    """The rates between two readings of every database; finished, it doesn't change."""

    block_size: int
    finished_at: float = 0.0  # loop time
    hot: list[HotRow] = field(default_factory=list)  # hottest first, at most MAX_HOT
    rates_by_range_id: dict[int, Rates] = field(default_factory=dict)  # of those that did anything
    window_s_by_number: dict[int, float] = field(default_factory=dict)  # by database number

    def rates(self, range_id: int) -> Rates | None:
        """Return the range's rates, zeros when it did nothing; None when they were not measured."""
        found = self.rates_by_range_id.get(range_id)
        window_s = self.window_s_by_number.get(split_range_id(range_id)[0])
        if found is not None or window_s is None:
            return found
        return Rates(0.0, 0.0, 0.0, 0.0, 0.0, window_s, self.block_size)


class Sampler:
    """This node's sampler; `run` has to run beside the questions. `on_sample` is told of each finished sample."""

    def __init__(
        self,
        server: Server,
        databases: Databases,
        book: SizeBook,
        *,
        is_always_on: bool = False,
        on_sample: Callable[[Sample], None] = lambda _sample: None,
    ) -> None:
        self._server = server
        self._databases = databases
        self._book = book
        self._is_always_on = is_always_on
        self._on_sample = on_sample
        self._readings: dict[int, Reading] = {}  # by database number
        self._counts: dict[int, tuple[int, float]] = {}  # by database number: ranges, when counted
        self._block_size = 0
        self._sample: Sample | None = None  # the last one that finished
        self._paged: Sample | None = None  # the one that the last first page was of
        self._interval_s = INTERVAL_S
        self._asked_at: float | None = None
        self._asked = asyncio.Event()  # by somebody who found no recent sample
        self._finished = asyncio.Condition()

    async def run(self) -> None:
        """Read now, then at each interval while somebody asks, until cancelled."""
        while True:
            began = _now()
            cost_s = await self._try_once()
            self._interval_s = max(INTERVAL_S, cost_s * COST_FACTOR)
            if self._is_recent():
                self._asked.clear()  # who asked meanwhile has what they asked for
            await self._rest(began)

    async def latest(self, *, deadline: float) -> Sample | None:
        """Return the last finished sample; if it is old, wait for a new one, but never long.

        None: there was no second reading yet.
        """
        self.keep_on()
        if not self._is_recent():
            patience_s = min(PATIENCE_S, deadline - _now())
            with suppress(TimeoutError):
                async with asyncio.timeout(patience_s), self._finished:
                    await self._finished.wait_for(self._is_recent)
        return self._sample

    def keep_on(self) -> None:
        """Somebody wants samples, and doesn't wait for one."""
        self._asked_at = _now()
        if not self._is_recent():
            self._asked.set()

    async def top(self, params: HotParams, *, node_id: int, deadline: float) -> HotPart:
        """Return the hottest ranges first. Later pages are of the sample that the first one was of."""
        latest = await self.latest(deadline=deadline)
        if params.index == 0 or self._paged is None:
            self._paged = latest
        hot = self._paged.hot if self._paged else []
        end = params.index + params.limit if params.limit else len(hot)
        page = hot[params.index : end]
        return HotPart(
            ranges=[self._hot_range(each, node_id) for each in page],
            next_index=end if end < len(hot) else 0,
            unlogged_range_ids=[each.range_id for each in page if each.row.is_unlogged],
            spans={each.range_id: span_from_row(each.row) for each in page},
        )

    def count_ranges(self) -> int | None:
        """Return how many ranges the server held when they were last counted; None: not yet."""
        return sum(count for count, _ in self._counts.values()) if self._counts else None

    def _is_recent(self) -> bool:
        return self._sample is not None and _now() - self._sample.finished_at <= 2 * self._interval_s

    def _hot_range(self, hot: HotRow, node_id: int) -> HotRange:
        known = self._book.last(hot.range_id)
        return hot_range_from_row(hot, node_id, known.sizes.total_bytes if known else None)

    async def _rest(self, began: float) -> None:
        """Wait for the next interval, or, when nobody has asked for long, for the next question."""
        rest_s = max(0.0, began + self._interval_s - _now()) if self._is_wanted() else None
        with suppress(TimeoutError):
            async with asyncio.timeout(rest_s):
                await self._asked.wait()
        self._asked.clear()
        await asyncio.sleep(max(0.0, began + SHORTEST_WINDOW_S - _now()))

    def _is_wanted(self) -> bool:
        """Whether to go on unasked: also until the first reading succeeds, for the sake of the first answer."""
        is_asked = self._asked_at is not None and _now() - self._asked_at < WANTED_S
        return is_asked or self._is_always_on or not self._readings

    async def _try_once(self) -> float:
        """Take a sample; returns the seconds of the server's and this node's time that it took at most."""
        began = _now()
        try:
            sample = await self._take_sample()
        except ServerError:
            return _now() - began  # the last sample grows old, and says so by its age: nothing else is lost
        if sample.window_s_by_number:
            self._sample = sample
            self._on_sample(sample)
            async with self._finished:
                self._finished.notify_all()
        return _now() - began

    async def _take_sample(self) -> Sample:
        deadline = _now() + VISIT_TIMEOUT_S
        if not self._block_size:
            self._block_size = (await self._server.fetch("hot_ranges", "read_block_size", deadline=deadline))[0][0]
        databases = await self._databases.list(deadline=deadline)
        sample = Sample(self._block_size)
        for database in databases:
            await self._visit(database, sample)
        self._forget_except({SHARED_NUMBER, *(database.number for database in databases)})
        sample.hot = heapq.nlargest(MAX_HOT, sample.hot, key=lambda hot: (*heat(hot.rates), -hot.range_id))
        sample.finished_at = _now()
        return sample

    async def _visit(self, database: Database, sample: Sample) -> None:
        """Add a database to the sample, unless it can't be read now; then its next window is longer."""
        deadline = _now() + VISIT_TIMEOUT_S
        work = partial(self._read_database, database=database, sample=sample, deadline=deadline)
        try:
            readings = await self._databases.read(database, work, deadline=deadline)
        except ServerError:
            if self._server.down is not None:
                raise
            return
        self._readings.update(readings or {})

    async def _read_database(
        self, fetch: Fetch, *, database: Database, sample: Sample, deadline: float
    ) -> dict[int, Reading]:
        """Return the database's readings by number; the state database's with that of the shared catalogues."""
        await self._count(fetch, database, deadline)
        rows = await fetch.fetch("hot_ranges", "read_counters", deadline=deadline, with_shared=database.is_state)
        readings = await asyncio.to_thread(_readings_from_rows, rows, database, _now())
        for number, after in readings.items():
            before = self._readings.get(number)
            if before is not None and before.since == after.since:
                rates = await asyncio.to_thread(rates_by_range_id, number, before, after, self._block_size)
                sample.window_s_by_number[number] = after.read_at - before.read_at
                sample.rates_by_range_id.update(rates)
                sample.hot += await self._hottest(fetch, number, rates, deadline)
        return readings

    async def _hottest(self, fetch: Fetch, number: int, rates: dict[int, Rates], deadline: float) -> list[HotRow]:
        """Return the names, and see to the sizes, of the busiest ranges of one database, in no order."""
        busiest = heapq.nlargest(MAX_HOT, rates, key=lambda range_id: heat(rates[range_id]))
        if not busiest:
            return []
        oids = [split_range_id(range_id)[1] for range_id in busiest]
        described = await fetch.fetch("ranges", "describe_ranges", deadline=deadline, oids=oids)
        await self._book.read(fetch, number, self._oids_of_old_sizes(number, oids), deadline=deadline)
        rows = map(RangeRow._make, described)
        return [
            HotRow(range_id, row, rates[range_id])
            for row in rows
            if (range_id := range_id_of(number, row.oid)) in rates
        ]

    def _oids_of_old_sizes(self, number: int, oids: Sequence[int]) -> list[int]:
        known = {oid: self._book.last(range_id_of(number, oid)) for oid in oids}
        return [oid for oid, sizes in known.items() if sizes is None or _now() - sizes.read_at > SIZE_AGE_S]

    async def _count(self, fetch: Fetch, database: Database, deadline: float) -> None:
        for number, scope in _scopes(database):
            _, counted_at = self._counts.get(number, (0, None))
            if counted_at is None or _now() - counted_at > COUNT_AGE_S:
                rows = await fetch.fetch("ranges", "count_ranges", deadline=deadline, scope=scope)
                self._counts[number] = (rows[0][0], _now())

    def _forget_except(self, numbers: set[int]) -> None:
        for known in (self._readings, self._counts):
            for number in set(known) - numbers:
                del known[number]


def _scopes(database: Database) -> list[tuple[int, str]]:
    """The number and scope of what a visit counts: users' ranges, and in one database the shared catalogues."""
    shared = [(SHARED_NUMBER, "shared")] if database.is_state else []
    return [*shared, (database.number, "user")]


def _readings_from_rows(rows: Sequence[Sequence[Any]], database: Database, read_at: float) -> dict[int, Reading]:
    readings = {number: Reading(read_at, database.counters_since) for number, _ in _scopes(database)}
    for row in rows:
        is_shared = row[1]
        readings[SHARED_NUMBER if is_shared else database.number].add(row)
    return readings


def hot_range_from_row(hot: HotRow, node_id: int, size_bytes: int | None) -> HotRange:
    """Translate a row; who holds the range is filled in by the merge."""
    database, table = text_from_bytes(hot.row.database), text_from_bytes(hot.row.table_name)
    rates = hot.rates
    return HotRange(
        range_id=hot.range_id,
        node_id=node_id,
        qps=rates.scans,
        writes_per_second=rates.tuples_written,
        reads_per_second=rates.tuples_read,
        write_bytes_per_second=0.0,
        read_bytes_per_second=rates.blocks * rates.block_size,
        cpu_time_per_second=0.0,
        table_name=table,
        database_name=database,
        index_name="",
        databases=[database],
        tables=[table],
        indexes=[text_from_bytes(name) for name in hot.row.index_names or ()],
        schema_name=text_from_bytes(hot.row.schema_name),
        store_id=node_id,
        buffers_per_second=rates.blocks,
        disk_read_bytes_per_second=rates.disk_blocks * rates.block_size,
        window_seconds=rates.window_s,
        size_bytes=UNSET if size_bytes is None else size_bytes,
    )


def statistics_from_rates(rates: Rates) -> RangeStatistics:
    """Translate rates; zeros vanish."""
    return RangeStatistics(
        queries_per_second=nonzero(rates.scans),
        writes_per_second=nonzero(rates.tuples_written),
        reads_per_second=nonzero(rates.tuples_read),
        read_bytes_per_second=nonzero(rates.blocks * rates.block_size),
    )


def _now() -> float:
    return asyncio.get_running_loop().time()

"""Sizes of ranges on this server's disk, and the last known ones for when a lock is in the way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rangeland.collect.databases import Fetch
from rangeland.collect.text import text_from_bytes
from rangeland.errors import ServerError
from rangeland.wire.ranges import Sizes

MAX_REMEMBERED = 10_000  # ranges; about 5 MB
_LOCK_TIMEOUT = "55P03"  # lock_not_available


class IndexSize(NamedTuple):
    """One index; `size_bytes` is None when a lock kept us from looking."""

    name: str
    size_bytes: int | None
    scans: int | None


class SizesRow(NamedTuple):
    """A row of sql/ranges.sql, list_sizes; None where a lock kept us from looking."""

    oid: int
    table_bytes: int | None
    toast_bytes: int | None
    index_names: list[bytes] | None  # None: the table has no index
    index_bytes: list[int | None] | None
    index_scans: list[int | None] | None

    def indexes(self) -> tuple[IndexSize, ...]:
        """The indexes by name."""
        columns = (self.index_names or (), self.index_bytes or (), self.index_scans or ())
        return tuple(
            IndexSize(text_from_bytes(name), size, scans) for name, size, scans in zip(*columns, strict=True)
        )


@dataclass(frozen=True, slots=True)
class KnownSizes:
    """What was read of a range at `read_at` (loop time)."""

    table_bytes: int
    toast_bytes: int
    indexes: tuple[IndexSize, ...]  # by name, each with a size
    read_at: float

    @property
    def sizes(self) -> Sizes:
        indexes_bytes = sum(index.size_bytes or 0 for index in self.indexes)
        return Sizes(
            total_bytes=self.table_bytes + indexes_bytes + self.toast_bytes,
            table_bytes=self.table_bytes,
            indexes_bytes=indexes_bytes,
            toast_bytes=self.toast_bytes,
        )


class SizeBook:
    """The last known sizes, by range id; it forgets the oldest first."""

    def __init__(self) -> None:
        self._known: dict[int, KnownSizes] = {}

    def last(self, range_id: int) -> KnownSizes | None:
        """Return the last known sizes; None when a lock was always in the way, or nobody has asked."""
        return self._known.get(range_id)

    async def read(self, fetch: Fetch, number: int, oids: Sequence[int], *, deadline: float) -> None:
        """Read the sizes of tables of one database; those that somebody has locked stay as they were.

        Raises: ServerError, but never for a lock.
        """
        for is_last_try in (False, True):
            try:
                rows = await fetch.fetch("ranges", "list_sizes", deadline=deadline, oids=list(oids))
            except ServerError as exc:
                if exc.sqlstate != _LOCK_TIMEOUT:
                    raise
                if is_last_try:
                    return
                continue  # the lock came between looking for locks and looking at sizes: now it is seen
            self._take(number, [SizesRow(*row) for row in rows])
            return

    def _take(self, number: int, rows: Sequence[SizesRow]) -> None:
        now = asyncio.get_running_loop().time()
        for row in rows:
            known = known_from_row(row, now)
            if known is not None:
                range_id = number << 32 | row.oid
                self._known.pop(range_id, None)
                self._known[range_id] = known
        while len(self._known) > MAX_REMEMBERED:
            del self._known[next(iter(self._known))]


def known_from_row(row: SizesRow, read_at: float) -> KnownSizes | None:
    """Return the sizes if all of them could be read, else None."""
    indexes = row.indexes()
    if row.table_bytes is None or row.toast_bytes is None or any(index.size_bytes is None for index in indexes):
        return None
    return KnownSizes(row.table_bytes, row.toast_bytes, indexes, read_at)

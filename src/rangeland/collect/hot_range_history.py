"""The last hour of the busiest ranges, a mean for each minute, made of the sampler's samples; in memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import Final

from rangeland.collect.hot_ranges import MAX_HOT, WANTED_S, Rates, Sample
from rangeland.wire.hot_range_history import HotRangeHistory

STEP_S: Final = 60
KEPT_MINUTES: Final = 60
MOST_RANGES: Final = MAX_HOT  # 48 bytes each minute: 0.4 MB
LONGEST_WINDOW_S: Final = WANTED_S  # a longer one holds a pause of the sampler; its intervals are shorter

_COLUMNS: Final = 4  # rates of a point, in the order of _columns


class _Track:
    """A range's minutes: for each the sums of its rates, weighted by seconds, and these seconds."""

    __slots__ = ("hot_at_s", "minutes", "seconds", "sums")

    def __init__(self) -> None:
        self.hot_at_s = 0.0  # s since 1970, when it was last among the hottest
        self.minutes = array("q", [-1]) * KEPT_MINUTES  # since 1970; of each place the last one that fell there
        self.seconds = array("d", [0.0]) * KEPT_MINUTES
        self.sums = array("d", [0.0]) * (KEPT_MINUTES * _COLUMNS)

    def add(self, rates: Rates, end_s: float) -> None:
        """Rates of a window that ended then; each minute gets its share."""
        begin_s = end_s - rates.window_s
        for minute in range(int(begin_s // STEP_S), int(end_s // STEP_S) + 1):
            seconds = min(end_s, (minute + 1) * STEP_S) - max(begin_s, minute * STEP_S)
            if seconds > 0:
                self._add_to(minute, rates, seconds)

    def minutes_since(self, first: int, last: int) -> list[int]:
        """The minutes that have a mean, ascending."""
        return sorted(minute for minute in self.minutes if first <= minute <= last)

    def means(self, minute: int) -> tuple[float, ...] | None:
        """None: it wasn't measured."""
        place = minute % KEPT_MINUTES
        if self.minutes[place] != minute:
            return None
        sums = self.sums[place * _COLUMNS : (place + 1) * _COLUMNS]
        return tuple(round(each / self.seconds[place], 3) for each in sums)

    def _add_to(self, minute: int, rates: Rates, seconds: float) -> None:
        place = minute % KEPT_MINUTES
        if self.minutes[place] != minute:
            self.minutes[place] = minute
            self.seconds[place] = 0.0
            self.sums[place * _COLUMNS : (place + 1) * _COLUMNS] = array("d", [0.0]) * _COLUMNS
        self.seconds[place] += seconds
        for column, rate in enumerate(_columns(rates), place * _COLUMNS):
            self.sums[column] += rate * seconds


class HotHistoryBook:
    """Follows each range that was among the hottest within the hour, at most MOST_RANGES, in all samples."""

    def __init__(self) -> None:
        self._track_by_range_id: dict[int, _Track] = {}  # in the order in which they were last hot, the hottest last

    def take(self, sample: Sample, *, now_s: float) -> None:
        """A sample that has just finished: what a followed range did in it, zero also, unless it wasn't measured."""
        for hot in reversed(sample.hot):
            track = self._track_by_range_id.pop(hot.range_id, None) or _Track()
            track.hot_at_s = now_s
            self._track_by_range_id[hot.range_id] = track
        self._forget(now_s)
        for range_id, track in self._track_by_range_id.items():
            rates = sample.rates(range_id)
            if rates is not None and rates.window_s <= LONGEST_WINDOW_S:
                track.add(rates, now_s)

    def told(self, range_ids: Iterable[int] | None, *, node_id: int, now_s: float) -> Iterator[HotRangeHistory]:
        """By ascending id, all (None) or some; without those of which no minute is known."""
        wanted = self._track_by_range_id.keys()
        for range_id in sorted(wanted if range_ids is None else wanted & set(range_ids)):
            history = _history(range_id, self._track_by_range_id[range_id], node_id, int(now_s // STEP_S))
            if history.times:
                yield history

    def _forget(self, now_s: float) -> None:
        """Ranges that were last hot an hour ago; of too many, those for which it is longest."""
        tracks = self._track_by_range_id
        old = [each for each, track in tracks.items() if track.hot_at_s <= now_s - KEPT_MINUTES * STEP_S]
        rest = [each for each in tracks if each not in set(old)]
        for range_id in (*old, *rest[: max(0, len(rest) - MOST_RANGES)]):
            del tracks[range_id]


def _columns(rates: Rates) -> tuple[float, float, float, float]:
    return rates.blocks, rates.scans, rates.tuples_read, rates.tuples_written


def _history(range_id: int, track: _Track, node_id: int, this_minute: int) -> HotRangeHistory:
    known = track.minutes_since(this_minute - KEPT_MINUTES + 1, this_minute)
    minutes = range(known[0], known[-1] + 1) if known else range(0)
    points = [track.means(minute) or (None,) * _COLUMNS for minute in minutes]
    buffers, queries, reads, writes = ([point[column] for point in points] for column in range(_COLUMNS))
    return HotRangeHistory(
        range_id=range_id,
        node_id=node_id,
        step_seconds=STEP_S,
        times=[minute * STEP_S for minute in minutes],
        buffers_per_second=buffers,
        queries_per_second=queries,
        reads_per_second=reads,
        writes_per_second=writes,
    )

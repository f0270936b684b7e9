"""This node's metrics in the last hours: one reading a minute, in memory.

Whoever reads the status also fills the book: `nodes/`, `/metrics`, the checks. Only in a minute in which nobody did,
the node reads it itself, near the minute's end.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from itertools import chain, count, zip_longest
from math import isnan, nan
from typing import Final

from rangeland.wire.history import NodeHistory
from rangeland.wire.nodes import NodeStatus
from rangeland.wire.parts import HistoryParams

STEP_S: Final = 60
LONGEST_S: Final = 48 * 3600  # 80 metrics of that many minutes are 1.9 MB
LATE_S: Final = 50.0  # of a minute: a reading of a server that hangs takes 4.5 s, and is still of that minute
FURTHEST_S: Final = 80  # of two readings: 90 would be one and a half steps, which the console takes for a gap
CLOSEST_S: Final = 30  # of two readings: a rate between two that are closer would be mostly chance


class HistoryBook:
    """Readings of all metrics, eight bytes a value, NaN for what wasn't known. With `kept_s` 0 it keeps none."""

    def __init__(self, kept_s: float) -> None:
        self._kept_s = int(kept_s)
        self._times = array("q")  # s since 1970, ascending
        self._values_by_name: dict[str, array[float]] = {}  # each as long as the times
        self._lacks_server = False  # the last one: the server was down, or didn't answer

    def is_due(self, now_s: float) -> bool:
        """Whether a reading made now may be kept: as the first of its minute, or in place of one without a server."""
        is_same_minute = bool(self._times) and now_s // STEP_S == self._times[-1] // STEP_S
        return self._kept_s > 0 and (self._is_next(now_s) or (self._lacks_server and is_same_minute))

    def wait_s(self, now_s: float) -> float:
        """How long until the node has to make a reading itself, if nobody else does: late in a minute without one."""
        if not self._kept_s:
            return STEP_S
        due = now_s // STEP_S * STEP_S + LATE_S
        if self._times and self._times[-1] <= now_s:
            last = self._times[-1]
            due = min((last // STEP_S + 1) * STEP_S + LATE_S, last + FURTHEST_S)
        return max(0.0, due - now_s)

    def take(self, status: NodeStatus) -> None:
        """Keep the metrics of a status that was just read, unless its minute has as good a reading."""
        now = status.updated_at // 10**9
        knows_server = bool(status.store_metrics)
        if not self.is_due(now) or not (knows_server or self._is_next(now)):
            return
        if not self._is_next(now):
            self._drop_last()
        self._lacks_server = not knows_server
        kept = self._kept(now)
        value_by_name = dict(chain(status.metrics.items(), *(each.items() for each in status.store_metrics.values())))
        unknown = array("d", [nan]) * len(self._times)
        for name in self._values_by_name.keys() | value_by_name.keys():
            values = self._values_by_name.get(name, unknown)
            self._values_by_name[name] = values[kept] + array("d", [value_by_name.get(name, nan)])
        self._times = self._times[kept] + array("q", [now])

    def told(self, params: HistoryParams, *, node_id: int, now_s: float) -> NodeHistory:
        """What is known of the metrics that are asked for; those that don't exist are passed over."""
        begin = bisect_right(self._times, int(now_s) - params.since_s)
        places, step_s = thinned(self._times[begin:], params.max_points)
        values_by_name = {
            name: [None if isnan(values[begin + place]) else values[begin + place] for place in places]
            for name in dict.fromkeys(params.metrics)
            if (values := self._values_by_name.get(name)) is not None
        }
        return NodeHistory(
            node_id=node_id,
            step_seconds=step_s,
            kept_seconds=self._kept_s,
            times=[self._times[begin + place] for place in places],
            metrics={name: values for name, values in values_by_name.items() if set(values) - {None}},
        )

    def _is_next(self, now_s: float) -> bool:
        last = self._times[-1] if self._times else 0
        return now_s < last or (now_s // STEP_S > last // STEP_S and now_s - last >= CLOSEST_S)

    def _drop_last(self) -> None:
        del self._times[-1]
        for values in self._values_by_name.values():
            del values[-1]

    def _kept(self, now: int) -> slice:
        """Neither what is too old, nor what is of a future that a clock which was set back has yet to see."""
        return slice(bisect_right(self._times, now - self._kept_s), bisect_right(self._times, now - 1))


def thinned(times: Sequence[int], max_points: int) -> tuple[list[int], int]:
    """The places of at most `max_points` readings (2 or more), and how far they are apart in seconds.

    Of every n minutes, counted from 1970, the last reading: the same ones whenever one asks, and always the newest.
    """
    for minutes in count(max(1, -(-len(times) // max_points))):
        step_s = minutes * STEP_S
        steps = [at // step_s for at in times]
        places = [place for place, (step, after) in enumerate(zip_longest(steps, steps[1:])) if step != after]
        if len(places) <= max_points:
            return places, step_s
    raise AssertionError("not reached: with steps that are long enough there are two readings")

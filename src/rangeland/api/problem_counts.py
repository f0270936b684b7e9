"""How many problems there are, for /metrics: counted by one node of the cluster, at most once a minute.

That is the node with the lowest id of those that answer, as each sees it; the others say nothing. So scrapes of all
nodes cost the cluster one judgement a minute, and none waits for it. Where the network is split, each side has such a
node.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from rangeland.checks.table import KINDS
from rangeland.wire.problems import ProblemsAnswer, Severity

AGE_S = 60.0
KEPT_S = 300.0  # as long as Prometheus itself takes a sample for current


@dataclass(frozen=True, slots=True)
class _Counted:
    count_by_kind: Counter[tuple[str, str]]  # and severity
    unknown: int  # checks that were not made, and nodes that didn't answer
    at: float


class ProblemCounts:
    """The last count, and the one that is going on; `now_s` is a clock that never goes back."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._last: _Counted | None = None
        self._counting: asyncio.Task[None] | None = None

    def families(self, judge: Callable[[], Awaitable[ProblemsAnswer]]) -> Iterator[Metric]:
        """What is known, of every kind and severity, 0 where there is none; nothing before the first count.

        Begins to count again where that is due.
        """
        now = self._now_s()
        is_due = self._last is None or now - self._last.at >= AGE_S
        if is_due and (self._counting is None or self._counting.done()):
            self._counting = asyncio.create_task(self._count(judge))
        if self._last is None or now - self._last.at >= KEPT_S:
            return
        problems = GaugeMetricFamily(
            "rangeland_problems",
            "Problems of the cluster, as /api/v2/problems/ tells them",
            labels=["kind", "severity"],
        )
        for kind in KINDS:
            for severity in Severity:
                problems.add_metric([kind, severity.value], self._last.count_by_kind[kind, severity.value])
        yield problems
        yield GaugeMetricFamily(
            "rangeland_problems_unknown",
            "Checks that could not be made and nodes that did not answer: their problems may be missing",
            self._last.unknown,
        )

    def forget(self) -> None:
        """Another node counts now."""
        self._last = None

    async def _count(self, judge: Callable[[], Awaitable[ProblemsAnswer]]) -> None:
        answer = await judge()
        self._last = _Counted(
            Counter((problem.kind, problem.severity.value) for problem in answer.problems),
            unknown=len(answer.unchecked) + len(answer.errors),
            at=self._now_s(),
        )

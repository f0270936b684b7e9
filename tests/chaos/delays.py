"""How long this machine kept the harness and the nodes from running: that much longer may an answer take."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from rangeland.engine.node import NodeProcess
from rangeland.errors import EngineError

TICK_S = 0.05
KEPT = 1200  # ticks, a minute


class Delays:
    """A thread that sleeps, sees how late it wakes up, and reads how long each node's thread waited for a processor.

    Source: /proc/PID/schedstat, its second number, in ns.
    """

    def __init__(self, nodes: Sequence[NodeProcess]) -> None:
        self._nodes = nodes
        self._stop = threading.Event()
        self._times: deque[float] = deque(maxlen=KEPT)
        self._late: deque[tuple[float, ...]] = deque(maxlen=KEPT)  # the harness, then each node; sums since the begin
        self._sums = [0.0] * (len(nodes) + 1)
        self._read: dict[int, tuple[int, float]] = {}
        self._thread = threading.Thread(target=self._run, name="delays", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def between(self, begun: float, ended: float, number: int) -> float:
        """Seconds for which the harness, the slowest of the nodes, or both in turn had to wait."""
        times, late = list(self._times), list(self._late)
        if not times:
            return 0.0
        first = max(bisect_left(times, begun) - 1, 0)
        last = min(bisect_left(times, ended), len(late) - 1)
        gone = [now - then for then, now in zip(late[first], late[last], strict=True)]
        return gone[0] + max(gone[1:])

    def _run(self) -> None:
        last = time.monotonic()
        while not self._stop.wait(TICK_S):
            now = time.monotonic()
            self._sums[0] += max(0.0, now - last - TICK_S)
            last = now
            for number, node in enumerate(self._nodes):
                self._sums[number + 1] += self._waited(number, node)
            self._late.append(tuple(self._sums))
            self._times.append(now)

    def _waited(self, number: int, node: NodeProcess) -> float:
        try:
            pid = node.pid
            waited = int(Path(f"/proc/{pid}/schedstat").read_text("ascii").split()[1]) / 1e9
        except (EngineError, OSError):
            return 0.0
        known_pid, before = self._read.get(number, (0, 0.0))
        self._read[number] = (pid, waited)
        return waited - before if known_pid == pid else 0.0

"""Where the time of an answer goes, for its Server-Timing header: measured in every room, told at the edge."""

from __future__ import annotations

import time
from collections.abc import Coroutine
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")

PHASES = (
    "auth",  # whose token it is, and what that user may
    "collect",  # this node's own server and machine
    "fan-out",  # the other nodes, asked all at once: until the last one answered
    "encode",  # JSON, and gzip
)

_HEADER = ", ".join(f"{phase};dur=%.3f" for phase in PHASES)
_NONE = dict.fromkeys(PHASES, 0.0)
_NOT_OPEN = dict.fromkeys(PHASES, 0)

_current: ContextVar[Timing | None] = ContextVar("timing", default=None)


class Timing:
    """Seconds by phase. What goes on at once within a phase counts once; phases may overlap."""

    __slots__ = ("_open", "_seconds", "_since")

    def __init__(self) -> None:
        self._seconds = {**_NONE}
        self._open = {**_NOT_OPEN}
        self._since = {**_NONE}

    def begin(self, phase: str) -> None:
        if not self._open[phase]:
            self._since[phase] = time.perf_counter()
        self._open[phase] += 1

    def end(self, phase: str) -> None:
        self._open[phase] -= 1
        if not self._open[phase]:
            self._seconds[phase] += time.perf_counter() - self._since[phase]

    def add(self, other: Timing) -> None:
        """Work that was done for others, too."""
        for phase, seconds in other._seconds.items():
            self._seconds[phase] += seconds

    def header(self) -> str:
        """All phases, in ms, to the microsecond: a short answer is encoded in three. Source: W3C, Server Timing."""
        return _HEADER % tuple([seconds * 1000 for seconds in self._seconds.values()])


def begin_timing() -> Timing:
    """From here on, what this task and those that it starts do is measured together."""
    timing = Timing()
    _current.set(timing)
    return timing


class timed:
    """Count the block's time; nothing where nobody measures, as in the background. A third of a generator's cost."""

    __slots__ = ("_phase", "_timing")

    def __init__(self, phase: str) -> None:
        self._phase = phase

    def __enter__(self) -> None:
        self._timing = _current.get()
        if self._timing is not None:
            self._timing.begin(self._phase)

    def __exit__(self, *_: object) -> None:
        if self._timing is not None:
            self._timing.end(self._phase)


async def apart(work: Coroutine[Any, Any, T]) -> tuple[T, Timing]:
    """The result with what it took alone; for a task whose result several share."""
    timing = begin_timing()
    return await work, timing


def shared(timing: Timing) -> None:
    """The current answer is, in part, that shared result."""
    current = _current.get()
    if current is not None:
        current.add(timing)

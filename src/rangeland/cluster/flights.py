"""Identical questions share an answer whose work has not begun when they arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, TypeVar, cast

from rangeland.cluster.timing import Timing, apart, shared

T = TypeVar("T")

PATIENCE_S = 0.5  # a queued flight doesn't wait longer for a running one that a silent node holds up


class Flights:
    """Per key at most one running and one queued flight (and, past the patience, one more).

    Whoever comes joins the queued one: the running one may hold data read before they asked. A flight keeps the
    deadline of the first who joined it: everybody else came later.
    """

    def __init__(self) -> None:
        self._running: dict[Hashable, asyncio.Task[Any]] = {}
        self._queued: dict[Hashable, asyncio.Task[Any]] = {}

    async def join(self, key: Hashable, begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of a flight that began after this call; its error is raised in everyone who joined.

        A caller that is cancelled leaves; the flight goes on for the others.
        """
        running = self._running.get(key)
        if running is None:
            task = self._begin(key, begin())
        elif (queued := self._queued.get(key)) is not None:
            task = queued
        else:
            task = self._queued[key] = asyncio.create_task(self._after(running, key, begin))
            task.add_done_callback(_retrieve)
        result, timing = cast(tuple[T, Timing], await asyncio.shield(task))
        shared(timing)
        return result

    async def _after(
        self, running: asyncio.Task[Any], key: Hashable, begin: Callable[[], Coroutine[Any, Any, T]]
    ) -> tuple[T, Timing]:
        await asyncio.wait({running}, timeout=PATIENCE_S)
        current = asyncio.current_task()
        assert current is not None
        self._running[key] = current
        del self._queued[key]
        current.add_done_callback(lambda task: self._landed(key, task))
        return await apart(begin())

    def _begin(self, key: Hashable, work: Coroutine[Any, Any, T]) -> asyncio.Task[tuple[T, Timing]]:
        task = self._running[key] = asyncio.create_task(apart(work))
        task.add_done_callback(lambda done: self._landed(key, done))
        return task

    def _landed(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        _retrieve(task)
        if self._running.get(key) is task:
            del self._running[key]


def _retrieve(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()

"""A reading that costs more than a request should: made at most once in a while, beside the requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from rangeland.config import STATEMENT_TIMEOUT_S
from rangeland.errors import ServerError

T = TypeVar("T")


class RareReading(Generic[T]):
    """`value` is what `read` (which takes a deadline in loop time) last gave.

    None: nobody has asked yet, the first reading is still under way, or the last one failed.
    """

    def __init__(self, read: Callable[[float], Awaitable[T]], *, age_s: float, patience_s: float) -> None:
        self.value: T | None = None
        self._read = read
        self._age_s = age_s
        self._patience_s = patience_s  # of an answer; a reading that takes longer shows in a later one
        self._due_at = 0.0  # loop time
        self._reading: asyncio.Task[None] | None = None

    async def refresh(self, *, deadline: float, is_due: bool = False) -> None:
        """Begin a reading if the last one is old, or in any case; wait for it a little. Never raises."""
        now = asyncio.get_running_loop().time()
        if self._reading is None and (is_due or now >= self._due_at):
            self._due_at = now + self._age_s
            self._reading = asyncio.create_task(self._keep(now + STATEMENT_TIMEOUT_S))
        if self._reading is not None:
            await asyncio.wait({self._reading}, timeout=max(0.0, min(self._patience_s, deadline - now)))

    async def close(self) -> None:
        """Leave a reading that is still under way."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})

    async def _keep(self, deadline: float) -> None:
        try:
            self.value = await self._read(deadline)
        except ServerError:
            self.value = None  # too much for a statement's time, or an outage: unknown until next time
        finally:
            self._reading = None

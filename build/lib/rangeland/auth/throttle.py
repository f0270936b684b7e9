"""Guessing passwords is slow: a growing delay per name and per address, few checks at once, a short queue."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

AT_ONCE = 2  # connections that checking passwords may take of the server's
QUEUE = 16
WAITING_ROOM = 64  # requests that wait for their delay to pass; more are told to come back
FREE_FAILURES = 3  # typing errors
FIRST_DELAY_S = 0.25
LONGEST_DELAY_S = 30.0  # of an address that guesses
LONGEST_NAME_DELAY_S = 2.0  # of a name: its owner, elsewhere, still gets in within a request's time
FORGET_AFTER_S = 600.0
REMEMBERED = 10_000  # names and addresses


class BusyError(Exception):
    """Too many are logging in; `retry_after_s` says when to come back."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"too many logins, come back in {retry_after_s:.0f} s")
        self.retry_after_s = max(1, math.ceil(retry_after_s))


@dataclass(slots=True)
class _Record:
    failures: int = 0
    next_try: float = 0.0
    last_seen: float = 0.0


class Throttle:
    """`clock` gives seconds that never go back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._records: OrderedDict[str, _Record] = OrderedDict()
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._queued = 0
        self._delayed = 0

    @contextlib.asynccontextmanager
    async def turn(self, *, name: str, address: str, deadline: float) -> AsyncIterator[None]:
        """Wait for the delays of both, then for a place. Raises: BusyError."""
        await self._wait_delay((_name_key(name), _address_key(address)), deadline)
        if self._queued >= QUEUE:
            raise BusyError(1.0)
        self._queued += 1
        try:
            async with asyncio.timeout_at(deadline):
                await self._at_once.acquire()
        except TimeoutError as exc:
            raise BusyError(1.0) from exc
        finally:
            self._queued -= 1
        try:
            yield
        finally:
            self._at_once.release()

    def failed(self, *, name: str, address: str) -> None:
        self._count(_name_key(name), LONGEST_NAME_DELAY_S)
        self._count(_address_key(address), LONGEST_DELAY_S)

    def succeeded(self, *, name: str, address: str) -> None:
        for key in (_name_key(name), _address_key(address)):
            self._records.pop(key, None)

    def _count(self, key: str, longest_s: float) -> None:
        now = self._clock()
        record = self._record(key, now)
        record.failures += 1
        over = record.failures - FREE_FAILURES
        if over > 0:
            record.next_try = now + min(FIRST_DELAY_S * 2.0 ** min(over - 1, 10), longest_s)

    async def _wait_delay(self, keys: tuple[str, ...], deadline: float) -> None:
        now = self._clock()
        delay_s = max((self._record(key, now).next_try for key in keys), default=now) - now
        if delay_s <= 0:
            return
        left_s = deadline - asyncio.get_running_loop().time()
        if delay_s >= left_s or self._delayed >= WAITING_ROOM:
            raise BusyError(delay_s)
        for key in keys:  # who comes while somebody waits, waits longer
            self._record(key, now).next_try += FIRST_DELAY_S
        self._delayed += 1
        try:
            await asyncio.sleep(delay_s)
        finally:
            self._delayed -= 1

    def _record(self, key: str, now: float) -> _Record:
        record = self._records.get(key)
        if record is None or now - record.last_seen > FORGET_AFTER_S:
            record = self._records[key] = _Record()
        record.last_seen = now
        self._records.move_to_end(key)
        while len(self._records) > REMEMBERED:
            self._records.popitem(last=False)
        return record


def _name_key(name: str) -> str:
    return f"name {name}"


def _address_key(address: str) -> str:
    return f"address {address}"

"""Logins that failed, told to the event log once a minute: a guesser can't fill it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from msgspec import structs

from rangeland.cluster import EventLog
from rangeland.errors import RangelandError
from rangeland.pg import Server
from rangeland.state.events import list_known_names
from rangeland.wire.events import UserLoginFailed

MINUTE_S = 60.0
REMEMBERED = 1_000  # names, and addresses; of more only the number counts
TOLD = 10
ADDRESS_LENGTH = 64  # the longest IPv6 address has 45; a proxy may send anything


class FailedLogins:
    """Counts on the primary's node, which decides on passwords; the first failure begins a minute."""

    def __init__(self, server: Server, events: EventLog) -> None:
        self._server = server
        self._events = events
        self._begun = asyncio.Event()
        self._reset()

    def refused(self, *, name: str, address: str) -> None:
        """The server refused a name and a password."""
        self._count(name, address)
        self._refused += 1

    def turned_away(self, *, name: str, address: str) -> None:
        """Too many were logging in, or had failed: nobody looked at the password."""
        self._count(name, address)
        self._turned_away += 1

    async def run(self) -> None:
        """Tell of each minute in which logins failed, until cancelled."""
        while True:
            await self._begun.wait()
            await asyncio.sleep(MINUTE_S)
            await self.tell()

    async def tell(self) -> None:
        """Record what was counted, if anything was, and begin anew."""
        if not self._begun.is_set():
            return
        names = self._names
        told = UserLoginFailed(
            Count=self._refused,
            TurnedAway=self._turned_away,
            Since=self._since_ns,
            RemoteAddresses=[address for address, _ in self._addresses.most_common(TOLD)],
        )
        self._reset()
        known = await self._known(names)
        users = [name for name, _ in names.most_common() if name in known][:TOLD]
        self._events.record(structs.replace(told, Users=users))

    async def _known(self, names: Counter[str]) -> set[str]:
        """Names of roles only: people type passwords into the wrong field. No names where the server can't tell."""
        deadline = asyncio.get_running_loop().time() + 1.0
        try:
            return await list_known_names(self._server, list(names), deadline=deadline)
        except RangelandError:
            return set()

    def _count(self, name: str, address: str) -> None:
        if not self._begun.is_set():
            self._since_ns = time.time_ns()
            self._begun.set()
        _add(self._names, name)
        _add(self._addresses, address[:ADDRESS_LENGTH])

    def _reset(self) -> None:
        self._names: Counter[str] = Counter()
        self._addresses: Counter[str] = Counter()
        self._refused = self._turned_away = self._since_ns = 0
        self._begun.clear()


def _add(counter: Counter[str], key: str) -> None:
    if key in counter or len(counter) < REMEMBERED:
        counter[key] += 1

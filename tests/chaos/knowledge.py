"""What the harness knows to be so, because it did it, and from when on every node must know it, too."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

Key = tuple[str, int]  # ("node", 0): what is known of the first node; ("primary", 0): the number of the primary

# How long after a change every node must know of it.
NODE_BACK_S = 6.0  # it is tried again each 2 s for 2 s at most
SERVER_BACK_S = 5.0  # it is tried each second for 2 s at most, and its node may be asked by one that remembers
GONE_S = 0.1  # whoever asks afterwards finds out by asking
PROMOTED_S = 6.0  # news of who is the primary are used for 5 s
MEMBER_S = 1.0
NOTICED_S = 12.0  # a node that nobody asks looks at its own server each 10 s


@dataclass(frozen=True, eq=False)
class Fact:
    """`value` None: it is being changed, or nobody can say."""

    value: Any
    since: float  # time.monotonic
    sure_at: float


@dataclass(frozen=True)
class View:
    """What is known of all the time from `begun` until `ended`."""

    before: Mapping[Key, Fact]
    after: Mapping[Key, Fact]
    begun: float
    ended: float

    def value(self, what: str, number: int = 0) -> Any:
        """What was so all the time; None where it changed. Nobody else may know of it yet."""
        fact = self.before[what, number]
        return fact.value if fact is self.after[what, number] else None

    def known(self, what: str, number: int = 0) -> Any:
        """What was so all the time, and so long before that every node must know it; else None."""
        return self.value(what, number) if self.before[what, number].sure_at <= self.begun else None

    def has_been(self, what: str, number: int, value: Any, *, for_s: float) -> bool:
        """Whether it was so all the time, and for that long before."""
        return self.value(what, number) == value and self.before[what, number].since + for_s <= self.begun

    def is_alive(self, number: int) -> bool | None:
        """Whether node and server answer; None where that isn't sure."""
        parts = (self.known("node", number), self.known("server", number))
        if "down" in parts:
            return False
        return True if parts == ("up", "up") else None


class Knowledge:
    """Facts by what they are about, and the log of what happened. Safe for threads."""

    def __init__(self, log: Path) -> None:
        self._lock = threading.Lock()
        self._facts: dict[Key, Fact] = {}
        self._log = log.open("a", encoding="utf-8")
        self.begun = time.monotonic()
        self.recent: deque[str] = deque(maxlen=40)

    def learn(self, what: str, number: int, value: Any, *, sure_after_s: float) -> None:
        now = time.monotonic()
        self._put((what, number), Fact(value, now, now + sure_after_s))

    def doubt(self, what: str, number: int = 0) -> None:
        """From now on nobody can say."""
        self._put((what, number), Fact(None, time.monotonic(), inf))

    def facts(self) -> Mapping[Key, Fact]:
        """As they are now; never changed afterwards."""
        return self._facts

    def view(self, before: Mapping[Key, Fact], begun: float) -> View:
        """From then until now."""
        return View(before, self._facts, begun, time.monotonic())

    def tell(self, event: str) -> None:
        """Put it into the log, with the seconds since the begin."""
        with self._lock:
            line = f"{time.monotonic() - self.begun:8.2f}  {event}"
            self.recent.append(line)
            print(line, file=self._log, flush=True)

    def close(self) -> None:
        self._log.close()

    def _put(self, key: Key, fact: Fact) -> None:
        with self._lock:
            self._facts = {**self._facts, key: fact}

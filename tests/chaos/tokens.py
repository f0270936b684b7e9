"""The session tokens of the harness: which must be good, which must be refused, which nobody can say."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass
from math import inf

KEPT_ENDED = 60  # the last ones: what is refused after minutes was refused after seconds


@dataclass
class Token:
    """`is_old`: every server has replayed it. Times are time.monotonic."""

    text: str
    made_at: float
    is_old: bool = False
    ending_at: float = inf  # when its logout was asked
    ended_at: float = inf  # when that was answered; inf also where it failed: then nobody can say


class Tokens:
    """All that are good or were ended. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._live: list[Token] = []
        self._ended: list[Token] = []

    def add(self, text: str, *, is_old: bool = False) -> None:
        with self._lock:
            self._live.append(Token(text, time.monotonic(), is_old))

    def live(self, rng: random.Random) -> Token:
        with self._lock:
            return rng.choice(self._live)

    def old(self, rng: random.Random) -> Token | None:
        """One that every server has."""
        with self._lock:
            old = [each for each in self._live if each.is_old]
            return rng.choice(old) if old else None

    def ended(self, rng: random.Random) -> Token | None:
        """One whose logout was answered; the last ones first of all."""
        with self._lock:
            if not self._ended:
                return None
            return self._ended[-1] if rng.random() < 0.5 else rng.choice(self._ended)

    def begin_to_end(self, rng: random.Random, *, keep: int) -> Token | None:
        """One that is to be logged out; None where no more than `keep` are left."""
        with self._lock:
            if len(self._live) <= keep or not any(each.is_old for each in self._live):
                return None
            candidates = [each for each in self._live if not each.is_old] or self._live
            if rng.random() < 0.5:
                candidates = self._live
            chosen = rng.choice(candidates)
            if chosen.is_old and sum(each.is_old for each in self._live) <= keep // 2:
                return None
            self._live.remove(chosen)
            chosen.ending_at = time.monotonic()
            return chosen

    def end(self, token: Token) -> None:
        """Its logout was answered with yes."""
        with self._lock:
            token.ended_at = time.monotonic()
            self._ended.append(token)
            del self._ended[:-KEPT_ENDED]

    def lose(self, token: Token) -> None:
        """It may be lost: it was made while there was no sure primary."""
        with self._lock:
            if token in self._live:
                self._live.remove(token)

    def grow_old(self) -> None:
        """Every server has replayed all of them."""
        with self._lock:
            for token in self._live:
                token.is_old = True

    def count(self) -> tuple[int, int]:
        with self._lock:
            return len(self._live), len(self._ended)

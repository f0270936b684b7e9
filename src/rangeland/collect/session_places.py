"""Where each session stands in its node's list, so that pages miss nobody; and which have ended a short while ago."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, NamedTuple

from rangeland.collect.session_rows import SessionKey, SessionRow
from rangeland.wire.parts import Item, SessionsParams

HOLD = timedelta(seconds=60)  # how long a shown session is remembered after it ended
CLOSED_SHOWN = 1_000  # as the peer
LISTS = 10_000  # of users, for which it is remembered which places were given


@dataclass(slots=True)
class Placed:
    """A session with its places; `ended_at` is when it was first missed, None while it lives."""

    row: SessionRow
    seen_at: datetime
    ended_at: datetime | None = None
    place: int | None = None  # in the list of all; None: no answer has shown it there
    place_of_user: int | None = None  # in the list of its user's
    translation: Translation | None = None  # the last one that can be used again

    def place_in(self, username: str) -> int | None:
        """In the list of that user, or of all where there is none."""
        return self.place_of_user if username else self.place

    def put(self, username: str, place: int) -> None:
        if username:
            self.place_of_user = place
        else:
            self.place = place


class Translation(NamedTuple):
    """A session in JSON, and all that it was made of."""

    content: tuple[Any, ...]  # the row but for its time
    ended_at: datetime | None
    node_id: int
    item: Item


class Places:
    """Keeps the sessions that an answer has shown: their places, and for a minute that they have ended.

    Clients page by place. So a session that was shown keeps its own, in the list of all and in that of its user, and
    no place is given twice: whoever ends or is forgotten moves nobody, and one that shows up late with an early start
    comes behind all that were shown, instead of among them. It holds the last reading of each session that lives, and
    what it became in JSON (together some 5 kB with a long statement), and of 1,000 closed ones as much.
    """

    def __init__(self) -> None:
        self._shown: dict[SessionKey, Placed] = {}
        self._free: dict[str, int] = {}  # by user name, of all: ""; the one asked for last comes last

    def free(self, username: str) -> int:
        """The first place behind all that were given in the list of that user, or of all."""
        return self._free.get(username, 0)

    def arrange(self, rows: Sequence[SessionRow], username: str, now: datetime) -> list[tuple[int, Placed]]:
        """Return the sessions of a reading (of all users or one) and those remembered, by place."""
        row_by_key = {row.key: row for row in rows}
        self._update(row_by_key, rows[0].read_at if rows else None, username, now)
        self._drop_closed()
        known: list[tuple[int, Placed]] = []
        new = [(key, Placed(row, now)) for key, row in row_by_key.items() if key not in self._shown]
        for key, shown in self._shown.items():
            if username and shown.row.username != username:
                continue
            if (place := shown.place_in(username)) is None:
                new.append((key, shown))
            else:
                known.append((place, shown))
        known.sort(key=itemgetter(0))
        new.sort(key=itemgetter(0))
        return known + list(enumerate((placed for _, placed in new), self.free(username)))

    def show(self, passed: Sequence[tuple[int, Placed]], username: str) -> None:
        """Remember the sessions that an answer has passed, by place, in the list of that user or of all."""
        if not passed:
            return
        for place, placed in passed:
            if placed.place_in(username) is None:
                placed.put(username, place)
                self._shown[placed.row.key] = placed
        self._free[username] = max(self._free.pop(username, 0), passed[-1][0] + 1)
        if len(self._free) > LISTS:
            del self._free[next(iter(self._free))]

    def _update(
        self, row_by_key: Mapping[SessionKey, SessionRow], read_at: datetime | None, username: str, now: datetime
    ) -> None:
        for key, shown in list(self._shown.items()):
            if (row := row_by_key.get(key)) is not None:
                if row.username_bytes != shown.row.username_bytes:
                    shown.place_of_user = None  # renamed: it was in another list
                shown.row, shown.seen_at, shown.ended_at = row, now, None
            elif username and shown.row.username != username:
                continue
            elif read_at is not None and shown.row.read_at > read_at:
                continue  # a reading that was overtaken by the one that found this session
            elif now - (shown.ended_at or shown.seen_at) > HOLD:
                del self._shown[key]
            elif shown.ended_at is None:
                shown.ended_at = now

    def _drop_closed(self) -> None:
        """Of more closed ones than are shown, forget those that ended first."""
        closed = [shown for shown in self._shown.values() if shown.ended_at]
        if len(closed) <= CLOSED_SHOWN:
            return
        closed.sort(key=lambda shown: shown.ended_at or shown.seen_at, reverse=True)
        for shown in closed[CLOSED_SHOWN:]:
            del self._shown[shown.row.key]


class Page(NamedTuple):
    """A stretch of the list: sessions with their places."""

    shown: Sequence[tuple[int, Placed]]
    passed: Sequence[tuple[int, Placed]]  # also those passed over
    next_index: int  # 0: the end was reached


def cut_page(placed: Sequence[tuple[int, Placed]], params: SessionsParams) -> Page:
    """Cut `limit` sessions from place `index` on; without a limit, all from there."""
    rest = placed[bisect_left(placed, params.index, key=itemgetter(0)) :]
    wanted = [each for each in rest if each[1].ended_at is None] if params.exclude_closed else rest
    shown = wanted[: params.limit] if params.limit else wanted
    if len(shown) == len(wanted):
        return Page(shown, rest, 0)
    next_index = shown[-1][0] + 1
    return Page(shown, rest[: bisect_left(rest, next_index, key=itemgetter(0))], next_index)

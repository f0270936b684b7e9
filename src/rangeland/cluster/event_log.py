"""What this node has to tell the event log: kept in memory until the primary's node has written it down."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Iterable

import structlog

from rangeland.cluster import questions as q
from rangeland.cluster.cluster import Cluster
from rangeland.errors import RangelandError
from rangeland.wire.events import EventInfo, EventsDropped, info_text
from rangeland.wire.members import EventsToKeep, EventToKeep

ROOM = 1_000  # events that wait: 1 MB at most
BATCH_BYTES = 40_000  # of infos in one question; a body of 64 KB is refused, and JSON within JSON grows
GATHER_S = 1.0  # a node writes once a second at most: what happens meanwhile goes together
WRITE_S = 4.0  # for one batch, the way to the primary's node included
RETRY_S, LONGEST_RETRY_S = 2.0, 60.0  # doubled each time; a primary's node that asks how we do ends the wait

log = structlog.get_logger()


class Waiting:
    """Events that nobody has written down yet, oldest first. The oldest goes where a new one finds no room."""

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._events: dict[uuid.UUID, EventToKeep] = {}
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._events)

    def __contains__(self, event_id: uuid.UUID) -> bool:
        return event_id in self._events

    def add(self, event: EventToKeep) -> None:
        self._events[event.event_id] = event
        if len(self._events) > self._room:
            del self._events[next(iter(self._events))]
            self.dropped += 1

    def batch(self) -> list[EventToKeep]:
        """The oldest, as many as go together; one at least, unless there are none."""
        batch: list[EventToKeep] = []
        left = BATCH_BYTES
        for event in self._events.values():
            left -= len(event.info) + 150
            if batch and left < 0:
                break
            batch.append(event)
        return batch

    def remove(self, events: Iterable[EventToKeep]) -> None:
        for event in events:
            self._events.pop(event.event_id, None)


class EventLog:
    """`record` whatever happens: it returns at once and never fails; `run` brings it to the primary's node."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._waiting = Waiting()
        self._news = asyncio.Event()
        self._hurry = asyncio.Event()
        self._trouble = ""

    def record(self, info: EventInfo, *, event_id: uuid.UUID | None = None) -> None:
        """It happened now. `event_id`: of an event that may be told twice and is to be there once."""
        at_ns = time.time_ns()
        before = self._waiting.dropped
        self._waiting.add(
            EventToKeep(
                event_id=event_id or uuid.uuid4(),
                happened_at_ns=at_ns,
                event_type=info.event_type,
                info=info_text(info, at_ns=at_ns),
            )
        )
        if before == 0 < self._waiting.dropped:
            log.warning("events are dropped, the oldest first: nobody has written them down", room=ROOM)
        self._news.set()

    def is_waiting(self, event_id: uuid.UUID) -> bool:
        """Whether an event has still to be written down."""
        return event_id in self._waiting

    def hurry(self) -> None:
        """There is a primary: what waits for one need not wait longer."""
        self._hurry.set()

    async def run(self) -> None:
        """Have events written down as they come, until cancelled."""
        retry_s = RETRY_S
        while True:
            await self._news.wait()
            self._news.clear()
            self._hurry.clear()
            try:
                await self._write(asyncio.get_running_loop().time() + WRITE_S)
            except RangelandError as exc:
                self._say(str(exc))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._hurry.wait(), retry_s)
                retry_s = min(2 * retry_s, LONGEST_RETRY_S)
            else:
                self._trouble = ""
                retry_s = RETRY_S
                await asyncio.sleep(GATHER_S)
            if self._waiting:
                self._news.set()

    async def flush(self, *, deadline: float) -> None:
        """Have written down what waits, as far as that is possible before the deadline."""
        with contextlib.suppress(RangelandError):
            while self._waiting:
                await self._write(deadline)

    async def _write(self, deadline: float) -> None:
        batch = self._waiting.batch()
        if not batch:
            return
        await self._cluster.ask_primary(
            q.KEEP_EVENTS, EventsToKeep(node_id=self._cluster.node_id, events=batch), deadline=deadline
        )
        self._waiting.remove(batch)
        if dropped := self._waiting.dropped:
            self._waiting.dropped = 0
            self.record(EventsDropped(Count=dropped))

    def _say(self, trouble: str) -> None:
        if not self._trouble:
            log.warning("events can't be written down now and wait", cause=trouble, waiting=len(self._waiting))
        self._trouble = trouble

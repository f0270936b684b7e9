"""Web sessions that ended: remembered until the server knows, told to every node, written on the primary.

A node that has just started, or was stopped for a while, may have missed some: until it has asked the others it
recognises no token.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterable, Iterator

import structlog

from rangeland.cluster import Cluster
from rangeland.cluster import questions as q
from rangeland.errors import RangelandError, StateError
from rangeland.pg import Role, Server
from rangeland.state import tables
from rangeland.wire.members import Revocation
from rangeland.wire.parts import Nothing

REMEMBERED = 1000  # before asking the server which of them it knows
AT_ONCE = 1000  # in one question: 31 KB of the 64 KB that a body may have
FORGET_EVERY_S = 1.0
KEPT_S = 10.0  # a request that found the session alive has its answer by then, and no node has it cached any more
WRITE_AGAIN_S = 2.0  # as silent nodes are tried again
TRY_TIMEOUT_S = 2.0
LONGEST_TICK_S = 2.0  # a clock that ticks each second: after more this process was stopped, or couldn't work
TRY_SILENT_S = LONGEST_TICK_S + 0.25  # whoever can't be told for so long was stopped, and asks when it goes on
WAIT_COMPLETE_S = 1.0  # a start's first round of questions takes some milliseconds

log = structlog.get_logger()


class Revocations:
    """`expires_by_id`: id → when the token would have expired, s since 1970."""

    def __init__(self, server: Server, cluster: Cluster) -> None:
        self._server = server
        self._cluster = cluster
        self._unwritten: set[int] = set()
        self._to_write = asyncio.Event()
        self._trouble = ""  # told once, though it is tried every 2 s
        self._complete = asyncio.Event()
        self.doubted = 0  # times that this node may have missed some
        self._ticked_at = time.monotonic()
        self.on_end: Callable[[Iterable[int]], None] = lambda _: None
        self.expires_by_id: dict[int, int] = {}
        self._heard_at: dict[int, float] = {}  # of the same ids, by the clock that nobody can set

    def has(self, session_id: int) -> bool:
        return session_id in self.expires_by_id

    # ending sessions

    async def end(self, expires_by_id: dict[int, int], *, deadline: float) -> None:
        """End sessions on every node that can be reached, and write it down on the primary.

        Nothing is lost where there is no primary: the nodes remember, and write when there is one. A node that was
        silent is tried all the same: it may be back.
        """
        self._take(expires_by_id)
        self._unwritten.update(expires_by_id)
        try:
            await asyncio.gather(
                self._write_down(expires_by_id, deadline),
                self._tell(self._cluster.active_ids(), expires_by_id, deadline),
            )
        finally:
            self._to_write.set()

    def take(self, expires_by_id: dict[int, int]) -> None:
        """Another node ended sessions, or remembers that they have ended.

        The primary's node writes down what it hears: who ended them may not have reached it, or taken another for it.
        """
        new = expires_by_id.keys() - self.expires_by_id.keys()
        self._take(expires_by_id)
        if self._server.role is Role.PRIMARY and new:
            self._unwritten |= new
            self._to_write.set()

    async def tell_returned(self, node_id: int, *, deadline: float) -> None:
        """Tell a node that was silent what ended meanwhile: it may have noticed nothing."""
        await self._tell([node_id], self.expires_by_id, deadline)

    # writing them down

    async def answer_write(self, params: Revocation, deadline: float) -> Nothing:
        """Write them down, on the primary's node. Raises: NotPrimaryError, ServerError."""
        self._server.require_primary()
        self._take(params.expires_by_id)
        await tables.revoke_web_sessions(self._server, list(params.expires_by_id), deadline=deadline)
        self._unwritten -= params.expires_by_id.keys()
        return Nothing()

    def write_again(self) -> None:
        """Begin to write down what a primary may not have: called when the server is up again or was promoted.

        A new primary gets all that this node remembers: the last ones may not have reached it as a standby.
        """
        if self._server.role is Role.PRIMARY:
            self._unwritten |= self.expires_by_id.keys()
        self._to_write.set()

    async def run(self) -> None:
        """Write until it is written, and forget what the server knows, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(FORGET_EVERY_S):
                    await self._to_write.wait()
                self._to_write.clear()
                await self._write_unwritten()
            except TimeoutError:
                await self._forget_written()

    async def _write_unwritten(self) -> None:
        self._unwritten &= self.expires_by_id.keys()
        unwritten = {each: self.expires_by_id[each] for each in self._unwritten}
        if unwritten and not await self._write_down(unwritten, _soon()):
            await asyncio.sleep(WRITE_AGAIN_S)
            self._to_write.set()

    async def _write_down(self, expires_by_id: dict[int, int], deadline: float) -> bool:
        try:
            for revocation in _in_questions(expires_by_id):
                await self._cluster.ask_primary(q.WRITE_REVOCATION, revocation, deadline=deadline)
                self._unwritten -= revocation.expires_by_id.keys()
        except RangelandError as exc:
            if str(exc) != self._trouble:
                log.warning("a logout could not be written down yet; the nodes remember it", cause=str(exc))
            self._trouble = str(exc)
            return False
        self._trouble = ""
        return True

    async def _forget_written(self) -> None:
        """Forget those that this node's own server knows by now; only when they are many."""
        self._take({})
        if len(self.expires_by_id) <= REMEMBERED or self._server.down is not None:
            return
        before = time.monotonic() - KEPT_S
        ids = [each for each, heard in self._heard_at.items() if heard < before and each not in self._unwritten]
        if not ids:
            return
        try:
            known = await tables.list_revoked(self._server, ids, deadline=_soon())
        except RangelandError as exc:
            log.warning("ended sessions stay in memory", count=len(ids), cause=str(exc))
            return
        for session_id in known:
            self._drop(session_id)

    # having heard of all

    def doubt(self) -> None:
        """From now on this node may have missed some."""
        self._complete.clear()
        self.doubted += 1

    def heard(self, doubted: int) -> None:
        """The others have been asked since that doubt; nothing changes where there is a later one."""
        if doubted == self.doubted:
            self._complete.set()

    def tick(self) -> bool:
        """Called each second; False where so much time has passed that this process must have been stopped."""
        is_regular = not self._was_stopped()
        self._ticked_at = time.monotonic()
        return is_regular

    async def require_complete(self, *, deadline: float) -> None:
        """Raises: StateError while this node may not have heard of some that ended, after a short wait."""
        if self._was_stopped():
            self.doubt()
        if self._complete.is_set():
            return
        until = min(deadline, asyncio.get_running_loop().time() + WAIT_COMPLETE_S)
        try:
            async with asyncio.timeout_at(until):
                await self._complete.wait()
        except TimeoutError as exc:
            raise StateError("this node has yet to ask the others which sessions have ended") from exc

    def _was_stopped(self) -> bool:
        return time.monotonic() - self._ticked_at > LONGEST_TICK_S

    async def _tell(self, node_ids: Iterable[int], expires_by_id: dict[int, int], deadline: float) -> None:
        """Each node at its own pace, as far as it answers: a silent one keeps nobody else from hearing of all."""
        revocations = list(_in_questions(expires_by_id))

        async def tell(node_id: int) -> None:
            for each in revocations:
                part = await self._cluster.ask(node_id, q.REVOKE, each, deadline=deadline, try_silent_s=TRY_SILENT_S)
                if part.error is not None:
                    return

        await asyncio.gather(*(tell(node_id) for node_id in node_ids if node_id != self._cluster.node_id))

    def _take(self, expires_by_id: dict[int, int]) -> None:
        now, heard = self._cluster.now_s(), time.monotonic()
        self.on_end(expires_by_id)
        self.expires_by_id |= expires_by_id
        for session_id in expires_by_id:
            self._heard_at.setdefault(session_id, heard)
        for session_id in [each for each, expires in self.expires_by_id.items() if expires < now]:
            self._drop(session_id)

    def _drop(self, session_id: int) -> None:
        self.expires_by_id.pop(session_id, None)
        self._heard_at.pop(session_id, None)


def _in_questions(expires_by_id: dict[int, int]) -> Iterator[Revocation]:
    some = iter(list(expires_by_id.items()))
    while batch := dict(itertools.islice(some, AT_ONCE)):
        yield Revocation(expires_by_id=batch)


def _soon() -> float:
    return asyncio.get_running_loop().time() + TRY_TIMEOUT_S

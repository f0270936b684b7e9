"""Web sessions that ended: remembered until the server knows, told to every node, written on the primary."""

from __future__ import annotations

import asyncio
import time

import structlog

from rangeland.cluster import Cluster
from rangeland.cluster import questions as q
from rangeland.errors import RangelandError
from rangeland.pg import Role, Server
from rangeland.state import tables
from rangeland.wire.members import HelloAnswer, Revocation
from rangeland.wire.parts import Nothing

REMEMBERED = 1000  # before asking the server which of them it knows

log = structlog.get_logger()


class Revocations:
    """`expires_by_id`: id → when the token would have expired, s since 1970."""

    def __init__(self, server: Server, cluster: Cluster) -> None:
        self._server = server
        self._cluster = cluster
        self._unwritten: set[int] = set()
        self.expires_by_id: dict[int, int] = {}

    def has(self, session_id: int) -> bool:
        return session_id in self.expires_by_id

    async def end(self, expires_by_id: dict[int, int], *, deadline: float) -> None:
        """End sessions on every node that can be reached, and write it down on the primary.

        Nothing is lost where there is no primary: the nodes remember, and write when there is one.
        """
        self._take(expires_by_id)
        revocation = Revocation(expires_by_id=expires_by_id)
        written, _told = await asyncio.gather(
            self._write_down(revocation, deadline),
            self._cluster.ask_all(q.REVOKE, revocation, deadline=deadline),
        )
        if not written:
            log.warning("a logout could not be written down yet; the nodes remember it")
            self._unwritten.update(expires_by_id)

    def take(self, params: Revocation) -> None:
        """Another node ended sessions."""
        self._take(params.expires_by_id)

    def take_hello(self, answer: HelloAnswer) -> None:
        """Learn which sessions ended while this node and another did not hear each other."""
        self._take(answer.revoked)

    async def answer_write(self, params: Revocation, deadline: float) -> Nothing:
        """Write them down, on the primary's node. Raises: NotPrimaryError, ServerError."""
        self._server.require_primary()
        await tables.revoke_web_sessions(self._server, list(params.expires_by_id), deadline=deadline)
        return Nothing()

    async def write_again(self, *, deadline: float) -> None:
        """Write down what a primary may not have: called when the server is up again or was promoted.

        A new primary gets all that this node remembers: the last ones may not have reached it as a standby.
        """
        is_primary = self._server.role is Role.PRIMARY
        ids = set(self.expires_by_id) if is_primary else self._unwritten & set(self.expires_by_id)
        revocation = Revocation(expires_by_id={each: self.expires_by_id[each] for each in ids})
        if not ids or await self._write_down(revocation, deadline):
            self._unwritten.clear()

    async def write_owed(self, *, deadline: float) -> None:
        """Try again, each second, what a logout could not write because there was no primary."""
        if self._unwritten:
            await self.write_again(deadline=deadline)

    async def forget_written(self, *, deadline: float) -> None:
        """Forget those that this node's own server knows by now; only when they are many. Raises: ServerError."""
        if len(self.expires_by_id) > REMEMBERED:
            ids = list(self.expires_by_id)
            for session_id in await tables.list_revoked(self._server, ids, deadline=deadline):
                self.expires_by_id.pop(session_id, None)

    async def _write_down(self, revocation: Revocation, deadline: float) -> bool:
        try:
            await self._cluster.ask_primary(q.WRITE_REVOCATION, revocation, deadline=deadline)
        except RangelandError:
            return False
        return True

    def _take(self, expires_by_id: dict[int, int]) -> None:
        now = time.time()
        self.expires_by_id |= expires_by_id
        for session_id in [each for each, expires in self.expires_by_id.items() if expires < now]:
            del self.expires_by_id[session_id]

"""Whose token is it, what may they do now, and the end of their sessions."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from msgspec import structs

from rangeland.auth.failed_logins import ADDRESS_LENGTH
from rangeland.auth.grants import Grants
from rangeland.auth.revocations import Revocations
from rangeland.auth.session_token import decode_token
from rangeland.cluster import Cluster, EventLog
from rangeland.cluster import questions as q
from rangeland.cluster.cluster import halfway
from rangeland.errors import NoPrimaryError, RangelandError
from rangeland.pg import Role, Server
from rangeland.state import tables
from rangeland.wire.events import UserLogout
from rangeland.wire.members import Grant, GrantParams, OfflineSession, UserParams, WebSession, WebSessions

CACHE_S = 1.0  # a right that was taken away, or a session ended while this node was deaf, counts within a second
CACHED = 10_000
LOOKUPS = 8  # at once; more wait: tokens of nobody must not take the server's time from other people's
OWN_READ_S = 1.0  # of a request's 4.5 s, for this node's own server to say who is asking
LAST_LOOK_S = 1.5  # of them, for sessions made while a user's others ended; telling keeps more than TRY_SILENT_S


class NotRecognisedError(Exception):
    """No live session has this token."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking. `session_id` 0: nobody logged in (--insecure)."""

    username: str
    is_admin: bool
    is_monitor: bool
    may_read_redacted: bool = False
    session_id: int = 0
    expires_at_s: float = 0.0
    may_signal: bool = False  # the nodes' role may end sessions; whose this user may end is another question

    @property
    def may_read(self) -> bool:
        return self.is_admin or self.is_monitor or self.may_read_redacted

    @property
    def is_redacted(self) -> bool:
        """Other users' statements come without constants: as the peer has it, also for a member of pg_monitor."""
        return self.may_read_redacted and not self.is_admin


@dataclass(frozen=True, slots=True)
class _Known:
    grant: Grant
    until: float  # loop time


class WebSessionKeeper:
    """Recognises tokens and ends sessions."""

    def __init__(
        self, server: Server, cluster: Cluster, grants: Grants, revocations: Revocations, events: EventLog
    ) -> None:
        self._server = server
        self._cluster = cluster
        self._grants = grants
        self._revocations = revocations
        self._events = events
        self._known: OrderedDict[int, _Known] = OrderedDict()
        self._lookups = asyncio.Semaphore(LOOKUPS)

    async def recognise(self, token: str, *, deadline: float) -> Caller:
        """Whose token this is and what that user may do now.

        Raises: MalformedTokenError, NotRecognisedError; StateError, ServerError or PeerError where nobody can say.
        """
        decoded = decode_token(token)
        if decoded is None:
            raise NotRecognisedError
        await self._revocations.require_complete(deadline=deadline)
        session_id, secret = decoded
        if self._revocations.has(session_id):  # whatever a server says, or can't say
            raise NotRecognisedError
        grant = await self._grant(session_id, deadline)
        is_same = hmac.compare_digest(grant.hashed_secret, hashlib.sha256(secret).digest())
        is_over = grant.revoked or self._revocations.has(session_id) or grant.expires_at_s <= self._cluster.now_s()
        if not grant.found or not is_same or is_over:
            raise NotRecognisedError
        return Caller(
            username=grant.username,
            is_admin=grant.is_admin,
            is_monitor=grant.is_monitor,
            may_read_redacted=grant.may_read_redacted,
            session_id=session_id,
            expires_at_s=grant.expires_at_s,
            may_signal=grant.may_signal,
        )

    def forget_known(self) -> None:
        """Trust no cached token: this process may have been stopped while sessions were ended."""
        self._known.clear()
        self._grants.forget_all()

    async def log_out(self, caller: Caller, *, client_address: str, deadline: float) -> None:
        """End the caller's session everywhere."""
        await self._revocations.end({caller.session_id: int(caller.expires_at_s) + 1}, deadline=deadline)
        address = client_address[:ADDRESS_LENGTH]
        self._events.record(UserLogout(User=caller.username, RemoteAddress=address, Method="token"))

    async def list(self, params: UserParams, deadline: float) -> WebSessions:
        """Web sessions of a user, or of all, oldest first, as this node knows them. Raises: ServerError."""
        rows = await tables.list_web_sessions(self._server, params.username, deadline=deadline)
        offline = self._grants.offline_of(params.username)
        return WebSessions(sessions=[*map(self._from_row, rows), *map(self._from_offline, offline)])

    async def log_user_out(self, params: UserParams, deadline: float) -> WebSessions:
        """End all of a user's sessions everywhere; returns them, the earlier ended ones included."""
        found: dict[int, WebSession] = {}
        while live := await self._find_live(params, found, deadline):
            # a node that hangs takes all the time that it is given
            await self._revocations.end(live, deadline=max(deadline - LAST_LOOK_S, halfway(deadline)))
            self._tell_ended(found[session_id].username for session_id in live)
        now = _printed(datetime.now(UTC))
        in_order = sorted(found.values(), key=lambda each: (each.created, each.id))
        return WebSessions(sessions=[structs.replace(each, revoked=each.revoked or now) for each in in_order])

    async def _find_live(self, params: UserParams, found: dict[int, WebSession], deadline: float) -> dict[int, int]:
        """Those that live and were not `found` yet, with their ends; adds all to `found`.

        The primary's node is asked as well, since this one's server may lag; with none in reach every node is.
        Raises: the last error where nobody can say.
        """
        told: list[WebSession] = []
        try:
            told += (await self._cluster.ask_primary(q.LIST_WEB_SESSIONS, params, deadline=deadline)).sessions
            told += (await self.list(params, deadline)).sessions
        except RangelandError:
            parts = await self._cluster.ask_all(q.LIST_WEB_SESSIONS, params, deadline=deadline)
            told += [each for part in parts if part.value is not None for each in part.value.sessions]
            if all(part.value is None for part in parts):
                raise
        over = {each.id for each in told if each.revoked is not None}
        live = {each.id: _seconds(each.expires) for each in told if each.id not in over and each.id not in found}
        for each in told:
            if each.id not in found or each.revoked is not None:
                found[each.id] = each
        return live

    def _tell_ended(self, usernames: Iterable[str]) -> None:
        """One event a user."""
        for username, count in Counter(usernames).items():
            self._events.record(UserLogout(User=username, Method="cluster key", Count=count))

    async def _grant(self, session_id: int, deadline: float) -> Grant:
        loop = asyncio.get_running_loop()
        known = self._known.get(session_id)
        if known is not None and known.until > loop.time():
            return known.grant
        async with self._lookups:
            grant = await self._look_up(session_id, deadline)
        if grant.found:
            self._known[session_id] = _Known(grant, loop.time() + CACHE_S)
            self._known.move_to_end(session_id)
            while len(self._known) > CACHED:
                self._known.popitem(last=False)
        return grant

    async def _look_up(self, session_id: int, deadline: float) -> Grant:
        """Ask our own server; where it can't decide, the primary's node; where there is none, every node."""
        params = GrantParams(id=session_id)
        own_deadline = min(deadline, asyncio.get_running_loop().time() + OWN_READ_S)
        grants: list[Grant] = []
        trouble: RangelandError = NoPrimaryError("no node can say whose token this is")
        try:
            own = await self._grants.answer(params, own_deadline)
            is_trusted = own.fresh and not self._cluster.is_deposed()
            if is_trusted and (own.found or self._server.role is Role.PRIMARY):
                return own
            grants.append(own)
        except RangelandError as exc:
            trouble = exc
        if grants or self._server.role is not Role.PRIMARY:  # one that has just failed is not asked again
            try:
                asked = await self._cluster.ask_primary(
                    q.GRANT, params, deadline=min(deadline, own_deadline + OWN_READ_S)
                )
                if asked.found or not any(grant.found for grant in grants):
                    return asked
            except RangelandError as exc:
                trouble = exc
        others = [node_id for node_id in self._cluster.active_ids() if node_id != self._cluster.node_id]
        parts = await self._cluster.ask_all(q.GRANT, params, deadline=deadline, node_ids=others)
        grants.extend(part.value for part in parts if part.value is not None)
        if not grants:
            raise trouble
        return _decided(grants, trouble)

    def _from_row(self, row: tuple[Any, ...]) -> WebSession:
        session_id, username, created, expires, revoked, last_used = row
        return WebSession(
            id=session_id,
            username=username,
            created=_printed(created),
            expires=_printed(expires),
            revoked=_printed(revoked) if revoked else self._ended(session_id),
            last_used=_printed(last_used),
        )

    def _from_offline(self, session: OfflineSession) -> WebSession:
        expires = _printed(datetime.fromtimestamp(session.expires_at_s, UTC))
        return WebSession(
            id=session.id,
            username=session.username,
            created="",
            expires=expires,
            revoked=self._ended(session.id),
            last_used="",
        )

    def _ended(self, session_id: int) -> str | None:
        """Now, for one that ended without this node's server having heard of it yet."""
        return _printed(datetime.now(UTC)) if self._revocations.has(session_id) else None


def _decided(grants: Iterable[Grant], trouble: RangelandError) -> Grant:
    """What nodes say of a session while no primary is in reach. Raises: `trouble` where none of them can tell.

    One that knows of its end is believed, whatever its server. Of rights the latest count, and those of a paused
    standby never: it may hold one that was taken away long ago.
    """
    found = [grant for grant in grants if grant.found]
    if ended := [grant for grant in found if grant.revoked]:
        return ended[0]
    usable = [grant for grant in found if not grant.paused]
    if found and not usable:
        raise trouble
    return max(usable, key=lambda grant: (grant.fresh, grant.replayed_lsn), default=Grant(found=False))


def _printed(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")


def _seconds(printed: str) -> int:
    return int(datetime.strptime(printed, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC).timestamp()) + 1

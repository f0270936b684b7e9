"""The users of the API: their sessions made, recognised and ended, on every node."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from rangeland.auth.password import Verdict, check_password, is_plausible, login_params
from rangeland.auth.session_token import SECRET_BYTES, decode_token, encode_token
from rangeland.auth.throttle import BusyError, Throttle
from rangeland.cluster import Cluster
from rangeland.cluster import questions as q
from rangeland.cluster.peer_token import derived
from rangeland.config import WEB_SESSION_LIFETIME_S, WRITE_TIMEOUT_S
from rangeland.errors import NoPrimaryError, NotPrimaryError, PeerError, RangelandError, ServerDownError
from rangeland.pg import Server
from rangeland.pg.connection import parse_server_url
from rangeland.state import tables
from rangeland.wire.members import (
    Grant,
    GrantParams,
    HelloAnswer,
    LoginParams,
    LoginResult,
    OfflineSession,
    Revocation,
    SessionToMake,
    UserParams,
    WebSession,
    WebSessions,
    WrittenAt,
)

CACHE_S = 1.0  # a right that was taken away, or a session ended while this node was deaf, counts within a second
CACHED = 10_000
OFFLINE_LIFETIME_S = 900.0  # of a session made with the cluster key while there is no primary
REMEMBERED_ENDS = 1000  # sessions that ended, before asking the server whether it knows them
CLOCKS_S = 60.0  # what the clocks of two nodes may differ before such a session is refused
OWN_READ_S = 1.0  # of a request's 4.5 s, for this node's own server to say who is asking

log = structlog.get_logger()


class NotRecognisedError(Exception):
    """No live session has this token."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking. `session_id` 0: nobody logged in (--insecure)."""

    username: str
    is_admin: bool
    is_monitor: bool
    session_id: int = 0
    expires_at_s: float = 0.0

    @property
    def may_read(self) -> bool:
        return self.is_admin or self.is_monitor


@dataclass(frozen=True, slots=True)
class _Known:
    grant: Grant
    until: float  # loop time


class WebSessionKeeper:
    """Web sessions as this node knows them: those of the table, those kept in memory only, and those that ended."""

    def __init__(self, *, server: Server, cluster: Cluster, key: bytes, login_url: str | None) -> None:
        self._server = server
        self._cluster = cluster
        self._mac_key = derived(key, "web session")
        self._login_params = parse_server_url(login_url, setting="--login-url") if login_url else server.params
        self._throttle = Throttle(time.monotonic)
        self._known: OrderedDict[int, _Known] = OrderedDict()
        self._offline: dict[int, OfflineSession] = {}
        self.revoked: dict[int, int] = {}  # id → when its token expires, s since 1970
        self._unwritten: set[int] = set()
        self.admin_role = "admin"
        self.login_database = "postgres"

    # a token comes in

    async def recognise(self, token: str, *, deadline: float) -> Caller:
        """Whose token this is and what that user may do now.

        Raises: MalformedTokenError, NotRecognisedError; ServerError or PeerError where nobody can say.
        """
        decoded = decode_token(token)
        if decoded is None:
            raise NotRecognisedError
        session_id, secret = decoded
        grant = await self._grant(session_id, deadline)
        same = hmac.compare_digest(grant.hashed_secret, hashlib.sha256(secret).digest())
        if not (grant.found and same) or grant.revoked or session_id in self.revoked:
            raise NotRecognisedError
        if grant.expires_at_s <= time.time():
            raise NotRecognisedError
        return Caller(grant.username, grant.is_admin, grant.is_monitor, session_id, grant.expires_at_s)

    async def _grant(self, session_id: int, deadline: float) -> Grant:
        loop = asyncio.get_running_loop()
        known = self._known.get(session_id)
        if known is not None and known.until > loop.time():
            return known.grant
        grant = await self._looked_up(session_id, deadline)
        if grant.found:
            self._known[session_id] = _Known(grant, loop.time() + CACHE_S)
            self._known.move_to_end(session_id)
            while len(self._known) > CACHED:
                self._known.popitem(last=False)
        return grant

    async def _looked_up(self, session_id: int, deadline: float) -> Grant:
        """Ask our own server; where it can't decide, the primary's node; where there is none, every node."""
        params = GrantParams(id=session_id)
        own_deadline = min(deadline, asyncio.get_running_loop().time() + OWN_READ_S)
        grants: list[Grant] = []
        trouble: RangelandError = NoPrimaryError("no node can say whose token this is")
        try:
            own = await self.answer_grant(params, own_deadline)
            if own.fresh and (own.found or self._server.role == "primary"):
                return own
            grants.append(own)
        except RangelandError as exc:
            trouble = exc
        try:
            asked = await self._cluster.ask_primary(q.GRANT, params, deadline=own_deadline + OWN_READ_S)
            if asked.found or not grants or not grants[0].found:
                return asked
        except RangelandError as exc:
            trouble = exc
        others = [node_id for node_id in self._cluster.active_ids() if node_id != self._cluster.node_id]
        parts = await self._cluster.ask_all(q.GRANT, params, deadline=deadline, node_ids=others)
        grants.extend(part.value for part in parts if part.value is not None)
        if not grants:
            raise trouble
        # With no primary in reach a paused standby may hold a right that was taken away long ago.
        usable = [grant for grant in grants if grant.found and not grant.paused]
        return max(usable, key=lambda grant: (grant.revoked, grant.fresh), default=Grant(found=False))

    async def answer_grant(self, params: GrantParams, deadline: float) -> Grant:
        """What this node's server says. Raises: ServerError, StateError."""
        offline = self._offline.get(params.id)
        rows = await self._server.fetch(
            "auth",
            "read_grant",
            deadline=deadline,
            id=params.id,
            username=offline.username if offline else params.username,
            admin_role=self.admin_role,
        )
        hashed, username, created, expires, revoked, mac, is_admin, is_monitor, fresh, paused, user = rows[0]
        rights = {"is_admin": is_admin, "is_monitor": is_monitor, "fresh": fresh, "paused": paused}
        gone = params.id in self.revoked
        if offline is not None:
            return Grant(
                found=True,
                hashed_secret=offline.hashed_secret,
                username=offline.username,
                expires_at_s=offline.expires_at_s,
                revoked=gone,
                known_user=user,
                **rights,
            )
        if hashed is None:
            return Grant(found=False, known_user=user, **rights)
        if not hmac.compare_digest(mac, self._mac(params.id, hashed, username, created, expires)):
            log.warning("a web session without a valid signature was ignored", session_id=params.id)
            return Grant(found=False, **rights)
        return Grant(
            found=True,
            hashed_secret=hashed,
            username=username,
            expires_at_s=expires.timestamp(),
            revoked=revoked or gone,
            known_user=user,
            **rights,
        )

    # logging in

    async def log_in(self, params: LoginParams, *, deadline: float) -> LoginResult:
        """Have the primary's node check the password. Raises: NoPrimaryError, ServerError, PeerError."""
        if not is_plausible(params.username, params.password):
            return LoginResult(refused=True)
        return await self._cluster.ask_primary(q.LOGIN, params, deadline=deadline)

    async def answer_login(self, params: LoginParams, deadline: float) -> LoginResult:
        """Check the password against this node's server, the primary, and make a session."""
        self._require_primary()
        if not is_plausible(params.username, params.password):
            return LoginResult(refused=True)
        who = {"name": params.username, "address": params.client_address}
        try:
            async with self._throttle.turn(**who, deadline=deadline):
                verdict = await self._checked(params, deadline)
        except BusyError as exc:
            return LoginResult(retry_after_s=exc.retry_after_s)
        if verdict is not Verdict.RIGHT:
            self._throttle.failed(**who)
            self._log_refusal(verdict, params)
            return LoginResult(refused=True)
        self._throttle.succeeded(**who)
        return await self._made(params.username, WEB_SESSION_LIFETIME_S, deadline)

    async def _checked(self, params: LoginParams, deadline: float) -> Verdict:
        login = login_params(
            self._login_params,
            username=params.username,
            password=params.password,
            database=self.login_database,
        )
        return await check_password(login, params.username, deadline=deadline)

    def _log_refusal(self, verdict: Verdict, params: LoginParams) -> None:
        if verdict is Verdict.NOT_ASKED:
            log.warning(
                "login refused: the server did not ask for the password, so it proves nothing; "
                "let pg_hba.conf demand scram-sha-256 on the connection of --login-url",
                client_address=params.client_address,
            )
        else:
            log.info("login refused by the server", client_address=params.client_address)

    async def answer_make_session(self, params: SessionToMake, deadline: float) -> LoginResult:
        """A session for an existing role, without its password; asked for with the cluster key."""
        self._require_primary()
        grant = await self.answer_grant(GrantParams(id=0, username=params.username), deadline)
        if not grant.known_user:
            return LoginResult(refused=True)
        return await self._made(params.username, params.lifetime_s, deadline)

    async def _made(self, username: str, lifetime_s: float, deadline: float) -> LoginResult:
        secret = secrets.token_bytes(SECRET_BYTES)
        hashed = hashlib.sha256(secret).digest()
        session_id = _new_id()
        created = datetime.now(UTC)
        expires = datetime.fromtimestamp(int(created.timestamp() + lifetime_s), UTC)
        row = tables.WebSessionRow(
            id=session_id,
            hashed_secret=hashed,
            username=username,
            created_at=created,
            expires_at=expires,
            mac=self._mac(session_id, hashed, username, created, expires),
        )
        await tables.add_web_session(self._server, row, deadline=deadline)
        return LoginResult(token=encode_token(session_id, secret), id=session_id, expires_at_s=expires.timestamp())

    # logging out

    async def log_out(self, caller: Caller, *, deadline: float) -> None:
        """End the session on every node that can be reached, and write it down on the primary."""
        await self._end({caller.session_id: int(caller.expires_at_s) + 1}, deadline=deadline)

    async def _end(self, expires_by_id: dict[int, int], *, deadline: float) -> None:
        self._take_revoked(expires_by_id)
        revocation = Revocation(expires_by_id=expires_by_id)
        written, _told = await asyncio.gather(
            self._write_down(revocation, deadline),
            self._cluster.ask_all(q.REVOKE, revocation, deadline=deadline),
        )
        if not written:
            self._unwritten.update(expires_by_id)

    async def _write_down(self, revocation: Revocation, deadline: float) -> bool:
        try:
            await self._cluster.ask_primary(q.WRITE_REVOCATION, revocation, deadline=deadline)
        except RangelandError as exc:
            log.warning("a logout could not be written down yet; the nodes remember it", cause=str(exc))
            return False
        return True

    async def write_revocations(self, *, deadline: float) -> None:
        """Write down the logouts that a primary may not have: called when the server is up again or was promoted.

        A new primary gets all that this node remembers: the last ones may not have reached it as a standby.
        """
        ids = set(self.revoked) if self._server.role == "primary" else self._unwritten & set(self.revoked)
        expires_by_id = {session_id: self.revoked[session_id] for session_id in ids}
        if not expires_by_id or await self._write_down(Revocation(expires_by_id=expires_by_id), deadline):
            self._unwritten.clear()

    async def forget_written(self, *, deadline: float) -> None:
        """Forget the ended sessions of which this node's own server knows by now; only when they are many."""
        if len(self.revoked) > REMEMBERED_ENDS:
            ids = list(self.revoked)
            for session_id in await tables.list_revoked(self._server, ids, deadline=deadline):
                self.revoked.pop(session_id, None)

    async def answer_write_revocation(self, params: Revocation, deadline: float) -> WrittenAt:
        self._require_primary()
        until = min(deadline, asyncio.get_running_loop().time() + WRITE_TIMEOUT_S)
        ids = list(params.expires_by_id)
        return WrittenAt(lsn=await tables.revoke_web_sessions(self._server, ids, deadline=until))

    def take_hello(self, answer: HelloAnswer) -> None:
        """Learn which sessions ended while this node and another did not hear each other."""
        self._take_revoked(answer.revoked)

    def _take_revoked(self, expires_by_id: dict[int, int]) -> None:
        now = time.time()
        for session_id, expires in expires_by_id.items():
            self.revoked[session_id] = expires
            self._known.pop(session_id, None)
        for session_id in [known for known, expires in self.revoked.items() if expires < now]:
            del self.revoked[session_id]

    def take_revocation(self, params: Revocation) -> None:
        self._take_revoked(params.expires_by_id)

    def forget_known(self) -> None:
        """Trust no cached token: this process may have been stopped while sessions were ended."""
        self._known.clear()

    # the commands

    async def log_user_in(self, params: SessionToMake, *, deadline: float) -> LoginResult:
        """`auth-session login`: by the primary's node; with no primary, in the nodes' memory for 15 minutes.

        Raises: ServerError, StateError where this node's server can't tell whether the role exists.
        """
        try:
            return await self._cluster.ask_primary(q.MAKE_SESSION, params, deadline=deadline)
        except (NoPrimaryError, PeerError, ServerDownError):
            return await self._made_offline(params, deadline)

    async def _made_offline(self, params: SessionToMake, deadline: float) -> LoginResult:
        grant = await self.answer_grant(GrantParams(id=0, username=params.username), deadline)
        if not grant.known_user:
            return LoginResult(refused=True)
        secret = secrets.token_bytes(SECRET_BYTES)
        session = OfflineSession(
            id=_new_id(),
            hashed_secret=hashlib.sha256(secret).digest(),
            username=params.username,
            expires_at_s=time.time() + min(params.lifetime_s, OFFLINE_LIFETIME_S),
        )
        self.keep_offline(session)
        await self._cluster.ask_all(q.KEEP_SESSION, session, deadline=deadline)
        log.warning("a session was made with the cluster key while there is no primary", username=params.username)
        return LoginResult(token=encode_token(session.id, secret), id=session.id, expires_at_s=session.expires_at_s)

    def keep_offline(self, session: OfflineSession) -> None:
        """Remember a session that no table holds; a known one is never made longer."""
        now = time.time()
        self._offline = {known: each for known, each in self._offline.items() if each.expires_at_s > now}
        if session.expires_at_s <= now + OFFLINE_LIFETIME_S + CLOCKS_S:
            self._offline.setdefault(session.id, session)

    async def list_web_sessions(self, params: UserParams, deadline: float) -> WebSessions:
        """Web sessions of a user, or of all, oldest first, as this node's server has them."""
        rows = await tables.list_web_sessions(self._server, params.username, deadline=deadline)
        return WebSessions(sessions=[self._listed(row) for row in rows])

    async def log_user_out(self, params: UserParams, *, deadline: float) -> WebSessions:
        """End all of a user's sessions everywhere; returns them, the earlier ended ones included."""
        listed = await self.list_web_sessions(params, deadline)
        live = {each.id: _seconds(each.expires) for each in listed.sessions if each.revoked is None}
        if live:
            await self._end(live, deadline=deadline)
        now = _printed(datetime.now(UTC))
        return WebSessions(
            sessions=[
                WebSession(
                    id=each.id,
                    username=each.username,
                    created=each.created,
                    expires=each.expires,
                    revoked=each.revoked or now,
                    last_used=each.last_used,
                )
                for each in listed.sessions
            ]
        )

    def _listed(self, row: tuple[Any, ...]) -> WebSession:
        session_id, username, created, expires, revoked, last_used = row
        ended = revoked or (datetime.now(UTC) if session_id in self.revoked else None)
        return WebSession(
            id=session_id,
            username=username,
            created=_printed(created),
            expires=_printed(expires),
            revoked=_printed(ended) if ended else None,
            last_used=_printed(last_used),
        )

    # inside

    def _require_primary(self) -> None:
        if self._server.role != "primary" or self._server.down is not None:
            raise NotPrimaryError("this node's server is not a primary that answers")

    def _mac(self, session_id: int, hashed: bytes, username: str, created: datetime, expires: datetime) -> bytes:
        text = f"{session_id}|{hashed.hex()}|{int(created.timestamp() * 1e6)}|{int(expires.timestamp())}|{username}"
        return hmac.digest(self._mac_key, text.encode(), hashlib.sha256)


def _new_id() -> int:
    return secrets.randbits(62) | 1 << 61  # long, so that tokens have one length


def _printed(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")


def _seconds(printed: str) -> int:
    return int(datetime.strptime(printed, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC).timestamp()) + 1

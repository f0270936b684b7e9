"""Logging in: with a password, or with the cluster key; on the primary's node while there is a primary."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import time
from datetime import UTC, datetime

import structlog

from rangeland.auth.failed_logins import ADDRESS_LENGTH, FailedLogins
from rangeland.auth.grants import OFFLINE_LIFETIME_S, Grants
from rangeland.auth.password import Verdict, check_password, is_plausible, login_params
from rangeland.auth.revocations import Revocations
from rangeland.auth.session_token import SECRET_BYTES, decode_token, encode_token
from rangeland.auth.throttle import BusyError, Throttle
from rangeland.cluster import Cluster, EventLog
from rangeland.cluster import questions as q
from rangeland.errors import NoPrimaryError, PeerError, ServerDownError
from rangeland.pg import Server
from rangeland.pg.connection import parse_server_url
from rangeland.pg.server import SUSPECT_AFTER_S
from rangeland.state import tables
from rangeland.wire.events import UserLogin
from rangeland.wire.members import (
    Grant,
    GrantParams,
    LoginParams,
    LoginResult,
    SessionToExchange,
    SessionToMake,
)

ANSWER_S = 0.25  # of a request's time, to say that the server didn't answer
EXCHANGES = 2  # at once, as logins: anybody may ask, and most would ask with a token of nobody
CHECK_S = 1.0  # kept for connecting: who would have to wait longer for their turn is told to come back

log = structlog.get_logger()


class Logins:
    """Makes web sessions. `login_database` is the one that passwords are checked against."""

    def __init__(
        self,
        server: Server,
        cluster: Cluster,
        grants: Grants,
        revocations: Revocations,
        events: EventLog,
        failed: FailedLogins,
        *,
        login_url: str | None,
        lifetime_s: float,
    ) -> None:
        self._server = server
        self._cluster = cluster
        self._grants = grants
        self._revocations = revocations
        self._events = events
        self._failed = failed
        self._login_params = parse_server_url(login_url, setting="--login-url") if login_url else server.params
        self._lifetime_s = lifetime_s
        self._throttle = Throttle(time.monotonic)
        self._looking = asyncio.Semaphore(EXCHANGES)
        self.login_database = "postgres"

    async def log_in(self, params: LoginParams, *, deadline: float) -> LoginResult:
        """Have the primary's node check the password. Raises: NoPrimaryError, ServerError, PeerError."""
        if not is_plausible(params.username, params.password):
            return LoginResult(refused=True)
        return await self._cluster.ask_primary(q.LOGIN, params, deadline=deadline)

    async def exchange(self, token: str, *, client_address: str, deadline: float) -> LoginResult:
        """Have the primary's node end the token's session and make another one of the same user, which ends when the
        first one would have: what was in a link, or on a screen, is worth nothing once it was used.

        Raises: MalformedTokenError, NoPrimaryError, ServerError, PeerError; OlderPeerError where that node can't.
        """
        decoded = decode_token(token)
        if decoded is None:
            return LoginResult(refused=True)
        session_id, secret = decoded
        if self._revocations.has(session_id):  # the primary's node may not have heard of it yet
            return LoginResult(refused=True)
        params = SessionToExchange(id=session_id, secret=secret, client_address=client_address)
        return await self._cluster.ask_primary(q.EXCHANGE_SESSION, params, deadline=deadline)

    async def log_user_in(self, params: SessionToMake, deadline: float) -> LoginResult:
        """`auth-session login`: by the primary's node; with no primary, in the nodes' memory for 15 minutes.

        Raises: NoPrimaryError where no server in reach can tell whether the role exists.
        """
        try:
            return await self._cluster.ask_primary(q.MAKE_SESSION, params, deadline=deadline)
        except (NoPrimaryError, PeerError, ServerDownError):  # its server may hang as well
            return await self._make_offline(params, deadline)

    # on the primary's node

    async def answer_login(self, params: LoginParams, deadline: float) -> LoginResult:
        """Check the password against this node's server and make a session. Raises: NotPrimaryError, ServerError."""
        self._server.require_primary()
        if not is_plausible(params.username, params.password):
            return LoginResult(refused=True)
        who = {"name": params.username, "address": params.client_address}
        try:
            async with self._throttle.turn(**who, deadline=deadline - CHECK_S):
                verdict = await self._checked(params, deadline)
        except BusyError as exc:
            if self._server.down is not None:  # those before wait for it in vain
                raise ServerDownError(self._server.down.reason) from exc
            self._failed.turned_away(**who)
            return LoginResult(retry_after_s=exc.retry_after_s)
        if verdict is not Verdict.RIGHT:
            self._throttle.failed(**who)
            self._failed.refused(**who)
            _log_refusal(verdict, params)
            return LoginResult(refused=True)
        self._throttle.succeeded(**who)
        made = await self._make(params.username, self._lifetime_s, deadline)
        address = params.client_address[:ADDRESS_LENGTH]
        self._events.record(UserLogin(User=params.username, RemoteAddress=address, Method="password"))
        return made

    async def answer_exchange(self, params: SessionToExchange, deadline: float) -> LoginResult:
        """End a session that a table holds, and make the one in its place. Raises: NotPrimaryError, ServerError."""
        self._server.require_primary()
        await self._revocations.require_complete(deadline=deadline)
        async with self._looking:
            grant = await self._grants.answer(GrantParams(id=params.id), deadline)
        if not _is_live(grant, params.secret):
            return LoginResult(refused=True)
        made, row = self._new_session(grant.username, int(grant.expires_at_s))
        if not await tables.exchange_web_session(self._server, params.id, row, deadline=deadline):
            return LoginResult(refused=True)
        await self._revocations.end({params.id: int(grant.expires_at_s) + 1}, deadline=deadline)
        address = params.client_address[:ADDRESS_LENGTH]
        self._events.record(UserLogin(User=grant.username, RemoteAddress=address, Method="link"))
        return made

    async def answer_make_session(self, params: SessionToMake, deadline: float) -> LoginResult:
        """A session for an existing role, without its password. Raises: NotPrimaryError, ServerError."""
        self._server.require_primary()
        if not await self._is_role(params.username, deadline):
            return LoginResult(refused=True)
        made = await self._make(params.username, params.lifetime_s, deadline)
        self._events.record(UserLogin(User=params.username, Method="cluster key"))
        return made

    async def _checked(self, params: LoginParams, deadline: float) -> Verdict:
        login = login_params(
            self._login_params,
            username=params.username,
            password=params.password,
            database=self.login_database,
        )
        # so that whoever waits, or comes next, is told what the matter is
        watch = asyncio.get_running_loop().call_later(SUSPECT_AFTER_S, self._server.suspect)
        try:
            return await check_password(login, params.username, deadline=deadline - ANSWER_S)
        except ServerDownError:
            self._server.suspect()
            raise
        finally:
            watch.cancel()

    async def _make(self, username: str, lifetime_s: float, deadline: float) -> LoginResult:
        made, row = self._new_session(username, int(time.time() + lifetime_s))
        await tables.add_web_session(self._server, row, deadline=deadline)
        return made

    def _new_session(self, username: str, expires_at_s: int) -> tuple[LoginResult, tables.WebSessionRow]:
        """A token, and the signed row that makes it count."""
        session_id, secret = _new_id(), secrets.token_bytes(SECRET_BYTES)
        hashed = hashlib.sha256(secret).digest()
        created = datetime.now(UTC)
        expires = datetime.fromtimestamp(expires_at_s, UTC)
        row = tables.WebSessionRow(
            id=session_id,
            hashed_secret=hashed,
            username=username,
            created_at=created,
            expires_at=expires,
            mac=self._grants.mac(session_id, hashed, username, created, expires),
        )
        token = encode_token(session_id, secret)
        return LoginResult(token=token, id=session_id, expires_at_s=expires.timestamp()), row

    # with no primary

    async def _make_offline(self, params: SessionToMake, deadline: float) -> LoginResult:
        known = await self._cluster.ask_any(q.GRANT, GrantParams(id=0, username=params.username), deadline=deadline)
        if known.value is None:
            raise NoPrimaryError("no server in reach can say whether the role exists")
        if not known.value.known_user:
            return LoginResult(refused=True)
        secret = secrets.token_bytes(SECRET_BYTES)
        session = self._grants.signed_offline(
            _new_id(),
            hashlib.sha256(secret).digest(),
            params.username,
            time.time() + min(params.lifetime_s, OFFLINE_LIFETIME_S),
        )
        self._grants.keep_offline([session])
        await self._cluster.ask_all(q.KEEP_SESSION, session, deadline=deadline)
        self._events.record(UserLogin(User=params.username, Method="cluster key"))
        log.warning("a session was made with the cluster key while there is no primary", username=params.username)
        return LoginResult(token=encode_token(session.id, secret), id=session.id, expires_at_s=session.expires_at_s)

    async def _is_role(self, username: str, deadline: float) -> bool:
        return (await self._grants.answer(GrantParams(id=0, username=username), deadline)).known_user


def _is_live(grant: Grant, secret: bytes) -> bool:
    """Whether a session may be exchanged by who has this secret, as far as this node knows; the table decides."""
    is_same = hmac.compare_digest(grant.hashed_secret, hashlib.sha256(secret).digest())
    return grant.found and is_same and not grant.revoked and grant.known_user and grant.expires_at_s > time.time()


def _log_refusal(verdict: Verdict, params: LoginParams) -> None:
    """Why, for whoever runs the node. Not the name: people type passwords into the wrong field."""
    if verdict is Verdict.NOT_ASKED:
        log.warning(
            "login refused: the server did not ask for the password, so it proves nothing; "
            "let pg_hba.conf demand scram-sha-256 on the connection of --login-url",
            client_address=params.client_address,
        )
    else:
        log.info("login refused by the server", client_address=params.client_address)


def _new_id() -> int:
    return secrets.randbits(52) | 1 << 52  # below 2^53: jq and JavaScript keep it exact; tokens have one length

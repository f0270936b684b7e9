"""What one server says of a web session and its user, and the signature that makes a row of the table count.

While somebody holds a lock on the table, or the nodes' role may not read it, a session that this node has read in the
last 15 minutes still counts, with the user's rights of now.
See docs/decisions/0023-sessions-outlive-a-lock-on-their-table.md.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from msgspec import structs

from rangeland.auth.revocations import Revocations
from rangeland.cluster.peer_token import derived
from rangeland.errors import ServerError
from rangeland.pg import TABLE_REFUSED, Server
from rangeland.wire.members import Grant, GrantParams, OfflineSession

OFFLINE_LIFETIME_S = 900.0  # of a session made with the cluster key while there is no primary
CLOCKS_S = 60.0  # what the clocks of two nodes may differ before such a session is refused
OFFLINE_KEPT = 1000  # such sessions at once: each was made by hand
KEPT_S = OFFLINE_LIFETIME_S  # the same price: a session without the table that could end it
KEPT = 10_000
_RIGHTS = (
    "is_admin",
    "is_monitor",
    "may_read_redacted",
    "fresh",
    "paused",
    "may_signal",
    "known_user",
    "replayed_lsn",
)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Kept:
    session: OfflineSession
    until: float  # by the clock that nobody can set


class Grants:
    """Reads sessions and rights from this node's server; keeps the sessions that no table holds."""

    def __init__(self, server: Server, revocations: Revocations, *, keys: Sequence[bytes]) -> None:
        self._server = server
        self._revocations = revocations
        self._revocations.on_end = self.forget
        self._kept: OrderedDict[int, tuple[Grant, float]] = OrderedDict()  # with the time when it was read
        self.use(keys)
        self._offline: dict[int, _Kept] = {}
        self.admin_role = "admin"

    def use(self, keys: Sequence[bytes]) -> None:
        """Sign rows with the first of these keys from now on, and accept those that any of them signed."""
        self._mac_keys = [derived(key, "web session") for key in keys]
        self._offline_keys = [derived(key, "offline session") for key in keys]
        self.forget_all()

    async def answer(self, params: GrantParams, deadline: float) -> Grant:
        """What this node's server says. Raises: ServerError."""
        offline = self._live_offline(params.id)
        username = offline.username if offline else params.username
        try:
            row = await self._row("read_grant", deadline, id=params.id, username=username)
        except ServerError as exc:
            kept = self._kept_grant(params.id)
            if exc.sqlstate not in TABLE_REFUSED or (kept is None and offline is None):
                raise
            username = kept.username if kept else username
            now_granted = await self._row("read_rights", deadline, username=username)
            row = (None, username, None, None, None, None, *now_granted)
            if kept is not None:
                return structs.replace(kept, **_rights(row), revoked=self._revocations.has(params.id))
        hashed, username, created, expires, revoked, mac, *_ = row
        rights = _rights(row)
        is_over = self._revocations.has(params.id)
        if offline is not None:
            return Grant(
                found=True,
                hashed_secret=offline.hashed_secret,
                username=offline.username,
                expires_at_s=offline.expires_at_s,
                revoked=is_over,
                **rights,
            )
        if hashed is None:
            return Grant(found=False, **rights)
        if not self._is_signed(mac, _signed_text(params.id, hashed, username, created, expires)):
            log.warning("a web session without a valid signature was ignored", session_id=params.id)
            return Grant(found=False, **rights)
        grant = Grant(
            found=True,
            hashed_secret=hashed,
            username=username,
            expires_at_s=expires.timestamp(),
            revoked=revoked or is_over,
            **rights,
        )
        self._keep(params.id, grant)
        return grant

    def forget(self, session_ids: Iterable[int]) -> None:
        """They ended: from now on only the table may say what they are."""
        for session_id in session_ids:
            self._kept.pop(session_id, None)

    def forget_all(self) -> None:
        """What was read so far may be out of date."""
        self._kept.clear()

    def _keep(self, session_id: int, grant: Grant) -> None:
        self._kept.pop(session_id, None)
        if not grant.revoked:
            self._kept[session_id] = (grant, time.monotonic())
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    def _kept_grant(self, session_id: int) -> Grant | None:
        grant, read_at = self._kept.get(session_id, (None, 0.0))
        return grant if time.monotonic() - read_at < KEPT_S else None

    async def _row(self, name: str, deadline: float, **params: Any) -> tuple[Any, ...]:
        rows = await self._server.fetch("auth", name, deadline=deadline, admin_role=self.admin_role, **params)
        return rows[0]

    def signed_offline(self, session_id: int, hashed: bytes, username: str, expires_at_s: float) -> OfflineSession:
        """A session that no table holds, with the signature that every node asks for."""
        session = OfflineSession(id=session_id, hashed_secret=hashed, username=username, expires_at_s=expires_at_s)
        mac = hmac.digest(self._offline_keys[0], _offline_text(session), hashlib.sha256)
        return structs.replace(session, mac=mac)

    def keep_offline(self, sessions: Iterable[OfflineSession]) -> None:
        """Remember sessions that no table holds: those that are signed; a known one is never made longer.

        It ends by the wall clock as it says, and after 15 minutes by the one that nobody can set back.
        """
        now, steady = time.time(), time.monotonic()
        self._offline = {known: each for known, each in self._offline.items() if _is_live(each, now, steady)}
        for session in sessions:
            longest_s = session.expires_at_s - now
            if not self._is_signed_offline(session):
                log.warning("a session without a valid signature was refused", session_id=session.id)
            elif 0 < longest_s <= OFFLINE_LIFETIME_S + CLOCKS_S and len(self._offline) < OFFLINE_KEPT:
                self._offline.setdefault(session.id, _Kept(session, steady + min(longest_s, OFFLINE_LIFETIME_S)))

    def offline_of(self, username: str) -> list[OfflineSession]:
        """The live sessions of a user, or of all for an empty name, that only nodes' memory holds."""
        live = [each for session_id in self._offline if (each := self._live_offline(session_id))]
        return [each for each in live if username in ("", each.username)]

    def _live_offline(self, session_id: int) -> OfflineSession | None:
        kept = self._offline.get(session_id)
        return kept.session if kept and _is_live(kept, time.time(), time.monotonic()) else None

    def _is_signed_offline(self, session: OfflineSession) -> bool:
        return self._has_mac(session.mac, _offline_text(session), self._offline_keys)

    def mac(self, session_id: int, hashed: bytes, username: str, created: datetime, expires: datetime) -> bytes:
        """The signature of a row: who can write the table can't make a session without the cluster key."""
        return hmac.digest(
            self._mac_keys[0], _signed_text(session_id, hashed, username, created, expires), hashlib.sha256
        )

    def _is_signed(self, mac: bytes, text: bytes) -> bool:
        return self._has_mac(mac, text, self._mac_keys)

    def _has_mac(self, mac: bytes, text: bytes, keys: Sequence[bytes]) -> bool:
        return any(hmac.compare_digest(mac, hmac.digest(key, text, hashlib.sha256)) for key in keys)


def _is_live(kept: _Kept, now: float, steady: float) -> bool:
    return now < kept.session.expires_at_s and steady < kept.until


def _offline_text(session: OfflineSession) -> bytes:
    expires = int(session.expires_at_s * 1000)
    return f"{session.id}|{session.hashed_secret.hex()}|{expires}|{session.username}".encode()


def _rights(row: Sequence[Any]) -> dict[str, Any]:
    """The last columns of both statements."""
    return dict(zip(_RIGHTS, row[-len(_RIGHTS) :], strict=True))


def _signed_text(session_id: int, hashed: bytes, username: str, created: datetime, expires: datetime) -> bytes:
    moments = f"{int(created.timestamp() * 1e6)}|{int(expires.timestamp())}"
    return f"{session_id}|{hashed.hex()}|{moments}|{username}".encode()

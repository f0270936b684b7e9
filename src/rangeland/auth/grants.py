"""What one server says of a web session and its user, and the signature that makes a row of the table count."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from msgspec import structs

from rangeland.auth.revocations import Revocations
from rangeland.cluster.peer_token import derived
from rangeland.pg import Server
from rangeland.wire.members import Grant, GrantParams, OfflineSession

OFFLINE_LIFETIME_S = 900.0  # of a session made with the cluster key while there is no primary
CLOCKS_S = 60.0  # what the clocks of two nodes may differ before such a session is refused
KEPT = 1000  # such sessions at once: each was made by hand

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
        self.use(keys)
        self._offline: dict[int, _Kept] = {}
        self.admin_role = "admin"

    def use(self, keys: Sequence[bytes]) -> None:
        """Sign rows with the first of these keys from now on, and accept those that any of them signed."""
        self._mac_keys = [derived(key, "web session") for key in keys]
        self._offline_keys = [derived(key, "offline session") for key in keys]

    async def answer(self, params: GrantParams, deadline: float) -> Grant:
        """What this node's server says. Raises: ServerError."""
        offline = self._live_offline(params.id)
        rows = await self._server.fetch(
            "auth",
            "read_grant",
            deadline=deadline,
            id=params.id,
            username=offline.username if offline else params.username,
            admin_role=self.admin_role,
        )
        hashed, username, created, expires, revoked, mac, *facts = rows[0]
        is_admin, is_monitor, may_read_redacted, fresh, paused, known_user, replayed_lsn = facts
        rights = {
            "is_admin": is_admin,
            "is_monitor": is_monitor,
            "may_read_redacted": may_read_redacted,
            "fresh": fresh,
            "paused": paused,
            "known_user": known_user,
            "replayed_lsn": replayed_lsn,
        }
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
        return Grant(
            found=True,
            hashed_secret=hashed,
            username=username,
            expires_at_s=expires.timestamp(),
            revoked=revoked or is_over,
            **rights,
        )

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
            elif 0 < longest_s <= OFFLINE_LIFETIME_S + CLOCKS_S and len(self._offline) < KEPT:
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


def _signed_text(session_id: int, hashed: bytes, username: str, created: datetime, expires: datetime) -> bytes:
    moments = f"{int(created.timestamp() * 1e6)}|{int(expires.timestamp())}"
    return f"{session_id}|{hashed.hex()}|{moments}|{username}".encode()

"""What one server says of a web session and its user, and the signature that makes a row of the table count."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Sequence
from datetime import datetime

import structlog

from rangeland.auth.revocations import Revocations
from rangeland.cluster.peer_token import derived
from rangeland.pg import Server
from rangeland.wire.members import Grant, GrantParams, OfflineSession

OFFLINE_LIFETIME_S = 900.0  # of a session made with the cluster key while there is no primary
CLOCKS_S = 60.0  # what the clocks of two nodes may differ before such a session is refused

log = structlog.get_logger()


class Grants:
    """Reads sessions and rights from this node's server; keeps the sessions that no table holds."""

    def __init__(self, server: Server, revocations: Revocations, *, keys: Sequence[bytes]) -> None:
        self._server = server
        self._revocations = revocations
        self.use(keys)
        self._offline: dict[int, OfflineSession] = {}
        self.admin_role = "admin"

    def use(self, keys: Sequence[bytes]) -> None:
        """Sign rows with the first of these keys from now on, and accept those that any of them signed."""
        self._mac_keys = [derived(key, "web session") for key in keys]

    async def answer(self, params: GrantParams, deadline: float) -> Grant:
        """What this node's server says. Raises: ServerError."""
        offline = self._offline.get(params.id)
        rows = await self._server.fetch(
            "auth",
            "read_grant",
            deadline=deadline,
            id=params.id,
            username=offline.username if offline else params.username,
            admin_role=self.admin_role,
        )
        hashed, username, created, expires, revoked, mac, *facts = rows[0]
        is_admin, is_monitor, may_read_redacted, fresh, paused, known_user = facts
        rights = {
            "is_admin": is_admin,
            "is_monitor": is_monitor,
            "may_read_redacted": may_read_redacted,
            "fresh": fresh,
            "paused": paused,
            "known_user": known_user,
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

    def keep_offline(self, session: OfflineSession) -> None:
        """Remember a session that no table holds; a known one is never made longer."""
        now = time.time()
        self._offline = {known: each for known, each in self._offline.items() if each.expires_at_s > now}
        if now < session.expires_at_s <= now + OFFLINE_LIFETIME_S + CLOCKS_S:
            self._offline.setdefault(session.id, session)

    def offline_of(self, username: str) -> list[OfflineSession]:
        """The sessions of a user, or of all for an empty name, that only nodes' memory holds."""
        return [each for each in self._offline.values() if username in ("", each.username)]

    def mac(self, session_id: int, hashed: bytes, username: str, created: datetime, expires: datetime) -> bytes:
        """The signature of a row: who can write the table can't make a session without the cluster key."""
        return hmac.digest(
            self._mac_keys[0], _signed_text(session_id, hashed, username, created, expires), hashlib.sha256
        )

    def _is_signed(self, mac: bytes, text: bytes) -> bool:
        return any(hmac.compare_digest(mac, hmac.digest(key, text, hashlib.sha256)) for key in self._mac_keys)


def _signed_text(session_id: int, hashed: bytes, username: str, created: datetime, expires: datetime) -> bytes:
    moments = f"{int(created.timestamp() * 1e6)}|{int(expires.timestamp())}"
    return f"{session_id}|{hashed.hex()}|{moments}|{username}".encode()

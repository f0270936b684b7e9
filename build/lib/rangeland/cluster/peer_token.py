"""The signature under a question between nodes: a JWT by the cluster key that lives for seconds."""

from __future__ import annotations

import hashlib
import hmac

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from rangeland.errors import PeerError

LIFETIME_S = 10.0  # a question's deadline, twice over
LEEWAY_S = 5.0  # clocks kept by NTP are closer by far


class WrongClockError(PeerError):
    """The signature is right but its time is not: the clocks of the two nodes differ."""


class PeerTokens:
    """Signs and checks questions. `key` None: --insecure, where every question passes."""

    def __init__(self, key: bytes | None) -> None:
        self._key = OctKey.import_key(derived(key, "peer")) if key is not None else None

    def sign(self, path: str, *, now_s: float) -> str:
        """A token for one path; `now_s` is the receiver's clock as far as we know it."""
        if self._key is None:
            return "insecure"
        claims = {"sub": path, "iat": now_s, "exp": now_s + LIFETIME_S}
        return jwt.encode({"alg": "HS256"}, claims, self._key, algorithms=["HS256"])

    def verify(self, token: str, path: str, *, now_s: float) -> None:
        """Raises: WrongClockError, or PeerError for any other token than ours for this path."""
        if self._key is None:
            return
        try:
            claims = jwt.decode(token, self._key, algorithms=["HS256"]).claims
        except (JoseError, ValueError) as exc:
            raise PeerError("not signed with this cluster's key") from exc
        issued, expires = claims.get("iat"), claims.get("exp")
        if claims.get("sub") != path or not isinstance(issued, (int, float)) or not isinstance(expires, (int, float)):
            raise PeerError("signed for another question")
        if not issued - LEEWAY_S <= now_s <= expires + LEEWAY_S:
            raise WrongClockError(f"signed {abs(now_s - issued):.0f} s off this node's clock")


def derived(key: bytes, purpose: str) -> bytes:
    """A key for one purpose, so that a signature made for one means nothing to another."""
    return hmac.digest(key, f"rangeland {purpose}".encode(), hashlib.sha256)

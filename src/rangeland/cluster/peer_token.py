"""The signature under a question between nodes: a JWT by the cluster key that lives for seconds."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from rangeland.errors import PeerError

LIFETIME_S = 10.0  # a question's deadline, twice over
LEEWAY_S = 5.0  # clocks kept by NTP are closer by far


class WrongClockError(PeerError):
    """The signature is right but its time is not: the clocks of the two nodes differ."""


class PeerTokens:
    """Signs and checks questions. The first key signs, any of them is accepted; none: --insecure, where every
    question passes."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self.use(keys)

    def use(self, keys: Sequence[bytes]) -> None:
        """Sign and check with these from now on."""
        self._keys = [OctKey.import_key(derived(key, "peer")) for key in keys]

    def sign(self, path: str, *, now_s: float, body: bytes | None = None) -> str:
        """A token for one path and, where it is given, one body; `now_s` is the receiver's clock, as we know it."""
        if not self._keys:
            return "insecure"
        claims: dict[str, Any] = {"sub": path, "iat": now_s, "exp": now_s + LIFETIME_S}
        if body is not None:
            claims["body"] = digest(body)
        return jwt.encode({"alg": "HS256"}, claims, self._keys[0], algorithms=["HS256"])

    def verify(self, token: str, path: str, *, now_s: float) -> str | None:
        """The digest of the body that it was signed for; None: of any.

        Raises: WrongClockError, or PeerError for any other token than ours for this path.
        """
        if not self._keys:
            return None
        claims = self._claims(token)
        issued, expires = claims.get("iat"), claims.get("exp")
        if claims.get("sub") != path or not isinstance(issued, (int, float)) or not isinstance(expires, (int, float)):
            raise PeerError("signed for another question")
        if not issued - LEEWAY_S <= now_s <= expires + LEEWAY_S:
            raise WrongClockError(f"signed {abs(now_s - issued):.0f} s off this node's clock")
        body = claims.get("body")
        return None if body is None else str(body)

    def _claims(self, token: str) -> dict[str, Any]:
        """What the token says. Raises: PeerError."""
        trouble: Exception | None = None
        for key in self._keys:
            try:
                return jwt.decode(token, key, algorithms=["HS256"]).claims
            except (JoseError, ValueError) as exc:
                trouble = exc
        raise PeerError("not signed with this cluster's key") from trouble


def digest(body: bytes) -> str:
    """What a signature says of a question's body: stolen, it is worth nothing for another."""
    return hashlib.sha256(body).hexdigest()


def derived(key: bytes, purpose: str) -> bytes:
    """A key for one purpose, so that a signature made for one means nothing to another."""
    return hmac.digest(key, f"rangeland {purpose}".encode(), hashlib.sha256)

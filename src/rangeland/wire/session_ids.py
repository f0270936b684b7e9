"""The 16 bytes by which a session of the cluster is known: its node, its process, its start.

Of an answer they are base64; in a path they may also be URL-safe base64 or hexadecimal digits.
"""

from __future__ import annotations

import base64
import re
import struct
from typing import NamedTuple

_FORMAT = struct.Struct(">IIq")
_BASE64 = re.compile(r"[A-Za-z0-9_-]{21}[AQgw](==)?", re.ASCII)  # the last letter holds two bits only


class SessionId(NamedTuple):
    """`started_at_us` is when the server began the process, µs since 1970: a pid is used again, not both."""

    node_id: int
    pid: int
    started_at_us: int

    def packed(self) -> bytes:
        return _FORMAT.pack(*self)


def parse_session_id(text: str) -> SessionId | None:
    """Standard or URL-safe base64, with or without its padding, or 32 hexadecimal digits; None: it is no id."""
    if re.fullmatch(r"[0-9A-Fa-f]{32}", text, re.ASCII):
        return SessionId(*_FORMAT.unpack(bytes.fromhex(text)))
    url_safe = text.replace("+", "-").replace("/", "_")
    if _BASE64.fullmatch(url_safe) is None:
        return None
    return SessionId(*_FORMAT.unpack(base64.urlsafe_b64decode(url_safe[:22] + "==")))

"""The session token: base64 of a protobuf message with a web session's id (field 1) and its secret (field 2).

Source: Cluster API v2.0, /login/; the reference's sample token is a test vector.
"""

from __future__ import annotations

import base64
import binascii
import re

SECRET_BYTES = 16


class MalformedTokenError(Exception):
    """Not base64 at all (the contract answers that apart from every other wrong token)."""


def encode_token(session_id: int, secret: bytes) -> str:
    message = b"\x08" + _varint(session_id) + b"\x12" + _varint(len(secret)) + secret
    return base64.b64encode(message).decode()


def decode_token(token: str) -> tuple[int, bytes] | None:
    """Id and secret; None for base64 of anything else. Raises: MalformedTokenError."""
    try:
        message = base64.b64decode(token, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise MalformedTokenError(f"illegal base64 data at input byte {_bad_byte(token)}") from exc
    if not message.startswith(b"\x08"):
        return None
    session_id, position = _read_varint(message, 1)
    if session_id is None or message[position : position + 2] != b"\x12\x10":
        return None
    secret = message[position + 2 :]
    return (session_id, secret) if len(secret) == SECRET_BYTES else None


def _bad_byte(token: str) -> int:
    """Where it stops being base64, as the reference counts: of an unfinished group of four, the group's start."""
    body = re.match(r"[A-Za-z0-9+/]*", token)
    length = body.end() if body else 0
    padding = token[length:]
    is_unfinished = not padding or (padding == "=" and length % 4 == 2)
    return length - length % 4 if is_unfinished else length


def _varint(number: int) -> bytes:
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def _read_varint(message: bytes, start: int) -> tuple[int | None, int]:
    """The number and where it ended; None when it runs out or exceeds 63 bits."""
    number = 0
    for count, byte in enumerate(message[start : start + 9]):
        number |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return number, start + count + 1
    return None, start

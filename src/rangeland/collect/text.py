"""Text that comes as bytes, because a driver that decodes it would refuse the whole answer for one bad letter."""

from __future__ import annotations


def text_from_bytes(raw: bytes | None) -> str:
    """UTF-8 as far as it is; bytes of a session or database in another encoding become U+FFFD; None is ""."""
    return (raw or b"").decode(errors="replace")


def is_storable(name: str) -> bool:
    """Whether a server could have this name at all; the driver refuses to send it otherwise."""
    return "\0" not in name and name == name.encode(errors="ignore").decode()

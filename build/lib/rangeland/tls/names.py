"""The names in a certificate: parsed from what somebody typed, compared with the host a client asks for."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from rangeland.errors import TlsError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_USER_BYTES = 63  # PostgreSQL's NAMEDATALEN less one; a common name takes 64 characters

# Underscores are not in the standard, but Docker and Kubernetes make such names and verifiers take them.
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\Z")


def parse_hosts(hosts: Iterable[str]) -> list[str | Address]:
    """Host names (lower case) and IP addresses in the given order, each once. Raises: TlsError."""
    names = list(dict.fromkeys(_parse_host(host) for host in hosts))
    if not names:
        raise TlsError("a node certificate needs at least one host name or IP address")
    return names


def _parse_host(host: str) -> str | Address:
    address = parse_address(host)
    if address is not None:
        return address
    name = host.lower().removesuffix(".")
    labels = name.removeprefix("*.").split(".")
    if not all(_LABEL.match(label) for label in labels) or len(name) > 253:
        raise TlsError(f"{host!r} is neither a host name nor an IP address (give it without scheme and port)")
    if labels[-1].isdecimal():  # no top-level domain is a number
        raise TlsError(f"{host!r} looks like an IP address but is none")
    return name


def parse_user(user: str) -> str:
    """A PostgreSQL role, as it is: PostgreSQL compares it with a certificate's common name letter by letter.

    Raises: TlsError for what is no name of a file, or is longer than a role can be.
    """
    if not user or not user.isprintable() or "/" in user or user.startswith("."):
        raise TlsError(f"{user!r} can't be part of a file's name: a user is one word without slashes")
    if len(user.encode()) > MAX_USER_BYTES:
        raise TlsError(f"{user!r} is longer than the {MAX_USER_BYTES} bytes that a PostgreSQL role can have")
    return user


def parse_address(host: str) -> Address | None:
    """The IP address, with or without brackets; None if it is none. A zone (`fe80::1%eth0`) isn't taken."""
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    try:
        return ipaddress.ip_address(host) if "%" not in host else None
    except ValueError:
        return None


def is_named(names: Iterable[str], host: str) -> bool:
    """Whether a client of `host` accepts a certificate with these names (`*.` stands for one label)."""
    address = parse_address(host)
    if address is not None:
        return any(parse_address(name) == address for name in names)
    wanted = host.lower().removesuffix(".")
    wildcard = "*." + wanted.partition(".")[2]
    return any(name.lower() in (wanted, wildcard) for name in names)

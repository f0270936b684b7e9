"""Is this the user's password? Connect as that user and require that the server asked for it.

So SCRAM, LDAP, VALID UNTIL, NOLOGIN and pg_hba.conf all count. The server sees this node's address, not the
client's. PostgreSQL tells nobody why it refused a password, and neither do we.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from enum import Enum
from typing import Any

from rangeland.errors import ServerDownError, ServerError
from rangeland.pg.dial import dial

CONNECT_TIMEOUT_S = 3.0
NAME_BYTES = 63  # NAMEDATALEN - 1: a longer name would be cut, and somebody else's
PASSWORD_BYTES = 1024
_METHOD_REFUSED = "authentication method requirement"  # libpq's own words for require_auth
_LOOPBACK = ("localhost", "127.0.0.1", "::1", "")
_KEPT = (
    "host",
    "hostaddr",
    "port",
    "dbname",
    "sslmode",
    "sslrootcert",
    "sslcrl",
    "sslsni",
    "ssl_min_protocol_version",
)


class Verdict(Enum):
    """What the server made of a name and a password."""

    RIGHT = "right"
    REFUSED = "refused"
    NOT_ASKED = "not asked"  # the server let the user in without looking at the password: trust, peer, cert


def is_plausible(username: str, password: str) -> bool:
    """False for what is refused without bothering the server."""
    if not username or not password or "\0" in username or "\0" in password:
        return False
    return len(username.encode()) <= NAME_BYTES and len(password.encode()) <= PASSWORD_BYTES


def login_params(params: Mapping[str, Any], *, username: str, password: str, database: str) -> dict[str, Any]:
    """libpq's parameters of one login: nothing comes from files, from the environment or from a service."""
    kept = {name: params[name] for name in _KEPT if params.get(name)}
    host = str(kept.get("host", ""))
    local = host.startswith("/") or host in _LOOPBACK
    sslmode = kept.get("sslmode", "disable" if local else "require")
    if sslmode in ("allow", "prefer"):
        sslmode = "disable" if local else "require"  # prefer falls back to clear text when an attacker wishes
    private = local or sslmode in ("require", "verify-ca", "verify-full")
    return {
        **kept,
        "host": host or "localhost",
        "user": username,
        "password": password,
        "dbname": database,
        "sslmode": sslmode,
        "passfile": "/nonexistent/pgpass",
        "sslcertmode": "disable",
        "gssencmode": "disable",
        "require_auth": "scram-sha-256,md5,password" if private else "scram-sha-256,md5",
        "application_name": "rangeland login",
        "connect_timeout": str(int(CONNECT_TIMEOUT_S)),
        "options": "-c statement_timeout=3s -c lock_timeout=100ms",
    }


async def check_password(params: Mapping[str, Any], username: str, *, deadline: float) -> Verdict:
    """Connect, look, leave. Raises: ServerDownError where the server, not the password, is the matter."""
    until = min(deadline, asyncio.get_running_loop().time() + CONNECT_TIMEOUT_S)
    try:
        conn = await dial(params, deadline=until)
    except ServerDownError as exc:
        if exc.sqlstate is None and _METHOD_REFUSED in str(exc):
            return Verdict.NOT_ASKED
        raise
    except ServerError:
        return Verdict.REFUSED
    try:
        if not conn.used_password:
            return Verdict.NOT_ASKED
        session_user = conn.parameter_status(b"session_authorization")
        return Verdict.RIGHT if session_user == username.encode() else Verdict.REFUSED
    finally:
        conn.finish()

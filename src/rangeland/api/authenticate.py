"""Who may ask: the token of the header, the rights of its user, the signature of a peer.

Source of texts and statuses: Cluster API v2.0, the result matrix for protected endpoints.
"""

from __future__ import annotations

import contextlib
from enum import Enum

from rangeland.api.asking import Asking
from rangeland.api.replies import HttpError, internal_error
from rangeland.auth import Caller
from rangeland.auth.session_token import MalformedTokenError, decode_token
from rangeland.auth.web_sessions import NotRecognisedError
from rangeland.cluster.cluster import PREFIX, TIME_HEADER
from rangeland.cluster.peer_token import WrongClockError
from rangeland.errors import PeerError, RangelandError

NOT_VALIDATED = "the provided authentication session could not be validated"
COOKIE = "cookie"  # the session header's word for: see the cookie
EVERYBODY = Caller("root", is_admin=True, is_monitor=True)  # the effective user of --insecure


class Access(Enum):
    """Who may ask."""

    ANYONE = "anyone"  # health and login
    LOGGED_IN = "logged in"  # logout: any live session, whatever its rights
    READER = "reader"  # members of the admin role, of pg_monitor and of rangeland_redacted
    PEER = "peer"  # nodes and commands that hold the cluster key


async def require_access(asking: Asking, access: Access) -> None:
    """Set the caller, or refuse. Raises: HttpError."""
    match access:
        case Access.ANYONE:
            return
        case Access.PEER:
            _require_peer(asking)
        case Access.LOGGED_IN:
            asking.caller = await _logging_out(asking)
        case _:
            asking.caller = EVERYBODY if asking.services.insecure else await _recognised(asking, _token(asking))
            if not asking.caller.may_read:
                raise HttpError(403, "user not allowed to access this endpoint")


def _token(asking: Asking) -> str:
    """The header's token, or the cookie's where the header says so; a cookie alone counts for nothing."""
    header = asking.session_header
    if not header:
        raise HttpError(401, "invalid session header")
    return _cookie(asking) if header == COOKIE else header


def _cookie(asking: Asking) -> str:
    """The first session cookie that is a token: another path of this host may have set one of that name, too."""
    pairs = [pair.strip().partition("=") for pair in "; ".join(asking.request.headers.getlist("cookie")).split(";")]
    for value in [value.strip('"') for name, _, value in pairs if name == "session"]:
        with contextlib.suppress(MalformedTokenError):
            if decode_token(value) is not None:
                return value
    raise HttpError(400, "invalid session header")


async def _recognised(asking: Asking, token: str) -> Caller:
    try:
        return await asking.services.auth.web_sessions.recognise(token, deadline=asking.deadline)
    except MalformedTokenError as exc:
        raise HttpError(400, str(exc)) from exc
    except NotRecognisedError as exc:
        raise HttpError(401, NOT_VALIDATED) from exc
    except RangelandError as exc:
        raise internal_error(f"nobody can say now whose token this is: {exc}") from exc


async def _logging_out(asking: Asking) -> Caller:
    """A logout has texts of its own for a missing header; a secret that doesn't match ends nothing."""
    if not asking.session_header:
        raise HttpError(400, "invalid or unspecified session")
    return await _recognised(asking, _token(asking))


def _require_peer(asking: Asking) -> None:
    scheme, _, token = asking.request.headers.get("authorization", "").partition(" ")
    path = PREFIX + asking.path_part("question")
    try:
        if scheme.lower() != "bearer":
            raise PeerError("not signed with this cluster's key")
        asking.signed_body = asking.services.verify_peer(token, path)
    except WrongClockError as exc:
        raise HttpError(401, str(exc), {TIME_HEADER: str(asking.services.now_ns())}) from exc
    except PeerError as exc:
        raise HttpError(403, str(exc)) from exc

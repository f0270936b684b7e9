"""/login/ and /logout/: a password for a session token, or a token for another one, and the end of it.

For a browser the token goes into a cookie that no script can read: see docs/decisions/0030-the-consoles-session.md.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

import structlog
from starlette.responses import Response

from rangeland.api.asking import Asking
from rangeland.api.authenticate import COOKIE, NOT_VALIDATED
from rangeland.api.replies import HttpError, internal_error, json_reply
from rangeland.auth.session_token import MalformedTokenError
from rangeland.errors import NoPrimaryError, OlderPeerError, RangelandError
from rangeland.wire.login import LoginAnswer, LogoutAnswer
from rangeland.wire.members import LoginParams, LoginResult

NO_ACCOUNT = "the provided credentials did not match any account on the server"
NO_PRIMARY = (
    "no primary can be reached, so no password can be checked; tokens that exist go on working, and on a node's "
    "host 'rangeland auth-session login USER' makes a session of 15 minutes"
)
NOT_CHECKED = (
    "the primary can't check a password now; tokens that exist go on working, and on a node's host 'rangeland "
    "auth-session login USER' makes a session without one"
)
NO_EXCHANGE = (
    "no session can be exchanged now, as no primary answers; tokens that exist go on working where they are in use"
)
TOO_OLD = "the primary's node is of an older version, which can't exchange a session: log in with a password"
COME_BACK = {"retry-after": "5"}  # a failover takes longer, a server that is only busy doesn't

log = structlog.get_logger()


async def log_in(asking: Asking) -> Response:
    """A session token for a name and a password, in the form body or in the query; the body wins.

    With the header `X-Cockroach-API-Session: cookie` the token goes into the cookie `session`, and not into the body.
    """
    query, body = _form(asking.request.url.query.encode()), _form(await asking.body())
    credentials = {**query, **body}
    username, token = credentials.get("username"), body.get("session")
    if username:
        result = await _checked(asking, username, credentials.get("password", ""))
    elif token:
        result = await _exchanged(asking, token)
    else:
        raise HttpError(400, "username not specified")
    if asking.session_header != COOKIE:
        return json_reply(LoginAnswer(session=result.token))
    left_s = max(0, int(result.expires_at_s - asking.services.now_ns() / 1e9))
    return json_reply(LoginAnswer(session=COOKIE), _cookie(asking, result.token, left_s))


async def log_out(asking: Asking) -> Response:
    """End the caller's session on every node."""
    assert asking.caller is not None
    await asking.services.auth.web_sessions.log_out(
        asking.caller, client_address=asking.client_address, deadline=asking.deadline
    )
    headers = _cookie(asking, "", 0) if asking.session_header == COOKIE else {}
    return json_reply(LogoutAnswer(logged_out=True), headers)


async def _checked(asking: Asking, username: str, password: str) -> LoginResult:
    """A session for a name and a password. Raises: HttpError."""
    if "\ufffd" in username + password:
        raise HttpError(401, NO_ACCOUNT)
    params = LoginParams(username=username, password=password, client_address=asking.client_address)
    try:
        result = await asking.services.auth.logins.log_in(params, deadline=asking.deadline)
    except NoPrimaryError as exc:
        raise HttpError(503, NO_PRIMARY, COME_BACK) from exc
    except RangelandError as exc:
        log.warning("a password could not be checked", cause=str(exc))
        raise HttpError(503, NOT_CHECKED, COME_BACK) from exc
    if result.retry_after_s:
        raise HttpError(503, "too many logins, try again later", {"retry-after": str(result.retry_after_s)})
    if result.refused:
        raise HttpError(401, NO_ACCOUNT)
    return result


async def _exchanged(asking: Asking, token: str) -> LoginResult:
    """A session in the place of the token's, which ends: a link that logs in once. Raises: HttpError."""
    logins, address = asking.services.auth.logins, asking.client_address
    try:
        result = await logins.exchange(token, client_address=address, deadline=asking.deadline)
    except MalformedTokenError as exc:
        raise HttpError(400, str(exc)) from exc
    except OlderPeerError as exc:
        raise HttpError(503, TOO_OLD) from exc
    except RangelandError as exc:
        log.warning("a session could not be exchanged", cause=str(exc))
        raise HttpError(503, NO_EXCHANGE, COME_BACK) from exc
    if result.refused:
        raise HttpError(401, NOT_VALIDATED)
    return result


def _cookie(asking: Asking, token: str, max_age_s: int) -> dict[str, str]:
    """The header that sets the session's cookie, or with 0 s removes it. No script reads it, and no request that
    begins on another site carries it; without TLS there is nothing that `Secure` could ask for.
    """
    secure = "" if asking.services.insecure else "; Secure"
    return {"set-cookie": f"session={token}; Path=/; HttpOnly; SameSite=Strict{secure}; Max-Age={max_age_s}"}


def _form(text: bytes) -> dict[str, str]:
    """Names and values of a form, the first of a repeated one; what is not UTF-8 shows as U+FFFD.

    Whatever the Content-Type says: clients send none, or two. Raises: HttpError 500, as the contract has it.
    """
    if re.search(rb"%(?![0-9A-Fa-f]{2})", text) and b"=" in text:
        raise internal_error("the form is not well encoded: a percent sign is written %25")
    pairs: dict[str, str] = {}
    for pair in text.split(b"&"):
        name, equals, value = pair.partition(b"=")
        if equals:
            pairs.setdefault(_decoded(name), _decoded(value))
    return pairs


def _decoded(text: bytes) -> str:
    return unquote_to_bytes(text.replace(b"+", b" ")).decode(errors="replace")

"""/login/ and /logout/: a password for a session token, and the end of it."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

import structlog
from starlette.responses import Response

from rangeland.api.asking import Asking
from rangeland.api.replies import HttpError, internal_error, json_reply
from rangeland.errors import NoPrimaryError, RangelandError
from rangeland.wire.login import LoginAnswer, LogoutAnswer
from rangeland.wire.members import LoginParams

NO_ACCOUNT = "the provided credentials did not match any account on the server"
NO_PRIMARY = (
    "no primary can be reached, so no password can be checked; tokens that exist go on working, and on a node's "
    "host 'rangeland auth-session login USER' makes a session of 15 minutes"
)
NOT_CHECKED = (
    "the primary can't check a password now; tokens that exist go on working, and on a node's host 'rangeland "
    "auth-session login USER' makes a session without one"
)
COME_BACK = {"retry-after": "5"}  # a failover takes longer, a server that is only busy doesn't

log = structlog.get_logger()


async def log_in(asking: Asking) -> Response:
    """A session token for a name and a password, in the form body or in the query; the body wins."""
    credentials = {**_form(asking.request.url.query.encode()), **_form(await asking.body())}
    username, password = credentials.get("username"), credentials.get("password", "")
    if not username:
        raise HttpError(400, "username not specified")
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
    return json_reply(LoginAnswer(session=result.token))


async def log_out(asking: Asking) -> Response:
    """End the caller's session on every node."""
    assert asking.caller is not None
    await asking.services.auth.web_sessions.log_out(
        asking.caller, client_address=asking.client_address, deadline=asking.deadline
    )
    return json_reply(LogoutAnswer(logged_out=True))


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

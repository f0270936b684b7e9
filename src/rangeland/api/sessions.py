"""/sessions/: every node's SQL sessions as one list, oldest first; and the end of one of them, or of what it does."""

from __future__ import annotations

from starlette.responses import Response

from rangeland.api.asking import Asking
from rangeland.api.paged import ask_page
from rangeland.api.replies import Body, HttpError, encoded, internal_error, json_reply
from rangeland.cluster import questions as q
from rangeland.merge.paging import PageToken, format_token, parse_limit
from rangeland.merge.part import text
from rangeland.merge.sessions import merge_sessions
from rangeland.wire.parts import SessionsParams, SignalOutcome, SignalParams
from rangeland.wire.session_ids import SessionId, parse_session_id
from rangeland.wire.sessions import SignalAnswer

NO_ID = "invalid session ID"
NO_SESSION = "no such session: it may have ended"
NOTHING_TO_CANCEL = "the session runs no statement, so there is nothing to cancel; terminate/ ends it"
NOBODY = "an insecure node knows nobody who could be allowed to do this"
NOT_GRANTED = "this cluster ends no sessions by the API; 'rangeland init --allow-cancel' allows it"
OF_A_SUPERUSER = "a superuser's session can only be ended by a superuser, with SQL"
NOT_ALLOWED = "this takes a superuser, or the rights of the session's role or of pg_signal_backend"


async def list_sessions(asking: Asking) -> Body:
    """The SQL sessions of the cluster, oldest first: all, one user's (`username`), or a page (`limit`, `start`)."""
    username = asking.parameter("username")
    exclude_closed = asking.parameter("exclude_closed_sessions") == "true"
    limit = parse_limit(asking.parameter("limit"))
    services = asking.services
    assert asking.caller is not None  # the route lets readers in only
    redacted_for = asking.caller.username if asking.caller.is_redacted else ""

    async def all_of_them() -> Body:
        params = SessionsParams(username=username, exclude_closed=exclude_closed, redacted_for=redacted_for)
        parts = await services.cluster.ask_all(q.SESSIONS, params, deadline=asking.deadline)
        return encoded(merge_sessions(parts, next_token=format_token(PageToken())))

    if limit == 0:
        return await services.flights.join(("sessions", username, exclude_closed, redacted_for), all_of_them)
    parts, next_token = await ask_page(
        asking,
        q.SESSIONS,
        lambda index, count: SessionsParams(
            username=username, exclude_closed=exclude_closed, redacted_for=redacted_for, index=index, limit=count
        ),
        limit,
    )
    return encoded(merge_sessions(parts, next_token=next_token))


async def cancel_session(asking: Asking) -> Response:
    """Cancel what a session does now; the session goes on. One that runs no statement is 409."""
    return await _signal(asking, terminate=False)


async def terminate_session(asking: Asking) -> Response:
    """End a session; its open transaction is rolled back."""
    return await _signal(asking, terminate=True)


async def _signal(asking: Asking, *, terminate: bool) -> Response:
    """Have the session's own node signal it: its server decides and does it at once. Raises: HttpError."""
    if asking.services.insecure:
        raise HttpError(403, NOBODY)
    session_id = parse_session_id(asking.path_part("session_id"))
    if session_id is None:
        raise HttpError(400, NO_ID)
    if (refusal := _refusal(await _ask_to_signal(asking, session_id, terminate=terminate))) is not None:
        raise refusal
    return json_reply(SignalAnswer())


async def _ask_to_signal(asking: Asking, session_id: SessionId, *, terminate: bool) -> SignalOutcome:
    """What the session's node did, in the name of the caller. Raises: HttpError 500 where it doesn't say."""
    cluster = asking.services.cluster
    if session_id.node_id not in cluster.active_ids():
        return SignalOutcome.GONE
    assert asking.caller is not None  # the route lets readers in only
    params = SignalParams(
        pid=session_id.pid,
        started_at_us=session_id.started_at_us,
        terminate=terminate,
        caller=asking.caller.username,
        client_address=asking.client_address,
    )
    part = await cluster.ask(session_id.node_id, q.SIGNAL_SESSION, params, deadline=asking.deadline)
    if part.value is None:
        raise internal_error(text(part, "a signal"))
    return part.value.outcome


def _refusal(outcome: SignalOutcome) -> HttpError | None:
    """Why there was no signal; None: there was one."""
    match outcome:
        case SignalOutcome.SIGNALLED:
            return None
        case SignalOutcome.IDLE:
            return HttpError(409, NOTHING_TO_CANCEL)
        case SignalOutcome.NOT_GRANTED:
            return HttpError(403, NOT_GRANTED)
        case SignalOutcome.SUPERUSER:
            return HttpError(403, OF_A_SUPERUSER)
        case SignalOutcome.NOT_ALLOWED:
            return HttpError(403, NOT_ALLOWED)
        case _:
            return HttpError(404, NO_SESSION)

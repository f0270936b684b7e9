"""/sessions/: every node's SQL sessions as one list, oldest first."""

from __future__ import annotations

from rangeland.api.asking import Asking
from rangeland.api.paged import ask_page
from rangeland.api.replies import Body, encoded
from rangeland.cluster import questions as q
from rangeland.merge.paging import PageToken, format_token, parse_limit
from rangeland.merge.sessions import merge_sessions
from rangeland.wire.parts import SessionsParams


async def list_sessions(asking: Asking) -> Body:
    """The SQL sessions of the cluster, oldest first: all, one user's (`username`), or a page (`limit`, `start`)."""
    username = asking.parameter("username")
    exclude_closed = asking.parameter("exclude_closed_sessions") == "true"
    limit = parse_limit(asking.parameter("limit"))
    services = asking.services

    async def all_of_them() -> Body:
        params = SessionsParams(username=username, exclude_closed=exclude_closed)
        parts = await services.cluster.ask_all(q.SESSIONS, params, deadline=asking.deadline)
        return encoded(merge_sessions(parts, next_token=format_token(PageToken())))

    if limit == 0:
        return await services.flights.join(("sessions", username, exclude_closed), all_of_them)
    parts, next_token = await ask_page(
        asking,
        q.SESSIONS,
        lambda index, count: SessionsParams(
            username=username, exclude_closed=exclude_closed, index=index, limit=count
        ),
        limit,
    )
    return encoded(merge_sessions(parts, next_token=next_token))

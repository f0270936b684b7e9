"""/events/: what happened to the cluster's nodes and to who logged in."""

from __future__ import annotations

from rangeland.api.asking import Asking
from rangeland.api.one_part import ask_any
from rangeland.api.replies import Body, encoded
from rangeland.cluster import questions as q
from rangeland.merge.paging import parse_limit, parse_offset
from rangeland.wire.parts import EventsParams


async def list_events(asking: Asking) -> Body:
    """Newest first; `type` picks one type, `limit` and `offset` cut a page."""
    params = EventsParams(
        event_type=asking.parameter("type"),
        limit=parse_limit(asking.parameter("limit")),
        offset=parse_offset(asking.parameter("offset")),
    )
    return encoded(await ask_any(asking, q.EVENTS, params, "events"))

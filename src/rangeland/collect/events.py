"""The event log as this node's server has it, which is how every server of the cluster has it."""

from __future__ import annotations

from rangeland.merge.paging import page_of_window, window
from rangeland.pg import Server
from rangeland.wire.events import Event, EventsAnswer
from rangeland.wire.parts import EventsParams
from rangeland.wire.times import rfc3339


async def collect_events(server: Server, params: EventsParams, *, deadline: float) -> EventsAnswer:
    """Return events, newest first, all or a page, of one type or of all. Raises: ServerError."""
    skip, page_size = window(params.limit, params.offset)
    rows = await server.fetch(
        "events", "list_events", deadline=deadline, event_type=params.event_type, skip=skip, page_size=page_size
    )
    page, next_offset = page_of_window(rows, params.limit, params.offset)
    events = [
        Event(rfc3339(moment), event_type, node_id, info, unique_id)
        for unique_id, moment, event_type, node_id, info in page
    ]
    return EventsAnswer(events, next=next_offset)

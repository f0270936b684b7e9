"""/ranges/hot/history/: the last hour of the ranges that were among the busiest."""

from __future__ import annotations

from typing import Final

from rangeland.api.asking import Asking
from rangeland.api.ranges import parse_range_ids
from rangeland.api.replies import Body, HttpError, encoded
from rangeland.cluster import questions as q
from rangeland.merge.hot_range_history import merge_hot_range_history
from rangeland.wire.parts import HotHistoryParams

MOST_RANGES: Final = 100


async def list_hot_range_history(asking: Asking) -> Body:
    """The last hour of the ranges that were hot in it, a point a minute: of all, or of some (`range_id`)."""
    services = asking.services
    range_ids = parse_range_ids(asking.parameter("range_id"))
    if range_ids is not None and len(range_ids) > MOST_RANGES:
        raise HttpError(400, f"too many range IDs; at most {MOST_RANGES} at a time")
    params = HotHistoryParams(range_ids=range_ids)

    async def ask() -> Body:
        parts = await services.cluster.ask_all(q.HOT_HISTORY, params, deadline=asking.deadline)
        return encoded(merge_hot_range_history(parts))

    return await services.flights.join(("hot history", str(range_ids)), ask)

"""/ranges/hot/: the busiest ranges of every node, hottest first."""

from __future__ import annotations

import re

from rangeland.api.asking import Asking
from rangeland.api.paged import ask_page
from rangeland.api.replies import Body, HttpError, encoded
from rangeland.cluster import questions as q
from rangeland.merge.hot_ranges import merge_hot_ranges
from rangeland.merge.paging import PageToken, format_token, parse_limit
from rangeland.wire.parts import HotParams


async def list_hot_ranges(asking: Asking) -> Body:
    """The busiest ranges of all nodes or of one (`node_id`), hottest first; `limit` and `start` cut a page."""
    services = asking.services
    node_ids = parse_hot_node_id(asking.parameter("node_id"), local=services.cluster.node_id)
    limit = parse_limit(asking.parameter("limit"))

    async def all_of_them() -> Body:
        parts = await services.cluster.ask_all(q.HOT_RANGES, HotParams(), deadline=asking.deadline, node_ids=node_ids)
        topology = services.cluster.topology()
        return encoded(merge_hot_ranges(parts, topology=topology, next_token=format_token(PageToken())))

    if limit == 0:
        return await services.flights.join(("hot", str(node_ids)), all_of_them)
    page, next_token = await ask_page(
        asking,
        q.HOT_RANGES,
        lambda index, count: HotParams(index=index, limit=count),
        limit,
        node_ids=node_ids,
    )
    merged = merge_hot_ranges(page, topology=services.cluster.topology(), next_token=next_token)
    return encoded(merged)


def parse_hot_node_id(query_text: str, *, local: int) -> list[int] | None:
    """None for all nodes; anything with "local" in it is the serving node. Raises: HttpError 400."""
    if not query_text:
        return None
    if "local" in query_text.lower():
        return [local]
    if not re.fullmatch(r"[+-]?[0-9]{1,10}", query_text, re.ASCII) or not -(2**31) <= int(query_text) < 2**31:
        raise HttpError(400, "invalid node ID")
    return [int(query_text)]

"""/nodes/{node_id}/ranges/ and /ranges/{range_id}/: one node's ranges, and one range on every node."""

from __future__ import annotations

import re

from rangeland.api.asking import Asking
from rangeland.api.replies import Body, HttpError, encoded, internal_error
from rangeland.cluster import questions as q
from rangeland.merge.paging import parse_limit, parse_offset
from rangeland.merge.part import text
from rangeland.merge.ranges import merge_node_ranges, merge_range
from rangeland.wire.parts import RangeParams, RangesParams

_MAX_INT64 = 2**63 - 1


async def list_node_ranges(asking: Asking) -> Body:
    """The ranges of node `local` or of an id, by range id; `ranges` names some, `limit` and `offset` cut a page."""
    cluster = asking.services.cluster
    node_id = parse_node_id(asking.path_part("node_id"), local=cluster.node_id)
    params = RangesParams(
        range_ids=parse_range_ids(asking.parameter("ranges")),
        offset=parse_offset(asking.parameter("offset")),
        limit=parse_limit(asking.parameter("limit")),
        system=asking.parameter("system") == "true",
    )
    part = await cluster.ask(node_id, q.RANGES, params, deadline=asking.deadline)
    if part.value is None:
        raise internal_error(text(part, "ranges"))
    return encoded(merge_node_ranges(part.value))


async def show_range(asking: Asking) -> Body:
    """What every node knows of one range; nodes without a replica are absent."""
    range_id = _int64(asking.path_part("range_id"))
    if range_id is None:
        raise HttpError(400, "invalid range ID")
    services = asking.services

    async def ask() -> Body:
        parts = await services.cluster.ask_all(q.RANGE, RangeParams(range_id=range_id), deadline=asking.deadline)
        return encoded(merge_range(range_id, parts))

    return await services.flights.join(("range", range_id), ask)


def parse_node_id(path_part: str, *, local: int) -> int:
    """`local` exactly, or 1…2^31-1 in decimal. Raises: HttpError 400."""
    if path_part == "local":
        return local
    number = _int64(path_part)
    if number is None or not 0 < number < 2**31:
        raise HttpError(400, "invalid node ID")
    return number


def parse_range_ids(query_text: str) -> list[int] | None:
    """Comma-separated int64s; None, for all, when there are none. Raises: HttpError 400."""
    if not query_text:
        return None
    numbers = [_int64(part, signed=True) for part in query_text.split(",")]
    if any(number is None for number in numbers):
        raise HttpError(400, "invalid range ID")
    return [number for number in numbers if number is not None]


def _int64(digits: str, *, signed: bool = False) -> int | None:
    if not re.fullmatch(r"[+-]?[0-9]{1,19}" if signed else r"0*[0-9]{1,19}", digits, re.ASCII):
        return None
    number = int(digits[-20:] if not signed else digits)
    return number if -_MAX_INT64 - 1 <= number <= _MAX_INT64 else None

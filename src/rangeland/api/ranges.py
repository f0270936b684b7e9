"""/nodes/{node_id}/ranges/ and /ranges/{range_id}/: one node's ranges, and one range on every node."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator

from msgspec import structs

from rangeland.api.asking import Asking
from rangeland.api.replies import Body, HttpError, encoded, internal_error
from rangeland.api.streamed import Streamed
from rangeland.cluster import questions as q
from rangeland.collect.ranges import SIZED_RANGES
from rangeland.config import REQUEST_TIMEOUT_S
from rangeland.errors import PeerError
from rangeland.merge.paging import parse_limit, parse_offset
from rangeland.merge.part import Part, text
from rangeland.merge.ranges import BEGINNING, ending, merge_node_ranges, merge_range, range_pieces
from rangeland.wire.parts import ListPart, RangeParams, RangesParams

STRETCH_RANGES = 2_000  # asked for at a time: 1.5 MB, 50 ms without sizes
_MAX_INT64 = 2**63 - 1


async def list_node_ranges(asking: Asking) -> Body | Streamed:
    """The ranges of node `local` or of an id, by range id; `ranges` names some, `limit` and `offset` cut a page."""
    cluster = asking.services.cluster
    node_id = parse_node_id(asking.path_part("node_id"), local=cluster.node_id)
    params = RangesParams(
        range_ids=parse_range_ids(asking.parameter("ranges")),
        offset=parse_offset(asking.parameter("offset")),
        limit=parse_limit(asking.parameter("limit")),
        system=asking.parameter("system") == "true",
    )
    if params.range_ids is not None or 0 < params.limit <= STRETCH_RANGES:
        return encoded(merge_node_ranges(_required(await _ask(asking, node_id, params, asking.deadline))))
    first = _required(await _ask(asking, node_id, _stretch(params), asking.deadline))
    if not first.next_index:
        return encoded(merge_node_ranges(first))
    return Streamed(_written(asking, node_id, params, first))


async def _written(asking: Asking, node_id: int, params: RangesParams, part: ListPart) -> AsyncGenerator[bytes]:
    """The whole list, or a long page of it, from its first stretch on; what is written is forgotten.

    Nothing of the server is held while the client reads. A range that exists all the time is there exactly once.
    Raises: PeerError, where the list can't be read to its end.
    """
    yield BEGINNING
    shown = last = 0
    while True:
        if not part.items or part.items[0].key <= last:
            raise PeerError(f"the list of node {node_id} does not go on")
        last = int(part.items[-1].key)
        for piece in range_pieces(part.items, is_first=shown == 0):
            yield piece
        shown += len(part.items)
        if not part.next_index or shown == params.limit:
            break
        next_params = _stretch(params, shown=shown, after=last)
        asked = await _ask(asking, node_id, next_params, asyncio.get_running_loop().time() + REQUEST_TIMEOUT_S)
        if asked.value is None:
            raise PeerError(text(asked, "ranges"))
        part = asked.value
    yield ending(part.next_index if params.limit else 0)


def _stretch(params: RangesParams, *, shown: int = 0, after: int = 0) -> RangesParams:
    """The parameters of the next stretch. A node that knows nothing of `after` goes by the offset."""
    begun_at = params.offset if params.limit else 0
    return structs.replace(
        params,
        offset=begun_at + shown,
        limit=min(STRETCH_RANGES, params.limit - shown) if params.limit else STRETCH_RANGES,
        after=after,
        read_sizes=shown < SIZED_RANGES,
    )


async def _ask(asking: Asking, node_id: int, params: RangesParams, deadline: float) -> Part[ListPart]:
    return await asking.services.cluster.ask(node_id, q.RANGES, params, deadline=deadline)


def _required(part: Part[ListPart]) -> ListPart:
    if part.value is None:
        raise internal_error(text(part, "ranges"))
    return part.value


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

"""One node's list of ranges, and every node's knowledge of one range.

Source: Cluster API v2.0, /nodes/{node_id}/ranges/ and /ranges/{range_id}/.
"""

from collections.abc import Sequence

from rangeland.merge.part import Part, text
from rangeland.wire.parts import ListPart, RangePart
from rangeland.wire.ranges import NodeRangesAnswer, RangeAnswer, RangeDetail, zero_range_info


def merge_node_ranges(part: ListPart) -> NodeRangesAnswer:
    """A node's ranges by ascending range id, as it sent them."""
    return NodeRangesAnswer(ranges=[item.body for item in part.items], next=part.next_index)


def merge_range(range_id: int, parts: Sequence[Part[RangePart]]) -> RangeAnswer:
    """By node id, in the order of the ids as text; nodes without a replica are absent."""
    details = {part.node_id: _detail(range_id, part) for part in sorted(parts, key=lambda p: str(p.node_id))}
    return RangeAnswer({node_id: detail for node_id, detail in details.items() if detail is not None})


def _detail(range_id: int, part: Part[RangePart]) -> RangeDetail | None:
    if part.error is not None:
        return RangeDetail(zero_range_info(), error=text(part, f"details about range {range_id}"))
    if part.value is None or part.value.range_info is None:
        return None
    return RangeDetail(part.value.range_info)

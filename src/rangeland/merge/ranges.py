"""One node's list of ranges, and every node's knowledge of one range.

Source: Cluster API v2.0, /nodes/{node_id}/ranges/ and /ranges/{range_id}/.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from rangeland.merge.part import Part, text
from rangeland.wire.parts import Item, ListPart, RangePart
from rangeland.wire.ranges import NodeRangesAnswer, RangeAnswer, RangeDetail, zero_range_info


def merge_node_ranges(part: ListPart) -> NodeRangesAnswer:
    """A node's ranges by ascending range id, as it sent them."""
    return NodeRangesAnswer(ranges=[item.body for item in part.items], next=part.next_index)


BEGINNING: Final = b'{"ranges":['  # of a NodeRangesAnswer that is written piece by piece
_PIECE_RANGES: Final = 100  # 60 to 100 kB


def range_pieces(items: Sequence[Item], *, is_first: bool) -> Iterator[bytes]:
    """A stretch of the list as what stands between its beginning and its end, in pieces."""
    for first in range(0, len(items), _PIECE_RANGES):
        comma = b"" if is_first and first == 0 else b","
        yield comma + b",".join([item.body for item in items[first : first + _PIECE_RANGES]])


def ending(next_offset: int) -> bytes:
    """The end of the answer, with the offset of the next page; 0: it is the last one."""
    return b'],"next":%d}' % next_offset if next_offset else b"]}"


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

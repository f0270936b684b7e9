"""Every node's history of its busiest ranges → one list."""

from collections.abc import Sequence

from rangeland.merge.part import Part, text
from rangeland.wire.hot_range_history import HotRangeHistoryAnswer
from rangeland.wire.parts import ListPart
from rangeland.wire.sessions import NodeError


def merge_hot_range_history(parts: Sequence[Part[ListPart]]) -> HotRangeHistoryAnswer:
    """Histories by ascending range id, where equal by node id; nodes that failed are in `errors`."""
    by_node_id = sorted(parts, key=lambda part: part.node_id)
    items = [item for part in by_node_id if part.value is not None for item in part.value.items]
    return HotRangeHistoryAnswer(
        ranges=[item.body for item in sorted(items, key=lambda item: item.key)],
        errors=[
            NodeError(node_id=part.node_id, message=text(part, "history of hot ranges"))
            for part in by_node_id
            if part.error is not None
        ],
    )

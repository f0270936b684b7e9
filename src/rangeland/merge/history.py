"""Every node's history of its metrics → one answer."""

from collections.abc import Sequence

from rangeland.merge.part import Part, text
from rangeland.wire.history import HistoryAnswer
from rangeland.wire.parts import HistoryPart
from rangeland.wire.sessions import NodeError


def merge_history(parts: Sequence[Part[HistoryPart]]) -> HistoryAnswer:
    """Histories by ascending node id; nodes that failed are in `errors`."""
    by_node_id = sorted(parts, key=lambda part: part.node_id)
    return HistoryAnswer(
        nodes=[part.value.history for part in by_node_id if part.value is not None],
        errors=[
            NodeError(node_id=part.node_id, message=text(part, "history"))
            for part in by_node_id
            if part.error is not None
        ],
    )

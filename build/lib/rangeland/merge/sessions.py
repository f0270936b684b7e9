"""Every node's sessions → one list. Source: Cluster API v2.0, /sessions/."""

from collections.abc import Sequence

from rangeland.merge.part import Part, text
from rangeland.wire.parts import ListPart
from rangeland.wire.sessions import NodeError, SessionsAnswer


def merge_sessions(parts: Sequence[Part[ListPart]], *, next_token: str) -> SessionsAnswer:
    """Sessions by ascending start, where equal by node id; nodes that failed are in `errors`."""
    by_node_id = sorted(parts, key=lambda part: part.node_id)
    items = [item for part in by_node_id if part.value is not None for item in part.value.items]
    return SessionsAnswer(
        sessions=[item.body for item in sorted(items, key=lambda item: item.key)],
        errors=[
            NodeError(node_id=part.node_id, message=text(part, "session list"))
            for part in by_node_id
            if part.error is not None
        ],
        next=next_token,
    )

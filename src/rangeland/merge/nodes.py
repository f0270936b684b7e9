"""Every node's account of itself, and what is remembered of the silent ones → one list.

Source: Cluster API v2.0, /nodes/.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import UNSET, structs

from rangeland.merge.paging import page_offset
from rangeland.merge.part import Part
from rangeland.wire.nodes import Liveness, NodesAnswer, NodeStatus
from rangeland.wire.parts import StatusPart

DEAD_AFTER_NS: Final = 300 * 10**9  # 5 min, the peer's server.time_until_store_dead


def merge_nodes(
    parts: Sequence[Part[StatusPart]],
    *,
    last_status: Mapping[int, NodeStatus],
    silent_since_ns: Mapping[int, int],
    clock_offset_s: Mapping[int, float],
    now_ns: int,
    limit: int = 0,
    offset: int = 0,
) -> NodesAnswer:
    """Nodes by ascending id. A silent node shows its `last_status`, or is left out where there is none.

    `silent_since_ns` (ns since 1970) is by node id; a silent node that isn't in it was only just noticed.
    `clock_offset_s` tells how far the other nodes' clocks are ahead of ours.
    """
    statuses = [
        _answered(part.value, clock_offset_s.get(part.node_id), now_ns)
        if part.value is not None
        else _silent(last_status.get(part.node_id), silent_since_ns.get(part.node_id, 0), now_ns)
        for part in sorted(parts, key=lambda part: part.node_id)
    ]
    page, next_offset = page_offset([status for status in statuses if status is not None], limit, offset)
    return NodesAnswer(list(page), next=next_offset)


def liveness_of(part: StatusPart, now_ns: int) -> Liveness:
    """Of a node that answered: a server that is down weighs more than draining, as with the peer."""
    if not part.server_up:
        return liveness_when_down(part.down_since_ns, now_ns)
    return Liveness.DRAINING if part.draining else Liveness.LIVE


def liveness_when_down(since_ns: int, now_ns: int) -> Liveness:
    """Of a node that is silent, or whose server is down, since then (ns since 1970; 0: only just noticed)."""
    return Liveness.DEAD if since_ns and now_ns - since_ns >= DEAD_AFTER_NS else Liveness.UNAVAILABLE


def _answered(part: StatusPart, clock_offset_s: float | None, now_ns: int) -> NodeStatus:
    return structs.replace(
        part.status,
        liveness_status=liveness_of(part, now_ns),
        role=part.role if part.role != "unknown" else "",
        timeline=part.timeline,
        clock_offset_seconds=UNSET if clock_offset_s is None else round(clock_offset_s, 1) + 0.0,
    )


def _silent(last: NodeStatus | None, since_ns: int, now_ns: int) -> NodeStatus | None:
    """Without role and timeline: the server may have been promoted, or another in its place."""
    if last is None:
        return None
    return structs.replace(last, liveness_status=liveness_when_down(since_ns, now_ns), role="", timeline=0)

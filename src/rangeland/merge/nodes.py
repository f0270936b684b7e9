"""Every node's account of itself, and what is remembered of the silent ones → one list.

Source: Cluster API v2.0, /nodes/.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import UNSET, structs

from rangeland.merge.part import Part
from rangeland.wire.nodes import Liveness, NodeStatus
from rangeland.wire.parts import StatusPart

DEAD_AFTER_NS: Final = 300 * 10**9  # 5 min, the peer's server.time_until_store_dead


def merge_nodes(
    parts: Sequence[Part[StatusPart]],
    *,
    last_status: Mapping[int, NodeStatus],
    membership: Mapping[int, str],
    silent_since_ns: Mapping[int, int],
    clock_offset_s: Mapping[int, float],
    now_ns: int,
) -> list[NodeStatus]:
    """Nodes by ascending id. A silent node shows its `last_status`, or is left out where there is none.

    `membership` is by node id; a node that isn't in it counts as an active member.
    `silent_since_ns` (ns since 1970) is by node id; a silent node that isn't in it was only just noticed.
    `clock_offset_s` tells how far the other nodes' clocks are ahead of ours.
    """
    statuses = [
        _answered(
            part.node_id, part.value, membership.get(part.node_id, ""), clock_offset_s.get(part.node_id), now_ns
        )
        if part.value is not None
        else _silent(
            last_status.get(part.node_id),
            membership.get(part.node_id, ""),
            silent_since_ns.get(part.node_id, 0),
            now_ns,
        )
        for part in sorted(parts, key=lambda part: part.node_id)
    ]
    return [status for status in statuses if status is not None]


def liveness_of(part: StatusPart, membership: str, now_ns: int) -> Liveness:
    """Of a node that answered: a server that is down weighs more than membership, that more than draining, as
    with the peer."""
    if not part.server_up:
        return liveness_when_down(membership, part.down_since_ns, now_ns)
    if not _is_active(membership):
        return Liveness.DECOMMISSIONING
    return Liveness.DRAINING if part.draining else Liveness.LIVE


def liveness_when_down(membership: str, since_ns: int, now_ns: int) -> Liveness:
    """Of a node that is silent, or whose server is down, since then (ns since 1970; 0: only just noticed)."""
    if not since_ns or now_ns - since_ns < DEAD_AFTER_NS:
        return Liveness.UNAVAILABLE
    return Liveness.DEAD if _is_active(membership) else Liveness.DECOMMISSIONED


def _is_active(membership: str) -> bool:
    return membership in ("active", "")  # "": not registered yet


def _answered(
    node_id: int, part: StatusPart, membership: str, clock_offset_s: float | None, now_ns: int
) -> NodeStatus:
    """Under the id by which it was asked: a node that was just started may not know its own yet.

    Of a server that is down role and timeline are left out, too: another was promoted, or will be.
    """
    knows_role = part.server_up and part.role != "unknown"
    its_now_ns = now_ns + round((clock_offset_s or 0.0) * 1e9)  # it tells by its own clock since when it is down
    return structs.replace(
        part.status,
        node_id=node_id,
        liveness_status=liveness_of(part, membership, its_now_ns),
        membership=membership,
        role=part.role if knows_role else "",
        timeline=part.timeline if part.server_up else 0,
        clock_offset_seconds=UNSET if clock_offset_s is None else round(clock_offset_s, 1) + 0.0,
    )


def _silent(last: NodeStatus | None, membership: str, since_ns: int, now_ns: int) -> NodeStatus | None:
    """Without role and timeline: the server may have been promoted, or another in its place."""
    if last is None:
        return None
    liveness = liveness_when_down(membership, since_ns, now_ns)
    return structs.replace(last, liveness_status=liveness, membership=membership, role="", timeline=0)

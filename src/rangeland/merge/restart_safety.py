"""Where a server and its primary stand in replication → what stopping that server would cost.

Source: Cluster API, /health/restart_safety/; PostgreSQL, synchronous_standby_names.
"""

import re
from typing import Final

from rangeland.wire.parts import ReplicationPart, StandbyInfo
from rangeland.wire.restart_safety import Reason, RestartSafetyAnswer

CLOSE_BYTES: Final = 16 << 20  # one WAL segment: a standby that lacks more would lose what was just committed

_NUMBERED = re.compile(r"^(?:ANY\s+|FIRST\s+)?(\d+)\s*\(", re.IGNORECASE)


def decide_restart(
    own: ReplicationPart,
    primary: ReplicationPart | None,
    *,
    node_id: int,
    standby_target: int,
    is_draining: bool,
    is_relaxed: bool,
) -> RestartSafetyAnswer:
    """Whether the server `own` can be stopped; `primary` is None where none can be asked.

    `standby_target` is how many standbys there should be. With `is_relaxed` only a loss of availability counts, not
    one of redundancy.
    """
    ranges = own.ranges or 0
    losses = _losses(own, primary, standby_target)
    unavailable = [reason for reason in losses if reason.kind in ("primary", "no_primary", "synchronous")]
    reasons = unavailable if is_relaxed else losses
    return RestartSafetyAnswer(
        is_restart_safe=not reasons,
        node_id=node_id,
        unavailable_range_count=ranges if unavailable else 0,
        underreplicated_range_count=ranges if len(unavailable) < len(losses) else 0,
        raft_leadership_on_node_count=ranges if own.is_primary else 0,
        store_not_draining_count=0 if is_draining else 1,
        reasons=reasons,
    )


def _losses(own: ReplicationPart, primary: ReplicationPart | None, standby_target: int) -> list[Reason]:
    """What stopping the server costs, the worst first."""
    if own.is_primary:
        return [Reason(kind="primary", text="it takes all writes: make another server the primary first")]
    if primary is None:
        text = "no primary can be asked: this server may hold the only copy that is up to date"
        return [Reason(kind="no_primary", text=text)]
    others, may_be_synchronous = _others(own, primary)
    losses = []
    needed = synchronous_needed(primary.synchronous_standby_names)
    candidates = [each for each in others if each.sync_state != "async"]
    if may_be_synchronous and len(candidates) < needed:
        text = f"commits wait for {needed} synchronous standby servers, and without it {len(candidates)} are left"
        losses.append(Reason(kind="synchronous", text=text))
    close = [each for each in others if each.lag_bytes is not None and each.lag_bytes <= CLOSE_BYTES]
    if not close:
        losses.append(Reason(kind="last_standby", text=_last_standby(len(others))))
    elif own.receives and len(others) + 1 < standby_target:
        text = f"only {len(others) + 1} of {standby_target} standby servers stream: bring the others back first"
        losses.append(Reason(kind="standby_missing", text=text))
    if own.standbys:
        text = f"{len(own.standbys)} standby servers follow this one and would get no more WAL"
        losses.append(Reason(kind="upstream", text=text))
    return losses


def _last_standby(others: int) -> str:
    if not others:
        return "no other standby server streams from the primary: the data would have one live copy"
    return (
        f"each of the {others} other standby servers is more than {CLOSE_BYTES >> 20} MiB of WAL behind: wait for one"
    )


def _others(own: ReplicationPart, primary: ReplicationPart) -> tuple[list[StandbyInfo], bool]:
    """The primary's standbys but for `own`, and whether `own` may be a synchronous one.

    Where nothing tells which of them it is, the one that would be missed most is taken for it.
    """
    if not own.receives:
        return primary.standbys, False
    mine = [each for each in primary.standbys if each.slot_name is not None and each.slot_name == own.upstream_slot]
    if own.upstream_slot is None:
        mine = [each for each in primary.standbys if each.slot_name is None]
        named = [each for each in mine if own.cluster_name and each.application_name == own.cluster_name]
        mine = named if len(named) == 1 else mine
    if not mine:
        return primary.standbys, False  # it follows another standby
    me = min(mine, key=lambda each: (each.sync_state == "async", each.lag_bytes or 0))
    return [each for each in primary.standbys if each is not me], me.sync_state != "async"


def synchronous_needed(synchronous_standby_names: str) -> int:
    """How many standbys a commit waits for: FIRST n (…), ANY n (…), n (…), a plain list, or nothing."""
    names = synchronous_standby_names.strip()
    if not names:
        return 0
    numbered = _NUMBERED.match(names)
    return int(numbered[1]) if numbered else 1

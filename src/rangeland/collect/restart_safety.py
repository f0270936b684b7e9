"""Where this node's server stands in replication: whom it follows, and who follows it."""

from __future__ import annotations

from rangeland.pg import Server
from rangeland.wire.parts import ReplicationPart, StandbyInfo


async def collect_replication(server: Server, *, ranges: int | None, deadline: float) -> ReplicationPart:
    """Read it with two small statements; `ranges` is passed on. Raises: ServerError."""
    [place] = await server.fetch("restart_safety", "read_place", deadline=deadline)
    in_recovery, synchronous_standby_names, cluster_name, receives, upstream_slot = place
    rows = await server.fetch("restart_safety", "list_standbys", deadline=deadline)
    return ReplicationPart(
        is_primary=not in_recovery,
        synchronous_standby_names=synchronous_standby_names,
        cluster_name=cluster_name,
        receives=receives,
        upstream_slot=upstream_slot,
        standbys=[
            StandbyInfo(slot_name=slot, application_name=name, sync_state=sync_state, lag_bytes=lag_bytes)
            for slot, name, sync_state, lag_bytes in rows
        ],
        ranges=ranges,
    )

"""/nodes/: every node with its server and machine, the silent ones as last known."""

from __future__ import annotations

import contextlib
import time

from rangeland.api.asking import Asking
from rangeland.api.replies import Body, encoded
from rangeland.api.services import Services
from rangeland.cluster import questions as q
from rangeland.merge.nodes import merge_nodes
from rangeland.merge.paging import parse_limit, parse_offset
from rangeland.wire.json import DecodeError, decode
from rangeland.wire.nodes import NodesAnswer, NodeStatus
from rangeland.wire.parts import Nothing


async def list_nodes(asking: Asking) -> Body:
    """The nodes of the cluster, by node id; `limit` and `offset` cut a page."""
    limit, offset = parse_limit(asking.parameter("limit")), parse_offset(asking.parameter("offset"))
    services = asking.services

    async def ask() -> Body:
        return encoded(await collect_nodes(services, deadline=asking.deadline, limit=limit, offset=offset))

    return await services.flights.join(("nodes", limit, offset), ask)


async def collect_nodes(services: Services, *, deadline: float, limit: int = 0, offset: int = 0) -> NodesAnswer:
    """Ask every node for its status; of a silent one the last status that any node kept is shown."""
    cluster = services.cluster
    parts = await cluster.ask_all(q.STATUS, Nothing(), deadline=deadline)
    for part in parts:
        if part.value is not None and part.value.server_up and part.value.status.node_id == part.node_id:
            services.last_status[part.node_id] = part.value.status
    known = {part.node_id: status for part in parts if (status := _last_status(services, part.node_id))}
    return merge_nodes(
        parts,
        last_status=known,
        membership={member.node_id: member.membership for member in cluster.members.values()},
        silent_since_ns=cluster.silent_since_ns(),
        clock_offset_s=cluster.clock_offset_s(),
        now_ns=time.time_ns(),
        limit=limit,
        offset=offset,
    )


def _last_status(services: Services, node_id: int) -> NodeStatus | None:
    """What this node itself last saw, else what the table keeps."""
    if (seen := services.last_status.get(node_id)) is not None:
        return seen
    member = services.cluster.members.get(node_id)
    if member is not None and member.status is not None:
        with contextlib.suppress(DecodeError):
            return decode(NodeStatus, member.status)
    return None

"""/nodes/: every node with its server and machine, the silent ones as last known."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

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
    """Ask every node for its status, or those of a page; of a silent one the last status that any node kept is shown.

    One that is silent and was never seen is left out, and has no place in the order: the page goes on behind it.
    """
    silent = services.cluster.silent_since_ns()
    node_ids = [
        each
        for each in services.cluster.active_ids()
        if each not in silent or _last_status(services, each) is not None
    ]
    if not limit:
        return NodesAnswer(await _statuses(services, node_ids, deadline))
    end = offset + limit
    page = await _statuses(services, node_ids[offset:end], deadline)
    while len(page) < limit and end < len(node_ids):  # of some it was found out just now
        begin, end = end, end + limit - len(page)
        page += await _statuses(services, node_ids[begin:end], deadline)
    return NodesAnswer(page, next=offset + len(page) if end < len(node_ids) else 0)


async def _statuses(services: Services, node_ids: Sequence[int], deadline: float) -> list[NodeStatus]:
    cluster = services.cluster
    parts = await cluster.ask_all(q.STATUS, Nothing(), deadline=deadline, node_ids=node_ids)
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

"""Writing the event log, and reading of it who has left, on this node's server."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime

from rangeland.pg import Server
from rangeland.wire.events import NodeLeft, NodeReturn
from rangeland.wire.json import DecodeError, decode
from rangeland.wire.members import EventToKeep

# 4 MB with their indexes. Ten logins an hour for the whole of the time; a failover a day is a tenth of the rest.
KEPT = 5_000  # about users, and as many about the rest: so 10,000 rows
KEPT_DAYS = 90  # the reference's server.eventlog.ttl


async def add_events(server: Server, node_id: int, events: Sequence[EventToKeep], *, deadline: float) -> None:
    """Write them down, those that are there already once. Raises: NotPrimaryError, ServerError."""
    await server.write(
        "events",
        "add_events",
        deadline=deadline,
        event_ids=[event.event_id for event in events],
        moments=[datetime.fromtimestamp(event.happened_at_ns // 1000 / 1e6, UTC) for event in events],
        event_types=[event.event_type for event in events],
        infos=[event.info for event in events],
        node_id=node_id,
        kept=KEPT,
        days=KEPT_DAYS,
    )


async def list_gone_nodes(server: Server, *, deadline: float) -> dict[int, NodeLeft]:
    """Of each node that has left and not returned since, by its id, what was told then. Raises: ServerError."""
    gone: dict[int, NodeLeft] = {}
    for event_type, info in await server.fetch("events", "list_departures", deadline=deadline):
        with contextlib.suppress(DecodeError):  # a row that somebody else wrote
            if event_type == NodeLeft.event_type:
                left = decode(NodeLeft, info)
                gone[left.NodeID] = left
            else:
                gone.pop(decode(NodeReturn, info).NodeID, None)
    return gone


async def read_last_primary(server: Server, *, deadline: float) -> tuple[int, int] | None:
    """Node and timeline of the primary that was noted last; None where none was. Raises: ServerError."""
    rows = await server.fetch("events", "read_last_primary", deadline=deadline)
    node_id, _, timeline = rows[0][0].partition(";") if rows else ("", "", "")
    return (int(node_id), int(timeline)) if node_id.isdecimal() and timeline.isdecimal() else None


async def write_last_primary(server: Server, node_id: int, timeline: int, *, deadline: float) -> None:
    """Note which node has the primary. Raises: NotPrimaryError, ServerError."""
    await server.write("events", "write_last_primary", deadline=deadline, value=f"{node_id};{timeline}")


async def list_known_names(server: Server, names: Sequence[str], *, deadline: float) -> set[str]:
    """Those of the names that are roles. Raises: ServerError."""
    raw = [name.encode() for name in names]
    rows = await server.fetch("events", "list_known_names", deadline=deadline, names=raw)
    return {row[0].decode(errors="replace") for row in rows}

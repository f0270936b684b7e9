"""The slow probe by the primary's node, for the event log: which nodes left, which returned, who was promoted.

It is the one thing, beside the sampler of hot ranges, that happens because time passes. A round costs each server one
statement that reads no table. What is known of who has left is in the event log itself, so that the next primary's
node goes on where the last one ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import structlog

from rangeland.cluster import Cluster, EventLog
from rangeland.cluster import questions as q
from rangeland.errors import RangelandError, ServerError
from rangeland.merge.part import Part
from rangeland.pg import Role, Server
from rangeland.state import events as table
from rangeland.state import tables
from rangeland.wire.events import NodeLeft, NodePromoted, NodeReturn
from rangeland.wire.members import WatchAnswer, WatchParams

TICK_S = 10.0
ROUND_S = 4.5  # as a request
GONE_AFTER_S = 5.0  # a node that is restarted is away for 2 s; and the time to look again at one that is in doubt
UNHEARD_S = 15.0  # a node that no primary's node has asked for so long looks itself whether its server was promoted
CAUSE_LENGTH = 200

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Findings:
    """What a round showed, compared with what was known before."""

    left: list[NodeLeft]
    returned: list[NodeReturn]
    is_doubtful: bool  # a node doesn't do well, but not for long enough


class Watch:
    """Runs on every node; only the primary's asks the others."""

    def __init__(self, *, server: Server, cluster: Cluster, events: EventLog) -> None:
        self._server = server
        self._cluster = cluster
        self._events = events
        self._poked = asyncio.Event()
        self._term = (0, 0)  # node and timeline for which the state below was read
        self._gone: dict[int, NodeLeft] = {}  # as the event log has it
        self._started: set[int] = set()  # nodes that did well at some time; the others may never have
        self._outage: NodeLeft | None = None  # of our own server while it was the primary
        self._promoted: uuid.UUID | None = None  # told, and not yet noted in the table
        self._trouble = ""
        self._heard_at = 0.0  # loop time of a primary's node's last question

    async def run(self) -> None:
        """Look around, again and again, until cancelled."""
        self._heard_at = asyncio.get_running_loop().time()
        while True:
            wait_s = TICK_S
            try:
                if self._may_be_primary():
                    wait_s = await self._look()
                else:
                    await self._look_at_own()
                self._trouble = ""
            except RangelandError as exc:
                self._say(str(exc))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._poked.wait(), wait_s)
            self._poked.clear()

    def server_changed(self) -> None:
        """The server went, came back or changed its role."""
        down = self._server.down
        if down is not None and self._server.role is Role.PRIMARY and self._term[0] == self._cluster.node_id != 0:
            self._outage = self._outage or _server_down(self._cluster.node_id, down.since_ns, down.reason)
        self._poked.set()

    async def answer(self, params: WatchParams, deadline: float) -> WatchAnswer:
        """How this node's server does; asks it. Never fails for what the server does."""
        if params.timeline >= self._server.timeline:
            self._heard_at = asyncio.get_running_loop().time()
            self._events.hurry()
        with contextlib.suppress(ServerError):
            await self._server.look_again(deadline=deadline)
        down = self._server.down
        return WatchAnswer(down_since_ns=down.since_ns, cause=down.reason) if down else WatchAnswer()

    async def _look(self) -> float:
        """One round by the primary's node; how long to wait for the next."""
        deadline = asyncio.get_running_loop().time() + ROUND_S
        parts = await self._cluster.ask_all(q.WATCH, WatchParams(timeline=self._server.timeline), deadline=deadline)
        if not self._is_primary():
            return TICK_S
        await self._begin_term(deadline)
        await self._note_primary(deadline)
        self._tell_own_outage()
        now_ns = time.time_ns()
        state = state_of(parts, self._cluster.silent_since_ns(), now_ns=now_ns)
        await self._learn_who_started(state, deadline)
        found = compare(self._gone, state, started=self._started, now_ns=now_ns)
        self._take(found)
        return GONE_AFTER_S if found.is_doubtful else TICK_S

    async def _learn_who_started(self, state: Mapping[int, NodeLeft | None], deadline: float) -> None:
        """A node that does well now, or that has kept a status in the table some day."""
        self._started |= {node_id for node_id, trouble in state.items() if trouble is None}
        if state.keys() - self._started:
            members = await tables.list_members(self._server, deadline=deadline)
            self._started |= {member.node_id for member in members if member.status is not None}

    async def _look_at_own(self) -> None:
        """Where no primary's node is heard, ours may have become it without anybody noticing."""
        loop = asyncio.get_running_loop()
        if self._server.role is not Role.PRIMARY:
            self._outage = None  # the new primary's node tells of it
        if loop.time() - self._heard_at > UNHEARD_S and self._server.down is None:
            await self._server.look_again(deadline=loop.time() + ROUND_S)

    async def _begin_term(self, deadline: float) -> None:
        """Read what the last primary's node knew; tell of the promotion if it was another's."""
        term = (self._cluster.node_id, self._server.timeline)
        if term == self._term:
            return
        gone = await table.list_gone_nodes(self._server, deadline=deadline)
        last = await table.read_last_primary(self._server, deadline=deadline)
        self._gone = gone
        self._outage = self._outage if self._term[1] == term[1] else None
        self._term = term
        self._promoted = self._tell_promotion(last)
        if self._promoted is None and last != term:
            await table.write_last_primary(self._server, *term, deadline=deadline)

    def _tell_promotion(self, last: tuple[int, int] | None) -> uuid.UUID | None:
        """Record it, under an id that says which one it is; None where there was none."""
        node_id, timeline = self._term
        if last is None or last == self._term or (last[0] == node_id and last[1] > timeline):
            return None  # the first primary; the same; a data directory that was restored or upgraded
        event_id = uuid.uuid5(uuid.NAMESPACE_OID, f"{self._cluster.cluster_id} promoted {node_id} {timeline}")
        promoted = NodePromoted(NodeID=node_id, OldNodeID=last[0], Timeline=timeline, OldTimeline=last[1])
        self._events.record(promoted, event_id=event_id)
        return event_id

    async def _note_primary(self, deadline: float) -> None:
        """Only when the promotion is written down: a node that dies in between tells it again."""
        if self._promoted is not None and not self._events.is_waiting(self._promoted):
            await table.write_last_primary(self._server, *self._term, deadline=deadline)
            self._promoted = None

    def _tell_own_outage(self) -> None:
        if self._outage is not None:
            self._events.record(self._outage)
            self._events.record(
                NodeReturn(NodeID=self._outage.NodeID, Reason=self._outage.Reason, Since=self._outage.Since)
            )
            self._outage = None

    def _take(self, found: Findings) -> None:
        for left in found.left:
            self._gone[left.NodeID] = left
            self._events.record(left)
            if left.Reason != "silent":  # cluster/ has said so already
                log.warning("a node's server is down", node_id=left.NodeID, cause=left.Cause)
        for returned in found.returned:
            del self._gone[returned.NodeID]
            self._events.record(returned)
            if returned.Reason != "silent":
                log.info("a node's server is up again", node_id=returned.NodeID)

    def _say(self, trouble: str) -> None:
        if trouble != self._trouble:
            log.warning("nobody can be watched now", cause=trouble)
        self._trouble = trouble

    def _may_be_primary(self) -> bool:
        return self._server.role is Role.PRIMARY and self._server.down is None and self._cluster.node_id != 0

    def _is_primary(self) -> bool:
        return self._may_be_primary() and self._cluster.topology().leaseholder_node_id == self._cluster.node_id


def state_of(
    parts: Iterable[Part[WatchAnswer]], silent_since_ns: Mapping[int, int], *, now_ns: int
) -> dict[int, NodeLeft | None]:
    """What is wrong with each node that was asked, by node id; None: nothing."""
    return {part.node_id: _trouble(part, silent_since_ns.get(part.node_id, 0), now_ns) for part in parts}


def compare(
    gone: Mapping[int, NodeLeft], state: Mapping[int, NodeLeft | None], *, started: set[int], now_ns: int
) -> Findings:
    """What changed since the event log was last told. Who never `started` has not left."""
    new = [trouble for node_id, trouble in state.items() if trouble and node_id not in gone and node_id in started]
    left = [trouble for trouble in new if now_ns - trouble.Since >= GONE_AFTER_S * 1e9]
    returned = [
        NodeReturn(NodeID=node_id, Reason=gone[node_id].Reason, Since=gone[node_id].Since)
        for node_id, trouble in state.items()
        if trouble is None and node_id in gone
    ]
    return Findings(left, returned, is_doubtful=len(left) < len(new))


def _trouble(part: Part[WatchAnswer], silent_since_ns: int, now_ns: int) -> NodeLeft | None:
    """A node that answers with an error, as an older one does that doesn't know the question, lives."""
    if silent_since_ns:
        cause = part.error.cause if part.error else ""
        return NodeLeft(
            NodeID=part.node_id, Reason="silent", Since=min(silent_since_ns, now_ns), Cause=cause[:CAUSE_LENGTH]
        )
    if part.value is not None and part.value.down_since_ns:
        return _server_down(part.node_id, min(part.value.down_since_ns, now_ns), part.value.cause)
    return None


def _server_down(node_id: int, since_ns: int, cause: str) -> NodeLeft:
    return NodeLeft(NodeID=node_id, Reason="server down", Since=since_ns, Cause=cause[:CAUSE_LENGTH])

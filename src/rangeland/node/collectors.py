"""What this node knows of its own server, ready to be asked by itself and by its peers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from msgspec import structs

from rangeland.cluster import Cluster
from rangeland.collect.nodes import NodeFacts, StatusCollector
from rangeland.collect.sessions import SessionCollector
from rangeland.pg import Server
from rangeland.wire.parts import ListPart, Nothing, SessionsParams, StatusPart


class Collectors:
    """One collector a resource; each answer takes the parameters and a deadline in loop time."""

    def __init__(self, *, server: Server, cluster: Cluster, facts: NodeFacts, draining: Callable[[], bool]) -> None:
        self._cluster = cluster
        self._draining = draining
        self._sessions = SessionCollector(server)
        self._status = StatusCollector(server, facts)

    async def sessions(self, params: SessionsParams, deadline: float) -> ListPart:
        return await self._sessions.collect(params, node_id=self._cluster.node_id, deadline=deadline)

    async def status(self, _params: Nothing, deadline: float) -> StatusPart:
        part = await self._status.collect(node_id=self._cluster.node_id, deadline=deadline)
        return structs.replace(part, draining=self._draining())

    async def own_status(self, deadline: float) -> StatusPart:
        return await self.status(Nothing(), deadline)

    async def run(self) -> None:
        """What goes on beside the questions, until cancelled."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        await self._status.close()

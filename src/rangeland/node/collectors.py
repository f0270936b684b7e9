"""What this node knows of its own server, ready to be asked by itself and by its peers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from msgspec import Raw, structs

from rangeland.auth.failed_logins import ADDRESS_LENGTH
from rangeland.checks.table import READINGS
from rangeland.cluster import Cluster, EventLog
from rangeland.cluster import questions as q
from rangeland.cluster.cluster import halfway
from rangeland.cluster.flights import Flights
from rangeland.collect.databases import DatabaseCollector, Databases
from rangeland.collect.events import collect_events
from rangeland.collect.history import HistoryBook
from rangeland.collect.hot_range_history import HotHistoryBook
from rangeland.collect.hot_ranges import Sample, Sampler
from rangeland.collect.nodes import NodeFacts, StatusCollector
from rangeland.collect.patroni import PatroniCollector
from rangeland.collect.problems import ProblemCollector
from rangeland.collect.ranges import RangeCollector, RangeContext
from rangeland.collect.restart_safety import collect_replication
from rangeland.collect.session_signals import Signalled, collect_signal_right, signal_session
from rangeland.collect.sessions import SessionCollector
from rangeland.collect.sizes import SizeBook
from rangeland.collect.tables import TableCollector
from rangeland.collect.users import collect_users
from rangeland.config import REQUEST_TIMEOUT_S
from rangeland.errors import NoPrimaryError, RangelandError, ServerError
from rangeland.pg import TABLE_REFUSED, Server
from rangeland.state import tables
from rangeland.wire.events import EventsAnswer, SessionCancelled, SessionTerminated
from rangeland.wire.json import encode
from rangeland.wire.members import DatabasesToNumber
from rangeland.wire.parts import (
    EventsParams,
    HistoryParams,
    HistoryPart,
    HotHistoryParams,
    HotParams,
    HotPart,
    Item,
    ListPart,
    NodeAccount,
    Nothing,
    PageParams,
    ProblemsPart,
    RangeParams,
    RangePart,
    RangesParams,
    ReplicationPart,
    SessionsParams,
    SignalOutcome,
    SignalParams,
    SignalPart,
    SignalRight,
    SignalRightParams,
    StatusPart,
)
from rangeland.wire.problems import Unchecked
from rangeland.wire.users import UsersAnswer


class Collectors:
    """One collector a resource; each answer takes the parameters and a deadline in loop time."""

    def __init__(
        self,
        *,
        server: Server,
        cluster: Cluster,
        events: EventLog,
        facts: NodeFacts,
        draining: Callable[[], bool],
        account: Callable[[], Awaitable[tuple[NodeAccount, list[Unchecked]]]],
        patroni_url: str | None,
        check_cpu_percent: int,
        history_s: float,
    ) -> None:
        self._account = account
        self._server = server
        self._cluster = cluster
        self._events = events
        self._draining = draining
        self._patroni = PatroniCollector(patroni_url)
        self._numbers: dict[int, int] = {}
        databases = Databases(server, self._number_databases)
        self.databases = DatabaseCollector(server)
        self.tables = TableCollector(server, databases)
        book = SizeBook()
        self._history = HistoryBook(history_s)
        self._hot_history = HotHistoryBook()
        self._sampler = Sampler(server, databases, book, on_sample=self._remember)
        self._ranges = RangeCollector(server, databases, self._sampler, book)
        self._sessions = SessionCollector(server)
        self._status = StatusCollector(server, facts, count_ranges=self._sampler.count_ranges)
        self._problems = ProblemCollector(server, databases, READINGS, self.own_status, cpu_percent=check_cpu_percent)
        self._flights = Flights()

    async def run(self) -> None:
        """The sampler of hot ranges, until cancelled."""
        await self._server.wait_until_up()
        await self._sampler.run()

    async def run_history(self) -> None:
        """Read the status once in each minute in which nobody else has, until cancelled."""
        while True:
            await asyncio.sleep(self._history.wait_s(time.time()))
            if self._history.is_due(time.time()):
                await self.own_status(asyncio.get_running_loop().time() + REQUEST_TIMEOUT_S)

    async def close(self) -> None:
        await self._status.close()
        await self._problems.close()
        await self._patroni.close()

    async def sessions(self, params: SessionsParams, deadline: float) -> ListPart:
        return await self._sessions.collect(params, node_id=self._cluster.node_id, deadline=deadline)

    async def signal_session(self, params: SignalParams, deadline: float) -> SignalPart:
        """Cancel or end a session of this node's server, and tell the event log. Raises: RangelandError."""
        found = await signal_session(self._server, params, is_doubted=self._cluster.is_deposed(), deadline=deadline)
        if found.outcome is SignalOutcome.STALE:
            right = await self._ask_right(params.caller, found.role_oid, deadline)
            if right.target_is_superuser:
                return SignalPart(outcome=SignalOutcome.SUPERUSER)
            if not right.allowed:
                return SignalPart(outcome=SignalOutcome.NOT_ALLOWED)
            found = await signal_session(self._server, params, is_vouched=True, deadline=deadline)
        if found.outcome is SignalOutcome.SIGNALLED:
            self._tell_signalled(params, found)
        return SignalPart(outcome=found.outcome)

    async def signal_right(self, params: SignalRightParams, deadline: float) -> SignalRight:
        """Raises: ServerError."""
        return await collect_signal_right(self._server, params, deadline=deadline)

    async def _ask_right(self, caller: str, role_oid: int, deadline: float) -> SignalRight:
        """What the primary says of a caller and a role; oids are the same on each copy. Raises: RangelandError."""
        params = SignalRightParams(caller=caller, role_oid=role_oid)
        try:
            return await self._cluster.ask_primary(q.SIGNAL_RIGHT, params, deadline=halfway(deadline))
        except NoPrimaryError as exc:
            raise NoPrimaryError(
                "its server may know old roles only, and no primary can be reached that knows who may do that"
            ) from exc

    def _tell_signalled(self, params: SignalParams, found: Signalled) -> None:
        event = SessionTerminated if params.terminate else SessionCancelled
        self._events.record(
            event(
                User=params.caller,
                RemoteAddress=params.client_address[:ADDRESS_LENGTH],
                NodeID=self._cluster.node_id,
                PID=params.pid,
                SessionUser=found.username,
                DatabaseName=found.database,
                ApplicationName=found.application_name,
            )
        )

    async def status(self, _params: Nothing, deadline: float) -> StatusPart:
        is_kept = self._history.is_due(time.time())
        part = await self._status.collect(node_id=self._cluster.node_id, deadline=deadline, is_kept=is_kept)
        self._history.take(part.status)
        return structs.replace(part, draining=self._draining())

    async def own_status(self, deadline: float) -> StatusPart:
        return await self.status(Nothing(), deadline)

    async def problems(self, _params: Nothing, deadline: float) -> ProblemsPart:
        """Shared by all nodes that ask at the same time."""

        async def collect() -> ProblemsPart:
            patroni = asyncio.create_task(self._patroni.collect(deadline=deadline))
            try:
                part = await self._problems.collect(node_id=self._cluster.node_id, deadline=deadline)
                account, unchecked = await self._account()
                return structs.replace(
                    part, account=account, patroni=await patroni, unchecked=[*part.unchecked, *unchecked]
                )
            finally:
                patroni.cancel()

        return await self._flights.join("problems", collect)

    async def ranges(self, params: RangesParams, deadline: float) -> ListPart:
        context = await self._context(deadline)
        return await self._ranges.collect_ranges(params, context=context, deadline=deadline)

    async def range(self, params: RangeParams, deadline: float) -> RangePart:
        context = await self._context(deadline)
        return await self._ranges.collect_range(params, context=context, deadline=deadline)

    async def hot_ranges(self, params: HotParams, deadline: float) -> HotPart:
        return await self._sampler.top(params, node_id=self._cluster.node_id, deadline=deadline)

    async def history(self, params: HistoryParams, _deadline: float) -> HistoryPart:
        told = self._history.told(params, node_id=self._cluster.node_id, now_s=time.time())
        return HistoryPart(history=Raw(encode(told)))

    async def hot_history(self, params: HotHistoryParams, _deadline: float) -> ListPart:
        """Whoever looks at it wants it to go on."""
        self._sampler.keep_on()
        told = self._hot_history.told(params.range_ids, node_id=self._cluster.node_id, now_s=time.time())
        return ListPart(items=[Item(each.range_id, Raw(encode(each))) for each in told])

    async def events(self, params: EventsParams, deadline: float) -> EventsAnswer:
        return await collect_events(self._server, params, deadline=deadline)

    async def replication(self, _params: Nothing, deadline: float) -> ReplicationPart:
        return await collect_replication(self._server, ranges=self._sampler.count_ranges(), deadline=deadline)

    async def primary_replication(self, params: Nothing, deadline: float) -> ReplicationPart:
        """Raises: NotPrimaryError, ServerError."""
        self._server.require_primary()
        return await self.replication(params, deadline)

    async def users(self, params: PageParams, deadline: float) -> UsersAnswer:
        return await collect_users(self._server, params, deadline=deadline)

    def _remember(self, sample: Sample) -> None:
        self._hot_history.take(sample, now_s=time.time())

    async def _context(self, deadline: float) -> RangeContext:
        """Who is the primary; every other registered node is expected to have a streaming standby."""
        topology = await self._cluster.recent_topology(deadline=deadline)
        return RangeContext(
            node_id=self._cluster.node_id,
            leaseholder_node_id=topology.leaseholder_node_id,
            timeline=topology.timeline,
            standby_target=len(topology.replica_node_ids) - 1,
        )

    async def _number_databases(self, oids: list[int], *, deadline: float) -> dict[int, int]:
        """The number of each database, by oid; new ones are numbered by the primary's node.

        One that can't be numbered now, as no primary is in reach, is absent. A number is given once: while the table
        is locked or may not be read, those that were read before count.
        """
        try:
            self._numbers = await tables.list_database_numbers(self._server, deadline=deadline)
        except ServerError as exc:
            if exc.sqlstate not in TABLE_REFUSED or not self._numbers:
                raise
        numbers = self._numbers
        missing = [oid for oid in oids if oid not in numbers]
        if not missing:
            return numbers
        try:
            part = await self._cluster.ask_primary(
                q.NUMBER_DATABASES, DatabasesToNumber(oids=missing), deadline=halfway(deadline)
            )
        except RangelandError:
            return numbers
        return numbers | part.number_by_oid

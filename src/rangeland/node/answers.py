"""What this node answers itself, by question: the one table that joins questions and collectors."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from rangeland.api.nodes import collect_nodes
from rangeland.api.problems import share_problems, shortened
from rangeland.api.services import Services
from rangeland.cluster import Answer
from rangeland.cluster import questions as q
from rangeland.errors import PeerError, ServerError
from rangeland.node.collectors import Collectors
from rangeland.node.membership import Membership
from rangeland.node.watch import Watch
from rangeland.pg import Role, Server
from rangeland.state import events, tables
from rangeland.wire.members import (
    DatabaseNumbers,
    DatabasesToNumber,
    DrainParams,
    EventsToKeep,
    Hello,
    HelloAnswer,
    Member,
    OfflineSession,
    Revocation,
    StatusToKeep,
)
from rangeland.wire.parts import Nothing, StatusPart

P = TypeVar("P")
A = TypeVar("A")


def make_answers(
    *,
    server: Server,
    services: Services,
    collectors: Collectors,
    membership: Membership,
    watch: Watch,
    drain: Callable[[bool], None],
) -> Mapping[str, Answer]:
    """By the question's path; each takes the parameters and a deadline in loop time.

    `drain` makes this node drain; with True it then ends.
    """
    cluster, auth = services.cluster, services.auth

    def led(answer: Callable[[P, float], Awaitable[A]]) -> Callable[[P, float], Awaitable[A]]:
        """The same answer, only while this node's server is the primary that counts: it writes."""

        async def checked(params: P, deadline: float) -> A:
            await cluster.require_leading(deadline=deadline)
            return await answer(params, deadline)

        return checked

    async def hello(params: Hello, deadline: float) -> HelloAnswer:
        cluster.take_hello(params)
        if params.look and server.role is not Role.PRIMARY:
            with contextlib.suppress(ServerError):  # the role header then says that nothing is known
                await server.look_again(deadline=deadline)
        if params.node_id and params.node_id not in cluster.members:
            cluster.take_members(
                [Member(node_id=params.node_id, http_addr=params.http_addr, sql_addr=params.sql_addr)]
            )
        cluster.came_by(params.node_id)
        cluster.hear_of(params)
        return HelloAnswer(
            node_id=cluster.node_id,
            cluster_id=cluster.cluster_id,
            # Who only looks for the primary, maybe at each login, knows the rest.
            members=[] if params.look else list(cluster.members.values()),
            revoked={} if params.look else auth.revocations.expires_by_id,
            offline=[] if params.look else auth.grants.offline_of(""),
        )

    async def status(params: Nothing, deadline: float) -> StatusPart:
        membership.status_was_asked()
        return await collectors.status(params, deadline)

    async def revoke(params: Revocation, _deadline: float) -> Nothing:
        auth.revocations.take(params.expires_by_id)
        return Nothing()

    async def keep_session(params: OfflineSession, _deadline: float) -> Nothing:
        auth.grants.keep_offline([params])
        return Nothing()

    async def keep_status(params: StatusToKeep, deadline: float) -> Nothing:
        server.require_primary()
        await tables.save_status(
            server,
            node_id=params.node_id,
            sql_addr=params.sql_addr,
            status=params.status,
            deadline=deadline,
        )
        return Nothing()

    async def keep_events(params: EventsToKeep, deadline: float) -> Nothing:
        await events.add_events(server, params.node_id, params.events, deadline=deadline)
        return Nothing()

    async def number_databases(params: DatabasesToNumber, deadline: float) -> DatabaseNumbers:
        server.require_primary()
        await tables.add_database_numbers(server, params.oids, deadline=deadline)
        numbers = await tables.list_database_numbers(server, deadline=deadline)
        return DatabaseNumbers(number_by_oid=numbers)

    async def drain_node(params: DrainParams, deadline: float) -> Nothing:
        if params.node_id == cluster.node_id:
            drain(params.shut_down)
            return Nothing()
        part = await cluster.ask(params.node_id, q.DRAIN, params, deadline=deadline)
        if part.error is not None:
            raise PeerError(f"node {params.node_id}: {part.error.cause}", reached=True)
        return Nothing()

    async def list_nodes(_params: Nothing, deadline: float) -> Any:
        return await collect_nodes(services, deadline=deadline)

    async def list_problems(_params: Nothing, deadline: float) -> Any:
        return shortened(await share_problems(services, deadline=deadline))

    return {
        q.HELLO.path: hello,
        q.SESSIONS.path: collectors.sessions,
        q.SIGNAL_SESSION.path: collectors.signal_session,
        q.SIGNAL_RIGHT.path: led(collectors.signal_right),
        q.STATUS.path: status,
        q.RANGES.path: collectors.ranges,
        q.RANGE.path: collectors.range,
        q.HOT_RANGES.path: collectors.hot_ranges,
        q.PROBLEMS.path: collectors.problems,
        q.DATABASES.path: collectors.databases.collect_databases,
        q.DATABASE.path: collectors.databases.collect_database,
        q.DATABASE_GRANTS.path: collectors.databases.collect_grants,
        q.DATABASE_TABLES.path: collectors.tables.collect_tables,
        q.TABLE.path: collectors.tables.collect_table,
        q.EVENTS.path: collectors.events,
        q.USERS.path: collectors.users,
        q.WATCH.path: watch.answer,
        q.REPLICATION.path: collectors.replication,
        q.PRIMARY_REPLICATION.path: led(collectors.primary_replication),
        q.REVOKE.path: revoke,
        q.KEEP_SESSION.path: keep_session,
        q.GRANT.path: auth.grants.answer,
        q.REGISTER.path: led(membership.answer_register),
        q.KEEP_STATUS.path: led(keep_status),
        q.KEEP_EVENTS.path: led(keep_events),
        q.NUMBER_DATABASES.path: led(number_databases),
        q.LOGIN.path: led(auth.logins.answer_login),
        q.EXCHANGE_SESSION.path: led(auth.logins.answer_exchange),
        q.MAKE_SESSION.path: led(auth.logins.answer_make_session),
        q.WRITE_REVOCATION.path: led(auth.revocations.answer_write),
        q.WRITE_MEMBERSHIP.path: led(membership.answer_write_membership),
        q.LEARN_MEMBERS.path: membership.answer_learn,
        q.LIST_NODES.path: list_nodes,
        q.LIST_PROBLEMS.path: list_problems,
        q.CHANGE_MEMBERSHIP.path: membership.answer_change,
        q.DRAIN.path: drain_node,
        q.LIST_WEB_SESSIONS.path: auth.web_sessions.list,
        q.LOG_USER_IN.path: auth.logins.log_user_in,
        q.LOG_USER_OUT.path: auth.web_sessions.log_user_out,
    }

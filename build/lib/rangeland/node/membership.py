"""How a node becomes and stays a member: its id, its registration, what it owes the table and its peers."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable

import structlog

from rangeland.auth import Auth
from rangeland.cluster import Cluster
from rangeland.cluster import questions as q
from rangeland.cluster.peer_token import derived
from rangeland.errors import NotPrimaryError, RangelandError, ServerError, StateError
from rangeland.pg import Role, Server
from rangeland.state import tables
from rangeland.wire.json import encode
from rangeland.wire.members import Members, Registration, StatusToKeep
from rangeland.wire.parts import StatusPart

RETRY_S = 0.25
TRY_TIMEOUT_S = 2.0
STATUS_AGE_S = 600.0  # the kept status is at most this old while somebody asks
STOPPED_S = 3.0  # a clock that jumps by more between two ticks: this process was stopped
TICK_S = 1.0

log = structlog.get_logger()


class Membership:
    """Registers the node, then keeps the cluster told of what changes here."""

    def __init__(
        self,
        *,
        server: Server,
        cluster: Cluster,
        auth: Auth,
        key: bytes,
        join: tuple[str, ...],
        status: Callable[[float], Awaitable[StatusPart]],
    ) -> None:
        self._server = server
        self._cluster = cluster
        self._auth = auth
        self._key = key
        self._join = join
        self._status = status
        self._kept_at = 0.0
        self._changed = asyncio.Event()
        self.registered = asyncio.Event()
        self.trouble: str | None = "this node is not registered yet"

    def changed(self) -> None:
        """The server went, came back or changed its role."""
        self._changed.set()

    async def run(self) -> None:
        """Register, then watch for changes, until cancelled."""
        await self._register()
        await self._greet()
        while True:
            await self._keep_status()
            await self._wait_for_change()
            self._changed.clear()
            if self._server.down is None:
                await self._refresh()

    async def run_clock(self) -> None:
        """Notice that this process was stopped for a while: what was ended meanwhile must not be trusted."""
        before = time.monotonic()
        while True:
            await asyncio.sleep(TICK_S)
            now = time.monotonic()
            if now - before > TICK_S + STOPPED_S:
                log.warning("this node was stopped for a while", seconds=round(now - before, 1))
                self._auth.web_sessions.forget_known()
                await self._greet()
            with contextlib.suppress(ServerError):  # the next tick tries again
                await self._auth.revocations.forget_written(deadline=_soon())
            before = time.monotonic()

    def status_was_asked(self) -> None:
        """While somebody asks, what the table keeps of this node is at most ten minutes old."""
        if self._kept_at and asyncio.get_running_loop().time() - self._kept_at > STATUS_AGE_S:
            self.changed()

    # registering

    async def _register(self) -> None:
        while self._cluster.node_id == 0:
            try:
                await self._register_here()
            except RangelandError as exc:
                self._say(str(exc))
            if self._cluster.node_id == 0:
                await self._register_elsewhere()
            if self._cluster.node_id == 0:
                await asyncio.sleep(RETRY_S)
        self.trouble = None
        self.registered.set()
        log.info("registered", node_id=self._cluster.node_id, nodes=len(self._cluster.members))

    async def _register_here(self) -> None:
        """From our own server's copy of the table; on the primary also into it."""
        if self._server.down is not None:
            raise StateError(f"the server is down: {self._server.down.reason}")
        await self.read_state(_soon())
        if self._cluster.node_id == 0 and self._server.role is Role.PRIMARY:
            await self.answer_register(
                Registration(http_addr=self._cluster.http_addr, sql_addr=self._cluster.sql_addr), _soon()
            )

    async def _register_elsewhere(self) -> None:
        """Ask the nodes we have heard of; whichever has the primary registers us."""
        own = self._cluster.http_addr
        known = [member.http_addr for member in self._cluster.members.values()]
        registration = Registration(http_addr=own, sql_addr=self._cluster.sql_addr)
        for address in dict.fromkeys([*self._join, *known]):
            if address == own or self._cluster.node_id:
                continue
            try:
                found = await self._cluster.ask_address(address, q.REGISTER, registration, deadline=_soon())
            except NotPrimaryError:
                continue
            except RangelandError as exc:
                self._say(f"{address}: {exc}")
                continue
            self._cluster.take_members(found.members)

    async def answer_register(self, params: Registration, deadline: float) -> Members:
        """Give an address its id, on the primary's node, and tell everybody. Raises: NotPrimaryError, ServerError."""
        self._server.require_primary()
        members = await tables.list_members(self._server, deadline=deadline)
        if all(member.http_addr != params.http_addr for member in members):
            await tables.add_member(
                self._server, http_addr=params.http_addr, sql_addr=params.sql_addr, deadline=deadline
            )
            members = await tables.list_members(self._server, deadline=deadline)
        self._cluster.take_members(members)
        return Members(members=members)

    async def read_state(self, deadline: float) -> None:
        """The cluster's facts and members, from this node's server. Raises: StateError, ServerError."""
        facts = await tables.read_facts(self._server, deadline=deadline)
        await self._require_own_key(facts, deadline)
        self._cluster.cluster_id = facts.cluster_id
        self._auth.grants.admin_role = facts.admin_role
        self._auth.logins.login_database = facts.login_database
        self._cluster.take_members(await tables.list_members(self._server, deadline=deadline))

    async def _require_own_key(self, facts: tables.ClusterFacts, deadline: float) -> None:
        """The first node of a cluster writes down a check value of its key; the others must match it."""
        check = hmac.digest(derived(self._key, "check"), facts.cluster_id.encode(), hashlib.sha256).hex()
        if facts.key_check is None and self._server.role is Role.PRIMARY:
            await tables.keep_setting(self._server, "key_check", check, deadline=deadline)
        elif facts.key_check not in (None, check):
            raise StateError(
                f"cluster.key is not the key of this server's cluster ({facts.cluster_id}): copy that "
                "cluster's key into --certs-dir, or point --server-url at the right server"
            )

    # afterwards

    async def _greet(self) -> None:
        """Introduce ourselves to every node, and learn what each knows by heart."""
        parts = await self._cluster.ask_all(q.HELLO, self._cluster.hello(), deadline=_soon())
        for part in parts:
            if part.value is not None and part.node_id != self._cluster.node_id:
                self._auth.revocations.take_hello(part.value)
                self._cluster.take_members(part.value.members)

    async def _refresh(self) -> None:
        try:
            await self.read_state(_soon())
            await self._auth.revocations.write_again(deadline=_soon())
        except RangelandError as exc:
            log.warning("the cluster's state can't be read", cause=str(exc))
            return
        self._kept_at = 0.0
        await self._greet()

    async def _wait_for_change(self) -> None:
        await self._changed.wait()
        await asyncio.sleep(0.05)  # a fall and a return in one breath are one change

    async def _keep_status(self) -> None:
        try:
            part = await self._status(_soon())
            if part.server_up:
                await self.keep_status(part)
        except RangelandError as exc:
            log.warning("this node's status could not be kept", cause=str(exc))

    async def keep_status(self, part: StatusPart) -> None:
        """Have the primary's node keep a complete status, at most once in ten minutes."""
        now = asyncio.get_running_loop().time()
        if self._kept_at and now - self._kept_at < STATUS_AGE_S:
            return
        self._kept_at = now
        kept = StatusToKeep(
            node_id=self._cluster.node_id,
            sql_addr=self._cluster.sql_addr,
            status=encode(part.status).decode(),
        )
        await self._cluster.ask_primary(q.KEEP_STATUS, kept, deadline=_soon())

    def _say(self, trouble: str) -> None:
        if trouble != self.trouble:
            log.warning("not registered yet", cause=trouble)
            self.trouble = trouble


def _soon() -> float:
    return asyncio.get_running_loop().time() + TRY_TIMEOUT_S

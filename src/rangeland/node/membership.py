"""How a node becomes and stays a member: its id, its registration, what it owes the table and its peers."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Sequence

import structlog

from rangeland.auth import Auth
from rangeland.cluster import Cluster, EventLog, Sender
from rangeland.cluster import questions as q
from rangeland.cluster.peer_token import derived
from rangeland.errors import NotPrimaryError, PeerError, RangelandError, RefusedError, StateError, StrangerError
from rangeland.pg import Role, Server
from rangeland.state import tables
from rangeland.wire.events import (
    EventInfo,
    NodeDecommissioned,
    NodeDecommissioning,
    NodeJoin,
    NodeRecommissioned,
    NodeRestart,
)
from rangeland.wire.json import DecodeError, decode, encode
from rangeland.wire.members import Member, Members, MembershipChange, Registration, StatusToKeep
from rangeland.wire.nodes import NodeStatus
from rangeland.wire.parts import Nothing, StatusPart

RETRY_S = 0.25
REFUSED_S = 2.0
ROW_POLL_S = 0.02  # replication takes milliseconds
LOOK_S = 0.5  # strangers make this node look around no more often
TRY_TIMEOUT_S = 2.0
STATUS_AGE_S = 600.0  # the kept status is at most this old while somebody asks
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
        events: EventLog,
        keys: Sequence[bytes],
        join: tuple[str, ...],
        started_at_ns: int,
        status: Callable[[float], Awaitable[StatusPart]],
    ) -> None:
        self._server = server
        self._cluster = cluster
        self._auth = auth
        self._events = events
        self._started_at_ns = started_at_ns
        self._keys = keys
        self._join = join
        self._status = status
        self._kept_at = 0.0
        self._changed = asyncio.Event()
        self._doubtful = asyncio.Event()
        self._looked_at = 0.0  # loop time
        self._doubt: str | None = None  # as last logged
        self.registered = asyncio.Event()
        self.trouble: str | None = "this node is not registered yet"
        self._said: set[str] = set()  # each of the addresses fails in a few ways, and each is told once

    def use(self, keys: Sequence[bytes]) -> None:
        """These are the cluster's keys from now on."""
        self._keys = keys
        self.changed()

    def changed(self) -> None:
        """The server went, came back or changed its role."""
        self._changed.set()

    async def run(self) -> None:
        """Register, then watch for changes, until cancelled."""
        await self._register()
        await self._wait_for_row()
        await self._greet()
        self.trouble = None  # not before: the others know which sessions have ended
        self._tell_start()
        while True:
            await self._keep_status()
            await self._wait_for_change()
            self._changed.clear()
            if self._server.down is None:
                await self._refresh()

    async def run_clock(self) -> None:
        """Notice that this process was stopped for a while: what was ended meanwhile must not be trusted."""
        while True:
            await asyncio.sleep(TICK_S)
            if not self._auth.revocations.tick():
                log.warning("this node was stopped for a while, or had no time to work")
                self.doubt_sessions()

    def doubt_sessions(self) -> None:
        """Nobody told this node what was ended lately: it recognises nobody until it has asked the others."""
        self._auth.revocations.doubt()
        self._auth.web_sessions.forget_known()
        self._doubtful.set()

    async def run_greetings(self) -> None:
        """Ask the others what was ended, whenever this node may have missed it."""
        await self.registered.wait()
        while True:
            await self._doubtful.wait()
            self._doubtful.clear()
            await self._greet()

    async def run_doubts(self) -> None:
        """Look again, each second, at what puts this node's membership in doubt."""
        while True:
            await asyncio.sleep(TICK_S)
            with contextlib.suppress(RangelandError):  # the next round tries again
                await self._look_at_doubts()

    def status_was_asked(self) -> None:
        """While somebody asks, what the table keeps of this node is at most ten minutes old."""
        if self._kept_at and asyncio.get_running_loop().time() - self._kept_at > STATUS_AGE_S:
            self.changed()

    # registering

    async def _register(self) -> None:
        while self._cluster.node_id == 0:
            wait_s = RETRY_S
            try:
                await self._register_here()
            except RefusedError as exc:
                self._say(str(exc))
                wait_s = REFUSED_S
            except RangelandError as exc:
                self._say(str(exc))
            if self._cluster.node_id == 0 and wait_s < REFUSED_S:
                wait_s = await self._register_elsewhere()
            if self._cluster.node_id == 0:
                await asyncio.sleep(wait_s)
        self.registered.set()
        log.info("registered", node_id=self._cluster.node_id, nodes=len(self._cluster.members))

    def _tell_start(self) -> None:
        """Who was there before has a status in the table: each node keeps one as soon as it is registered."""
        member = self._cluster.members[self._cluster.node_id]
        started, last_up, address = self._started_at_ns, 0, member.http_addr
        if member.status is None:
            joined = NodeJoin(NodeID=member.node_id, StartedAt=started, LastUp=started, Address=address)
            self._events.record(joined)
            return
        with contextlib.suppress(DecodeError):
            last_up = decode(NodeStatus, member.status).updated_at
        restarted = NodeRestart(NodeID=member.node_id, StartedAt=started, LastUp=last_up, Address=address)
        self._events.record(restarted)

    async def _register_here(self) -> None:
        """From our own server's copy of the table; on the primary also into it."""
        if self._server.down is not None:
            raise StateError(f"the server is down: {self._server.down.reason}")
        await self.read_state(_soon())
        if self._server.role is Role.PRIMARY:
            await self._register_at_own_primary()

    async def _register_at_own_primary(self) -> None:
        """Also for a second time: a row that was written to a primary that failed may not have come this far."""
        if self._cluster.registered_at_us == 0:
            await self._cluster.require_leading(deadline=_soon())
            await self.answer_register(self._registration(), _soon())
            self._note_own_row(await tables.list_members(self._server, deadline=_soon()))

    def _registration(self) -> Registration:
        hello = self._cluster.hello()
        return Registration(http_addr=hello.http_addr, sql_addr=hello.sql_addr, server_id=hello.server_id)

    async def _register_elsewhere(self) -> float:
        """Ask the nodes we have heard of: that of the primary registers us, any may know us from before. How long to
        wait before a next try: who refuses has asked everybody.
        """
        wait_s = RETRY_S
        own = self._cluster.http_addr
        known = [member.http_addr for member in self._cluster.members.values()]
        for address in dict.fromkeys([*self._join, *known]):
            if address == own or self._cluster.node_id:
                continue
            try:
                self._take_if_ours(await self._members_at(address))
            except RangelandError as exc:
                self._say(f"{address}: {exc}")
                if isinstance(exc, PeerError) and exc.reached:
                    wait_s = REFUSED_S
        return wait_s

    def _take_if_ours(self, members: list[Member]) -> None:
        """While our server is unread, it may be of another cluster than those whom we ask: a copy of theirs, say."""
        if self._cluster.cluster_id or any(member.http_addr == self._cluster.http_addr for member in members):
            self._cluster.take_members(members)

    async def _members_at(self, address: str) -> list[Member]:
        """All, with us if that node has the primary and our server was read, or knows us.

        Raises: PeerError, ServerDownError.
        """
        if self._cluster.cluster_id:
            with contextlib.suppress(NotPrimaryError):
                registered = await self._cluster.ask_address(
                    address, q.REGISTER, self._registration(), deadline=_soon()
                )
                return registered.members
        greeted = await self._cluster.ask_address(address, q.HELLO, self._cluster.hello(), deadline=_soon())
        return greeted.members

    async def answer_register(self, params: Registration, deadline: float) -> Members:
        """Give an address its id, on the primary's node. Raises: NotPrimaryError, RefusedError, ServerError."""
        self._server.require_primary()
        members = await tables.list_members(self._server, deadline=deadline)
        if all(member.http_addr != params.http_addr for member in members):
            self._cluster.take_members(members)
            await self._require_own_server(params, deadline)
            await tables.add_member(
                self._server, http_addr=params.http_addr, sql_addr=params.sql_addr, deadline=deadline
            )
            members = await tables.list_members(self._server, deadline=deadline)
        self._cluster.take_members(members)
        return Members(members=members)

    async def _require_own_server(self, params: Registration, deadline: float) -> None:
        """A server has one node: a second one would show each of its sessions twice. A node that is silent is gone.

        Raises: RefusedError.
        """
        now = asyncio.get_running_loop().time()
        await self._cluster.ask_all(q.HELLO, self._cluster.hello(), deadline=now + (deadline - now) / 2)
        beside = self._cluster.beside(params.server_id)
        if beside is not None and beside.http_addr != params.http_addr:
            raise RefusedError(_told_twice(beside))

    async def require_known(self, sender: Sender, deadline: float) -> None:
        """A node that asks must be of this cluster: by what is known here, by this server's table, or by what the
        other members know. Raises: StrangerError; StateError where this node was just started and can't say.
        """
        if self._cluster.knows(sender):
            return
        if sender.cluster_id and self._cluster.cluster_id and sender.cluster_id != self._cluster.cluster_id:
            raise StrangerError(f"this is cluster {self._cluster.cluster_id}, not {sender.cluster_id}: see --join")
        await self._look_for(sender, deadline)
        if self._cluster.knows(sender):
            return
        if not self._cluster.cluster_id:
            raise StateError("this node has yet to read from its server which cluster it is of")
        raise StrangerError(
            f"its cluster knows no such node {sender.node_id}. If this server was restored or cloned, make it a "
            "cluster of its own: 'rangeland init --new-cluster'. If this server is the true primary: 'rangeland node "
            f"decommission {self._cluster.node_id}'"
        )

    async def _look_for(self, sender: Sender, deadline: float) -> None:
        """Learn of new members; whoever asks, once in `LOOK_S`."""
        now = asyncio.get_running_loop().time()
        if self._looked_at and now - self._looked_at < LOOK_S:
            return
        self._looked_at = now
        with contextlib.suppress(RangelandError):
            self._cluster.take_members(await tables.list_members(self._server, deadline=deadline))
        if self._cluster.knows(sender):
            return
        for part in await self._cluster.ask_all(q.HELLO, self._cluster.hello(), deadline=deadline):
            if part.value is not None:
                self._cluster.take_members(part.value.members)

    async def _wait_for_row(self) -> None:
        """A row that was just written to the primary is here in a moment, if this server is up and follows it."""
        until = _soon()
        while (
            self._server.down is None
            and not self._cluster.registered_at_us
            and asyncio.get_running_loop().time() < until
        ):
            await asyncio.sleep(ROW_POLL_S)
            with contextlib.suppress(RangelandError):
                await self._read_members(until)

    async def _look_at_doubts(self) -> None:
        """What made this node unready is looked at again until it is over."""
        if self._server.down is not None or not self.registered.is_set():
            return
        self._tell_doubt()
        if self.trouble:
            self.changed()
        if self._cluster.registered_at_us == 0:
            found = await self._cluster.ask_primary(q.REGISTER, self._registration(), deadline=_soon())
            self._cluster.take_members(found.members)
            await self._read_members(_soon())
        if self._cluster.refusal() or self._cluster.rival():
            await self._greet()

    def _tell_doubt(self) -> None:
        doubt = self.doubt()
        if doubt == self._doubt:
            return
        self._doubt = doubt
        if doubt:
            log.warning("this node is in doubt", cause=doubt)
        else:
            log.info("this node is in doubt no more")

    def doubt(self) -> str | None:
        """Why this node may be no member, or one too many, although it is registered; None: all is well."""
        if refusal := self._cluster.refusal():
            return f"this node is refused by {refusal}"
        if rival := self._cluster.rival():
            return _told_twice(rival)
        if self._cluster.node_id and not self._cluster.registered_at_us and self._server.down is None:
            return (
                f"this server's copy of the cluster's tables lacks this node, though it is node "
                f"{self._cluster.node_id} at the primary: does the server follow that primary?"
            )
        return None

    # changing who is a member

    async def answer_change(self, params: MembershipChange, deadline: float) -> Members:
        """Have the primary's node change it. Raises: NoPrimaryError, RefusedError, PeerError, ServerError."""
        return await self._cluster.ask_primary(q.WRITE_MEMBERSHIP, params, deadline=deadline)

    async def answer_write_membership(self, params: MembershipChange, deadline: float) -> Members:
        """On the primary's node: write it, then tell every node that can be reached, those that leave among them.

        Raises: NotPrimaryError, RefusedError, ServerError.
        """
        self._server.require_primary()
        known = {member.node_id for member in await tables.list_members(self._server, deadline=deadline)}
        self._require_changeable(params, known)
        await tables.change_membership(self._server, params.node_ids, params.membership, deadline=deadline)
        members = Members(members=await tables.list_members(self._server, deadline=deadline))
        everybody = [member.node_id for member in members.members]
        await self._cluster.ask_all(q.LEARN_MEMBERS, members, deadline=deadline, node_ids=everybody)
        for node_id in params.node_ids:
            self._events.record(self._change_of(params.membership, node_id))
        log.info("membership changed", node_ids=params.node_ids, membership=params.membership)
        return members

    async def answer_learn(self, params: Members, _deadline: float) -> Nothing:
        """Take the news of who is a member."""
        self._cluster.take_members(params.members)
        return Nothing()

    def _change_of(self, membership: str, node_id: int) -> EventInfo:
        own = self._cluster.node_id
        match membership:
            case "decommissioning":
                return NodeDecommissioning(RequestingNodeID=own, TargetNodeID=node_id)
            case "decommissioned":
                return NodeDecommissioned(RequestingNodeID=own, TargetNodeID=node_id)
            case _:
                return NodeRecommissioned(RequestingNodeID=own, TargetNodeID=node_id)

    def _require_changeable(self, params: MembershipChange, known: set[int]) -> None:
        if unknown := sorted(set(params.node_ids) - known):
            raise RefusedError(f"there is no node {', '.join(map(str, unknown))}")
        if params.membership != "active" and self._cluster.node_id in params.node_ids:
            raise RefusedError(
                f"node {self._cluster.node_id} is beside the primary, which takes all writes: "
                "make another server the primary first"
            )

    async def read_state(self, deadline: float) -> None:
        """The cluster's facts and members, from this node's server. Raises: StateError, ServerError."""
        facts = await tables.read_facts(self._server, deadline=deadline)
        _require_decided(facts)
        if self._cluster.cluster_id not in ("", facts.cluster_id):
            raise StateError(
                f"the server is of cluster {facts.cluster_id} now, this node of {self._cluster.cluster_id}: "
                "restart the node"
            )
        await self._require_own_key(facts, deadline)
        self._cluster.cluster_id = facts.cluster_id
        self._auth.grants.admin_role = facts.admin_role
        self._auth.logins.login_database = facts.login_database
        await self._read_members(deadline)

    async def _read_members(self, deadline: float) -> None:
        members = await tables.list_members(self._server, deadline=deadline)
        self._cluster.take_members(members)
        self._note_own_row(members)

    def _note_own_row(self, members: Sequence[Member]) -> None:
        """A node without a row in its own server's table may be beside a server that doesn't follow the cluster's."""
        own = [member.registered_at_us for member in members if member.http_addr == self._cluster.http_addr]
        self._cluster.registered_at_us = own[0] if own else 0

    async def _require_own_key(self, facts: tables.ClusterFacts, deadline: float) -> None:
        """The first node of a cluster writes down a check value of its key; the others must match it.

        Once the primary's node signs with another key, the check value is that one's.
        """
        checks = [
            hmac.digest(derived(key, "check"), facts.cluster_id.encode(), hashlib.sha256).hex() for key in self._keys
        ]
        is_known = facts.key_check in (None, *checks)
        if is_known and facts.key_check != checks[0] and self._server.role is Role.PRIMARY:
            await tables.keep_setting(self._server, "key_check", checks[0], deadline=deadline)
        elif not is_known:
            raise StateError(
                f"cluster.key is not the key of this server's cluster ({facts.cluster_id}): copy that "
                "cluster's key into --certs-dir, or point --server-url at the right server"
            )

    # afterwards

    async def _greet(self) -> None:
        """Introduce ourselves to every node, and learn what each knows by heart."""
        doubt = self._auth.revocations.doubted
        deadline, greeted = _soon(), {self._cluster.node_id}
        while new := [node_id for node_id in self._cluster.active_ids() if node_id not in greeted]:
            greeted.update(new)
            for part in await self._cluster.ask_all(q.HELLO, self._cluster.hello(), deadline=deadline, node_ids=new):
                if part.value is not None:
                    self._auth.take_hello(part.value)
                    self._cluster.take_members(part.value.members)
        self._auth.revocations.heard(doubt)

    async def _refresh(self) -> None:
        try:
            await self.read_state(_soon())
            if self._server.role is Role.PRIMARY:
                await self._register_at_own_primary()
        except RangelandError as exc:
            if str(exc) != self.trouble:
                log.warning("the cluster's state can't be read", cause=str(exc))
            self.trouble = str(exc) if isinstance(exc, StateError) else self.trouble
            return
        finally:
            self._auth.revocations.write_again()
        self.trouble = None
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
        self.trouble = trouble
        if trouble not in self._said:
            log.warning("not registered yet", cause=trouble)
            self._said.add(trouble)


def _told_twice(other: Member) -> str:
    return (
        f"node {other.node_id} at {other.http_addr} is beside the same server, which has one node: stop either, "
        "or let its --server-url name another server"
    )


def _require_decided(facts: tables.ClusterFacts) -> None:
    if not facts.is_at_home:
        raise StateError(
            f"schema rangeland (cluster {facts.cluster_id}) was restored here from another server's dump: run "
            "'rangeland init' with --after-upgrade if this server takes its place, --new-cluster if it is a copy"
        )


def _soon() -> float:
    return asyncio.get_running_loop().time() + TRY_TIMEOUT_S

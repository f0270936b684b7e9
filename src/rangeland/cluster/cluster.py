"""All nodes of the cluster, seen from this one: ask one, ask all, ask the primary's."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

import structlog
from msgspec import Struct, structs

from rangeland.client import Client, Reply
from rangeland.cluster.peer import Peer
from rangeland.cluster.peer_token import PeerTokens
from rangeland.cluster.questions import HELLO, STATUS, Question
from rangeland.cluster.timing import timed
from rangeland.errors import (
    NoPrimaryError,
    NotPrimaryError,
    OlderPeerError,
    PeerError,
    RangelandError,
    ServerDownError,
    ServerError,
    StateError,
    StrangerError,
)
from rangeland.merge.part import Part, PartError, Topology
from rangeland.pg import Role, Server
from rangeland.wire.json import DecodeError, decode, encode
from rangeland.wire.members import Hello, HelloAnswer, Member
from rangeland.wire.nodes import Liveness
from rangeland.wire.parts import Nothing

P = TypeVar("P", bound=Struct)
A = TypeVar("A", bound=Struct)
Answer = Callable[[Any, float], Awaitable[Any]]  # (parameters, deadline in loop time) → the question's answer

PREFIX = "/_peer/v1/"
DECOMMISSIONED = "decommissioned"
NODE_HEADER, ROLE_HEADER, TIME_HEADER = "x-rangeland-node", "x-rangeland-role", "x-rangeland-time-ns"
TIMEOUT_HEADER = "x-rangeland-timeout-ms"
SENDER_HEADER = "x-rangeland-from"  # of a question: see Sender
MEMBER_HEADER, SERVER_HEADER = "x-rangeland-registered-us", "x-rangeland-server"  # of an answer
MARGIN_S = 0.25  # what a peer's answer may take to travel and be merged
PARALLEL = 100  # as the reference
# A question that takes longer mostly waits: its place goes to another. Else 100 silent nodes would hold all.
SLOW_S = 0.3
PEER_TIMEOUT_S = 4.0  # as the reference's dial
_NUMBER = re.compile(r"[0-9]{1,19}")  # an int64, as a header tells it
PATIENCE_S = 1.5  # with one's own server where another's would do; that finds out in 2.2 s that its server hangs
CLOCK_NOISE_S = PEER_TIMEOUT_S  # an answer's way here may make a right clock look that far behind
_SENDER = re.compile(r"([0-9]{1,10});([0-9]{1,19});([0-9a-f-]{0,36})")
RETRY_S = 2.0  # a silent node is tried again in the background
ROLE_AGE_S = 5.0  # older news of who is the primary are asked for anew
# Before our own primary is written to, nobody may have been promoted beside it: news of the others may be this old.
# A peer costs 0.3 ms to ask, so this is at most 3 % of a core.
CLAIM_AGE_S, CLAIM_AGE_PER_PEER_S = 1.0, 0.01
CLAIM_PATIENCE_S = 1.0  # a node that hangs doesn't hold a write up for longer
LOOK_PATIENCE_S = 0.5  # likewise, once another has said that it has the primary, which makes sure of it itself

log = structlog.get_logger()


class UnreadableError(PeerError):
    """A node answered with a 200 that is no answer to the question."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who asks: `node_id` 0 before it is registered, `registered_at_us` 0 while its own server doesn't have its row,
    `cluster_id` "" until its server was read.
    """

    node_id: int
    registered_at_us: int
    cluster_id: str

    def __str__(self) -> str:
        return f"{self.node_id};{self.registered_at_us};{self.cluster_id}"


class Cluster:
    """The members, what is known of each, and the ways to ask them.

    `node_id` is 0 until this node is registered. `answers` holds what this node answers itself, by the question's
    path: asking oneself never uses the network.
    """

    def __init__(
        self,
        *,
        client: Client,
        tokens: PeerTokens,
        server: Server,
        http_addr: str,
        sql_addr: str,
        scheme: str,
    ) -> None:
        self.node_id = 0
        self.cluster_id = ""
        self.http_addr = http_addr
        self.sql_addr = sql_addr
        self.registered_at_us = 0  # of this node's row in its own server's table; 0: that has none
        self.members: dict[int, Member] = {}
        self.peers: dict[int, Peer] = {}
        self.answers: Mapping[str, Answer] = {}
        self.on_return: Callable[[int, HelloAnswer], Awaitable[None]] = _ignore  # a silent node answers again
        self.on_recommission: Callable[[], None] = lambda: None  # this node is a member again
        self._client = client
        self._tokens = tokens
        self._server = server
        self._scheme = scheme
        self._retries: dict[int, asyncio.Task[None]] = {}
        self._looking: set[asyncio.Task[Part[HelloAnswer]]] = set()
        self._listening: asyncio.Task[Any] | None = None
        self._comparing: asyncio.Task[None] | None = None
        self._rival_ids: list[int] = []  # of two primaries or more, the one that counts first
        self._many = asyncio.Semaphore(PARALLEL)

    async def close(self) -> None:
        for task in (*self._retries.values(), *self._looking, self._listening, self._comparing):
            if task is not None:
                task.cancel()

    # who there is

    def take_members(self, members: Iterable[Member]) -> None:
        """Learn of nodes. One that is known is updated; none is forgotten."""
        was_out = self.node_id and not self.is_member()
        for told in members:
            known = self.members.get(told.node_id)
            member = _newer(known, told) if known else told
            self.members[member.node_id] = member
            if known and known.membership == DECOMMISSIONED != member.membership:
                del self.peers[member.node_id]  # nobody has asked it meanwhile: what was heard is old
            self.peers.setdefault(member.node_id, Peer(member.node_id))
            if member.http_addr == self.http_addr:
                self.node_id = member.node_id
        if was_out and self.is_member():
            self.on_recommission()

    def hear_of(self, hello: Hello) -> None:
        """A node that introduces itself tells which server it is beside, as its answers do."""
        member = self.members.get(hello.node_id)
        if member is not None and member.http_addr == hello.http_addr:
            self.peers[hello.node_id].server_id = hello.server_id

    def is_member(self) -> bool:
        """Whether this node is registered and was not decommissioned."""
        own = self.members.get(self.node_id)
        return bool(self.node_id) and (own is None or own.membership != DECOMMISSIONED)

    def knows(self, sender: Sender) -> bool:
        """Whether that is a node of this cluster, by what is known here now."""
        member = self.members.get(sender.node_id)
        if sender.cluster_id and self.cluster_id and sender.cluster_id != self.cluster_id:
            return False
        if sender.node_id == 0:
            return True  # it is about to ask for its id
        return member is not None and _is_same(member, sender.registered_at_us)

    def refusal(self) -> str:
        """Why a member takes this node for a stranger; "" where none does."""
        found = [
            f"{self.members[each].http_addr}: {why}" for each in self.active_ids() if (why := self._refusal(each))
        ]
        return found[0] if found else ""

    def rival(self) -> Member | None:
        """Another node that answers and is beside the same server; None where there is none, as it should be."""
        others = [each for each in self.active_ids() if each != self.node_id]
        own = self._server.server_id
        return next((self.members[each] for each in others if own and self.peers[each].server_id == own), None)

    def beside(self, server_id: str) -> Member | None:
        """The node that answered when last asked and is beside that server, this one included."""
        if not server_id:
            return None
        is_own = server_id == self._server.server_id and self.node_id in self.active_ids()
        found = [each for each in self.active_ids() if each in self.peers and self.peers[each].server_id == server_id]
        return self.members.get(self.node_id if is_own else found[0]) if is_own or found else None

    def active_ids(self) -> list[int]:
        """Every node that was not decommissioned, ascending, this one included."""
        ids = {member.node_id for member in self.members.values() if member.membership != DECOMMISSIONED}
        return sorted(ids | ({self.node_id} if self.is_member() else set()))

    def topology(self) -> Topology:
        """Who takes writes, as last heard, and which nodes hold a copy."""
        timeline, node_id = next(iter(self._primaries()), (0, 0))
        return Topology(node_id, replica_node_ids=tuple(self.active_ids()), timeline=timeline)

    async def recent_topology(self, *, deadline: float) -> Topology:
        """As `topology`, after asking around where the news of the primary is old, for half of the time at most: who
        hangs costs its own part only.
        """
        if not self._knows_primary():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(halfway(deadline)):
                    await self._look_for_primary(deadline)
        return self.topology()

    def take_hello(self, hello: Hello) -> None:
        """Another node told what its server is: one that was just promoted doesn't wait to be asked."""
        peer = self.peers.get(hello.node_id)
        if peer is not None and hello.node_id != self.node_id and hello.role != Role.UNKNOWN:
            peer.role, peer.timeline = hello.role, hello.timeline
            self._compare_primaries()

    def is_deposed(self) -> bool:
        """Whether this node's server is a primary, but another one is on a higher timeline, as last heard."""
        return self._server.role is Role.PRIMARY and self._primary_id() not in (None, self.node_id)

    async def require_leading(self, *, deadline: float) -> None:
        """Raises: NotPrimaryError unless this node's server is the primary that counts.

        One that was left behind hears nothing of its successor, so the other nodes are asked; those that are
        silent can't object.
        """
        self._server.require_primary()
        if not self._has_recent_news():
            await self._listen_around(deadline)
        if self.is_deposed():
            raise NotPrimaryError(f"the primary of node {self._primary_id()} is on a higher timeline")

    def silent_since_ns(self) -> dict[int, int]:
        return {peer.node_id: peer.silent_since_ns for peer in self.peers.values() if peer.silent_since_ns}

    def last_role(self) -> dict[int, str]:
        """What the server of each other node was when it was last known, by node id."""
        return {peer.node_id: peer.last_role for peer in self.peers.values() if peer.last_role}

    def clock_offset_s(self) -> dict[int, float]:
        """How far the clock of each other node that answered last time is ahead of ours, by node id."""
        return {
            peer.node_id: peer.clock_offset_s
            for peer in self.peers.values()
            if peer.heard_at_ns and not peer.silent_since_ns and peer.node_id != self.node_id
        }

    def now_s(self) -> float:
        """Seconds since 1970 by the clock of the primary's node, which begins and ends web sessions; by this node's
        where the two agree, or where there is no primary.
        """
        peer = self.peers.get(self._primary_id() or 0)
        offset_s = peer.clock_offset_s if peer is not None else 0.0
        return time.time() + (offset_s if abs(offset_s) > CLOCK_NOISE_S else 0.0)

    # asking

    async def ask(
        self, node_id: int, question: Question[P, A], params: P, *, deadline: float, try_silent_s: float = 0.0
    ) -> Part[A]:
        """One node's part: its answer, or why there is none. Never raises for what a node does.

        A node that was silent when last asked is an error at once, or after `try_silent_s`.
        """
        if node_id == self.node_id:
            return await self._ask_self(question, params, deadline)
        member = self.members.get(node_id)
        if member is None:
            return Part(node_id, error=PartError("dial", Liveness.UNKNOWN, f"there is no node {node_id}"))
        peer = self.peers[node_id]
        if peer.silent_since_ns:
            deadline = min(deadline, asyncio.get_running_loop().time() + try_silent_s)
        if not peer.silent_since_ns or try_silent_s:
            try:
                async with self._place():
                    return Part(node_id, value=await self._ask_peer(member, question, params, deadline))
            except ServerDownError as exc:
                return Part(node_id, error=PartError("request", Liveness.UNAVAILABLE, str(exc)))
            except (NotPrimaryError, StateError) as exc:
                return Part(node_id, error=PartError("request", Liveness.LIVE, str(exc)))
            except PeerError as exc:
                if exc.reached and not peer.silent_since_ns:
                    return Part(node_id, error=PartError("request", Liveness.LIVE, str(exc)))
        kind: Literal["dial", "request"] = "request" if peer.reached else "dial"
        return Part(node_id, error=PartError(kind, peer.liveness(now_ns=time.time_ns()), _since(peer)))

    async def ask_all(
        self,
        question: Question[P, A],
        params: P,
        *,
        deadline: float,
        node_ids: Sequence[int] | None = None,
        try_silent_s: float = 0.0,
    ) -> list[Part[A]]:
        """A part per node that was not decommissioned (or of `node_ids`), in the order of their ids."""
        wanted = self.active_ids() if node_ids is None else node_ids
        return list(
            await asyncio.gather(
                *(
                    self.ask(node_id, question, params, deadline=deadline, try_silent_s=try_silent_s)
                    for node_id in wanted
                )
            )
        )

    async def ask_any(self, question: Question[P, A], params: P, *, deadline: float) -> Part[A]:
        """One part, of something that every server of the cluster knows: this node's; where that fails or takes
        long, that of the next node that has one. Where nobody can say, this node's own error. Never raises.
        """
        asked: list[asyncio.Task[Part[A]]] = []
        try:
            for node_id in (self.node_id, *self._likeliest_ids()):
                asked.append(asyncio.create_task(self.ask(node_id, question, params, deadline=deadline)))
                left_s = deadline - asyncio.get_running_loop().time()
                if found := await _first_sound(asked, timeout_s=min(PATIENCE_S, left_s / 3)):
                    return found
            return await _first_sound(asked, timeout_s=None) or await asked[0]
        finally:
            for task in asked:
                task.cancel()

    async def ask_primary(self, question: Question[P, A], params: P, *, deadline: float) -> A:
        """The answer of the primary's node; of two primaries the higher timeline's.

        Raises: NoPrimaryError where none can be reached; PeerError, ServerDownError where it failed to answer.
        """
        for attempt in (False, True):
            if attempt or not self._knows_primary():
                await self._look_for_primary(deadline)
            node_id = self._primary_id()
            if node_id is None:
                continue
            try:
                if node_id == self.node_id:
                    return cast(A, await self.answers[question.path](params, deadline))
                return await self._ask_peer(self.members[node_id], question, params, deadline)
            except NotPrimaryError:
                continue
            except PeerError as exc:
                if exc.reached or attempt:
                    raise
        raise NoPrimaryError("no node with a primary can be reached")

    async def ask_address(self, http_addr: str, question: Question[P, A], params: P, *, deadline: float) -> A:
        """Ask a node of which only the address is known (--join). Raises: PeerError, NotPrimaryError."""
        base = f"{self._scheme}://{http_addr}"
        return await ask_signed(
            self._client, self._tokens, base, question, params, deadline=deadline, sender=self.sender()
        )

    def hello(self, *, look: bool = False) -> Hello:
        is_up = self._server.down is None
        return Hello(
            node_id=self.node_id,
            http_addr=self.http_addr,
            sql_addr=self.sql_addr,
            look=look,
            role=self._server.role.value if is_up else Role.UNKNOWN.value,
            timeline=self._server.timeline if is_up else 0,
            server_id=self._server.server_id if is_up else "",
        )

    def sender(self) -> Sender:
        return Sender(self.node_id, self.registered_at_us, self.cluster_id)

    def came_by(self, node_id: int) -> None:
        """A node introduced itself: one that was silent is asked again now, not in some seconds."""
        peer, running = self.peers.get(node_id), self._retries.get(node_id)
        if peer is not None and peer.silent_since_ns and running is not None:
            running.cancel()
            self._retries[node_id] = asyncio.create_task(self._retry(self.members[node_id], first_after_s=0.0))

    def went_unanswered(self, node_id: int, exc: PeerError) -> PartError:
        """Note that a node could not be asked in another way than by a question; what to say of it."""
        peer = self.peers[node_id]
        if not peer.silent_since_ns:
            self._missed(self.members[node_id], peer, exc)
        if exc.reached and not peer.silent_since_ns:
            return PartError("request", Liveness.LIVE, str(exc))
        return PartError("dial", peer.liveness(now_ns=time.time_ns()), _since(peer))

    # inside

    @contextlib.asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """A place among those who ask at once, for SLOW_S at most."""
        await self._many.acquire()
        is_held = True

        def give_back() -> None:
            nonlocal is_held
            if is_held:
                is_held = False
                self._many.release()

        timer = asyncio.get_running_loop().call_later(SLOW_S, give_back)
        try:
            yield
        finally:
            timer.cancel()
            give_back()

    async def _ask_self(self, question: Question[P, A], params: P, deadline: float) -> Part[A]:
        try:
            with timed("collect"):
                return Part(self.node_id, value=cast(A, await self.answers[question.path](params, deadline)))
        except (ServerDownError, StateError) as exc:
            return Part(self.node_id, error=PartError("request", Liveness.UNAVAILABLE, str(exc)))
        except RangelandError as exc:
            return Part(self.node_id, error=PartError("request", Liveness.LIVE, str(exc)))

    async def _ask_peer(self, member: Member, question: Question[P, A], params: P, deadline: float) -> A:
        with timed("fan-out"):
            return await self._ask_and_judge(member, question, params, deadline)

    async def _ask_and_judge(self, member: Member, question: Question[P, A], params: P, deadline: float) -> A:
        peer = self.peers[member.node_id]
        deadline = min(deadline, asyncio.get_running_loop().time() + PEER_TIMEOUT_S)
        begun_ns = time.time_ns()
        try:
            reply = await self._post(member.http_addr, question, params, deadline, offset_s=peer.clock_offset_s)
            peer.clock_offset_s = clock_offset_s(reply.headers)
            if reply.status == 401 and TIME_HEADER in reply.headers:
                reply = await self._post(member.http_addr, question, params, deadline, offset_s=peer.clock_offset_s)
            told_id = reply.headers.get(NODE_HEADER)
            is_older = told_id is None and reply.status == 404  # it doesn't know the question
            if not is_older and told_id not in (str(member.node_id), "0"):
                raise PeerError(f"{member.http_addr} is not node {member.node_id}, or refuses: {_first_line(reply)}")
            if not _is_same(member, _number(reply.headers.get(MEMBER_HEADER, ""))):
                raise PeerError(f"{member.http_addr} is node {member.node_id} of a copy of this cluster")
        except PeerError as exc:
            if peer.heard_at_ns > begun_ns:  # it has answered another question meanwhile: silent it is not
                raise PeerError(str(exc), reached=True) from exc
            self._missed(member, peer, exc)
            raise
        role, timeline = _role(reply)
        if peer.silent_since_ns:
            log.info("node answers again", node_id=member.node_id)
        server_id = reply.headers.get(SERVER_HEADER, "")
        is_news = (role, timeline) != (peer.role, peer.timeline)
        peer.heard(now_ns=time.time_ns(), role=role, timeline=timeline, server_id=server_id)
        if is_news or role == Role.PRIMARY or self._rival_ids:  # each look goes through all peers
            self._compare_primaries()
        try:
            return self._readable(peer, question, reply)
        except StrangerError as exc:
            peer.refusal = str(exc)
            raise

    def _readable(self, peer: Peer, question: Question[P, A], reply: Reply) -> A:
        """The answer; that a peer begins or ends to answer a question with something unreadable is logged once."""
        try:
            answer = _answer(question, reply)
        except UnreadableError as exc:
            if question.path not in peer.unreadable:
                log.warning(
                    "node's answer can't be read", node_id=peer.node_id, question=question.path, cause=str(exc)
                )
            peer.unreadable.add(question.path)
            raise
        if question.path in peer.unreadable:
            log.info("node's answer can be read again", node_id=peer.node_id, question=question.path)
            peer.unreadable.discard(question.path)
        return answer

    async def _post(
        self, http_addr: str, question: Question[P, A], params: P, deadline: float, *, offset_s: float
    ) -> Reply:
        base = f"{self._scheme}://{http_addr}"
        return await _post_signed(
            self._client, self._tokens, base, question, params, deadline, offset_s, self.sender()
        )

    def _missed(self, member: Member, peer: Peer, exc: PeerError) -> None:
        if exc.reached:
            return
        if not peer.silent_since_ns:
            log.warning("node is silent", node_id=member.node_id, http_addr=member.http_addr, cause=str(exc))
        peer.missed(now_ns=time.time_ns(), cause=str(exc), reached=exc.reached)
        running = self._retries.get(member.node_id)
        if running is None or running.done():
            self._retries[member.node_id] = asyncio.create_task(self._retry(member))

    async def _retry(self, member: Member, *, first_after_s: float = RETRY_S) -> None:
        """Ask a silent node how it does until it answers; then take what it knows."""
        after_s = first_after_s
        while (
            self.peers[member.node_id].silent_since_ns and self.members[member.node_id].membership != DECOMMISSIONED
        ):
            await asyncio.sleep(after_s)
            after_s = RETRY_S
            deadline = asyncio.get_running_loop().time() + RETRY_S
            try:
                answer = await self._ask_peer(member, HELLO, self.hello(), deadline)
                await self.on_return(member.node_id, answer)
            except RangelandError:
                continue

    def _refusal(self, node_id: int) -> str:
        """A silent node refuses nobody."""
        peer = self.peers.get(node_id)
        return peer.refusal if peer is not None and not peer.silent_since_ns else ""

    def _likeliest_ids(self) -> list[int]:
        """The other nodes that were not silent when last asked."""
        return [each for each in self.active_ids() if each != self.node_id and not self.peers[each].silent_since_ns]

    def _knows_primary(self) -> bool:
        node_id = self._primary_id()
        if node_id is None:
            return False
        if node_id == self.node_id:
            return True
        return time.time_ns() - self.peers[node_id].heard_at_ns < ROLE_AGE_S * 1e9

    def _primary_id(self) -> int | None:
        return next((node_id for _, node_id in self._primaries()), None)

    def _primaries(self) -> list[tuple[int, int]]:
        """Timeline and node of each server that says it takes writes; the one that counts first."""
        found = [
            (peer.timeline, peer.node_id)
            for peer in self.peers.values()
            if peer.role == Role.PRIMARY and not peer.silent_since_ns and peer.node_id != self.node_id
        ]
        if self._server.role is Role.PRIMARY and self._server.down is None and self.node_id:
            found.append((self._server.timeline, self.node_id))
        return sorted(found, key=lambda each: (-each[0], each[1]))

    def _has_recent_news(self) -> bool:
        """Whether each other node that isn't silent was heard a moment ago."""
        others = self._likeliest_ids()
        age_s = max(CLAIM_AGE_S, CLAIM_AGE_PER_PEER_S * len(others))
        return all(time.time_ns() - self.peers[each].heard_at_ns < age_s * 1e9 for each in others)

    async def _look_for_primary(self, deadline: float) -> None:
        """Ask every node what its server is; one that hangs is waited for only while no other has the primary."""
        hello = self.hello(look=True)
        asked = {
            asyncio.create_task(self.ask(node_id, HELLO, hello, deadline=deadline)): node_id
            for node_id in self.active_ids()
        }
        for task in asked:
            self._looking.add(task)
            task.add_done_callback(self._looking.discard)
        _, hanging = await asyncio.wait(asked, timeout=LOOK_PATIENCE_S) if asked else (set(), set())
        while hanging and self._primary_id() in (None, *(asked[task] for task in hanging)):
            _, hanging = await asyncio.wait(hanging, return_when=asyncio.FIRST_COMPLETED)

    async def _listen_around(self, deadline: float) -> None:
        """Ask every node what its server is; who waits shares the answers, and leaves when one is slow."""
        now = asyncio.get_running_loop().time()
        if self._listening is None or self._listening.done():
            hello = self.ask_all(HELLO, self.hello(look=True), deadline=now + PEER_TIMEOUT_S + MARGIN_S)
            self._listening = asyncio.create_task(hello)
        await asyncio.wait({self._listening}, timeout=max(0.0, min(CLAIM_PATIENCE_S, deadline - now)))

    def _compare_primaries(self) -> None:
        """Find out whether there are two primaries, and whether that is over."""
        node_ids = [node_id for _, node_id in self._primaries()]
        if len(node_ids) > 1 and node_ids != self._rival_ids:
            if self._comparing is None or self._comparing.done():
                self._comparing = asyncio.create_task(self._compare())
        elif len(node_ids) <= 1 and self._rival_ids:
            log.info("one primary again", node_id=next(iter(node_ids), 0))
            self._rival_ids = []

    async def _compare(self) -> None:
        """What was heard of the lower ones may be older than the promotion: ask them, then say what is true."""
        deadline = asyncio.get_running_loop().time() + PEER_TIMEOUT_S
        for _, node_id in self._primaries()[1:]:
            if node_id == self.node_id:
                with contextlib.suppress(ServerError):  # then it is down, and no primary
                    await self._server.look_again(deadline=deadline)
            else:
                await self.ask(node_id, STATUS, Nothing(), deadline=deadline)
        found = self._primaries()
        if len(found) > 1 and [node_id for _, node_id in found] != self._rival_ids:
            self._rival_ids = [node_id for _, node_id in found]
            (timeline, node_id), (other_timeline, other_id), *_ = found
            log.warning(
                "two primaries: only the one on the higher timeline is written to; stop the other one",
                trusted_node_id=node_id,
                trusted_timeline=timeline,
                other_node_id=other_id,
                other_timeline=other_timeline,
            )


async def _first_sound(asked: Iterable[asyncio.Task[Part[A]]], *, timeout_s: float | None) -> Part[A] | None:
    """The first part without an error; None once there are only errors, or after the time."""
    with contextlib.suppress(TimeoutError):
        for answered in asyncio.as_completed(asked, timeout=timeout_s):
            part = await answered
            if part.error is None:
                return part
    return None


def halfway(deadline: float) -> float:
    """From now to the deadline, in loop time: something else is left to be done."""
    now = asyncio.get_running_loop().time()
    return now + (deadline - now) / 2


async def _ignore(_node_id: int, _answer: HelloAnswer) -> None:
    """Until somebody wants to know who is back."""


async def ask_signed(
    client: Client,
    tokens: PeerTokens,
    base: str,
    question: Question[P, A],
    params: P,
    *,
    deadline: float,
    sender: Sender | None = None,
) -> A:
    """Ask the node at `base` (scheme://HOST:PORT), as a command does. Raises: PeerError, NotPrimaryError."""
    reply = await _post_signed(client, tokens, base, question, params, deadline, 0.0, sender)
    if reply.status == 401 and TIME_HEADER in reply.headers:
        offset_s = clock_offset_s(reply.headers)
        reply = await _post_signed(client, tokens, base, question, params, deadline, offset_s, sender)
    return _answer(question, reply)


async def _post_signed(
    client: Client,
    tokens: PeerTokens,
    base: str,
    question: Question[P, A],
    params: P,
    deadline: float,
    offset_s: float,
    sender: Sender | None,
) -> Reply:
    path = PREFIX + question.path
    left_s = deadline - asyncio.get_running_loop().time() - MARGIN_S
    if left_s <= 0:
        raise PeerError("no time was left to ask", reached=True)
    body = encode(params)
    headers = {
        "authorization": f"Bearer {tokens.sign(path, now_s=time.time() + offset_s, body=body)}",
        "content-type": "application/json",
        TIMEOUT_HEADER: str(int(left_s * 1000)),
    }
    if sender is not None:
        headers[SENDER_HEADER] = str(sender)
    return await client.request("POST", base + path, deadline=deadline, headers=headers, body=body)


def _newer(known: Member, told: Member) -> Member:
    """What is told now, but for what it doesn't know or knows of old."""
    if known.registered_at_us > told.registered_at_us > 0:
        return known  # a number that was given again: the row of the first was lost with a primary
    member = told if told.status is not None else structs.replace(told, status=known.status)
    member = member if told.registered_at_us else structs.replace(member, registered_at_us=known.registered_at_us)
    if member.membership_version >= known.membership_version:
        return member
    return structs.replace(member, membership=known.membership, membership_version=known.membership_version)


def _answer(question: Question[P, A], reply: Reply) -> A:
    if reply.status == 200:
        try:
            return decode(question.returns, reply.body)
        except DecodeError as exc:
            raise UnreadableError(f"its answer to {question.path} can't be read: {exc}", reached=True) from exc
    text = _first_line(reply)
    match reply.status:
        case 403:
            raise StrangerError(text)
        case 404:
            raise OlderPeerError(text)
        case 421:
            raise NotPrimaryError(text)
        case 503:
            raise ServerDownError(text)
        case _:
            raise PeerError(text or f"it answered with status {reply.status}", reached=True)


def _first_line(reply: Reply) -> str:
    return reply.body[:500].decode(errors="replace").partition("\n")[0]


def parse_sender(text: str) -> Sender | None:
    """What SENDER_HEADER says; None where it is absent or says nothing that can be read."""
    found = _SENDER.fullmatch(text)
    return Sender(int(found[1]), int(found[2]), found[3]) if found else None


def _is_same(member: Member, registered_at_us: int) -> bool:
    """Whether the row that a node has of itself is the one that we know; a copied cluster gives one number again."""
    return not registered_at_us or not member.registered_at_us or registered_at_us == member.registered_at_us


def _number(text: str) -> int:
    return int(text) if _NUMBER.fullmatch(text) else 0


def clock_offset_s(headers: Mapping[str, str]) -> float:
    """The sender's clock less ours, as far as an answer's way through the network lets us know."""
    told = headers.get(TIME_HEADER, "")
    return int(told) / 1e9 - time.time() if _NUMBER.fullmatch(told) else 0.0


def _role(reply: Reply) -> tuple[str, int]:
    """Role and timeline of the sender's server; "unknown" and 0 for what is neither."""
    role, _, timeline = reply.headers.get(ROLE_HEADER, "").partition(";")
    if role not in ("primary", "standby") or not _NUMBER.fullmatch(timeline):
        return "unknown", 0
    return role, int(timeline)


def _since(peer: Peer) -> str:
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(peer.silent_since_ns / 1e9))
    return f"{peer.cause}; silent since {moment}"

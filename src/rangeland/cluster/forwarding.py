"""Whole requests that one node passes on to another: to whom, signed how, and how they are recognised there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from rangeland.client import Client, Stream
from rangeland.cluster.cluster import MARGIN_S, NODE_HEADER, TIME_HEADER, TIMEOUT_HEADER, Cluster, clock_offset_s
from rangeland.cluster.peer_token import PeerTokens
from rangeland.errors import PeerError
from rangeland.merge.part import Part

SIGNATURE_HEADER = "x-rangeland-forwarded"
CLIENT_HEADER = "x-rangeland-client"
FIRST_LINE_BYTES = 500


@dataclass(frozen=True, slots=True)
class Passed:
    """A request to pass on. `target`: its path and query, encoded as they came. Headers have names in lower case."""

    method: str
    target: str
    headers: Iterable[tuple[str, str]]
    body: bytes
    client_address: str


class Forwarding:
    """Only members are asked, at the address under which they registered, over TLS as for every question."""

    def __init__(self, cluster: Cluster, client: Client, tokens: PeerTokens, *, scheme: str) -> None:
        self._cluster = cluster
        self._client = client
        self._tokens = tokens
        self._scheme = scheme

    def is_member(self, node_id: int) -> bool:
        """Whether there is such a node, and it was not decommissioned."""
        member = self._cluster.members.get(node_id)
        return member is not None and member.membership != "decommissioned"

    @asynccontextmanager
    async def passed_on(self, node_id: int, request: Passed, *, deadline: float) -> AsyncIterator[Stream]:
        """The member's answer to the request, its head within the deadline. Raises: PeerError."""
        peer = self._cluster.peers[node_id]
        if peer.silent_since_ns:
            raise PeerError(peer.cause)
        base = f"{self._scheme}://{self._cluster.members[node_id].http_addr}"
        for is_again in (False, True):
            headers = [*request.headers, *self._signed(node_id, request.client_address, deadline)]
            async with self._client.stream(
                request.method, base, request.target, deadline=deadline, headers=headers, body=request.body or None
            ) as stream:
                told = dict(stream.headers)
                if told.get(NODE_HEADER) == str(node_id):
                    yield stream
                    return
                if stream.status == 401 and TIME_HEADER in told and not is_again:
                    peer.clock_offset_s = clock_offset_s(told)
                    continue
                raise PeerError(await _first_line(stream), reached=True)

    def failure(self, node_id: int, exc: PeerError) -> Part[None]:
        """What to say of a member that could not be asked; the others hear of its silence."""
        return Part(node_id, error=self._cluster.went_unanswered(node_id, exc))

    def require_passed_on(self, headers: Mapping[str, str]) -> str:
        """The client's address in a request that another node passed on to this one.

        Raises: WrongClockError, or PeerError where the signature is not of this cluster, or for another node.
        """
        address = headers.get(CLIENT_HEADER, "")
        token = headers.get(SIGNATURE_HEADER, "")
        self._tokens.verify(token, _signed_text(self._cluster.node_id, address), now_s=time.time())
        return address

    def _signed(self, node_id: int, client_address: str, deadline: float) -> list[tuple[str, str]]:
        left_s = deadline - asyncio.get_running_loop().time() - MARGIN_S
        if left_s <= 0:
            raise PeerError("no time was left to ask", reached=True)
        now_s = time.time() + self._cluster.peers[node_id].clock_offset_s
        return [
            (SIGNATURE_HEADER, self._tokens.sign(_signed_text(node_id, client_address), now_s=now_s)),
            (CLIENT_HEADER, client_address),
            (TIMEOUT_HEADER, str(int(left_s * 1000))),
        ]


def _signed_text(node_id: int, client_address: str) -> str:
    """What the signature is for: this node and no other takes this client's address from it."""
    return f"a request to node {node_id} for the client {client_address}"


async def _first_line(stream: Stream) -> str:
    text = b""
    async for chunk in stream.chunks:
        text += chunk
        if len(text) >= FIRST_LINE_BYTES:
            break
    line = text.decode(errors="replace").partition("\n")[0][:FIRST_LINE_BYTES]
    return f"it is not the node that it should be, or refuses: {line}"

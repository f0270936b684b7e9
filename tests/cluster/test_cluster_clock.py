"""A node whose clock is off is still understood, and its peers tell by how much."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from fix_cluster import Api
from rangeland.client import Client
from rangeland.cluster.cluster import ask_signed
from rangeland.cluster.peer_token import PeerTokens
from rangeland.cluster.questions import HELLO
from rangeland.engine.cluster import Cluster
from rangeland.errors import PeerError
from rangeland.tls import client_context, read_cluster_keys
from rangeland.wire.members import Hello, HelloAnswer

T = TypeVar("T")
OFF_S = 600.0


def asked(cluster: Cluster, work: Callable[[Client, PeerTokens, str], Awaitable[T]]) -> T:
    """Ask the first node as another node would."""
    node = cluster.nodes[0]
    certs_dir = node.certs_dir
    assert certs_dir is not None

    async def run() -> T:
        client = Client(client_context(certs_dir))
        try:
            return await work(client, PeerTokens(read_cluster_keys(certs_dir)), node.url)
        finally:
            await client.close()

    return asyncio.run(run())


@pytest.mark.parametrize("off_s", [OFF_S, -OFF_S])
def test_a_question_signed_by_a_clock_that_is_off_is_signed_again_and_answered(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, off_s: float
) -> None:
    right = time.time
    monkeypatch.setattr("rangeland.cluster.cluster.time.time", lambda: right() + off_s)

    async def ask(client: Client, tokens: PeerTokens, base: str) -> HelloAnswer:
        return await ask_signed(client, tokens, base, HELLO, Hello(), deadline=asyncio.get_running_loop().time() + 4)

    assert len(asked(cluster, ask).members) == 3


def test_a_question_signed_with_another_key_is_refused(cluster: Cluster) -> None:
    async def ask(client: Client, _tokens: PeerTokens, base: str) -> HelloAnswer:
        wrong = PeerTokens([b"x" * 32])
        return await ask_signed(client, wrong, base, HELLO, Hello(), deadline=asyncio.get_running_loop().time() + 4)

    with pytest.raises(PeerError, match="not signed with this cluster's key"):
        asked(cluster, ask)


def test_nodes_tells_how_far_the_others_clocks_are_off(apis: list[Api], token: str) -> None:
    nodes = apis[0].get("nodes/", token).json["nodes"]
    assert "clock_offset_seconds" not in nodes[0]
    assert all(abs(node["clock_offset_seconds"]) < 1 for node in nodes[1:])

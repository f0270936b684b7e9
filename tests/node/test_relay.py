"""An answer on its way through a node: what breaks off is not taken for whole, what isn't read is not kept."""

from __future__ import annotations

import asyncio
import http.client
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import ASGIApp, Receive, Scope, Send

from rangeland.api.forwarding import relay
from rangeland.client import Client
from rangeland.engine.ports import free_port
from rangeland.errors import PeerError
from rangeland.node.http import HttpServer

PIECE = b"x" * 100_000
PIECES = 1000


class Sender:
    """What the other node would be: it sends much, or breaks off after the first piece."""

    def __init__(self, *, breaks_off: bool, has_length: bool) -> None:
        self.sent_bytes = 0
        self._breaks_off = breaks_off
        self._has_length = has_length

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-length", str(PIECES * len(PIECE)).encode())] if self._has_length else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for _ in range(PIECES):
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
            self.sent_bytes += len(PIECE)
            if self._breaks_off:
                raise ConnectionError("the node is gone")
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[int]:
    port = free_port()
    server = HttpServer(app, host="127.0.0.1", port=port, tls=None)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(timeout_s=1.0)


@asynccontextmanager
async def relaying(sender: Sender, failures: list[PeerError]) -> AsyncIterator[int]:
    """The port of a server that passes on what the sender says."""
    client = Client(None)

    async def pass_on(_scope: Scope, _receive: Receive, send: Send) -> None:
        deadline = asyncio.get_running_loop().time() + 4
        try:
            async with client.stream("GET", base, "/", deadline=deadline, headers=[], body=None) as stream:
                await relay(stream, send)
        except PeerError as exc:
            failures.append(exc)
            raise

    async with serving(sender) as port, serving(pass_on) as relay_port:
        base = f"http://127.0.0.1:{port}"
        try:
            yield relay_port
        finally:
            await client.close()


def read(port: int) -> int | None:
    """How much came; None where the connection ended before the answer did."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", "/")
        return len(connection.getresponse().read())
    except (http.client.HTTPException, ConnectionError):
        return None
    finally:
        connection.close()


def test_an_answer_that_breaks_off_is_cut() -> None:
    for has_length in (True, False):
        failures: list[PeerError] = []
        sender = Sender(breaks_off=True, has_length=has_length)

        async def ask(sender: Sender = sender, failures: list[PeerError] = failures) -> int | None:
            async with relaying(sender, failures) as port:
                return await asyncio.to_thread(read, port)

        assert asyncio.run(ask()) is None
        assert [str(each).partition(":")[0] for each in failures] == ["the connection broke"]


def test_a_large_answer_comes_whole() -> None:
    for has_length in (True, False):
        sender = Sender(breaks_off=False, has_length=has_length)

        async def ask(sender: Sender = sender) -> int | None:
            async with relaying(sender, []) as port:
                return await asyncio.to_thread(read, port)

        assert asyncio.run(ask()) == PIECES * len(PIECE)


def test_what_a_client_does_not_read_is_not_fetched() -> None:
    """The buffers of the sockets fill up, and then nobody sends."""

    async def ask() -> list[int]:
        sender = Sender(breaks_off=False, has_length=True)
        async with relaying(sender, []) as port:
            with socket.socket() as stalled:
                stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                stalled.connect(("127.0.0.1", port))
                stalled.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                seen = [-1, 0]
                while seen[-1] != seen[-2] or not seen[-1]:
                    await asyncio.sleep(0.5)
                    seen.append(sender.sent_bytes)
                return seen

    assert 0 < asyncio.run(ask())[-1] < PIECES * len(PIECE) / 3

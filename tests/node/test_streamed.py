"""A long answer on its way to a client: whole or visibly broken, and given up as soon as nobody takes it."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import shutil
import socket
import subprocess
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from rangeland.api import app as edge
from rangeland.api.app import _Guarded
from rangeland.api.streamed import Streamed
from rangeland.api.traffic import Traffic
from rangeland.engine.ports import free_port
from rangeland.errors import PeerError
from rangeland.node.http import HttpServer

PIECES = 400
PIECE = b"x" * 100_000


class List:
    """A list in pieces; it breaks off before that one, where it is to."""

    def __init__(self, *, breaks_at: int = PIECES + 1) -> None:
        self.made = 0
        self.is_closed = False
        self._breaks_at = breaks_at

    async def pieces(self) -> AsyncGenerator[bytes]:
        try:
            for number in range(PIECES):
                if number == self._breaks_at:
                    raise PeerError("the node is gone")
                await asyncio.sleep(0)
                self.made += 1
                yield PIECE
        finally:
            self.is_closed = True

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        await Streamed(self.pieces())(scope, receive, send)


class Waiting(List):
    """Its second piece never comes."""

    async def pieces(self) -> AsyncGenerator[bytes]:
        try:
            yield PIECE
            await asyncio.Event().wait()
        finally:
            self.is_closed = True


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[int]:
    port = free_port()
    server = HttpServer(_Guarded(app, Traffic()), host="127.0.0.1", port=port, tls=None)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(timeout_s=1.0)


def read(port: int, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes | None]:
    """The answer with its body; None where the connection ended before the body did."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, "/", headers=headers)
        answer = connection.getresponse()
        try:
            return answer, answer.read()
        except (http.client.HTTPException, ConnectionError):
            return answer, None
    finally:
        connection.close()


def ask(made: List, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes | None]:
    async def asked() -> tuple[http.client.HTTPResponse, bytes | None]:
        async with serving(made.app) as port:
            return await asyncio.to_thread(read, port, method, **headers)

    return asyncio.run(asked())


def test_comes_whole_without_a_length() -> None:
    answer, body = ask(List())
    assert (answer.status, body) == (200, PIECE * PIECES)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-cache"
    assert (answer.headers["vary"], answer.headers["content-length"]) == ("Accept-Encoding", None)


def test_is_packed_for_who_takes_gzip() -> None:
    answer, body = ask(List(), **{"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(body or b"") == PIECE * PIECES


def test_nothing_is_made_for_a_head() -> None:
    made = List()
    answer, body = ask(made, "HEAD")
    assert (answer.status, body, made.made) == (200, b"", 0)


@pytest.mark.parametrize("headers", [{}, {"Accept-Encoding": "gzip"}], ids=["plain", "gzip"])
def test_what_breaks_off_is_cut(headers: dict[str, str]) -> None:
    """A client must not take what came for the whole."""
    made = List(breaks_at=50)
    answer, body = ask(made, **headers)
    assert (answer.status, body, made.is_closed) == (200, None, True)


@pytest.mark.skipif(not shutil.which("curl"), reason="curl speaks HTTP/2, Python's own client does not")
@pytest.mark.parametrize("breaks_at", [PIECES + 1, 50])
def test_in_http_2_it_comes_whole_or_is_reset(breaks_at: int) -> None:
    made = List(breaks_at=breaks_at)

    async def asked() -> subprocess.CompletedProcess[bytes]:
        async with serving(made.app) as port:
            arguments = ["curl", "--http2-prior-knowledge", "--silent", "--show-error", f"http://127.0.0.1:{port}/"]
            return await asyncio.to_thread(subprocess.run, arguments, capture_output=True, check=False)

    done = asyncio.run(asked())
    assert (done.returncode == 0, made.is_closed) == (breaks_at > PIECES, True)
    assert (done.stdout == PIECE * PIECES) == (breaks_at > PIECES)


async def left_alone(made: List, is_so: Callable[[], bool]) -> None:
    """Wait until what must come has come; the test's own time limit is the other end."""
    while not is_so():
        await asyncio.sleep(0.01)


@asynccontextmanager
async def stalled(port: int) -> AsyncIterator[socket.socket]:
    """A client that has asked, and reads nothing."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port))
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        yield client


def test_who_leaves_is_noticed_between_two_pieces() -> None:
    made = Waiting()

    async def asked() -> None:
        async with serving(made.app) as port:
            async with stalled(port) as client:
                await asyncio.to_thread(client.recv, 1000)
                assert not made.is_closed
            await left_alone(made, lambda: made.is_closed)

    asyncio.run(asked())


def test_who_leaves_in_the_middle_of_a_piece_is_noticed() -> None:
    made = List()

    async def asked() -> None:
        async with serving(made.app) as port:
            async with stalled(port):
                await left_alone(made, lambda: made.made > 0)
            await left_alone(made, lambda: made.is_closed)

    asyncio.run(asked())
    assert made.made < PIECES


def test_who_reads_nothing_is_given_up_and_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "SEND_TIMEOUT_S", 0.5)
    made = List()

    async def asked() -> None:
        async with serving(made.app) as port, stalled(port):
            await left_alone(made, lambda: made.is_closed)

    asyncio.run(asked())
    assert 0 < made.made < PIECES / 3

"""Kept connections to another node that it has closed meanwhile cost nobody an answer."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress

import pytest

from rangeland.client import CONNECTIONS_PER_HOST, Client, Reply
from rangeland.errors import PeerError

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: the other end gets a reset, as from a process that was killed


class Other:
    """Answers the first request of each connection once `together` of them are open, and resets it at the second."""

    def __init__(self, *, together: int, serves: int) -> None:
        self.made = 0
        self._together = together
        self._serves = serves
        self._all_here = asyncio.Event()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.made += 1
        if self.made == self._together:
            self._all_here.set()
        await reader.readuntil(b"\r\n\r\n")
        await self._all_here.wait()
        if self.made <= self._serves:
            writer.write(ANSWER)
            with suppress(asyncio.IncompleteReadError):  # the client is done
                await reader.readuntil(b"\r\n\r\n")
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        writer.transport.abort()


async def ask(client: Client, port: int) -> Reply:
    deadline = asyncio.get_running_loop().time() + 4.0
    return await client.request("POST", f"http://127.0.0.1:{port}/", deadline=deadline, body=b"{}")


async def asked_again(other: Other) -> Reply:
    """Fill all connections that are kept, and ask once more."""
    server = await asyncio.start_server(other.answer, "127.0.0.1", 0)
    client = Client(None)
    port = server.sockets[0].getsockname()[1]
    try:
        await asyncio.gather(*(ask(client, port) for _ in range(CONNECTIONS_PER_HOST)))
        assert other.made == CONNECTIONS_PER_HOST
        return await ask(client, port)
    finally:
        await client.close()
        server.close()


def test_a_question_survives_that_every_kept_connection_is_reset() -> None:
    async def run() -> None:
        other = Other(together=CONNECTIONS_PER_HOST, serves=CONNECTIONS_PER_HOST + 1)
        assert (await asked_again(other)).body == b"hi"
        assert other.made == CONNECTIONS_PER_HOST + 1

    asyncio.run(run())


def test_who_resets_new_connections_too_is_an_error() -> None:
    async def run() -> None:
        other = Other(together=CONNECTIONS_PER_HOST, serves=CONNECTIONS_PER_HOST)
        with pytest.raises(PeerError, match="Connection reset"):
            await asked_again(other)
        assert other.made == CONNECTIONS_PER_HOST + 1

    asyncio.run(run())

"""The one HTTP client: an answer out of all proportion is broken off."""

from __future__ import annotations

import asyncio

import pytest

from rangeland import client
from rangeland.client import Client, Reply
from rangeland.errors import PeerError

BODY = b"x" * 1000


def asked(most_bytes: int, monkeypatch: pytest.MonkeyPatch) -> Reply:
    """What a client that takes so many bytes gets from a server that sends 1,000."""
    monkeypatch.setattr(client, "ANSWER_BYTES", most_bytes)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1000\r\n\r\n" + BODY)
        await writer.drain()
        writer.close()

    async def ask() -> Reply:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        asking = Client(None)
        try:
            deadline = asyncio.get_running_loop().time() + 5
            return await asking.request("GET", f"http://127.0.0.1:{port}/", deadline=deadline)
        finally:
            await asking.close()
            server.close()

    return asyncio.run(ask())


def test_an_answer_that_fits_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(len(BODY), monkeypatch).body == BODY


def test_an_answer_that_is_too_large_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PeerError, match="its answer has more than 0 MB"):
        asked(len(BODY) - 1, monkeypatch)

"""What other nodes find at a node's registered address: the node itself, or something that only looks like it.

A `Door` listens there while the node serves elsewhere. With a behaviour of its own it is a real TLS server with the
node's certificate that misbehaves; `THROUGH` is a plain relay of bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeAlias

from rangeland.tls import CA_CERT, NODE_CERT, NODE_KEY, create_ca, create_node

SLOW_S = 0.4  # each 64 kB; with a handshake once more
DRIP_S = 0.05  # a byte
CHUNK_BYTES = 65536
ENDLESS = b'{"' + b"x" * CHUNK_BYTES

Reader: TypeAlias = asyncio.StreamReader
Writer: TypeAlias = asyncio.StreamWriter
Behaviour = Callable[["Door", Reader, Writer], Awaitable[None]]


class Door:
    """Listens on a loopback port with a thread of its own; `close` gives the port free."""

    def __init__(self, port: int, *, inner_port: int, node_id: int, certs_dir: Path, elsewhere: Path) -> None:
        """`elsewhere` is an empty directory for the certificates of strangers."""
        self.port = port
        self.inner_port = inner_port
        self.node_id = node_id
        self.own = certs_dir
        self.stranger = _certificates(elsewhere / "stranger", "localhost")
        self._behaviour: Behaviour = through
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[Any]] = set()
        self._hole: list[socket.socket] = []
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._run(self._listen())

    def become(self, behaviour: Behaviour | None) -> None:
        """Behave so from now on; connections that are open are cut. None: be a black hole, which takes no connection
        and refuses none."""
        if behaviour is None:
            self._run(self._leave())
            self._run(self._hang_up())
            self._fall_in()
            return
        self._behaviour = behaviour  # first: who is cut comes back at once
        self._run(self._hang_up())
        if self._hole:
            self._climb_out()
            self._run(self._listen())

    def close(self) -> None:
        self._climb_out()
        self._run(self._leave())
        self._run(self._hang_up())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._welcome, "127.0.0.1", self.port)

    async def _leave(self) -> None:
        if self._server:
            self._server.close()
            self._server = None

    async def _welcome(self, reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            with contextlib.suppress(OSError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._behaviour(self, reader, writer)
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _hang_up(self) -> None:
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _fall_in(self) -> None:
        """A queue of one that nobody empties: Linux drops what else knocks, as a firewall does."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(0)
        self._hole = [listener]
        for _ in range(3):
            knocker = socket.socket()
            knocker.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                knocker.connect(("127.0.0.1", self.port))
            self._hole.append(knocker)

    def _climb_out(self) -> None:
        for each in self._hole:
            each.close()
        self._hole = []


async def through(door: Door, reader: Reader, writer: Writer, *, delay_s: float = 0.0) -> None:
    """The node itself."""
    inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", door.inner_port)
    try:
        there = asyncio.create_task(_pipe(reader, inner_writer, 0.0))
        back = asyncio.create_task(_pipe(inner_reader, writer, delay_s))
        try:
            await asyncio.wait([there, back], return_when=asyncio.FIRST_COMPLETED)
        finally:
            there.cancel()
            back.cancel()
            await asyncio.gather(there, back, return_exceptions=True)
    finally:
        inner_writer.transport.abort()


async def slow(door: Door, reader: Reader, writer: Writer) -> None:
    """The node itself, behind a line on which each answer takes its time."""
    await through(door, reader, writer, delay_s=SLOW_S)


async def silent(_door: Door, _reader: Reader, _writer: Writer) -> None:
    """Takes the connection and says nothing, not even hello."""
    await asyncio.Event().wait()


async def mute(door: Door, reader: Reader, writer: Writer) -> None:
    """Shakes hands, takes the question and says nothing."""
    await _greeted(door, writer)
    while await reader.read(CHUNK_BYTES):
        pass


async def half_deaf(door: Door, reader: Reader, writer: Writer) -> None:
    """The node itself, but nobody gets an answer to the question for sessions."""
    await _greeted(door, writer)
    tls = ssl.create_default_context(cafile=str(door.own / CA_CERT))
    inner_reader, inner_writer = await asyncio.open_connection("localhost", door.inner_port, ssl=tls)
    back = asyncio.create_task(_pipe(inner_reader, writer, 0.0))
    try:
        while b"/_peer/v1/sessions " not in (question := await _read_question(reader)):
            inner_writer.write(question)
            await inner_writer.drain()
        await reader.read()
    finally:
        back.cancel()
        await asyncio.gather(back, return_exceptions=True)
        inner_writer.transport.abort()


async def dripping(door: Door, reader: Reader, writer: Writer) -> None:
    """An answer that comes byte by byte, for minutes."""
    await _questioned(door, reader, writer)
    for byte in _head(door, length=1_000_000) + b"[" * 1_000_000:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(DRIP_S)


async def garbage(door: Door, reader: Reader, writer: Writer) -> None:
    """No HTTP."""
    await _questioned(door, reader, writer)
    writer.write(os.urandom(CHUNK_BYTES))
    await writer.drain()


async def garbled(door: Door, reader: Reader, writer: Writer) -> None:
    """The right head, and a body that is no answer, to every question."""
    body = b'{"items": [\xff\xfe, "oops'
    await _greeted(door, writer)
    while True:
        await _read_question(reader)
        writer.write(_head(door, length=len(body)) + body)
        await writer.drain()


async def endless(door: Door, reader: Reader, writer: Writer) -> None:
    """The right head, and a body that never ends, as fast as it is taken."""
    await _questioned(door, reader, writer)
    writer.write(_head(door, length=2**50))
    while True:
        writer.write(ENDLESS)
        await writer.drain()


async def hanging_up(door: Door, reader: Reader, writer: Writer) -> None:
    """Takes the question and closes the connection."""
    await _questioned(door, reader, writer)


async def plain(_door: Door, reader: Reader, writer: Writer) -> None:
    """No TLS: another program has the port."""
    await reader.read(CHUNK_BYTES)
    writer.write(b"220 mail.example ESMTP ready\r\n")
    await writer.drain()
    await asyncio.sleep(1)


async def strange(door: Door, reader: Reader, writer: Writer) -> None:
    """Another authority's certificate."""
    await _greeted(door, writer, door.stranger)
    await reader.read(CHUNK_BYTES)


async def _pipe(reader: Reader, writer: Writer, delay_s: float) -> None:
    while chunk := await reader.read(CHUNK_BYTES):
        if delay_s:
            await asyncio.sleep(delay_s)
        writer.write(chunk)
        await writer.drain()


async def _greeted(door: Door, writer: Writer, certs_dir: Path | None = None) -> None:
    """The handshake, with the node's certificate unless another is given."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    directory = certs_dir or door.own
    tls.load_cert_chain(directory / NODE_CERT, directory / NODE_KEY)
    await writer.start_tls(tls)


async def _questioned(door: Door, reader: Reader, writer: Writer) -> None:
    """The handshake, and the question, all of it."""
    await _greeted(door, writer)
    await _read_question(reader)


async def _read_question(reader: Reader) -> bytes:
    """Head and body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
    return head + await reader.readexactly(int(length[1]) if length else 0)


def _head(door: Door, *, length: int) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"x-rangeland-node: {door.node_id}", f"content-length: {length}", "", ""]
    return "\r\n".join(lines).encode()


def _certificates(directory: Path, host: str) -> Path:
    """Of an authority that nobody knows."""
    create_ca(directory, directory / "ca.key")
    create_node(directory, directory / "ca.key", [host])
    return directory

"""What the event loop has to say reaches the log, but for what comes too late to matter: a write, and an end."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
import uvloop
from starlette.types import Receive, Scope, Send

from rangeland.engine.ports import free_port
from rangeland.node.http import HttpServer
from rangeland.node.run import GRANIAN_END, note_loop_error

TLS = "Fatal error on SSL protocol"


async def late_error() -> Exception:
    """What uvloop raises where somebody writes to a connection that is closed already."""
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    _, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
    writer.transport.abort()
    await asyncio.sleep(0)
    server.close()
    with pytest.raises(RuntimeError) as caught:
        writer.transport.write(b"x")
    return caught.value


def logged(message: str, exc: Exception | None, caplog: pytest.LogCaptureFixture) -> list[str]:
    async def tell() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(note_loop_error)
        loop.call_exception_handler({"message": message, "exception": exc or await late_error()})

    caplog.clear()
    with caplog.at_level(logging.ERROR), asyncio.Runner(loop_factory=uvloop.Loop) as runner:
        runner.run(tell())
    return [record.getMessage() for record in caplog.records]


def test_tls_that_writes_too_late_is_no_bug(caplog: pytest.LogCaptureFixture) -> None:
    assert logged(TLS, None, caplog) == []


def test_a_client_that_outlives_its_listener_is_no_bug(caplog: pytest.LogCaptureFixture) -> None:
    asked = asyncio.Event()
    told: list[str] = []

    async def never(_scope: Scope, receive: Receive, _send: Send) -> None:
        asked.set()
        while (await receive())["type"] != "http.disconnect":
            pass

    def note(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        told.append(context["message"])
        note_loop_error(loop, context)

    async def outlive() -> None:
        asyncio.get_running_loop().set_exception_handler(note)
        port = free_port()
        server = HttpServer(never, host="127.0.0.1", port=port, tls=None)
        await server.start()
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await asked.wait()
        await server.stop(timeout_s=0.1)
        writer.close()
        async with asyncio.timeout(10):
            while not told:
                await asyncio.sleep(0.01)

    with caplog.at_level(logging.ERROR), asyncio.Runner(loop_factory=uvloop.Loop) as runner:
        runner.run(outlive())
    assert GRANIAN_END in told[0]
    assert caplog.records == []


def test_every_other_error_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert logged(TLS, RuntimeError("another"), caplog) == [TLS]
    assert logged(GRANIAN_END, RuntimeError("another"), caplog) == [GRANIAN_END]
    assert logged("Task exception was never retrieved", None, caplog) == ["Task exception was never retrieved"]

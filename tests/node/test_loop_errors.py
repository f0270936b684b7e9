"""What the event loop has to say reaches the log, but for TLS that writes to a connection that is being closed."""

from __future__ import annotations

import asyncio
import logging

import pytest
import uvloop

from rangeland.node.run import note_loop_error

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


def test_every_other_error_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert logged(TLS, RuntimeError("another"), caplog) == [TLS]
    assert logged("Task exception was never retrieved", None, caplog) == ["Task exception was never retrieved"]

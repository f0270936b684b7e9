"""An answer that is too large to be held: it is made while it is sent, and cut where that fails."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import structlog
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from rangeland.api.replies import GZIP_LEVEL, JSON
from rangeland.errors import RangelandError
from rangeland.wire.headers import takes_gzip

GZIP_WINDOW = 31  # the largest window, 15, and 16 for gzip's own header. Source: zlib, deflateInit2

log = structlog.get_logger()


class Streamed(Response):
    """JSON in pieces, each taken only when the one before it was sent: a slow client fills no memory.

    Who has left is noticed, also between two pieces: then the pieces are closed. What goes wrong while they are made
    breaks the transfer, so that nobody takes a part for the whole.
    """

    def __init__(self, pieces: AsyncGenerator[bytes]) -> None:
        self._pieces = pieces
        super().__init__(headers={"content-type": JSON, "cache-control": "no-cache", "vary": "Accept-Encoding"})
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_packed = takes_gzip(Headers(scope=scope).get("accept-encoding", ""))
        if is_packed:
            self.headers["content-encoding"] = "gzip"
        async with aclosing(self._pieces):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            pieces = _packed(self._pieces) if is_packed else self._pieces
            sending = asyncio.create_task(_send(pieces, send))
            leaving = asyncio.create_task(_left(receive))
            try:
                await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if sending.done():
                    sending.result()
            except RangelandError as exc:
                log.warning("an answer broke off", path=scope["path"], cause=str(exc))
                raise  # the HTTP server cuts the connection: the client sees that the answer is not whole
            finally:
                for task in (sending, leaving):
                    task.cancel()
                await asyncio.wait({sending, leaving})


async def _send(pieces: AsyncGenerator[bytes], send: Send) -> None:
    async with aclosing(pieces):
        async for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _left(receive: Receive) -> None:
    """Return when the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _packed(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """The pieces compressed, each in a thread: it takes 1 ms."""
    packer = zlib.compressobj(GZIP_LEVEL, wbits=GZIP_WINDOW)
    async for piece in pieces:
        if packed := await asyncio.to_thread(packer.compress, piece):
            yield packed
    yield packer.flush()

"""Answers as HTTP: JSON, plain-text errors, and the headers that every answer has.

Source: Cluster API v2.0, response framing.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Mapping
from types import MappingProxyType

from starlette.responses import Response

from rangeland.cluster.timing import timed
from rangeland.wire.headers import takes_gzip
from rangeland.wire.json import encode

GENERIC = "An internal server error has occurred. Please check your Rangeland logs for more details."
NOT_FOUND = "404 page not found"


class HttpError(Exception):
    """Ends a request with a status and a line of text."""

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers or {}


def internal_error(detail: str = "") -> HttpError:
    """The contract's 500; a second line may say what a client can act on."""
    return HttpError(500, f"{GENERIC}\n{detail}" if detail else GENERIC)


JSON = "application/json"  # Starlette would add a charset; the contract has none
GZIP_FROM_BYTES = 1400  # one packet; smaller answers gain nothing. As the reference
GZIP_IN_THREAD_FROM_BYTES = 64 * 1024  # 0.2 ms; megabytes would hold up everybody else's requests
GZIP_LEVEL = 1  # a list of ranges shrinks to an eleventh; level 6 makes it a thirteenth at three times the cost


class Body:
    """An encoded answer that several requests may share; it is compressed once, when somebody asks."""

    def __init__(
        self, plain: bytes, content_type: str = JSON, headers: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.plain = plain
        self.content_type = content_type
        self.headers = headers
        self._gzipped: asyncio.Future[bytes] | None = None

    async def gzipped(self) -> bytes:
        if self._gzipped is None:
            self._gzipped = asyncio.ensure_future(self._compressed())
        return await asyncio.shield(self._gzipped)

    async def _compressed(self) -> bytes:
        if len(self.plain) < GZIP_IN_THREAD_FROM_BYTES:
            return _compress(self.plain)
        return await asyncio.to_thread(_compress, self.plain)


def encoded(answer: object) -> Body:
    """The answer as JSON."""
    with timed("encode"):
        return Body(encode(answer))


async def body_reply(body: Body, accept_encoding: str) -> Response:
    """The answer, compressed where the client takes gzip and it is worth it."""
    if len(body.plain) < GZIP_FROM_BYTES:
        return _reply(200, body.plain, body.content_type, {**body.headers})
    headers = {**body.headers, "vary": "Accept-Encoding"}
    if not takes_gzip(accept_encoding):
        return _reply(200, body.plain, body.content_type, headers)
    with timed("encode"):
        packed = await body.gzipped()
    return _reply(200, packed, body.content_type, {**headers, "content-encoding": "gzip"})


def _compress(plain: bytes) -> bytes:
    return gzip.compress(plain, compresslevel=GZIP_LEVEL, mtime=0)


def json_reply(answer: object, headers: dict[str, str] | None = None) -> Response:
    with timed("encode"):
        return bytes_reply(encode(answer), headers)


def bytes_reply(body: bytes, headers: dict[str, str] | None = None, *, status: int = 200) -> Response:
    """A JSON answer that is encoded already. Starlette would add a charset; the contract has none."""
    return _reply(status, body, JSON, headers or {})


def error_reply(error: HttpError) -> Response:
    nosniff = {"x-content-type-options": "nosniff", **error.headers}
    return _reply(error.status, f"{error.text}\n".encode(), "text/plain; charset=utf-8", nosniff)


def _reply(status: int, body: bytes, content_type: str, headers: dict[str, str]) -> Response:
    return Response(body, status, headers={"content-type": content_type, "cache-control": "no-cache", **headers})

"""The one HTTP client, for the other nodes, the commands and the tests."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from yarl import URL

from rangeland.config import REQUEST_TIMEOUT_S
from rangeland.errors import PeerError

CONNECTIONS_PER_HOST = 4  # held: a stopped, dripping or black-hole peer then costs 10 ms, not a socket a question
STREAMS_PER_HOST = (
    32  # answers that are passed on: as many as slow clients may hold, and apart from our own questions
)
STREAM_IDLE_S = 10.0  # a sender that gives nothing for this long has vanished
KEEPALIVE_S = 60.0
ANSWER_BYTES = 256 << 20  # 100,000 ranges at 1 kB, twice over: a peer that never ends its answer fills no memory


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, headers (names in lower case) and body of an answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer whose body is still to be read, as it was sent: compressed where it was. Names are in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    chunks: AsyncIterator[bytes]  # raises PeerError where the sender stops before the end


class Client:
    """Connections to other nodes' HTTP ports, kept open between questions.

    `tls` None means plain HTTP, for --insecure. Proxies of the environment are not used.
    """

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None
        self._streaming: aiohttp.ClientSession | None = None
        self._retired: set[asyncio.Task[None]] = set()

    async def request(
        self,
        method: str,
        url: str,
        *,
        deadline: float,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Reply:
        """Ask and read the whole answer, of at most 256 MB, before `deadline` (loop time). Raises: PeerError, with
        the cause.

        Asks again where a kept connection turns out to be closed: the other end renews its certificates, or was
        started again. As often as connections are kept, since it may have closed each of them.
        """
        try:
            async with asyncio.timeout_at(deadline):
                for _ in range(CONNECTIONS_PER_HOST):
                    try:
                        return await self._request(method, url, headers, body)
                    except aiohttp.ClientConnectorError:
                        raise  # a ClientOSError, too, of a new connection
                    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionResetError):
                        continue
                return await self._request(method, url, headers, body)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as exc:
            raise _peer_error(exc) from exc

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        base: str,
        target: str,
        *,
        deadline: float,
        headers: Iterable[tuple[str, str]],
        body: bytes | None,
    ) -> AsyncIterator[Stream]:
        """Send exactly these headers, and have the head of the answer before `deadline`; its body follows.

        `target` is a path with its query, encoded already. Raises: PeerError, with the cause.
        """
        if self._streaming is None:
            self._streaming = self._opened(STREAMS_PER_HOST)
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._streaming.request(
                    method,
                    URL(base + target, encoded=True),
                    headers=list(headers),
                    data=body,
                    allow_redirects=False,
                    auto_decompress=False,
                    skip_auto_headers=("accept", "accept-encoding", "content-type", "user-agent"),
                )
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as exc:
            raise _peer_error(exc) from exc
        async with response:
            lowered = tuple((name.lower(), value) for name, value in response.headers.items())
            yield Stream(response.status, lowered, _chunks(response))

    async def _request(self, method: str, url: str, headers: Mapping[str, str] | None, body: bytes | None) -> Reply:
        if self._session is None:
            self._session = self._opened(CONNECTIONS_PER_HOST)
        async with self._session.request(method, url, headers=headers, data=body, allow_redirects=False) as response:
            content = await _content(response)
            lowered = {name.lower(): value for name, value in response.headers.items()}
            return Reply(response.status, lowered, content)

    def use_tls(self, tls: ssl.SSLContext) -> None:
        """Trust another CA from now on; open questions end on their old connections."""
        self._tls = tls
        if self._session is not None or self._streaming is not None:
            task = asyncio.get_running_loop().create_task(_close_later(*self._taken()))
            self._retired.add(task)
            task.add_done_callback(self._retired.discard)

    async def close(self) -> None:
        for task in self._retired:
            task.cancel()
        if self._retired:
            await asyncio.wait(self._retired)
        await _closed(*self._taken())

    def _taken(self) -> tuple[aiohttp.ClientSession | None, ...]:
        taken = (self._session, self._streaming)
        self._session = self._streaming = None
        return taken

    def _opened(self, connections_per_host: int) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            ssl=self._tls if self._tls is not None else True,
            limit=0,
            limit_per_host=connections_per_host,
            keepalive_timeout=KEEPALIVE_S,
            ttl_dns_cache=10,
        )
        return aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=True,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )


async def _closed(*sessions: aiohttp.ClientSession | None) -> None:
    for session in sessions:
        if session is not None:
            await session.close()


async def _content(response: aiohttp.ClientResponse) -> bytes:
    """The whole body. Raises: PeerError where it is out of all proportion."""
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > ANSWER_BYTES:
            raise PeerError(f"its answer has more than {ANSWER_BYTES >> 20} MB")
    return bytes(content)


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    while True:
        try:
            async with asyncio.timeout(STREAM_IDLE_S):
                chunk = await response.content.readany()
        except (TimeoutError, aiohttp.ClientError, OSError) as exc:
            raise _peer_error(exc) from exc
        if not chunk:
            return
        yield chunk


def _peer_error(exc: Exception) -> PeerError:
    """What went wrong with the other node, without the URL: its query may hold a password."""
    match exc:
        case TimeoutError():
            return PeerError("no answer in time")
        case aiohttp.ClientConnectorCertificateError():
            return PeerError(f"its certificate is not to be trusted: {exc.certificate_error}")
        case aiohttp.ClientConnectorError():
            return PeerError(f"can't connect: {_reason(exc.os_error)}")
        case aiohttp.InvalidURL():
            return PeerError("its address is no address")
        case _:
            return PeerError(f"the connection broke: {exc or type(exc).__name__}")


async def _close_later(*sessions: aiohttp.ClientSession | None) -> None:
    """Once every question that they may be answering is over."""
    try:
        await asyncio.sleep(REQUEST_TIMEOUT_S)
    finally:
        await _closed(*sessions)


def _reason(exc: OSError) -> str:
    """The system's word for it; asyncio puts the address in the place of the text."""
    return os.strerror(exc.errno) if exc.errno and exc.errno > 0 else str(exc)

"""The one HTTP client, for the other nodes, the commands and the tests."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from rangeland.errors import PeerError

CONNECTIONS_PER_HOST = 4  # held: a stopped, dripping or black-hole peer then costs 10 ms, not a socket a question
KEEPALIVE_S = 60.0


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, headers (names in lower case) and body of an answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Client:
    """Connections to other nodes' HTTP ports, kept open between questions.

    `tls` None means plain HTTP, for --insecure. Proxies of the environment are not used.
    """

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def request(
        self,
        method: str,
        url: str,
        *,
        deadline: float,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Reply:
        """Ask and read the whole answer before `deadline` (loop time). Raises: PeerError, with the cause."""
        if self._session is None:
            self._session = self._opened()
        try:
            async with (
                asyncio.timeout_at(deadline),
                self._session.request(method, url, headers=headers, data=body, allow_redirects=False) as response,
            ):
                content = await response.read()
                lowered = {name.lower(): value for name, value in response.headers.items()}
                return Reply(response.status, lowered, content)
        except TimeoutError as exc:
            raise PeerError("no answer in time") from exc
        except aiohttp.ClientConnectorCertificateError as exc:
            raise PeerError(f"its certificate is not to be trusted: {exc.certificate_error}") from exc
        except aiohttp.ClientConnectorError as exc:
            raise PeerError(f"can't connect: {_reason(exc.os_error)}") from exc
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            raise PeerError(f"the connection broke: {exc or type(exc).__name__}") from exc

    def use_tls(self, tls: ssl.SSLContext) -> None:
        """Trust another CA from now on; open questions end on their old connections."""
        self._tls = tls
        if self._session is not None:
            old, self._session = self._session, None
            self._closing = asyncio.get_running_loop().create_task(old.close())

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _opened(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            ssl=self._tls if self._tls is not None else True,
            limit=0,
            limit_per_host=CONNECTIONS_PER_HOST,
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


def _reason(exc: OSError) -> str:
    """The system's word for it; asyncio puts the address in the place of the text."""
    return os.strerror(exc.errno) if exc.errno and exc.errno > 0 else str(exc)

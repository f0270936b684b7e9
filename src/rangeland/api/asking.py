"""One request as the handlers see it: parameters, body, who asks, until when."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request

from rangeland.api.replies import HttpError
from rangeland.api.services import Services
from rangeland.auth import Caller
from rangeland.config import REQUEST_TIMEOUT_S

DEADLINE = "rangeland.deadline"  # in the scope, in loop time
BODY_BYTES = 64 * 1024  # the HTTP server itself has no limit


@dataclass(slots=True)
class Asking:
    """`deadline` is in loop time; `caller` is None where anyone may ask; `signed_body` is the digest of the only body
    that a peer's signature is for, or None."""

    request: Request
    services: Services
    deadline: float
    caller: Caller | None = None
    signed_body: str | None = None

    def parameter(self, name: str) -> str:
        """A query parameter, its first value where it is repeated; "" when absent."""
        values = self.request.query_params.getlist(name)
        return values[0] if values else ""

    def path_part(self, name: str) -> str:
        return str(self.request.path_params[name])

    @property
    def session_header(self) -> str:
        return self.request.headers.get("x-cockroach-api-session", "")

    @property
    def client_address(self) -> str:
        """The asker's IP address; a trusted proxy's word for it is taken."""
        address = self.request.client.host if self.request.client else ""
        forwarded = self.request.headers.get("x-forwarded-for", "")
        if forwarded and address == self.services.trusted_proxy:
            return forwarded.rpartition(",")[2].strip()
        return address

    async def body(self) -> bytes:
        """The whole body. Raises: HttpError 413 above 64 KB, 408 at the deadline, 400 where it breaks off."""
        chunks = bytearray()
        try:
            async with asyncio.timeout_at(self.deadline):
                async for chunk in self.request.stream():
                    chunks += chunk
                    if len(chunks) > BODY_BYTES:
                        raise HttpError(413, f"the body is larger than {BODY_BYTES} bytes")
        except TimeoutError as exc:
            raise HttpError(408, "the body did not arrive in time") from exc
        except ClientDisconnect as exc:  # also where a chunk's length is none
            raise HttpError(400, "the body is not whole") from exc
        return bytes(chunks)


def begin(request: Request, services: Services) -> Asking:
    """A request's deadline begins when it arrives; of one that another node passes on, when it arrived there."""
    now = asyncio.get_running_loop().time()
    return Asking(request, services, request.scope.get(DEADLINE, now + REQUEST_TIMEOUT_S))

"""`remote_node_id`: a whole request that this node passes on to another, and its arrival there.

Before routing, so that every public path can be asked of every node. One hop: a request that was passed on carries a
signature and neither the parameter nor the cookie. Source: Cluster API v2.0, multi-node behaviour (HTTP node proxy).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from urllib.parse import quote, unquote_plus

import structlog
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rangeland.api.asking import DEADLINE, Asking, begin
from rangeland.api.ranges import parse_node_id
from rangeland.api.replies import HttpError, error_reply, internal_error
from rangeland.api.services import Services
from rangeland.client import Stream
from rangeland.cluster.cluster import NODE_HEADER, PREFIX, TIME_HEADER, TIMEOUT_HEADER
from rangeland.cluster.forwarding import SIGNATURE_HEADER, Passed
from rangeland.cluster.peer_token import WrongClockError
from rangeland.config import REQUEST_TIMEOUT_S
from rangeland.errors import PeerError
from rangeland.merge.part import text

NAME = "remote_node_id"
OWN_PREFIX = "x-rangeland-"
HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}  # RFC 9110, 7.6.1: they are about one connection
OF_THIS_REQUEST = {"host", "content-length", "expect", "x-forwarded-for"}  # made anew; the address goes signed
OF_THIS_ANSWER = {"date", "server"}

log = structlog.get_logger()


class Forwarded:
    """Around the app: passes a request on, or gives one that was passed on the client and deadline that it had."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["path"].startswith(PREFIX):
                await self._app(scope, receive, send)
            elif SIGNATURE_HEADER in (headers := Headers(scope=scope)):
                await self._app(self._arrived(scope, headers), receive, self._signing(send))
            elif (node_id := self._named_node(scope)) is None:
                await self._app(scope, receive, send)
            else:
                await self._pass_on(node_id, scope, receive, send)
        except HttpError as exc:
            await error_reply(exc)(scope, receive, send)

    # here, to pass on

    def _named_node(self, scope: Scope) -> int | None:
        """The other member that is to answer; None: this node. The parameter wins over the cookie.

        Raises: HttpError 400.
        """
        parameter = next((value for name, value in _parameters(scope) if name == NAME), "")
        cookie = "" if parameter else next((value for name, value in _cookies(scope) if name == NAME), "")
        if not (parameter or cookie):
            return None
        own_id = self._services.cluster.node_id
        forget = {"set-cookie": f"{NAME}=; Path=/; Max-Age=0"} if cookie else {}  # else a browser is stuck with it
        try:
            node_id = parse_node_id(parameter or cookie, local=own_id)
        except HttpError as exc:
            reason = "it is neither 'local' nor a number from 1 to 2147483647"
            raise HttpError(400, f"server: error parsing nodeID from request: {reason}", forget) from exc
        if node_id == own_id:
            return None
        if not self._services.forwarding.is_member(node_id):
            raise HttpError(400, f"unable to get address for nodeID: {node_id}: the cluster has no such node", forget)
        return node_id

    async def _pass_on(self, node_id: int, scope: Scope, receive: Receive, send: Send) -> None:
        asking = begin(Request(scope, receive), self._services)
        forwarding = self._services.forwarding
        has_begun = False
        try:
            async with asyncio.timeout_at(asking.deadline):
                request = await _passed(asking)
            async with forwarding.passed_on(node_id, request, deadline=asking.deadline) as stream:
                has_begun = True
                await relay(stream, send)
        except TimeoutError as exc:
            if has_begun:
                raise
            raise internal_error("the request was not complete in time") from exc
        except PeerError as exc:
            if has_begun:
                log.warning("an answer that is passed on broke off", node_id=node_id, cause=str(exc))
                raise  # the HTTP server cuts the connection: the client sees that the answer is not whole
            why = text(forwarding.failure(node_id, exc), "an answer")
            log.warning("a request could not be passed on", node_id=node_id, cause=why)
            raise internal_error(why) from exc

    # there, where it arrives

    def _arrived(self, scope: Scope, headers: Headers) -> Scope:
        """The request with the address of the client that the other node was asked by. Raises: HttpError."""
        try:
            address = self._services.forwarding.require_passed_on(headers)
        except WrongClockError as exc:
            raise HttpError(401, str(exc), {TIME_HEADER: str(self._services.now_ns())}) from exc
        except PeerError as exc:
            raise HttpError(403, str(exc)) from exc
        left_ms = headers.get(TIMEOUT_HEADER, "")
        left_s = int(left_ms) / 1000 if left_ms.isdecimal() else REQUEST_TIMEOUT_S
        deadline = asyncio.get_running_loop().time() + min(left_s, REQUEST_TIMEOUT_S)
        kept = [(name, value) for name, value in scope["headers"] if name.lower() != b"x-forwarded-for"]
        return {**scope, "headers": kept, "client": (address, 0), DEADLINE: deadline}

    def _signing(self, send: Send) -> Send:
        """Tell the node that asks who answers."""
        own = (NODE_HEADER.encode(), str(self._services.cluster.node_id).encode())

        async def send_signed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), own]}
            await send(message)

        return send_signed


async def _passed(asking: Asking) -> Passed:
    """The request without what led it here and what is only about this connection. Raises: HttpError 400, 413."""
    scope = asking.request.scope
    path = scope.get("raw_path") or quote(scope["path"]).encode()
    if not path.startswith(b"/"):  # what follows the address in a URL must not become a part of the address
        raise HttpError(400, "the request's target is no path")
    query = b"&".join(pair for pair in scope["query_string"].split(b"&") if _name(pair) != NAME)
    return Passed(
        method=scope["method"],
        target=(path.partition(b"?")[0] + (b"?" + query if query else b"")).decode("latin-1"),
        headers=list(_request_headers(scope)),
        body=await asking.body(),
        client_address=asking.client_address,
    )


def _request_headers(scope: Scope) -> Iterator[tuple[str, str]]:
    pairs = [(name.decode("latin-1").lower(), value.decode(errors="replace")) for name, value in scope["headers"]]
    dropped = HOP_BY_HOP | OF_THIS_REQUEST | _named_by_connection(pairs)
    for name, value in pairs:
        if name == "cookie":
            kept = "; ".join(part for part in map(str.strip, value.split(";")) if part.partition("=")[0] != NAME)
            if kept:
                yield name, kept
        elif name not in dropped and not name.startswith(OWN_PREFIX):
            yield name, value


async def relay(stream: Stream, send: Send) -> None:
    """The answer piece by piece: a client that reads slowly slows down the node that answers, and fills nothing."""
    dropped = HOP_BY_HOP | OF_THIS_ANSWER | _named_by_connection(stream.headers)
    headers = [
        (name.encode("latin-1", "replace"), value.encode("latin-1", "replace"))
        for name, value in stream.headers
        if name not in dropped and not name.startswith(OWN_PREFIX)
    ]
    await send({"type": "http.response.start", "status": stream.status, "headers": headers})
    async for chunk in stream.chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _named_by_connection(headers: list[tuple[str, str]] | tuple[tuple[str, str], ...]) -> set[str]:
    """What a Connection header says is about this connection, too."""
    return {word.strip().lower() for name, value in headers if name == "connection" for word in value.split(",")}


def _parameters(scope: Scope) -> Iterator[tuple[str, str]]:
    for pair in scope["query_string"].split(b"&"):
        yield _name(pair), unquote_plus(pair.partition(b"=")[2].decode("latin-1"))


def _name(pair: bytes) -> str:
    return unquote_plus(pair.partition(b"=")[0].decode("latin-1"))


def _cookies(scope: Scope) -> Iterator[tuple[str, str]]:
    for name, value in scope["headers"]:
        if name.lower() == b"cookie":
            for part in value.decode("latin-1").split(";"):
                cookie, _, text_ = part.strip().partition("=")
                yield cookie, text_.strip('"')

"""The life of every request: authenticate, answer, and every error as its status and text."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rangeland.api.asking import Asking, begin
from rangeland.api.authenticate import require_access
from rangeland.api.replies import NOT_FOUND, Body, HttpError, body_reply, error_reply, internal_error
from rangeland.api.routes import ENDPOINTS, Access, Endpoint
from rangeland.api.services import Services
from rangeland.errors import NoPrimaryError, RangelandError

SEND_TIMEOUT_S = 10.0  # a client that takes nothing for this long has vanished

log = structlog.get_logger()


class _Digits(Convertor[str]):
    """A path part of digits only; anything else is another path, hence 404."""

    regex = "[0-9]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class _Name(_Digits):
    """A name in letters, digits, `_` and `.`, all of ASCII, as the reference's router has it."""

    regex = "[A-Za-z0-9_.]+"


register_url_convertor("digits", _Digits())
register_url_convertor("name", _Name())


def make_app(services: Services) -> ASGIApp:
    """The ASGI application of a node."""
    routes = [
        Route(path, _handler(endpoint, services), methods=[endpoint.method])
        for endpoint in ENDPOINTS
        for path in (endpoint.path, endpoint.path + "/")
    ]
    app = Starlette(
        routes=routes,
        exception_handlers={404: _no_such_path, 405: _wrong_method, Exception: _failed},
    )
    app.router.redirect_slashes = False
    return _Guarded(app)


async def respond(asking: Asking, endpoint: Endpoint) -> Response:
    """Authenticate, answer; an error of ours becomes its status and text."""
    try:
        async with asyncio.timeout_at(asking.deadline + 0.2):  # the parts keep the deadline themselves
            await require_access(asking, endpoint.access)
            _require_member(asking, endpoint)
            answer = await endpoint.answer(asking)
            if isinstance(answer, Body):
                return await body_reply(answer, asking.request.headers.get("accept-encoding", ""))
            return answer
    except HttpError as exc:
        return error_reply(exc)
    except NoPrimaryError as exc:
        log.warning("no primary", path=asking.request.url.path, cause=str(exc))
        return error_reply(internal_error(str(exc)))
    except (RangelandError, TimeoutError) as exc:
        log.warning("a request failed", path=asking.request.url.path, cause=str(exc) or type(exc).__name__)
        return error_reply(internal_error(str(exc) if isinstance(exc, RangelandError) else "no answer in time"))


def _require_member(asking: Asking, endpoint: Endpoint) -> None:
    """A node without an id knows no cluster yet: an empty answer of its would be a wrong one."""
    services = asking.services
    if endpoint.access is Access.READER and not services.cluster.node_id:
        raise internal_error(services.unready() or "this node is not registered yet")


def _handler(endpoint: Endpoint, services: Services) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        return await respond(begin(request, services), endpoint)

    return handle


async def _no_such_path(_request: Request, _exc: Exception) -> Response:
    return error_reply(HttpError(404, NOT_FOUND))


async def _wrong_method(request: Request, exc: Exception) -> Response:
    if request.url.path.rstrip("/") in ("/api/v2/login", "/api/v2/logout"):
        return error_reply(HttpError(404, "not found"))  # the contract's answer of these two
    headers = dict(exc.headers or {}) if isinstance(exc, HTTPException) else {}
    return error_reply(HttpError(405, "Method Not Allowed", headers))


async def _failed(request: Request, exc: Exception) -> Response:
    log.error("a request met a bug", path=request.url.path, exc_info=exc)
    return error_reply(internal_error())


class _Guarded:
    """Keep the HTTP server from waiting for ever on a client that has stopped reading, and HEAD free of a body.

    The server itself drops the body of a HEAD in HTTP/1.1 only; in HTTP/2 it would be a protocol error.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_soon(message: Message) -> Any:
            if scope["method"] == "HEAD" and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await send(message)

        if scope["type"] == "http":
            await self._app(scope, receive, send_soon)

"""The life of every request: authenticate, answer, and every error as its status and text."""

from __future__ import annotations

import asyncio
import posixpath
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol
from urllib.parse import quote

import structlog
from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rangeland.api.asking import Asking, begin
from rangeland.api.authenticate import Access, require_access
from rangeland.api.forwarding import Forwarded
from rangeland.api.replies import NOT_FOUND, Body, HttpError, body_reply, error_reply, internal_error
from rangeland.api.routes import ENDPOINTS, Endpoint
from rangeland.api.services import Services
from rangeland.api.traffic import Traffic
from rangeland.cluster.cluster import PREFIX
from rangeland.cluster.questions import QUESTIONS
from rangeland.cluster.timing import Timing, begin_timing, timed
from rangeland.errors import NoPrimaryError, RangelandError

SEND_TIMEOUT_S = 10.0  # a client that takes nothing for this long has vanished

log = structlog.get_logger()


class Beside(Protocol):
    """Another app on the same port, such as the console."""

    def has(self, path: str) -> bool: ...

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


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


def make_app(services: Services, beside: Beside | None = None) -> ASGIApp:
    """The ASGI application of a node; `beside` it another one answers the paths that it has."""
    table = [
        (Route(path, _handler(endpoint, services), methods=[endpoint.method]), endpoint)
        for endpoint in ENDPOINTS
        for path in (endpoint.path, endpoint.path + "/")
    ]
    app = Starlette(
        routes=[route for route, _ in table],
        exception_handlers={404: _no_such_path, 405: _wrong_method, Exception: _failed},
    )
    app.router.redirect_slashes = False
    direct: ASGIApp = ServerErrorMiddleware(_Direct(app, table, services), handler=_failed)
    if beside is not None:
        direct = _Parted(direct, beside)
    # cleaned first: a redirect keeps remote_node_id
    return _Guarded(_Cleaned(Forwarded(direct, services)), services.traffic)


async def respond(asking: Asking, endpoint: Endpoint) -> Response:
    """Authenticate, answer; an error of ours becomes its status and text."""
    try:
        async with asyncio.timeout_at(asking.deadline + 0.2):  # the parts keep the deadline themselves
            _require_member(asking, endpoint)
            with timed("auth"):
                await require_access(asking, endpoint.access)
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
    """A node without an id knows no cluster yet, and one that was decommissioned isn't told of it any more: an empty
    or an old answer would be a wrong one, and of a token it can't say whether it was ended."""
    services = asking.services
    cluster = services.cluster
    if endpoint.access is Access.READER and (not cluster.is_member() or cluster.refusal()):
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
    allowed = (exc.headers or {}).get("Allow", "") if isinstance(exc, HTTPException) else ""
    in_order = ", ".join(sorted(allowed.split(", ")))  # Starlette's comes from a set
    return error_reply(HttpError(405, "Method Not Allowed", {"allow": in_order}))


async def _failed(request: Request, exc: Exception) -> Response:
    log.error("a request met a bug", path=request.url.path, exc_info=exc)
    return error_reply(internal_error())


def clean_path(path: str) -> str:
    """Without empty parts, `.` and `..`; the trailing slash stays. It begins with one slash: never another host."""
    cleaned = "/" + posixpath.normpath("/" + path).lstrip("/")
    return cleaned + "/" if path.endswith("/") and cleaned != "/" else cleaned


class _Direct:
    """Who asks for a known path, with its method, is answered at once; Starlette's router sees to all the rest.

    The layers that lead through it and its regular expressions take longer than an answer from memory.
    """

    def __init__(self, app: ASGIApp, table: Iterable[tuple[Route, Endpoint]], services: Services) -> None:
        self._app = app
        self._services = services
        self._known: dict[tuple[str, str], tuple[Route, Endpoint, dict[str, str]]] = {}
        for route, endpoint in table:
            for path, path_params in _paths_of(route):
                for method in route.methods or ():
                    self._known[method, path] = (route, endpoint, path_params)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        known = self._known.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if known is None:
            await self._app(scope, receive, send)
            return
        route, endpoint, path_params = known
        scope.update(route=route, path_params=path_params)
        response = await respond(begin(Request(scope, receive), self._services), endpoint)
        await response(scope, receive, send)


class _Parted:
    """Lead each path to the app that has it; to this API all that the other one doesn't claim."""

    def __init__(self, app: ASGIApp, beside: Beside) -> None:
        self._app = app
        self._beside = beside
        self._mount = Mount("/console", app=beside)  # all of it is one line of the metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._beside.has(scope["path"]):
            scope["route"] = self._mount
            await self._beside(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _paths_of(route: Route) -> list[tuple[str, dict[str, str]]]:
    """The paths that a route is for, with their parameters, where they can be told beforehand."""
    if not route.param_convertors:
        return [(route.path, {})]
    if route.path == f"{PREFIX}{{question}}":
        return [(f"{PREFIX}{question}", {"question": question}) for question in QUESTIONS]
    return []


def _with_timing(message: Message, timing: Timing) -> Message:
    """The head of an answer with its Server-Timing; of one that is passed on, the answering node's stays."""
    headers = [*message.get("headers", ())]
    if all(name != b"server-timing" for name, _ in headers):
        headers.append((b"server-timing", timing.header().encode()))
    return {**message, "headers": headers}


class _Cleaned:
    """Send who asks for a path with `//` or `..` to the clean one, as the reference's router does."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (cleaned := clean_path(scope["path"])) == scope["path"]:
            await self._app(scope, receive, send)
            return
        query = scope["query_string"].decode("latin-1")
        location = quote(cleaned) + (f"?{query}" if query else "")
        await error_reply(HttpError(301, "Moved Permanently", {"location": location}))(scope, receive, send)


class _Guarded:
    """Keep the HTTP server from waiting for ever on a client that has stopped reading, and HEAD free of a body.

    The server itself drops the body of a HEAD in HTTP/1.1 only; in HTTP/2 it would be a protocol error.
    Each answer is counted as it begins, and tells then where its time went.
    """

    def __init__(self, app: ASGIApp, traffic: Traffic) -> None:
        self._app = app
        self._traffic = traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = time.perf_counter()
        timing = begin_timing()

        async def send_soon(message: Message) -> Any:
            if message["type"] == "http.response.start":
                self._traffic.count(scope, message, begun)
                message = _with_timing(message, timing)
            if scope["method"] == "HEAD" and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await send(message)

        if scope["type"] == "http":
            await self._app(scope, receive, send_soon)

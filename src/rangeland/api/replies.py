"""Answers as HTTP: JSON, plain-text errors, and the headers that every answer has.

Source: Cluster API v2.0, response framing.
"""

from __future__ import annotations

from starlette.responses import Response

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


def json_reply(answer: object, headers: dict[str, str] | None = None) -> Response:
    return bytes_reply(encode(answer), headers)


def bytes_reply(body: bytes, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer that is encoded already. Starlette would add a charset; the contract has none."""
    return _reply(200, body, "application/json", headers or {})


def error_reply(error: HttpError) -> Response:
    nosniff = {"x-content-type-options": "nosniff", **error.headers}
    return _reply(error.status, f"{error.text}\n".encode(), "text/plain; charset=utf-8", nosniff)


def _reply(status: int, body: bytes, content_type: str, headers: dict[str, str]) -> Response:
    return Response(body, status, headers={"content-type": content_type, "cache-control": "no-cache", **headers})

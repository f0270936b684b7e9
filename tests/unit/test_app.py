"""What the edge does with what nobody foresaw."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from starlette.types import Message

from rangeland.api.app import make_app
from rangeland.api.replies import GENERIC
from rangeland.api.services import Services

SECRET = "a detail that is nobody's business"


def _stumble() -> str | None:
    raise ZeroDivisionError(SECRET)


def test_a_bug_is_the_generic_500_and_tells_the_client_nothing_of_itself() -> None:
    """The HTTP server above hears of it, too."""
    nobody = cast(Any, None)  # a health check asks none of them
    services = Services(
        cluster=nobody,
        auth=nobody,
        forwarding=nobody,
        unready=_stumble,
        verify_peer=nobody,
        require_known=nobody,
        is_draining=nobody,
        role_header=nobody,
        insecure=False,
        limits={},
        trusted_proxy=None,
        now_ns=nobody,
    )
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/api/v2/health/",
        "query_string": b"ready=true",
        "headers": [],
        "server": ("localhost", 8080),
        "client": ("127.0.0.1", 1),
        "scheme": "https",
        "root_path": "",
    }

    async def ask() -> None:
        await make_app(services)(scope, receive, send)

    with pytest.raises(ZeroDivisionError):
        asyncio.run(ask())
    head, body = sent
    assert (head["status"], body["body"]) == (500, f"{GENERIC}\n".encode())
    assert dict(head["headers"])[b"content-type"] == b"text/plain; charset=utf-8"

"""/health/, in v2 and at the root: is this node alive, and should it get traffic?"""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from rangeland.api.asking import Asking
from rangeland.api.replies import HttpError, bytes_reply, internal_error, json_reply
from rangeland.wire.health import UnreadyAnswer
from rangeland.wire.json import encode

_TRUTH = {"": False}
_TRUTH |= dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True)
_TRUTH |= dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False)
UNAVAILABLE = 14  # gRPC's code, which the reference puts into the body


async def show_health(asking: Asking) -> Response:
    """Whether this node is alive.

    `{}`; with `ready`, 500 while the node drains, isn't registered, or its server takes no clients.
    """
    if _unready(asking) is not None:
        raise internal_error()
    return json_reply({})


async def show_root_health(asking: Asking) -> Response:
    """Whether this node is alive, for load balancers: 503 where v2 says 500.

    Source: Cluster API, non-v2 HTTP.
    """
    reason = _unready(asking)
    if reason is None:
        return bytes_reply(b"{\n\n}")
    said = encode(UnreadyAnswer(error=reason, code=UNAVAILABLE, message=reason))
    return bytes_reply(msgspec.json.format(said, indent=2), status=503)


def _unready(asking: Asking) -> str | None:
    """Why the node should get no traffic, if that was asked. Raises: HttpError 400."""
    ready = _TRUTH.get(asking.parameter("ready"))
    if ready is None:
        raise HttpError(400, "invalid ready value")
    return asking.services.unready() if ready else None

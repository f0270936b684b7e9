"""/health/: is this node alive, and should it get traffic?"""

from __future__ import annotations

import structlog
from starlette.responses import Response

from rangeland.api.asking import Asking
from rangeland.api.replies import HttpError, internal_error, json_reply

_TRUTH = {"": False}
_TRUTH |= dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True)
_TRUTH |= dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False)

log = structlog.get_logger()


async def show_health(asking: Asking) -> Response:
    """`{}`; with `ready`, 500 while the node drains, isn't registered, or its server takes no clients."""
    ready = _TRUTH.get(asking.parameter("ready"))
    if ready is None:
        raise HttpError(400, "invalid ready value")
    reason = asking.services.unready() if ready else None
    if reason is not None:
        log.debug("not ready", reason=reason)
        raise internal_error()
    return json_reply({})

"""/health/restart_safety/: can this node's server be stopped now?"""

from __future__ import annotations

from starlette.responses import Response

from rangeland.api.asking import Asking
from rangeland.api.health import parse_flag
from rangeland.api.replies import HttpError, bytes_reply
from rangeland.cluster import questions as q
from rangeland.errors import RangelandError
from rangeland.merge.restart_safety import decide_restart
from rangeland.wire.json import encode
from rangeland.wire.parts import Nothing, ReplicationPart
from rangeland.wire.restart_safety import RestartSafetyAnswer


async def show_restart_safety(asking: Asking) -> Response:
    """200 when stopping the server costs neither availability nor redundancy, else 503 with the reasons.

    With `allow_minimum_quorum` redundancy doesn't count.
    """
    is_relaxed = parse_flag(asking.parameter("allow_minimum_quorum"))
    if is_relaxed is None:
        raise HttpError(400, "invalid allow_minimum_quorum value; should be true or false")
    services = asking.services

    async def ask() -> RestartSafetyAnswer:
        return await _decide(asking, is_relaxed=is_relaxed)

    answer = await services.flights.join(("restart_safety", is_relaxed), ask)
    return bytes_reply(encode(answer), status=200 if answer.is_restart_safe else 503)


async def _decide(asking: Asking, *, is_relaxed: bool) -> RestartSafetyAnswer:
    """Raises: HttpError 500 where the server itself can't be asked."""
    cluster = asking.services.cluster
    part = await cluster.ask(cluster.node_id, q.REPLICATION, Nothing(), deadline=asking.deadline)
    if part.value is None:
        raise HttpError(500, "Error checking store status")
    return decide_restart(
        part.value,
        part.value if part.value.is_primary else await _of_primary(asking),
        node_id=cluster.node_id,
        standby_target=len(cluster.active_ids()) - 1,
        is_draining=asking.services.is_draining(),
        is_relaxed=is_relaxed,
    )


async def _of_primary(asking: Asking) -> ReplicationPart | None:
    """None where there is none, or it can't say."""
    try:
        return await asking.services.cluster.ask_primary(q.PRIMARY_REPLICATION, Nothing(), deadline=asking.deadline)
    except RangelandError:
        return None

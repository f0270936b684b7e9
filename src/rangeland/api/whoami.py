"""/whoami/: who is asking, and where. For the console, whose cookie no script can read."""

from __future__ import annotations

from datetime import UTC, datetime

from rangeland.api.asking import Asking
from rangeland.api.replies import Body, encoded
from rangeland.auth import Caller
from rangeland.wire.times import rfc3339
from rangeland.wire.whoami import WhoamiAnswer


async def show_caller(asking: Asking) -> Body:
    """Who is asking, until when, and of which node."""
    assert asking.caller is not None
    cluster = asking.services.cluster
    return encoded(answer_of(asking.caller, node_id=cluster.node_id, cluster_id=cluster.cluster_id))


def answer_of(caller: Caller, *, node_id: int, cluster_id: str) -> WhoamiAnswer:
    return WhoamiAnswer(
        username=caller.username,
        is_admin=caller.is_admin,
        is_redacted=caller.is_redacted,
        expires_at=rfc3339(datetime.fromtimestamp(caller.expires_at_s, UTC)) if caller.session_id else "",
        node_id=node_id,
        cluster_id=cluster_id,
        may_cancel=caller.may_signal,
    )

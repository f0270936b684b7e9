"""auth/: logging in by connecting, the users' web sessions, and who may do what.

Not here: the table of web sessions (state/) and status codes (api/). Read web_sessions.py first, then logins.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from rangeland.auth.failed_logins import FailedLogins
from rangeland.auth.grants import Grants
from rangeland.auth.logins import Logins
from rangeland.auth.revocations import Revocations
from rangeland.auth.web_sessions import Caller, WebSessionKeeper
from rangeland.cluster import Cluster, EventLog
from rangeland.cluster import questions as q
from rangeland.pg import Server
from rangeland.wire.members import HelloAnswer

__all__ = ["Auth", "Caller"]

TELL_S = 2.0  # for a node that is back to be told what it missed


class Auth:
    """The room's parts, put together. `keys` are the cluster's, `lifetime_s` is that of a login."""

    def __init__(
        self,
        server: Server,
        cluster: Cluster,
        events: EventLog,
        *,
        keys: Sequence[bytes],
        login_url: str | None,
        lifetime_s: float,
    ) -> None:
        self._cluster = cluster
        self.revocations = Revocations(server, cluster)
        self.grants = Grants(server, self.revocations, keys=keys)
        self.failed_logins = FailedLogins(server, events)
        self.logins = Logins(
            server,
            cluster,
            self.grants,
            self.revocations,
            events,
            self.failed_logins,
            login_url=login_url,
            lifetime_s=lifetime_s,
        )
        self.web_sessions = WebSessionKeeper(server, cluster, self.grants, self.revocations, events)

    def take_hello(self, answer: HelloAnswer) -> None:
        """Learn what another node remembers of sessions."""
        self.revocations.take(answer.revoked)
        self.grants.keep_offline(answer.offline)

    async def tell_returned(self, node_id: int, answer: HelloAnswer) -> None:
        """Exchange with a node that was silent what either remembers: it may not have noticed that it was cut off."""
        self.take_hello(answer)
        deadline = asyncio.get_running_loop().time() + TELL_S
        await self.revocations.tell_returned(node_id, deadline=deadline)
        for session in self.grants.offline_of(""):
            await self._cluster.ask(node_id, q.KEEP_SESSION, session, deadline=deadline)

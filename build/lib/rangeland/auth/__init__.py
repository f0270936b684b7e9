"""auth/: logging in by connecting, the users' web sessions, and who may do what.

Not here: the table of web sessions (state/) and status codes (api/). Read web_sessions.py first, then logins.py.
"""

from __future__ import annotations

from rangeland.auth.grants import Grants
from rangeland.auth.logins import Logins
from rangeland.auth.revocations import Revocations
from rangeland.auth.web_sessions import Caller, WebSessionKeeper
from rangeland.cluster import Cluster
from rangeland.pg import Server

__all__ = ["Auth", "Caller"]


class Auth:
    """The room's four parts, put together. `key` is the cluster's, `lifetime_s` that of a login."""

    def __init__(
        self, server: Server, cluster: Cluster, *, key: bytes, login_url: str | None, lifetime_s: float
    ) -> None:
        self.revocations = Revocations(server, cluster)
        self.grants = Grants(server, self.revocations, key=key)
        self.logins = Logins(server, cluster, self.grants, login_url=login_url, lifetime_s=lifetime_s)
        self.web_sessions = WebSessionKeeper(server, cluster, self.grants, self.revocations)

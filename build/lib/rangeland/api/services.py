"""What the handlers work with, put together by node/."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from rangeland.auth import Auth
from rangeland.cluster import Cluster, Flights
from rangeland.wire.nodes import NodeStatus


@dataclass(slots=True)
class Services:
    """One a node. `unready` says why this node should get no traffic now, None when it should."""

    cluster: Cluster
    auth: Auth
    unready: Callable[[], str | None]
    verify_peer: Callable[[str, str], None]  # (token, path); raises PeerError
    role_header: Callable[[], str]
    insecure: bool
    trusted_proxy: str | None
    now_ns: Callable[[], int]
    flights: Flights = field(default_factory=Flights)
    last_status: dict[int, NodeStatus] = field(default_factory=dict)  # as this node last saw each

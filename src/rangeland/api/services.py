"""What the handlers work with, put together by node/."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from rangeland.api.problem_counts import ProblemCounts
from rangeland.api.traffic import Traffic
from rangeland.auth import Auth
from rangeland.cluster import Cluster, Flights, Forwarding, Sender
from rangeland.wire.nodes import NodeStatus


@dataclass(slots=True)
class Services:
    """One a node. `unready` says why this node should get no traffic now, None when it should."""

    cluster: Cluster
    auth: Auth
    forwarding: Forwarding
    unready: Callable[[], str | None]
    verify_peer: Callable[[str, str], str | None]  # (token, path) → its body's digest; raises PeerError
    require_known: Callable[[Sender, float], Awaitable[None]]  # (who asks, deadline); raises StrangerError
    is_draining: Callable[[], bool]
    role_header: Callable[[], str]
    insecure: bool
    limits: Mapping[str, float]  # of checks, where others than the defaults were given
    trusted_proxy: str | None
    now_ns: Callable[[], int]
    flights: Flights = field(default_factory=Flights)
    problem_counts: ProblemCounts = field(default_factory=ProblemCounts)
    traffic: Traffic = field(default_factory=Traffic)
    last_status: dict[int, NodeStatus] = field(default_factory=dict)  # as this node last saw each

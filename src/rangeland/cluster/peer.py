"""What this node knows of one other node, from the questions it asked."""

from __future__ import annotations

from dataclasses import dataclass, field

from rangeland.merge.nodes import liveness_when_down
from rangeland.wire.nodes import Liveness


@dataclass(slots=True)
class Peer:
    """Of another node, as last heard. Times are ns since the epoch, by this node's clock."""

    node_id: int
    role: str = "unknown"  # of its server
    last_role: str = ""  # likewise, kept while the node is silent or its server down; "": never known
    timeline: int = 0
    heard_at_ns: int = 0  # 0: never
    silent_since_ns: int = 0  # 0: it answered last time, or was never asked
    cause: str = ""  # why it is silent
    reached: bool = True  # silent, but something answered at its address
    clock_offset_s: float = 0.0  # its clock less ours
    unreadable: set[str] = field(default_factory=set)  # paths of questions that it last answered with something else
    server_id: str = ""  # of its server; "" while that is down or unknown
    refusal: str = ""  # why it takes this node for a stranger; "": it does not

    def heard(self, *, now_ns: int, role: str, timeline: int, server_id: str) -> None:
        self.role, self.timeline, self.server_id = role, timeline, server_id
        self.last_role = self.last_role if role == "unknown" else role
        self.heard_at_ns = now_ns
        self.silent_since_ns = 0
        self.cause = ""
        self.refusal = ""

    def missed(self, *, now_ns: int, cause: str, reached: bool) -> None:
        """A question went unanswered; the time of the first one in a row stays."""
        if not self.silent_since_ns:
            self.silent_since_ns = now_ns
        self.cause = cause
        self.reached = reached
        self.role = "unknown"
        self.server_id = ""

    def liveness(self, *, now_ns: int) -> Liveness:
        if not self.silent_since_ns:
            return Liveness.LIVE
        return liveness_when_down("active", self.silent_since_ns, now_ns)

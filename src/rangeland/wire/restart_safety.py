"""Whether a node's server can be stopped, as /health/restart_safety/ shows it.

Source: Cluster API, /health/restart_safety/.
"""

from msgspec import Struct


class Reason(Struct, frozen=True, kw_only=True):
    """Why the server should not be stopped now."""

    kind: str  # "primary", "no_primary", "last_standby", "standby_missing", "synchronous" or "upstream"
    text: str  # what would be lost, and what to do first


class RestartSafetyAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is lost while this node's server is stopped. Counts are of ranges, absent when 0 or not counted yet."""

    is_restart_safe: bool = False
    node_id: int = 0
    unavailable_range_count: int = 0  # that could not be read or written
    underreplicated_range_count: int = 0  # that would have no standby, or fewer than there are nodes for
    raft_leadership_on_node_count: int = 0  # that take their writes here: all on the primary
    store_not_draining_count: int = 0  # 1: the node still takes new clients; that alone is not unsafe here

    # additions of ours
    reasons: list[Reason] = []  # absent when it is safe

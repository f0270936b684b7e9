"""The nodes of the cluster as /nodes/ shows them. Source: Cluster API v2.0, /nodes/."""

from enum import IntEnum

from msgspec import UNSET, Struct, UnsetType


class Liveness(IntEnum):
    """What is known of a node; the number is on the wire, the name in the texts of errors."""

    UNKNOWN = 0
    DEAD = 1  # silent, or its server down, for 5 minutes or longer
    UNAVAILABLE = 2  # the same, for less than 5 minutes
    LIVE = 3  # it answers and its server accepts SQL
    DECOMMISSIONING = 4  # as live, of a node that is no active member
    DECOMMISSIONED = 5  # as dead, of a node that is no active member
    DRAINING = 6


class Address(Struct, frozen=True):
    """Where to connect."""

    network_field: str  # "tcp", or "unix" for a server that listens on a socket only
    address_field: str  # HOST:PORT, or the socket's path; "" when nothing is advertised


class Attrs(Struct, frozen=True, omit_defaults=True):
    """Words given with `--attrs`; `{}` when there are none."""

    attrs: list[str] = []


class Tier(Struct, frozen=True):
    """One step of a locality, such as region=eu."""

    key: str
    value: str


class Locality(Struct, frozen=True):
    """Where a node stands, from the widest tier to the narrowest, in the order given by the operator."""

    tiers: list[Tier]  # [] when none was given


class ServerVersion(Struct, frozen=True, kw_only=True):
    """PostgreSQL's version under the names of all released versions of the API; 18.6 is major 18, minor 6."""

    major: int
    minor: int
    patch: int  # always 0: PostgreSQL has no third number since 10
    internal: int  # always 0
    major_val: int  # as major; the name until 21.2
    minor_val: int  # as minor; the name until 21.2


class NodeStatus(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One node with its server and its machine. Zero where an "always" number isn't known."""

    node_id: int
    address: Address  # where other nodes and API clients reach this node
    attrs: Attrs
    locality: Locality
    ServerVersion: ServerVersion
    build_tag: str  # Rangeland's version, "v0.1.0"
    started_at: int  # when the node's process started, ns since 1970
    cluster_name: str  # "" when none was given
    sql_address: Address  # where clients reach this node's server
    metrics: dict[str, float] = {}  # of node, server and machine, by dotted name; finite numbers only
    store_metrics: dict[int, dict[str, float]] = {}  # by store id, which is the node's id
    total_system_memory: int = 0  # bytes; absent when unknown
    num_cpus: int = 0  # absent when unknown
    updated_at: int = 0  # when this was read, ns since 1970; absent when unknown
    liveness_status: Liveness

    # additions of ours
    role: str = ""  # "primary" or "standby"; absent when the server doesn't tell
    membership: str = ""  # "active", "decommissioning" or "decommissioned"; absent while no node knows it
    timeline: int = 0  # of the server's WAL; of two primaries the higher one counts; absent when unknown
    clock_offset_seconds: float | UnsetType = UNSET  # its clock less the answering node's, to a tenth; absent for
    # the answering node itself and for a node that is silent


class NodesAnswer(Struct, frozen=True, omit_defaults=True):
    """Nodes by ascending id."""

    nodes: list[NodeStatus]
    next: int = 0  # offset of the next page; absent on the last one

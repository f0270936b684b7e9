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

    network_field: str  # "tcp", or "unix" for a server that is reached by a socket
    address_field: str  # HOST:PORT, or the socket's path; "" when nothing is advertised


class Attrs(Struct, frozen=True, omit_defaults=True):
    """Words given with `--attrs`; `{}` when there are none."""

    attrs: list[str] = []  # in the order given; absent when there are none (setting attrs)


class Tier(Struct, frozen=True):
    """One step of a locality, such as region=eu."""

    key: str  # such as region
    value: str  # such as eu (setting locality)


class Locality(Struct, frozen=True):
    """Where a node stands, from the widest tier to the narrowest, in the order given by the operator."""

    tiers: list[Tier]  # [] when none was given


class ServerVersion(Struct, frozen=True, kw_only=True):
    """PostgreSQL's version under the names of all released versions of the API; 18.6 is major 18, minor 6."""

    major: int  # 0 until the server has answered once (server_version_num / 10000)
    minor: int  # 0 likewise (server_version_num % 10000)
    patch: int  # PostgreSQL doesn't have it since 10: always 0
    internal: int  # PostgreSQL doesn't have it: always 0
    major_val: int  # as major; the name until 21.2
    minor_val: int  # as minor; the name until 21.2


class NodeStatus(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One node with its server and its machine. Zero where an "always" number isn't known."""

    node_id: int  # given at the first start, kept for life (rangeland.nodes.node_id)
    address: Address  # where other nodes and API clients reach this node (setting advertise_http_addr)
    attrs: Attrs  # words of the operator's about the node
    locality: Locality  # where the node stands
    ServerVersion: ServerVersion  # of this node's server
    build_tag: str  # Rangeland's version, "v0.1.0"
    started_at: int  # when the node's process started, ns since 1970 (the operating system)
    cluster_name: str  # "" when none was given (setting cluster_name)
    sql_address: Address  # where clients reach this node's server
    # (setting advertise_sql_addr, else host and port of the connection)
    metrics: dict[str, float] = {}  # of node, machine and server, by dotted name; finite numbers only
    # (the operating system, pg_stat_activity, pg_stat_database)
    store_metrics: dict[int, dict[str, float]] = {}  # by store id, the node's id; absent while the server is down
    # (as metrics, pg_stat_replication, pg_replication_slots, pg_stat_wal, pg_stat_checkpointer, sizes)
    total_system_memory: int = 0  # bytes of the node's machine; absent when unknown (the operating system)
    num_cpus: int = 0  # of the node's machine; absent when unknown (the operating system)
    updated_at: int = 0  # when this was read, ns since 1970; absent when unknown
    liveness_status: Liveness  # 0 unknown, 1 dead, 2 unavailable, 3 live, 4 decommissioning, 5 decommissioned,
    # 6 draining (what the answering node sees)

    # additions of ours
    role: str = ""  # "primary" or "standby"; absent while the server is down (pg_is_in_recovery())
    membership: str = ""  # "active", "decommissioning" or "decommissioned"; absent while no node knows it
    # (rangeland.nodes.membership)
    timeline: int = 0  # of the server's WAL; of two primaries the higher one counts; absent when unknown
    # (pg_walfile_name(pg_current_wal_lsn()); on a standby pg_stat_wal_receiver.received_tli)
    clock_offset_seconds: float | UnsetType = UNSET  # its clock less the answering node's, to a tenth; absent for
    # the answering node itself and for a node that is silent (both nodes' clocks)


class NodesAnswer(Struct, frozen=True, omit_defaults=True):
    """Nodes by ascending id."""

    nodes: list[NodeStatus]  # [] when the page is empty
    next: int = 0  # offset of the next page; absent on the last one

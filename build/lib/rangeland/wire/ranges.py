"""Ranges (tables with their indexes and TOAST) as /nodes/{node_id}/ranges/ and /ranges/{range_id}/ show them.

Source: Cluster API v2.0, /nodes/{node_id}/ranges/ and /ranges/{range_id}/.
"""

from enum import IntEnum
from typing import Annotated

from msgspec import UNSET, Meta, Raw, Struct, UnsetType


class RangeDescriptor(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A range's number and keys."""

    range_id: int  # database number << 32 | table oid; below 2^53
    start_key: bytes = b""  # the bytes of Span.start_key (base64 on the wire)
    end_key: bytes = b""
    store_id: int  # filled in ranges_by_node_id of hot ranges only, otherwise 0, as the contract has it
    queries_per_second: float  # likewise


class Span(Struct, frozen=True, omit_defaults=True):
    """Keys to be read by people: /Table/<database>/<schema>.<table>/…"""

    start_key: str = ""
    end_key: str = ""


class Problems(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is wrong with a range; only true flags are printed."""

    unavailable: bool = False  # no live server holds it
    no_lease: bool = False  # there is no primary
    underreplicated: bool = False  # fewer streaming standbys than the target
    raft_log_too_large: bool = False  # a replication slot retains more WAL than the setting allows

    # without a meaning in PostgreSQL
    leader_not_lease_holder: bool = False
    no_raft_leader: bool = False
    overreplicated: bool = False
    paused_followers: bool = False
    range_too_large: bool = False
    quiescent_equals_ticking: bool = False
    circuit_breaker_error: bool = False


class RangeStatistics(Struct, frozen=True, kw_only=True):
    """Rates on one server over `window_seconds`; zero and unknown are absent (see number.nonzero)."""

    queries_per_second: float | UnsetType = UNSET  # scans started on the table and its indexes
    writes_per_second: float | UnsetType = UNSET  # tuples inserted, updated, deleted
    requests_per_second: float | UnsetType = UNSET
    reads_per_second: float | UnsetType = UNSET  # tuples read
    write_bytes_per_second: float | UnsetType = UNSET
    read_bytes_per_second: float | UnsetType = UNSET  # buffers touched × block size
    cpu_time_per_second: float | UnsetType = UNSET  # ns of CPU


class Timestamp(Struct, frozen=True, omit_defaults=True):
    """A moment; `{}` when unknown."""

    wall_time: int = 0  # ns since 1970
    logical: int = 0
    synthetic: bool = False


class ReplicaType(IntEnum):
    """How a copy follows; PostgreSQL has the two that are named so."""

    VOTER_FULL = 0  # the primary, or a synchronous standby
    NON_VOTER = 5  # an asynchronous standby


class Replica(Struct, frozen=True, kw_only=True):
    """A table's copy on one server."""

    node_id: int
    store_id: int  # the node's number again: one data directory a node
    replica_id: int
    type: ReplicaType


class Lease(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who takes writes: the primary."""

    start: Timestamp
    expiration: Timestamp | None = None  # absent: a primary stays one until another is promoted
    replica: Replica
    deprecated_start_stasis: Timestamp | None = None
    proposed_ts: Timestamp
    epoch: int = 0
    sequence: int = 0
    acquisition_type: int = 0  # 1 transfer, 2 request
    min_expiration: Timestamp
    term: int = 0  # the WAL timeline


class Sizes(Struct, frozen=True, kw_only=True):
    """Bytes on this server's disk; total is the sum of the other three."""

    total_bytes: int
    table_bytes: int  # the main fork: without the free space and visibility maps
    indexes_bytes: int  # the table's indexes, not TOAST's
    toast_bytes: int  # TOAST with its index; 0 when there is none


class IndexInfo(Struct, frozen=True, kw_only=True):
    """One index of a table."""

    name: str
    size_bytes: int | UnsetType = UNSET  # absent when a lock kept us from looking
    scans: int | UnsetType = UNSET  # since the server's statistics began; absent when unknown


class RangeInfo(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A range as one server knows it."""

    desc: RangeDescriptor
    span: Span
    source_node_id: int = 0
    source_store_id: int = 0
    error_message: str = ""
    lease_history: list[Lease]  # the present lease only; [] when there is no primary
    problems: Problems
    stats: RangeStatistics
    quiescent: bool = False
    ticking: bool = False

    # additions of ours
    database: str = ""
    schema_name: str = ""
    table: str = ""
    kind: str = ""  # "table", "partition", "materialized view" or "catalog"
    sizes: Sizes | None = None  # absent when a lock has kept us from looking since the node started
    indexes: list[IndexInfo] = []  # by name; absent when there are none
    size_age_seconds: float | UnsetType = UNSET  # only when a lock kept us from looking now
    window_seconds: float | UnsetType = UNSET  # over what time `stats` were measured; absent: not yet


def zero_range_info() -> RangeInfo:
    """What stands in the place of a range whose node failed. Source: Cluster API v2.0, /ranges/{id}/."""
    return RangeInfo(
        desc=RangeDescriptor(range_id=0, store_id=0, queries_per_second=0.0),
        span=Span(),
        lease_history=[],
        problems=Problems(),
        stats=RangeStatistics(),
    )


# A RangeInfo that stays bytes on its way through the nodes
EncodedRangeInfo = Annotated[Raw, Meta(extra_json_schema={"$ref": "#/components/schemas/RangeInfo"})]


class NodeRangesAnswer(Struct, frozen=True, omit_defaults=True):
    """One node's ranges by ascending range id."""

    ranges: list[EncodedRangeInfo]
    next: int = 0  # offset of the next page; absent on the last one


class RangeDetail(Struct, frozen=True, omit_defaults=True):
    """One node's answer about a range."""

    range_info: RangeInfo  # `zero_range_info` when there is an error
    error: str = ""


class RangeAnswer(Struct, frozen=True):
    """By node id; a node without a replica is absent, so an unknown range is `{}`."""

    responses_by_node_id: dict[int, RangeDetail]

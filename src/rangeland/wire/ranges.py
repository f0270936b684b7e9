"""Ranges (tables with their indexes and TOAST) as /nodes/{node_id}/ranges/ and /ranges/{range_id}/ show them.

Source: Cluster API v2.0, /nodes/{node_id}/ranges/ and /ranges/{range_id}/.
"""

from enum import IntEnum
from typing import Annotated

from msgspec import UNSET, Meta, Raw, Struct, UnsetType


class RangeDescriptor(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A range's number and keys."""

    range_id: int  # database number << 32 | table oid; below 2^53 (rangeland.databases.database_number, pg_class.oid)
    start_key: bytes = b""  # the bytes of Span.start_key (base64 on the wire)
    end_key: bytes = b""  # likewise of Span.end_key
    store_id: int  # filled in ranges_by_node_id of hot ranges only, otherwise 0, as the contract has it
    queries_per_second: float  # likewise: scans started on the table and its indexes, per second
    # (pg_stat_all_tables.seq_scan + idx_scan)


class Span(Struct, frozen=True, omit_defaults=True):
    """Keys to be read by people: /Table/<database>/<schema>.<table>/…"""

    start_key: str = ""  # …/Min, or a partition's lower bound
    end_key: str = ""  # …/Max, or a partition's upper bound
    # (current_database(), pg_namespace.nspname, pg_class.relname, pg_get_expr() of pg_class.relpartbound)


class Problems(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is wrong with a range; only true flags are printed."""

    unavailable: bool = False  # no live server holds it: never printed, as only live servers tell of ranges
    no_lease: bool = False  # there is no primary (pg_is_in_recovery() on every server)
    underreplicated: bool = False  # fewer standbys stream from the primary than there are other nodes; told by it
    # (pg_stat_replication.state)
    raft_log_too_large: bool = False  # a slot retains more WAL than is allowed: never printed, no setting limits it
    # (pg_replication_slots.restart_lsn)
    leader_not_lease_holder: bool = False  # PostgreSQL doesn't have it: never printed
    no_raft_leader: bool = False  # PostgreSQL doesn't have it: never printed
    overreplicated: bool = False  # PostgreSQL doesn't have it: never printed
    paused_followers: bool = False  # PostgreSQL doesn't have it: never printed
    range_too_large: bool = False  # PostgreSQL doesn't have it: never printed
    quiescent_equals_ticking: bool = False  # PostgreSQL doesn't have it: never printed
    circuit_breaker_error: bool = False  # PostgreSQL doesn't have it: never printed


class RangeStatistics(Struct, frozen=True, kw_only=True):
    """Rates on one server over `window_seconds`; zero and unknown are absent (see number.nonzero)."""

    queries_per_second: float | UnsetType = UNSET  # scans started on the table and its indexes
    # (pg_stat_all_tables.seq_scan + idx_scan)
    writes_per_second: float | UnsetType = UNSET  # tuples inserted, updated, deleted; absent on a standby
    # (pg_stat_all_tables.n_tup_ins + n_tup_upd + n_tup_del)
    requests_per_second: float | UnsetType = UNSET  # PostgreSQL doesn't have it: never printed
    reads_per_second: float | UnsetType = UNSET  # tuples read (pg_stat_all_tables.seq_tup_read + idx_tup_fetch)
    write_bytes_per_second: float | UnsetType = UNSET  # PostgreSQL doesn't have it: never printed
    read_bytes_per_second: float | UnsetType = UNSET  # bytes of the buffers touched
    # (pg_statio_all_tables: blks_hit + blks_read of heap, idx, toast, tidx; block_size)
    cpu_time_per_second: float | UnsetType = UNSET  # ns of CPU; PostgreSQL doesn't have it: never printed


class Timestamp(Struct, frozen=True, omit_defaults=True):
    """A moment; `{}` when unknown."""

    wall_time: int = 0  # ns since 1970; never printed: PostgreSQL keeps no time of a promotion
    logical: int = 0  # PostgreSQL doesn't have it: never printed
    synthetic: bool = False  # PostgreSQL doesn't have it: never printed


class ReplicaType(IntEnum):
    """How a copy follows; PostgreSQL has the two that are named so."""

    VOTER_FULL = 0  # the primary, or a synchronous standby
    NON_VOTER = 5  # an asynchronous standby


class Replica(Struct, frozen=True, kw_only=True):
    """A table's copy on one server."""

    node_id: int  # the node beside that server (rangeland.nodes.node_id)
    store_id: int  # as node_id: one data directory a node
    replica_id: int  # as node_id: one copy a node
    type: ReplicaType  # 0: a leaseholder is always a full voter


class Lease(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who takes writes: the primary."""

    start: Timestamp  # {}: PostgreSQL keeps no time of a promotion
    expiration: Timestamp | None = None  # never printed: a primary stays one until another is promoted
    replica: Replica  # the primary's
    deprecated_start_stasis: Timestamp | None = None  # PostgreSQL doesn't have it: never printed
    proposed_ts: Timestamp  # PostgreSQL doesn't have it: always {}
    epoch: int = 0  # as term
    sequence: int = 0  # PostgreSQL doesn't have it: never printed
    acquisition_type: int = 0  # 1 transfer, 2 request; PostgreSQL doesn't have it: never printed
    min_expiration: Timestamp  # PostgreSQL doesn't have it: always {}
    term: int = 0  # the WAL timeline of the server that tells
    # (pg_walfile_name(pg_current_wal_lsn()); on a standby pg_stat_wal_receiver.received_tli)


class Sizes(Struct, frozen=True, kw_only=True):
    """Bytes on this server's disk; total is the sum of the other three."""

    total_bytes: int  # a little less than pg_total_relation_size(), which counts free space and visibility maps
    table_bytes: int  # the main fork: without the free space and visibility maps (pg_relation_size() of the table)
    indexes_bytes: int  # the table's indexes, not TOAST's (pg_relation_size() of each)
    toast_bytes: int  # TOAST with its index; 0 when there is none (pg_relation_size() of both)


class IndexInfo(Struct, frozen=True, kw_only=True):
    """One index of a table."""

    name: str  # the index's name, unquoted (pg_class.relname)
    size_bytes: int | UnsetType = UNSET  # absent when a lock kept us from looking (pg_relation_size())
    scans: int | UnsetType = UNSET  # since the server's statistics began; absent when unknown
    # (pg_stat_all_indexes.idx_scan)


class RangeInfo(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A range as one server knows it."""

    desc: RangeDescriptor  # its number, and its keys as bytes
    span: Span  # its keys as text
    source_node_id: int = 0  # the node that tells; absent where it could not be asked
    source_store_id: int = 0  # as source_node_id
    error_message: str = ""  # never printed: an error is RangeDetail.error, or the whole answer's
    lease_history: list[Lease]  # the present lease only; [] when there is no primary
    problems: Problems  # {} when there are none
    stats: RangeStatistics  # rates on the server of the node that tells; {} when idle
    quiescent: bool = False  # PostgreSQL doesn't have it: never printed
    ticking: bool = False  # PostgreSQL doesn't have it: never printed

    # additions of ours
    database: str = ""  # unquoted; of the shared catalogues: the database that they were read in (current_database())
    schema_name: str = ""  # the table's schema, unquoted (pg_namespace.nspname)
    table: str = ""  # the table's name, unquoted (pg_class.relname)
    kind: str = ""  # "table", "partition", "materialized view" or "catalog"
    # (pg_class.relkind, relispartition; pg_namespace.nspname)
    sizes: Sizes | None = None  # absent when nobody could look yet: a lock, or beyond an answer's first 10,000
    indexes: list[IndexInfo] = []  # by name; absent when there are none
    size_age_seconds: float | UnsetType = UNSET  # s since `sizes` were read; absent unless a lock is in the way
    window_seconds: float | UnsetType = UNSET  # s over which `stats` were measured; absent: not yet


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

    ranges: list[EncodedRangeInfo]  # [] when the page is empty
    next: int = 0  # offset of the next page; absent on the last one


class RangeDetail(Struct, frozen=True, omit_defaults=True):
    """One node's answer about a range."""

    range_info: RangeInfo  # `zero_range_info` when there is an error
    error: str = ""  # why this node's answer is missing; absent when it isn't


class RangeAnswer(Struct, frozen=True):
    """By node id; a node without a replica is absent, so an unknown range is `{}`."""

    responses_by_node_id: dict[int, RangeDetail]  # the key is the node id as text

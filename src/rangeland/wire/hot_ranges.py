"""The busiest ranges as /ranges/hot/ shows them, in the shapes of all released versions at once.

Source: Cluster API v2.0, /ranges/hot/.
"""

from msgspec import UNSET, Struct, UnsetType

from rangeland.wire.ranges import RangeDescriptor


class HotRange(Struct, frozen=True, kw_only=True):
    """A range's rates on the server of the node that reported it; 0.0 where PostgreSQL doesn't know."""

    range_id: int  # database number << 32 | table oid (rangeland.databases.database_number, pg_class.oid)
    node_id: int  # the node that reported it
    qps: float  # scans started on the table and its indexes, per second (pg_stat_all_tables.seq_scan + idx_scan)
    writes_per_second: float  # tuples inserted, updated, deleted, per second; 0 on a standby
    # (pg_stat_all_tables.n_tup_ins + n_tup_upd + n_tup_del)
    reads_per_second: float  # tuples read, per second (pg_stat_all_tables.seq_tup_read + idx_tup_fetch)
    write_bytes_per_second: float  # PostgreSQL doesn't have it: always 0
    read_bytes_per_second: float  # bytes of the buffers touched, per second (as buffers_per_second, × block_size)
    cpu_time_per_second: float  # ns of CPU per second: PostgreSQL doesn't have it: always 0
    leaseholder_node_id: int = 0  # the primary's node; 0 when there is no primary, and before the merge
    # (pg_is_in_recovery() on every server)
    table_name: str  # the table's name, unquoted (pg_class.relname)
    database_name: str  # unquoted; of the shared catalogues: the database that they were read in (current_database())
    index_name: str  # PostgreSQL doesn't have it, a range being a table with all its indexes: always ""
    databases: list[str]  # database_name again, as the newest versions have it
    tables: list[str]  # table_name again, likewise
    indexes: list[str]  # the names of the table's indexes, by name (pg_index.indexrelid, pg_class.relname)
    schema_name: str  # the table's schema, unquoted (pg_namespace.nspname)
    replica_node_ids: list[int] = []  # the nodes that hold a copy, ascending; [] before the merge
    # (rangeland.nodes; of an unlogged table, by pg_class.relpersistence, the primary's node alone)
    store_id: int  # as node_id: one data directory a node

    # additions of ours
    buffers_per_second: float  # buffers touched of table, indexes and TOAST, per second: what "hot" is ordered by
    # (pg_statio_all_tables: blks_hit + blks_read of heap, idx, toast, tidx)
    disk_read_bytes_per_second: float | UnsetType = UNSET  # bytes of those not found in shared buffers, per second
    # (pg_statio_all_tables: blks_read of heap, idx, toast, tidx; block_size)
    window_seconds: float | UnsetType = UNSET  # s over which the rates were measured
    size_bytes: int | UnsetType = UNSET  # of table, indexes and TOAST; absent when a lock kept us from looking
    # (pg_relation_size() of each, looked at once a minute at most)


class ResponseError(Struct, frozen=True, omit_defaults=True):
    """Why a node's hot ranges are missing from an answer."""

    error_message: str  # begins with "failed to dial into node" or "error requesting hot ranges from node"
    node_id: int = 0  # absent for node 0, which is never one


class HotRangesAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Ranges hottest first, over all nodes of the page; a table that is hot on two servers is there twice."""

    ranges: list[HotRange]  # [] when nothing was busy
    ranges_by_node_id: dict[int, list[RangeDescriptor]]  # until 21.2; each node's by ascending id
    response_error: list[ResponseError] = []  # by ascending node id; absent when every node answered
    next: str  # token of the next page, never empty: the last page is the one that is shorter than the limit

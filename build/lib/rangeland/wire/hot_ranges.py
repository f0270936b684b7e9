"""The busiest ranges as /ranges/hot/ shows them, in the shapes of all released versions at once.

Source: Cluster API v2.0, /ranges/hot/.
"""

from msgspec import UNSET, Struct, UnsetType

from rangeland.wire.ranges import RangeDescriptor


class HotRange(Struct, frozen=True, kw_only=True):
    """A range's rates on the server of the node that reported it; 0.0 where PostgreSQL doesn't know."""

    range_id: int
    node_id: int  # the node that reported it
    qps: float  # scans started on the table and its indexes, per second
    writes_per_second: float  # tuples inserted, updated, deleted
    reads_per_second: float  # tuples read
    write_bytes_per_second: float
    read_bytes_per_second: float  # buffers touched × block size
    cpu_time_per_second: float  # ns of CPU
    leaseholder_node_id: int = 0  # the primary's node, filled in by the merge; 0: there is no primary
    table_name: str
    database_name: str
    index_name: str  # "" always: a range is a table with all its indexes
    databases: list[str]  # database_name again, as the newest versions have it
    tables: list[str]  # likewise
    indexes: list[str]  # the names of the table's indexes
    schema_name: str
    replica_node_ids: list[int] = []  # the nodes that hold a copy, ascending, filled in by the merge
    store_id: int

    # additions of ours
    buffers_per_second: float  # buffers touched: what "hot" is ordered by
    disk_read_bytes_per_second: float | UnsetType = UNSET  # of these, not found in shared buffers
    window_seconds: float | UnsetType = UNSET  # over what time the rates were measured
    size_bytes: int | UnsetType = UNSET  # table, indexes and TOAST; absent when a lock kept us from looking


class ResponseError(Struct, frozen=True, omit_defaults=True):
    """Why a node's hot ranges are missing from an answer."""

    error_message: str
    node_id: int = 0


class HotRangesAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Ranges hottest first, over all nodes of the page; a table that is hot on two servers is there twice."""

    ranges: list[HotRange]
    ranges_by_node_id: dict[int, list[RangeDescriptor]]  # until 21.2; each node's by ascending id
    response_error: list[ResponseError] = []  # by ascending node id; absent when every node answered
    next: str  # token of the next page, never empty: the last page is the one that is shorter than the limit

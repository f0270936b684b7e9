"""What nodes ask each other and answer, the same whether a node asks itself or a peer; private to Rangeland.

Two neighbouring versions of Rangeland speak it to each other: new fields need a default.
"""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Raw, Struct

from rangeland.wire.databases import DatabaseAnswer, GrantsAnswer, TableAnswer, TablesAnswer
from rangeland.wire.hot_ranges import HotRange
from rangeland.wire.nodes import NodeStatus
from rangeland.wire.problems import Unchecked
from rangeland.wire.ranges import RangeInfo, Span


class Nothing(Struct, frozen=True):
    """The parameters of a question that has none."""


class PageParams(Struct, frozen=True, kw_only=True):
    """Which stretch of a list."""

    limit: int = 0  # 0: all, whatever the offset
    offset: int = 0


class EventsParams(Struct, frozen=True, kw_only=True):
    """Which events, and which stretch of them."""

    event_type: str = ""  # exact; "" for all
    limit: int = 0  # 0: all, whatever the offset
    offset: int = 0


class SessionsParams(Struct, frozen=True, kw_only=True):
    """Which sessions of a node, and from which place of its list."""

    username: str = ""  # exact; "" for all
    index: int = 0  # the place to begin at; places count sessions that are passed over, too
    limit: int = 0  # 0: all
    exclude_closed: bool = False
    redacted_for: str = ""  # a reader who sees other users' statements without constants; "": who sees all


class SignalParams(Struct, frozen=True, kw_only=True):
    """Which session of a node is to be cancelled or ended, and who wants that."""

    pid: Annotated[int, Meta(ge=0, le=2**32 - 1)]
    started_at_us: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]  # when the server began the process, µs since 1970
    terminate: bool = False  # end the session; False: only what it does now
    caller: str = ""  # name of the role that asks
    client_address: str = ""  # from where, for the event


class SignalOutcome(StrEnum):
    """What a server did with a signal, or why it sent none."""

    SIGNALLED = "signalled"
    GONE = "gone"  # no client's session with that process and start, or one of the node's own
    NOT_GRANTED = "not_granted"  # `init --allow-cancel` was not given, or its grant was taken back
    SUPERUSER = "superuser"  # the session is a superuser's
    NOT_ALLOWED = "not_allowed"  # the caller lacks the right
    IDLE = "idle"  # there is nothing to cancel
    STALE = "stale"  # the server's roles may be old: only the primary can say; never told to another node


class SignalPart(Struct, frozen=True, kw_only=True):
    """What became of it."""

    outcome: SignalOutcome


class SignalRightParams(Struct, frozen=True, kw_only=True):
    """May this caller signal sessions of that role?"""

    caller: str
    role_oid: Annotated[int, Meta(ge=0, le=2**32 - 1)]


class SignalRight(Struct, frozen=True, kw_only=True):
    """What the primary says of a caller and a role, as of now."""

    allowed: bool
    target_is_superuser: bool


class RangesParams(Struct, frozen=True, kw_only=True):
    """Which ranges of a node."""

    range_ids: list[int] | None = None  # None: all; ids that don't exist are passed over
    offset: int = 0
    limit: int = 0  # 0: all
    system: bool = False  # with each database's own catalogues
    after: int = 0  # a range id: the list begins behind it, whatever the offset; 0: at the offset
    read_sizes: bool = True  # False: only those that are known


class HotParams(Struct, frozen=True, kw_only=True):
    """Which of a node's hot ranges."""

    index: int = 0
    limit: int = 0  # 0: all that the node tracks


class RangeParams(Struct, frozen=True, kw_only=True):
    """Which range."""

    range_id: int


class DatabaseParams(Struct, frozen=True, kw_only=True):
    """Which database, and which stretch of a list of it."""

    database: str
    limit: int = 0  # 0: all, whatever the offset
    offset: int = 0


class DatabasePart(Struct, frozen=True, kw_only=True):
    """What a node knows of a database."""

    answer: DatabaseAnswer | None  # None: there is no such database


class DatabaseGrantsPart(Struct, frozen=True, kw_only=True):
    """Who may do what with a database."""

    answer: GrantsAnswer | None  # None: there is no such database


class DatabaseTablesPart(Struct, frozen=True, kw_only=True):
    """A database's tables."""

    answer: TablesAnswer | None  # None: there is no such database


class TableParams(Struct, frozen=True, kw_only=True):
    """Which table."""

    database: str
    table: str  # with or without its schema


class TablePart(Struct, frozen=True, kw_only=True):
    """What a node knows of a table."""

    answer: TableAnswer | None  # None: there is no such database, or no such table in it


class Item(Struct, frozen=True, array_like=True):
    """A list's entry that is passed on as bytes: `[key, body]`."""

    key: float  # what the merge orders by, ascending: a session's start in s since 1970, or a range id
    body: Raw  # the entry as it is in the answer, encoded


class ListPart(Struct, frozen=True, kw_only=True):
    """A stretch of one node's list, by ascending key."""

    items: list[Item]
    next_index: int = 0  # the place after the last item; 0: the end was reached
    places: list[int] = []  # of each item in the node's list; []: in a row from the index asked for


class HotPart(Struct, frozen=True, kw_only=True):
    """A stretch of one node's hot ranges, hottest first."""

    ranges: list[HotRange]
    next_index: int = 0  # 0: the end was reached
    unlogged_range_ids: list[int] = []  # those of `ranges` that only the primary has
    spans: dict[int, Span] = {}  # by range id: keys for `ranges_by_node_id`, where known


class RangePart(Struct, frozen=True, kw_only=True):
    """One node's knowledge of a range."""

    range_info: RangeInfo | None  # None: no replica here


class StatusPart(Struct, frozen=True, kw_only=True):
    """A node's account of itself and its server."""

    status: NodeStatus  # its liveness, membership, role and timeline are set by the merge
    server_up: bool  # the server accepts SQL
    down_since_ns: int = 0  # ns since 1970; 0 while it is up, or not known
    down_reason: str = ""  # what connecting ends with; "" while it is up
    role: str = "unknown"  # of the server: "primary", "standby" or "unknown"
    timeline: int = 0  # 0: unknown
    lsn: int = 0  # written (primary) or replayed (standby) so far, as an integer; 0: unknown
    draining: bool = False


class StandbyInfo(Struct, frozen=True, kw_only=True):
    """A physical standby that streams from a server."""

    slot_name: str | None
    application_name: str
    sync_state: str  # "async", "potential", "sync" or "quorum"
    lag_bytes: int | None  # WAL that it has not on its disk yet; None: the server is a standby itself


class ReplicationPart(Struct, frozen=True, kw_only=True):
    """Where a server stands in replication."""

    is_primary: bool
    synchronous_standby_names: str
    cluster_name: str  # under which a standby without another name follows
    receives: bool  # a standby that streams now
    upstream_slot: str | None  # by which it follows
    standbys: list[StandbyInfo]  # that follow it
    ranges: int | None  # that it holds; None: nobody has counted them yet


class CertificateEnd(Struct, frozen=True, kw_only=True):
    """When a certificate of a node's directory ends, in ns since 1970."""

    file: str  # its name, such as "node.crt"
    ends_at_ns: int
    served_ends_at_ns: int = 0  # of the one that is served until the node reads the file again; 0: it isn't served


class NodeAccount(Struct, frozen=True, kw_only=True):
    """What a node says of itself for the checks."""

    pid: int
    doubt: str = ""  # why it may be no member of the cluster; "": all is well
    rival_node_id: int = 0  # of the other node beside the same server; 0: there is none
    certificates: list[CertificateEnd] = []  # []: it serves without TLS, or can't read them


class PatroniMember(Struct, frozen=True, kw_only=True):
    """A member of a cluster that Patroni runs."""

    name: str
    role: str  # "leader", "replica", "sync_standby", "standby_leader", …
    state: str  # "running", "streaming", …
    tags: dict[str, str | int | float | bool] = {}


class PatroniPart(Struct, frozen=True, kw_only=True):
    """What the Patroni beside a node says of itself. Source: Patroni, REST API, GET /cluster."""

    url: str  # of its REST API
    error: str = ""  # why it says nothing; "": it answered
    is_paused: bool = False  # maintenance mode, of the whole cluster
    members: list[PatroniMember] = []  # of the whole cluster, this one included


class ProblemsPart(Struct, frozen=True, kw_only=True):
    """What a node read of its server for the checks."""

    status: StatusPart
    rows: dict[str, Raw]  # a list of rows by the reading's name; what could not be read is absent
    unchecked: list[Unchecked] = []  # why
    account: NodeAccount | None = None  # None: the node is older
    patroni: PatroniPart | None = None  # None: the node was not told where it is

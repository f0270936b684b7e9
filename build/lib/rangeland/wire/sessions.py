"""Sessions on the servers of the cluster as /sessions/ shows them. Source: Cluster API v2.0, /sessions/."""

from enum import IntEnum
from typing import Annotated, Final

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

INTERNAL_APP_NAME_PREFIX: Final = "rangeland"  # application_name of our own connections, not shown


class SessionStatus(IntEnum):
    """Whether a session runs a statement; "idle in transaction" is IDLE with an `active_txn`."""

    ACTIVE = 0  # not printed, as the contract has it
    CLOSED = 1
    IDLE = 2


class Phase(IntEnum):
    """What a statement is doing."""

    PREPARING = 0  # not printed, as the contract has it
    EXECUTING = 1


class ActiveQuery(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A statement that is running now. Absent fields are unknown to PostgreSQL, or empty, zero or false."""

    id: str = ""  # 32 hexadecimal digits, the same for the whole run of a statement
    txn_id: str  # UUID of the transaction, as TxnInfo.id
    sql: str = ""  # at most 1,000 bytes, then "…"
    start: str  # RFC 3339, UTC
    is_distributed: bool = False
    phase: Phase = Phase.PREPARING
    progress: float | UnsetType = UNSET  # 0 to 1; absent when not reported
    sql_no_constants: str = ""
    sql_anon: str = ""  # as sql_no_constants; the name until 21.2
    sql_summary: str = ""
    is_full_scan: bool = False
    elapsed_time: int  # ns
    plan_gist: str = ""
    placeholders: list[str] = []
    database: str = ""
    isolation_level: str = ""

    # additions of ours
    pid: int = 0  # the backend, as in pg_stat_activity


class TxnInfo(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An open transaction. Absent fields are unknown to PostgreSQL, or empty, zero or false."""

    id: str  # UUID, the same for the whole life of the transaction
    start: str  # RFC 3339, UTC
    txn_description: str = ""
    num_statements_executed: int = 0
    num_retries: int = 0
    num_auto_retries: int = 0
    deadline: str  # RFC 3339, UTC; times.ZERO_TIME: none
    implicit: bool = False  # a transaction of one statement
    alloc_bytes: int = 0
    max_alloc_bytes: int = 0
    read_only: bool = False
    is_historical: bool = False
    priority: str = ""
    quality_of_service: str = ""
    last_auto_retry_reason: str = ""
    elapsed_time: int  # ns
    isolation_level: str = ""


class Session(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A client backend of one server. Absent fields are unknown to PostgreSQL, or empty, zero or false."""

    node_id: int = 0
    username: str = ""
    client_address: str = ""  # IP:PORT, or "[local]" for a client on a Unix socket
    application_name: str = ""
    active_queries: list[ActiveQuery]  # one while a statement runs, otherwise []
    start: str  # RFC 3339, UTC: when the client connected
    last_active_query: str = ""  # the last statement that ended; at most 1,000 bytes, then "…"
    id: bytes = b""  # 16 bytes (base64 on the wire) made of node, process and start: never used again
    alloc_bytes: int = 0
    max_alloc_bytes: int = 0
    active_txn: TxnInfo | None = None  # absent outside a transaction
    last_active_query_no_constants: str = ""
    last_active_query_anon: str = ""  # as last_active_query_no_constants; the name until 21.2
    status: SessionStatus = SessionStatus.ACTIVE
    end: str = ""  # RFC 3339, UTC; only of a closed session
    num_txns_executed: int = 0
    txn_fingerprint_ids: list[int]  # [] here: PostgreSQL has no fingerprints of transactions
    total_active_time: int  # ns; 0 here: PostgreSQL has it by database only
    pg_backend_pid: int = 0
    trace_id: int = 0
    goroutine_id: int = 0
    authentication_method: str = ""

    # additions of ours
    database: str = ""
    state: str = ""  # PostgreSQL's own word, such as "idle in transaction (aborted)"
    wait_event_type: str = ""  # absent when it waits for nothing
    wait_event: str = ""
    blocking_pids: list[int] = []  # backends of the same server that it waits for; 0: a prepared transaction
    backend_type: str = ""
    query_id: str = ""  # decimal, 64 bits and signed: as a number, JavaScript and jq would round it


class NodeError(Struct, frozen=True, omit_defaults=True):
    """Why a node's sessions are missing from an answer."""

    node_id: int = 0
    message: str = ""


# A Session that stays bytes on its way through the nodes
EncodedSession = Annotated[Raw, Meta(extra_json_schema={"$ref": "#/components/schemas/Session"})]


class SessionsAnswer(Struct, frozen=True, kw_only=True):
    """Sessions of all nodes by ascending start."""

    sessions: list[EncodedSession]
    errors: list[NodeError]  # by ascending node id; [] when every node answered
    internal_app_name_prefix: str = INTERNAL_APP_NAME_PREFIX
    next: str  # token of the next page, never empty: the last page is the one that is shorter than the limit

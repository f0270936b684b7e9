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


class ParallelWorker(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A backend that runs a part of another's statement. Source: pg_stat_activity, backend_type, leader_pid."""

    pid: int
    wait_event_type: str = ""  # absent when it waits for nothing
    wait_event: str = ""
    elapsed_time: int  # ns since it was started


class ActiveQuery(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A statement that is running now. Absent fields are unknown to PostgreSQL, or empty, zero or false.

    Source: pg_stat_activity's column where a field names one. PostgreSQL knows of no running statement whether it
    scans a whole table, its plan, its parameters or how far it is: those fields of the contract are never filled.
    """

    id: str = ""  # 32 hexadecimal digits, the same for the whole run of a statement
    txn_id: str  # UUID of the transaction, as TxnInfo.id
    sql: str = (
        ""  # query: passwords masked, at most 1,000 bytes, then "…"; without constants for who may not see them
    )
    start: str  # query_start: RFC 3339, UTC
    is_distributed: bool = False  # never: a statement runs on one server
    phase: Phase = Phase.PREPARING  # always EXECUTING: PostgreSQL shows a statement from its parsing on
    progress: float | UnsetType = UNSET  # 0 to 1; absent when not reported
    sql_no_constants: str = ""  # "_" for each constant and parameter; absent when that can't be told
    sql_anon: str = ""  # as sql_no_constants; the name until 21.2
    sql_summary: str = ""  # the command and up to four names: "SELECT FROM orders, customers"
    is_full_scan: bool = False
    elapsed_time: int  # ns since query_start
    plan_gist: str = ""
    placeholders: list[str] = []
    database: str = ""  # datname
    isolation_level: str = ""  # never: see TxnInfo

    # additions of ours
    pid: int = 0  # the backend, as in pg_stat_activity
    parallel_workers: list[ParallelWorker] = []  # by ascending pid


class TxnInfo(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An open transaction. Absent fields are unknown to PostgreSQL, or empty, zero or false.

    PostgreSQL tells nobody but the session itself its isolation level, and counts neither statements nor retries of a
    transaction: those fields of the contract are never filled.
    """

    id: str  # UUID, the same for the whole life of the transaction
    start: str  # xact_start: RFC 3339, UTC
    txn_description: str = ""
    num_statements_executed: int = 0
    num_retries: int = 0
    num_auto_retries: int = 0
    deadline: str  # RFC 3339, UTC; times.ZERO_TIME: none
    implicit: bool = False  # surely a transaction of the one statement that runs; absent also where that isn't sure
    alloc_bytes: int = 0
    max_alloc_bytes: int = 0
    read_only: bool = False  # on a standby, where each transaction is; absent on a primary, which doesn't tell
    is_historical: bool = False
    priority: str = ""
    quality_of_service: str = ""
    last_auto_retry_reason: str = ""
    elapsed_time: int  # ns since xact_start
    isolation_level: str = ""


class Session(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A client backend of one server. Absent fields are unknown to PostgreSQL, or empty, zero or false.

    Source: pg_stat_activity's column where a field names one. PostgreSQL tells nobody but the session itself how it
    was authenticated, and nobody its memory: those fields of the contract are never filled.
    """

    node_id: int = 0
    username: str = ""  # usename
    client_address: str = ""  # client_addr:client_port, or "[local]" for a client on a Unix socket
    application_name: str = ""
    active_queries: list[ActiveQuery]  # one while a statement runs, otherwise []
    start: str  # backend_start: RFC 3339, UTC; when the client connected
    last_active_query: str = ""  # query, while none runs: as ActiveQuery.sql
    id: bytes = b""  # 16 bytes (base64 on the wire) made of node, process and start: never used again
    alloc_bytes: int = 0
    max_alloc_bytes: int = 0
    active_txn: TxnInfo | None = None  # absent outside a transaction
    last_active_query_no_constants: str = ""  # as ActiveQuery.sql_no_constants
    last_active_query_anon: str = ""  # as last_active_query_no_constants; the name until 21.2
    status: SessionStatus = SessionStatus.ACTIVE
    end: str = ""  # RFC 3339, UTC; only of a closed session: when the node first found it gone
    num_txns_executed: int = 0
    txn_fingerprint_ids: list[int]  # [] here: PostgreSQL has no fingerprints of transactions
    total_active_time: int  # ns; 0 here: PostgreSQL has it by database only
    pg_backend_pid: int = 0  # pid
    trace_id: int = 0
    goroutine_id: int = 0
    authentication_method: str = ""

    # additions of ours
    database: str = ""  # datname
    state: str = ""  # PostgreSQL's own word, such as "idle in transaction (aborted)"
    wait_event_type: str = ""  # absent when it waits for nothing
    wait_event: str = ""
    blocking_pids: list[int] = []  # pg_blocking_pids(): backends of the same server; 0: a prepared transaction
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

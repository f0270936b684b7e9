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
    """A backend that runs a part of another's statement (pg_stat_activity, backend_type "parallel worker")."""

    pid: int  # of the worker (pg_stat_activity.pid)
    wait_event_type: str = ""  # absent when it waits for nothing (pg_stat_activity.wait_event_type)
    wait_event: str = ""  # absent when it waits for nothing (pg_stat_activity.wait_event)
    elapsed_time: int  # ns since it was started (pg_stat_activity.backend_start)


class ActiveQuery(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A statement that is running now. Absent fields are unknown to PostgreSQL, or empty, zero or false."""

    id: str = ""  # 32 hexadecimal digits made of node, process and start: the same for the whole run of a statement
    txn_id: str  # UUID of the transaction, as TxnInfo.id
    sql: str = ""  # passwords masked, at most 1,000 bytes, then "…" (pg_stat_activity.query)
    start: str  # RFC 3339, UTC (pg_stat_activity.query_start)
    is_distributed: bool = False  # never there: a statement runs on one server
    phase: Phase = Phase.PREPARING  # 1 EXECUTING, always: PostgreSQL doesn't tell when a statement is prepared
    progress: float | UnsetType = UNSET  # 0 to 1; never there: PostgreSQL doesn't tell it of queries
    sql_no_constants: str = ""  # "_" for each constant and parameter, no comments; absent when they can't be told
    sql_anon: str = ""  # as sql_no_constants; the name until 21.2
    sql_summary: str = ""  # the command and up to four names, such as "SELECT FROM orders, customers"
    is_full_scan: bool = False  # never there: PostgreSQL doesn't tell the plan of what runs
    elapsed_time: int  # ns since start, by the server's clock
    plan_gist: str = ""  # never there: PostgreSQL doesn't tell the plan of what runs
    placeholders: list[str] = []  # never there: PostgreSQL doesn't tell the values of parameters
    database: str = ""  # (pg_stat_activity.datname)
    isolation_level: str = ""  # never there: PostgreSQL tells it to the session itself only

    # additions of ours
    pid: int = 0  # the backend (pg_stat_activity.pid)
    parallel_workers: list[ParallelWorker] = []  # by ascending pid; absent when there are none


class TxnInfo(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An open transaction. Absent fields are unknown to PostgreSQL, or empty, zero or false."""

    id: str  # UUID made of node, process and start: the same for the whole life of the transaction
    start: str  # RFC 3339, UTC (pg_stat_activity.xact_start)
    txn_description: str = ""  # never there
    num_statements_executed: int = 0  # never there: PostgreSQL doesn't count them
    num_retries: int = 0  # never there: PostgreSQL retries none
    num_auto_retries: int = 0  # never there: PostgreSQL retries none
    deadline: str  # RFC 3339, UTC; always 0001-01-01T00:00:00Z: none
    implicit: bool = False  # surely of the one statement that runs; absent also where that isn't sure
    alloc_bytes: int = 0  # never there
    max_alloc_bytes: int = 0  # never there
    read_only: bool = False  # on a standby, where each one is; absent on a primary, which doesn't tell
    is_historical: bool = False  # never there: PostgreSQL has no such reads
    priority: str = ""  # never there: PostgreSQL has none
    quality_of_service: str = ""  # never there: PostgreSQL has none
    last_auto_retry_reason: str = ""  # never there: PostgreSQL retries none
    elapsed_time: int  # ns since start, by the server's clock
    isolation_level: str = ""  # never there: PostgreSQL tells it to the session itself only


class Session(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A client backend of one server. Absent fields are unknown to PostgreSQL, or empty, zero or false."""

    node_id: int = 0  # of the node beside that server
    username: str = ""  # (pg_stat_activity.usename)
    client_address: str = ""  # IP:PORT, or "[local]" for a Unix socket (pg_stat_activity.client_addr, client_port)
    application_name: str = ""  # as the client says (pg_stat_activity.application_name)
    active_queries: list[ActiveQuery]  # one while a statement runs, otherwise []
    start: str  # RFC 3339, UTC: when the client connected (pg_stat_activity.backend_start)
    last_active_query: str = ""  # while no statement runs, the last one; as ActiveQuery.sql (pg_stat_activity.query)
    id: bytes = b""  # 16 bytes (base64 on the wire) made of node, process and start: never used again
    alloc_bytes: int = 0  # never there
    max_alloc_bytes: int = 0  # never there
    active_txn: TxnInfo | None = None  # absent outside a transaction
    last_active_query_no_constants: str = ""  # as ActiveQuery.sql_no_constants
    last_active_query_anon: str = ""  # as last_active_query_no_constants; the name until 21.2
    status: SessionStatus = SessionStatus.ACTIVE  # 0 ACTIVE, not printed; 1 CLOSED; 2 IDLE (pg_stat_activity.state)
    end: str = ""  # RFC 3339, UTC; only of a closed session: when its node first found it gone
    num_txns_executed: int = 0  # never there: PostgreSQL counts them by database only
    txn_fingerprint_ids: list[int]  # always []: PostgreSQL has no fingerprints of transactions
    total_active_time: int  # ns; always 0: PostgreSQL has it by database only
    pg_backend_pid: int = 0  # (pg_stat_activity.pid)
    trace_id: int = 0  # never there
    goroutine_id: int = 0  # never there
    authentication_method: str = ""  # never there: PostgreSQL tells it to the session itself only

    # additions of ours
    database: str = ""  # (pg_stat_activity.datname)
    state: str = ""  # PostgreSQL's own word, such as "idle in transaction (aborted)" (pg_stat_activity.state)
    wait_event_type: str = ""  # absent when it waits for nothing (pg_stat_activity.wait_event_type)
    wait_event: str = ""  # absent when it waits for nothing (pg_stat_activity.wait_event)
    blocking_pids: list[
        int
    ] = []  # whom on the same server it waits for; 0: a prepared transaction (pg_blocking_pids)
    backend_type: str = ""  # (pg_stat_activity.backend_type)
    query_id: str = (
        ""  # decimal, 64 bits and signed: as a number, JavaScript would round it (pg_stat_activity.query_id)
    )


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


class SignalAnswer(Struct, frozen=True):
    """The server has sent the session's process a signal; when it follows is up to the session."""

    signalled: bool = True  # always true: what else happens is an error (pg_cancel_backend, pg_terminate_backend)

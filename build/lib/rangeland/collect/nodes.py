"""This node's account of itself: its process, its machine and its server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from rangeland.collect.machine import Machine, disk_space
from rangeland.config import STATEMENT_TIMEOUT_S
from rangeland.errors import ServerError
from rangeland.pg import Role, Server
from rangeland.wire.nodes import Address, Attrs, Liveness, Locality, NodeStatus, ServerVersion, Tier
from rangeland.wire.number import finite
from rangeland.wire.parts import StatusPart

SIZES_AGE_S = 600.0  # sizes of databases are read at most that often: it stats every file
SIZES_PATIENCE_S = 0.2  # of an answer; a reading that takes longer shows in a later one


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a node knows of itself from its start."""

    build_tag: str  # "v0.1.0"
    http_address: str  # HOST:PORT, as advertised
    sql_address: str  # HOST:PORT, or the path of a Unix socket
    started_at_ns: int  # of the process, since 1970
    cluster_name: str = ""
    tiers: tuple[tuple[str, str], ...] = ()  # the locality, widest first
    attrs: tuple[str, ...] = ()


class StatusRow(NamedTuple):
    """The row of sql/nodes.sql, read_status; None where it has no meaning on this server."""

    is_local: bool
    data_directory: str | None
    lsn: int | None
    max_connections: int
    connections: int
    active: int
    idle: int
    idle_in_transaction: int
    waiting_for_lock: int
    open_transactions: int
    committed: int
    rolled_back: int
    cache_hits: int
    cache_misses: int
    deadlocks: int
    recovery_conflicts: int
    temp_bytes: int
    tuples_read: int
    tuples_written: int
    checkpoints_timed: int
    checkpoints_requested: int
    wal_bytes: int
    streaming_standbys: int
    send_lag_bytes: int | None  # of the standby that is furthest behind; None: none streams
    replay_lag_bytes: int | None  # None on a primary
    replay_delay_s: float | None  # None on a primary
    retained_wal_bytes: int | None  # by the slot that holds back most; None: there is no slot


class StoreSizes(NamedTuple):
    """The row of sql/nodes.sql, read_sizes."""

    databases_bytes: int
    wal_bytes: int


class StatusCollector:
    """This node's status.

    `count_ranges` tells how many ranges the server holds, None while nobody has counted them.
    """

    def __init__(
        self, server: Server, facts: NodeFacts, *, count_ranges: Callable[[], int | None] = lambda: None
    ) -> None:
        self._server = server
        self._facts = facts
        self._count_ranges = count_ranges
        self._machine = Machine()
        self._sizes: StoreSizes | None = None
        self._sizes_due_at = 0.0  # loop time
        self._reading_sizes: asyncio.Task[None] | None = None

    async def collect(self, *, node_id: int, deadline: float) -> StatusPart:
        """Read the status with one statement; never raises: of a server that is down, only the machine is
        told."""
        row = await self._row(deadline)
        if row is not None:
            await self._refresh_sizes(deadline)
        down = self._server.down
        return StatusPart(
            status=self._status(node_id, row),
            server_up=down is None,
            down_since_ns=down.since_ns if down else 0,
            role=self._server.role.value,
            timeline=self._server.timeline,
            lsn=(row.lsn or 0) if row else 0,
        )

    async def close(self) -> None:
        """Leave a reading of sizes that is still under way."""
        if self._reading_sizes is not None:
            self._reading_sizes.cancel()
            await asyncio.wait({self._reading_sizes})

    async def _row(self, deadline: float) -> StatusRow | None:
        try:
            rows = await self._server.fetch("nodes", "read_status", deadline=deadline)
        except ServerError:
            return None  # the part says so: its metrics are missing, and `server_up` tells an outage
        return StatusRow(*rows[0])

    async def _refresh_sizes(self, deadline: float) -> None:
        now = asyncio.get_running_loop().time()
        if self._reading_sizes is None and now >= self._sizes_due_at:
            self._sizes_due_at = now + SIZES_AGE_S
            self._reading_sizes = asyncio.create_task(self._read_sizes(now + STATEMENT_TIMEOUT_S))
        if self._reading_sizes is not None:
            await asyncio.wait({self._reading_sizes}, timeout=max(0.0, min(SIZES_PATIENCE_S, deadline - now)))

    async def _read_sizes(self, deadline: float) -> None:
        try:
            rows = await self._server.fetch("nodes", "read_sizes", deadline=deadline)
            self._sizes = StoreSizes(*rows[0])
        except ServerError:
            self._sizes = None  # too many files for a statement's time, or an outage: unknown until next time
        finally:
            self._reading_sizes = None

    def _status(self, node_id: int, row: StatusRow | None) -> NodeStatus:
        facts = self._facts
        is_primary = self._server.role is Role.PRIMARY
        store = store_metrics(row, self._sizes, self._count_ranges(), is_primary=is_primary) if row else {}
        return NodeStatus(
            node_id=node_id,
            address=_address(facts.http_address),
            attrs=Attrs(list(facts.attrs)),
            locality=Locality([Tier(key, value) for key, value in facts.tiers]),
            ServerVersion=server_version(self._server.version),
            build_tag=facts.build_tag,
            started_at=facts.started_at_ns,
            cluster_name=facts.cluster_name,
            sql_address=_address(facts.sql_address),
            metrics=finite({**self._machine.read(), **(sql_metrics(row) if row else {})}),
            store_metrics={node_id: finite(store)} if store else {},
            total_system_memory=self._machine.total_memory_bytes,
            num_cpus=self._machine.num_cpus,
            updated_at=time.time_ns(),
            liveness_status=Liveness.UNKNOWN,
        )


def sql_metrics(row: StatusRow) -> dict[str, float | None]:
    """The reference's names, where they have a true meaning here. Source: contract, "What clients rely
    on"."""
    return {
        "sql.conns": row.connections,
        "sql.statements.active": row.active,
        "sql.txns.open": row.open_transactions,
        "sql.txn.commit.count": row.committed,
        "sql.txn.rollback.count": row.rolled_back,
    }


def store_metrics(
    row: StatusRow, sizes: StoreSizes | None, ranges: int | None, *, is_primary: bool
) -> dict[str, float | None]:
    """Of the data directory: the reference's names where they fit, ours begin with `pg.`; None: unknown."""
    space = disk_space(row.data_directory) if row.is_local and row.data_directory else None
    return {
        "capacity": space and space[0],
        "capacity.available": space and space[1],
        "capacity.used": sizes and sizes.databases_bytes + sizes.wal_bytes,
        "livebytes": sizes and sizes.databases_bytes,
        "replicas": ranges,
        "ranges": ranges if is_primary else 0,  # counted where the lease is, as the reference does
        "pg.connections": row.connections,
        "pg.connections.active": row.active,
        "pg.connections.idle": row.idle,
        "pg.connections.idle_in_transaction": row.idle_in_transaction,
        "pg.connections.waiting_for_lock": row.waiting_for_lock,
        "pg.connections.max": row.max_connections,
        "pg.transactions.committed": row.committed,
        "pg.transactions.rolled_back": row.rolled_back,
        "pg.cache.hits": row.cache_hits,
        "pg.cache.misses": row.cache_misses,
        "pg.deadlocks": row.deadlocks,
        "pg.recovery_conflicts": row.recovery_conflicts,
        "pg.temp.bytes": row.temp_bytes,
        "pg.tuples.read": row.tuples_read,
        "pg.tuples.written": row.tuples_written,
        "pg.checkpoints.timed": row.checkpoints_timed,
        "pg.checkpoints.requested": row.checkpoints_requested,
        "pg.wal.bytes": row.wal_bytes,
        "pg.wal.retained.bytes": row.retained_wal_bytes,
        "pg.replication.standbys": row.streaming_standbys,
        "pg.replication.lag.bytes": row.send_lag_bytes if is_primary else _not_negative(row.replay_lag_bytes),
        "pg.replication.delay.seconds": _not_negative(row.replay_delay_s),
    }


def server_version(version: int) -> ServerVersion:
    """PostgreSQL's version; zeros while it has never been heard."""
    major, minor = divmod(version, 10000)
    return ServerVersion(major=major, minor=minor, patch=0, internal=0, major_val=major, minor_val=minor)


def _not_negative(value: float | None) -> float | None:
    """Two positions that are read one after the other may seem to run backwards."""
    return None if value is None else max(0.0, value)


def _address(text: str) -> Address:
    return Address("unix" if text.startswith("/") else "tcp", text)

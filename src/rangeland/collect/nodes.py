"""This node's account of itself: its process, its machine and its server."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from rangeland.collect.machine import Machine, disk_space
from rangeland.collect.rare import RareReading
from rangeland.errors import ServerError
from rangeland.pg import Role, Server
from rangeland.wire.nodes import Address, Attrs, Liveness, Locality, NodeStatus, ServerVersion, Tier
from rangeland.wire.number import finite
from rangeland.wire.parts import StatusPart

SIZES_AGE_S = 600.0  # sizes of databases are read at most that often: it stats every file
COUNTERS_AGE_S = 60.0  # checkpoints are minutes apart; summing pg_stat_statements takes 8 to 16 ms: 0.03 % of a core
PATIENCE_S = 0.2  # of an answer; a reading that takes longer shows in a later one


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
    uptime_s: float
    connections: int
    active: int
    idle: int
    idle_in_transaction: int
    waiting_for_lock: int
    max_connections: int
    open_transactions: int
    oldest_transaction_s: float
    autovacuum_workers: int
    prepared_transactions: int
    oldest_prepared_s: float
    committed: int
    rolled_back: int
    cache_hits: int
    cache_misses: int
    deadlocks: int
    recovery_conflicts: int
    temp_files: int
    temp_bytes: int
    tuples_read: int
    tuples_written: int
    sessions: int
    sessions_abandoned: int
    sessions_fatal: int
    sessions_killed: int
    checksum_failures: int | None  # None: the data directory has no checksums
    xid_age: int
    multixact_age: int
    freeze_max_age: int
    wal_bytes: int
    wal_records: int
    wal_full_page_images: int
    archived: int
    archive_failures: int
    streaming_standbys: int
    synchronous_standbys: int
    send_lag_bytes: int | None  # of the standby that is furthest behind; None: none streams
    send_lag_s: float | None  # likewise; None also while PostgreSQL hasn't measured it
    slots: int
    inactive_slots: int
    retained_wal_bytes: int | None  # by the slot that holds back most; None: there is no slot
    receiving: int | None  # None on a primary
    replay_lag_bytes: int | None  # None on a primary
    replay_delay_s: float | None  # None on a primary
    timeline: int  # of the WAL that is written, or received


class Checkpoints(NamedTuple):
    """The row of sql/nodes.sql, read_checkpoints."""

    timed: int
    requested: int
    write_s: float
    sync_s: float
    buffers: int


class StoreSizes(NamedTuple):
    """The row of sql/nodes.sql, read_sizes."""

    databases_bytes: int
    wal_bytes: int


class StatementCount:
    """Statements finished since this node's first reading.

    pg_stat_statements forgets the counts of entries that it evicts, and all on a reset: a sum that fell adds
    nothing, as a counter that falls would be taken for one that began anew.
    """

    def __init__(self) -> None:
        self.total: int | None = None  # None: unknown
        self._last: int | None = None

    def take(self, calls: int | None) -> None:
        """A new sum; None where there is no extension to ask."""
        if calls is None:
            return
        grown = max(0, calls - self._last) if self._last is not None else 0
        self.total = (self.total or 0) + grown
        self._last = calls


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
        self._statements = StatementCount()
        self._statements_read = RareReading(self._count_statements, age_s=COUNTERS_AGE_S, patience_s=PATIENCE_S)
        self._checkpoints = RareReading(self._read_checkpoints, age_s=COUNTERS_AGE_S, patience_s=PATIENCE_S)
        self._sizes = RareReading(self._read_sizes, age_s=SIZES_AGE_S, patience_s=PATIENCE_S)

    async def collect(self, *, node_id: int, deadline: float, is_kept: bool = False) -> StatusPart:
        """Read the status with one statement; never raises: of a server that is down, only the machine is
        told.

        Of a status that is kept all counters are read: an old one would look as if nothing had happened since.
        """
        row = await self._row(deadline)
        if row is not None:
            for reading in self._rare:
                await reading.refresh(deadline=deadline, is_due=is_kept and reading is not self._sizes)
        down = self._server.down
        return StatusPart(
            status=self._status(node_id, row),
            server_up=down is None,
            down_since_ns=down.since_ns if down else 0,
            down_reason=down.reason if down else "",
            role=self._server.role.value,
            timeline=row.timeline if row else self._server.timeline,
            lsn=(row.lsn or 0) if row else 0,
        )

    async def close(self) -> None:
        """Leave readings that are still under way."""
        for reading in self._rare:
            await reading.close()

    @property
    def _rare(self) -> tuple[RareReading[Any], ...]:
        return self._checkpoints, self._statements_read, self._sizes

    async def _row(self, deadline: float) -> StatusRow | None:
        try:
            rows = await self._server.fetch("nodes", "read_status", deadline=deadline)
        except ServerError:
            return None  # the part says so: its metrics are missing, and `server_up` tells an outage
        return StatusRow(*rows[0])

    async def _read_checkpoints(self, deadline: float) -> Checkpoints:
        return Checkpoints(*(await self._server.fetch("nodes", "read_checkpoints", deadline=deadline))[0])

    async def _count_statements(self, deadline: float) -> int | None:
        rows = await self._server.fetch("nodes", "count_statements", deadline=deadline)
        self._statements.take(rows[0][0] if rows else None)
        return self._statements.total if rows else None

    async def _read_sizes(self, deadline: float) -> StoreSizes:
        return StoreSizes(*(await self._server.fetch("nodes", "read_sizes", deadline=deadline))[0])

    def _status(self, node_id: int, row: StatusRow | None) -> NodeStatus:
        facts = self._facts
        is_primary = self._server.role is Role.PRIMARY
        sql = sql_metrics(row, self._statements_read.value) if row else {}
        store = store_metrics(row, self._checkpoints.value, self._sizes.value, is_primary=is_primary) if row else {}
        if store:
            store |= _range_metrics(self._count_ranges(), is_primary=is_primary)
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
            metrics=finite({**self._machine.read(), **sql}),
            store_metrics={node_id: finite(store)} if store else {},
            total_system_memory=self._machine.total_memory_bytes,
            num_cpus=self._machine.num_cpus,
            updated_at=time.time_ns(),
            liveness_status=Liveness.UNKNOWN,
        )


def sql_metrics(row: StatusRow, statements: int | None) -> dict[str, float | None]:
    """The reference's names, where they have a true meaning here; None: unknown. Source: contract, "What clients
    rely on". What each means stands in collect/metrics.py.
    """
    return {
        "sql.conns": row.connections,
        "sql.statements.active": row.active,
        "sql.query.count": statements,
        "sql.txns.open": row.open_transactions,
        "sql.txn.commit.count": row.committed,
        "sql.txn.rollback.count": row.rolled_back,
    }


def store_metrics(
    row: StatusRow, checkpoints: Checkpoints | None, sizes: StoreSizes | None, *, is_primary: bool
) -> dict[str, float | None]:
    """Of the data directory: the reference's names where they fit, ours begin with `pg.`; None: unknown.

    What each means stands in collect/metrics.py.
    """
    space = disk_space(row.data_directory) if row.is_local and row.data_directory else None
    lag_bytes, lag_s = (
        (row.send_lag_bytes, row.send_lag_s) if is_primary else (row.replay_lag_bytes, row.replay_delay_s)
    )
    return {
        "capacity": space and space[0],
        "capacity.available": space and space[1],
        "capacity.used": sizes and sizes.databases_bytes + sizes.wal_bytes,
        "livebytes": sizes and sizes.databases_bytes,
        "pg.uptime.seconds": row.uptime_s,
        "pg.connections": row.connections,
        "pg.connections.active": row.active,
        "pg.connections.idle": row.idle,
        "pg.connections.idle_in_transaction": row.idle_in_transaction,
        "pg.connections.waiting_for_lock": row.waiting_for_lock,
        "pg.connections.max": row.max_connections,
        "pg.sessions": row.sessions,
        "pg.sessions.abandoned": row.sessions_abandoned,
        "pg.sessions.fatal": row.sessions_fatal,
        "pg.sessions.killed": row.sessions_killed,
        "pg.transactions.committed": row.committed,
        "pg.transactions.rolled_back": row.rolled_back,
        "pg.transactions.oldest.seconds": row.oldest_transaction_s,
        "pg.transactions.prepared": row.prepared_transactions,
        "pg.transactions.prepared.oldest.seconds": row.oldest_prepared_s,
        "pg.xid.age": row.xid_age,
        "pg.multixact.age": row.multixact_age,
        "pg.xid.freeze_max_age": row.freeze_max_age,
        "pg.autovacuum.workers": row.autovacuum_workers,
        "pg.cache.hits": row.cache_hits,
        "pg.cache.misses": row.cache_misses,
        "pg.deadlocks": row.deadlocks,
        "pg.recovery_conflicts": row.recovery_conflicts,
        "pg.checksum_failures": row.checksum_failures,
        "pg.temp.files": row.temp_files,
        "pg.temp.bytes": row.temp_bytes,
        "pg.tuples.read": row.tuples_read,
        "pg.tuples.written": row.tuples_written,
        "pg.checkpoints.timed": checkpoints and checkpoints.timed,
        "pg.checkpoints.requested": checkpoints and checkpoints.requested,
        "pg.checkpoints.write.seconds": checkpoints and checkpoints.write_s,
        "pg.checkpoints.sync.seconds": checkpoints and checkpoints.sync_s,
        "pg.checkpoints.buffers": checkpoints and checkpoints.buffers,
        "pg.wal.bytes": row.wal_bytes,
        "pg.wal.records": row.wal_records,
        "pg.wal.full_page_images": row.wal_full_page_images,
        "pg.wal.retained.bytes": row.retained_wal_bytes,
        "pg.archiver.archived": row.archived,
        "pg.archiver.failed": row.archive_failures,
        "pg.replication.slots": row.slots,
        "pg.replication.slots.inactive": row.inactive_slots,
        "pg.replication.standbys": row.streaming_standbys,
        "pg.replication.standbys.synchronous": row.synchronous_standbys,
        "pg.replication.receiving": row.receiving,
        "pg.replication.lag.bytes": _not_negative(lag_bytes),
        "pg.replication.lag.seconds": _not_negative(lag_s),
        "pg.replication.delay.seconds": _not_negative(row.replay_delay_s),
    }


def _range_metrics(ranges: int | None, *, is_primary: bool) -> dict[str, float | None]:
    """None: nobody has counted them. `ranges` are counted where the lease is, as the reference does."""
    return {"replicas": ranges, "ranges": ranges if is_primary else 0}


def server_version(version: int) -> ServerVersion:
    """PostgreSQL's version; zeros while it has never been heard."""
    major, minor = divmod(version, 10000)
    return ServerVersion(major=major, minor=minor, patch=0, internal=0, major_val=major, minor_val=minor)


def _not_negative(value: float | None) -> float | None:
    """Two positions that are read one after the other may seem to run backwards."""
    return None if value is None else max(0.0, value)


def _address(text: str) -> Address:
    return Address("unix" if text.startswith("/") else "tcp", text)

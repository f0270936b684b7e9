"""Every metric that a node tells of its process, machine and server, for `nodes/`, `/metrics` and the docs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    COUNTER = "counter"  # only grows, until its source begins anew
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True)
class Metric:
    """`name` is the dotted one of `nodes/`; `source` says where the number is read."""

    name: str
    kind: Kind
    unit: str  # "" where it counts things
    help: str
    source: str

    @property
    def family(self) -> str:
        """Its name in Prometheus' format, where a counter's samples have `_total` added."""
        return re.sub(r"[^a-z0-9]", "_", self.name)

    @property
    def exposed_name(self) -> str:
        """As it stands in queries."""
        return f"{self.family}_total" if self.kind is Kind.COUNTER else self.family


def _gauge(name: str, unit: str, help: str, source: str) -> Metric:
    return Metric(name, Kind.GAUGE, unit, help, source)


def _counter(name: str, unit: str, help: str, source: str) -> Metric:
    return Metric(name, Kind.COUNTER, unit, help, source)


_ACTIVITY = "pg_stat_activity"
_DATABASE = "pg_stat_database"
_PROCESS = "operating system, this process"
_HOST = "operating system"

OF_A_NODE: tuple[Metric, ...] = (
    _gauge(
        "sys.cpu.user.percent", "cores", "CPU of the node's process in user mode, since the last reading", _PROCESS
    ),
    _gauge(
        "sys.cpu.sys.percent", "cores", "CPU of the node's process in the kernel, since the last reading", _PROCESS
    ),
    _gauge(
        "sys.cpu.combined.percent-normalized", "of all cores", "CPU of the node's process as a share of all", _PROCESS
    ),
    _gauge(
        "sys.cpu.host.combined.percent-normalized", "of all cores", "CPU that everything on the machine uses", _HOST
    ),
    _counter("sys.cpu.user.ns", "nanoseconds", "CPU time of the node's process in user mode", _PROCESS),
    _counter("sys.cpu.sys.ns", "nanoseconds", "CPU time of the node's process in the kernel", _PROCESS),
    _gauge("sys.rss", "bytes", "Memory of the node's process", _PROCESS),
    _gauge("sys.uptime", "seconds", "Age of the node's process", _PROCESS),
    _gauge("sys.fd.open", "", "Open files and sockets of the node's process", _PROCESS),
    _gauge("sys.tasks", "", "Requests, questions and standing jobs that the node's process works on", "asyncio"),
    _gauge("sys.host.memory.available", "bytes", "Memory that programs can still get", _HOST),
    _gauge("sys.host.load.1m", "", "Processes that run or wait, mean of a minute", _HOST),
    _gauge("sql.conns", "", "Client connections to the server", _ACTIVITY),
    _gauge("sql.statements.active", "", "Client connections that run a statement", _ACTIVITY),
    _counter(
        "sql.query.count",
        "",
        "Statements finished since the node's first reading, less those evicted meanwhile",
        "pg_stat_statements, calls",
    ),
    _gauge("sql.txns.open", "", "Client connections with an open transaction", _ACTIVITY),
    _counter("sql.txn.commit.count", "", "Transactions committed", f"{_DATABASE}, xact_commit"),
    _counter("sql.txn.rollback.count", "", "Transactions rolled back", f"{_DATABASE}, xact_rollback"),
)

OF_A_STORE: tuple[Metric, ...] = (
    _gauge("capacity", "bytes", "Size of the file system with the data directory", "statvfs"),
    _gauge("capacity.available", "bytes", "Free space of that file system", "statvfs"),
    _gauge("capacity.used", "bytes", "All databases and the WAL that is kept", "pg_database_size, pg_ls_waldir"),
    _gauge("livebytes", "bytes", "All databases", "pg_database_size"),
    _gauge("replicas", "", "Ranges that the server holds a copy of", "pg_class"),
    _gauge("ranges", "", "Ranges that the server takes writes for; 0 on a standby", "pg_class"),
    _gauge("pg.uptime.seconds", "seconds", "Time since the server was started", "pg_postmaster_start_time"),
    _gauge("pg.connections", "", "Client connections", _ACTIVITY),
    _gauge("pg.connections.active", "", "Client connections that run a statement", f"{_ACTIVITY}, state"),
    _gauge("pg.connections.idle", "", "Client connections that do nothing", f"{_ACTIVITY}, state"),
    _gauge(
        "pg.connections.idle_in_transaction",
        "",
        "Client connections that do nothing in an open transaction",
        f"{_ACTIVITY}, state",
    ),
    _gauge(
        "pg.connections.waiting_for_lock",
        "",
        "Client connections that wait for a lock",
        f"{_ACTIVITY}, wait_event_type",
    ),
    _gauge("pg.connections.max", "", "How many connections the server allows", "max_connections"),
    _counter("pg.sessions", "", "Sessions begun", f"{_DATABASE}, sessions"),
    _counter("pg.sessions.abandoned", "", "Sessions whose client vanished", f"{_DATABASE}, sessions_abandoned"),
    _counter("pg.sessions.fatal", "", "Sessions ended by a fatal error", f"{_DATABASE}, sessions_fatal"),
    _counter("pg.sessions.killed", "", "Sessions ended by an operator", f"{_DATABASE}, sessions_killed"),
    _counter("pg.transactions.committed", "", "Transactions committed", f"{_DATABASE}, xact_commit"),
    _counter("pg.transactions.rolled_back", "", "Transactions rolled back", f"{_DATABASE}, xact_rollback"),
    _gauge(
        "pg.transactions.oldest.seconds",
        "seconds",
        "Age of the oldest open transaction of a client",
        f"{_ACTIVITY}, xact_start",
    ),
    _gauge("pg.transactions.prepared", "", "Prepared transactions that wait for their end", "pg_prepared_xact()"),
    _gauge(
        "pg.transactions.prepared.oldest.seconds",
        "seconds",
        "Age of the oldest of them; 0 without one",
        "pg_prepared_xact()",
    ),
    _gauge("pg.xid.age", "transactions", "Age of the oldest unfrozen transaction id", "pg_database, datfrozenxid"),
    _gauge("pg.multixact.age", "multixacts", "Age of the oldest multixact id", "pg_database, datminmxid"),
    _gauge(
        "pg.xid.freeze_max_age",
        "transactions",
        "Age at which autovacuum is forced to freeze",
        "autovacuum_freeze_max_age",
    ),
    _gauge("pg.autovacuum.workers", "", "Autovacuum workers at work", f"{_ACTIVITY}, backend_type"),
    _counter("pg.cache.hits", "blocks", "Blocks found in the buffer cache", f"{_DATABASE}, blks_hit"),
    _counter("pg.cache.misses", "blocks", "Blocks read from the operating system", f"{_DATABASE}, blks_read"),
    _counter("pg.deadlocks", "", "Deadlocks found", f"{_DATABASE}, deadlocks"),
    _counter("pg.recovery_conflicts", "", "Statements cancelled by replay", f"{_DATABASE}, conflicts"),
    _counter(
        "pg.checksum_failures",
        "blocks",
        "Blocks whose checksum was wrong; absent without checksums",
        f"{_DATABASE}, checksum_failures",
    ),
    _counter("pg.temp.files", "", "Temporary files made by statements", f"{_DATABASE}, temp_files"),
    _counter("pg.temp.bytes", "bytes", "Bytes written to temporary files", f"{_DATABASE}, temp_bytes"),
    _counter("pg.tuples.read", "rows", "Rows read", f"{_DATABASE}, tup_returned + tup_fetched"),
    _counter(
        "pg.tuples.written",
        "rows",
        "Rows inserted, updated and deleted",
        f"{_DATABASE}, tup_inserted + tup_updated + tup_deleted",
    ),
    _counter(
        "pg.checkpoints.timed",
        "",
        "Checkpoints and restartpoints begun by the clock",
        "pg_stat_checkpointer, num_timed",
    ),
    _counter(
        "pg.checkpoints.requested",
        "",
        "Checkpoints and restartpoints begun for another reason",
        "pg_stat_checkpointer, num_requested",
    ),
    _counter(
        "pg.checkpoints.write.seconds",
        "seconds",
        "Time spent writing in checkpoints",
        "pg_stat_checkpointer, write_time",
    ),
    _counter(
        "pg.checkpoints.sync.seconds",
        "seconds",
        "Time spent syncing in checkpoints",
        "pg_stat_checkpointer, sync_time",
    ),
    _counter(
        "pg.checkpoints.buffers", "blocks", "Blocks written by checkpoints", "pg_stat_checkpointer, buffers_written"
    ),
    _counter("pg.wal.bytes", "bytes", "WAL written", "pg_stat_wal, wal_bytes"),
    _counter("pg.wal.records", "", "WAL records written", "pg_stat_wal, wal_records"),
    _counter("pg.wal.full_page_images", "", "Full page images written to WAL", "pg_stat_wal, wal_fpi"),
    _gauge(
        "pg.wal.retained.bytes",
        "bytes",
        "WAL held back by the slot that holds back most; absent without a slot",
        "pg_replication_slots, restart_lsn",
    ),
    _counter("pg.archiver.archived", "files", "WAL files archived", "pg_stat_archiver, archived_count"),
    _counter("pg.archiver.failed", "", "Attempts to archive that failed", "pg_stat_archiver, failed_count"),
    _gauge("pg.replication.slots", "", "Replication slots", "pg_replication_slots"),
    _gauge("pg.replication.slots.inactive", "", "Replication slots that nobody uses", "pg_replication_slots, active"),
    _gauge("pg.replication.standbys", "", "Standbys that stream from this server", "pg_stat_replication, state"),
    _gauge(
        "pg.replication.standbys.synchronous",
        "",
        "Those of them that commits wait for",
        "pg_stat_replication, sync_state",
    ),
    _gauge(
        "pg.replication.receiving",
        "",
        "1 while this standby streams, 0 while it doesn't; absent on a primary",
        "pg_stat_wal_receiver, status",
    ),
    _gauge(
        "pg.replication.lag.bytes",
        "bytes",
        "On a primary: not yet replayed by the standby furthest behind; on a standby: received, not yet replayed",
        "pg_stat_replication, replay_lsn; pg_last_wal_replay_lsn",
    ),
    _gauge(
        "pg.replication.lag.seconds",
        "seconds",
        "On a primary: how long the slowest standby took to replay what it last replayed; on a standby: as the delay",
        "pg_stat_replication, replay_lag; pg_last_xact_replay_timestamp",
    ),
    _gauge(
        "pg.replication.delay.seconds",
        "seconds",
        "On a standby: age of the last replayed transaction while there is more to replay",
        "pg_last_xact_replay_timestamp",
    ),
)

METRICS: tuple[Metric, ...] = OF_A_NODE + OF_A_STORE
METRIC_BY_NAME: dict[str, Metric] = {metric.name: metric for metric in METRICS}

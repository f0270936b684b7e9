"""The rules for Prometheus: what to compute from our metrics, and when to wake somebody.

A cluster is one scrape job: rules that look at a cluster group by `job`. Every threshold has its reason beside it. An
annotation says what is wrong, then what to do next.
"""

from __future__ import annotations

from rangeland.checks.connections import USED_RATIO
from rangeland.checks.slots import RETAINED_BYTES
from rangeland.wire.rules import Rule


def _record(name: str, expr: str) -> Rule:
    return Rule(record=name, expr=expr)


def _alert(name: str, severity: str, hold: str, expr: str, summary: str, description: str) -> Rule:
    """`critical`: somebody has to act now; `warning`: in working hours."""
    return Rule(
        alert=f"Rangeland{name}",
        expr=expr,
        hold=hold,
        labels={"severity": severity},
        annotations={"summary": summary, "description": description},
    )


RECORDING: tuple[Rule, ...] = (
    _record(
        "rangeland:cache_hit:ratio_rate5m",
        "rate(pg_cache_hits_total[5m])\n/ (rate(pg_cache_hits_total[5m]) + rate(pg_cache_misses_total[5m]))",
    ),
    _record(
        "rangeland:transactions:rate5m",
        "rate(pg_transactions_committed_total[5m]) + rate(pg_transactions_rolled_back_total[5m])",
    ),
    _record(
        "rangeland:transactions_rolled_back:ratio_rate5m",
        "rate(pg_transactions_rolled_back_total[5m])\n"
        "/ (rate(pg_transactions_committed_total[5m]) + rate(pg_transactions_rolled_back_total[5m]))",
    ),
    _record("rangeland:tuples_written:rate5m", "rate(pg_tuples_written_total[5m])"),
    _record("rangeland:temp_bytes:rate5m", "rate(pg_temp_bytes_total[5m])"),
    _record("rangeland:wal_bytes:rate5m", "rate(pg_wal_bytes_total[5m])"),
    _record(
        "rangeland:checkpoints_requested:ratio_rate1h",
        "rate(pg_checkpoints_requested_total[1h])\n"
        "/ (rate(pg_checkpoints_requested_total[1h]) + rate(pg_checkpoints_timed_total[1h]))",
    ),
    _record("rangeland:connections_used:ratio", "pg_connections / pg_connections_max"),
    _record("rangeland:disk_used:ratio", "1 - capacity_available / capacity"),
    _record("rangeland:replication_lag_bytes:max", "max by (job) (pg_replication_lag_bytes)"),
    _record(
        "rangeland:http_requests:rate5m",
        "sum by (job, instance, endpoint, status) (rate(rangeland_http_requests_total[5m]))",
    ),
    _record(
        "rangeland:http_request_duration_seconds:p99_rate5m",
        "histogram_quantile(0.99,\n"
        "  sum by (job, instance, endpoint, le) (rate(rangeland_http_request_duration_seconds_bucket[5m])))",
    ),
)

_NODES_AND_SERVERS: tuple[Rule, ...] = (
    _alert(
        "NodeDown",
        "critical",
        "1m",
        # `up` is Prometheus' own; of jobs in which one of our nodes was seen during the last day.
        "up == 0 and on (job) last_over_time(rangeland_build_info[1d])",
        "Prometheus gets no answer from the node at {{ $labels.instance }}",
        "Look whether its machine is up and `rangeland start` runs there, and at its log. The other nodes answer for "
        "the cluster meanwhile: ask any of them for /api/v2/nodes/.",
    ),
    _alert(
        "NodeSilent",
        "warning",
        "2m",
        "max by (job, peer) (rangeland_peer_silent) == 1",
        "Node {{ $labels.peer }} does not answer another node",
        "If Prometheus reaches it, the network, the certificate or the clock between the nodes is the matter: "
        "the logs "
        "of the other nodes say why (`node is silent`).",
    ),
    _alert(
        "NodeNotReady",
        "warning",
        "5m",
        "rangeland_node_ready == 0",
        "The node at {{ $labels.instance }} gets no traffic from load balancers",
        "Its server is down, it is not registered or it drains: its log says which.",
    ),
    _alert(
        "ServerDown",
        "critical",
        "1m",
        "rangeland_server_up == 0",
        "The PostgreSQL server beside node {{ $labels.node_id }} ({{ $labels.instance }}) does not answer",
        "Look at that server's log. If it was the primary, nobody can write: let your failover tool promote a "
        "standby, or "
        "start it again.",
    ),
    _alert(
        "ServerUnread",
        "warning",
        "5m",
        "rangeland_server_up == 1 unless on (job, instance) pg_connections",
        "The server beside node {{ $labels.node_id }} answers, but its statistics can't be read",
        "The node's log says why: a missing grant (`rangeland init` gives it), or a server too busy for one "
        "statement "
        "in 3 s.",
    ),
    _alert(
        "NoPrimary",
        "critical",
        "1m",
        "sum by (job) (rangeland_server_primary) == 0",
        "No server of {{ $labels.job }} takes writes",
        "Promote the standby with the least lag, or start the old primary; see /api/v2/nodes/ on any node.",
    ),
    _alert(
        "TwoPrimaries",
        "critical",
        "1m",
        "sum by (job) (rangeland_server_primary) > 1",
        "{{ $value }} servers of {{ $labels.job }} take writes at once",
        "Stop the one with the lower timeline (rangeland_server_timeline) before applications write to both, "
        "then make it a "
        "standby with pg_rewind.",
    ),
)

_REPLICATION: tuple[Rule, ...] = (
    _alert(
        "StandbyMissing",
        "warning",
        "5m",
        "pg_replication_standbys\n"
        "  < on (job, instance) (rangeland_cluster_members - 1)\n"
        "  and on (job, instance) (rangeland_server_primary == 1)",
        "Only {{ $value }} standbys stream from the primary at {{ $labels.instance }}, fewer than there are "
        "nodes for",
        "Find the one that has pg_replication_receiving 0 or is down. If it is gone for good, decommission its node.",
    ),
    _alert(
        "StandbyNotReceiving",
        "warning",
        "5m",
        "pg_replication_receiving == 0",
        "The standby at {{ $labels.instance }} receives no WAL",
        "Its log says why: the primary is unreachable, refuses the role, or no longer has the WAL that is "
        "needed (then "
        "make the standby anew with pg_basebackup).",
    ),
    _alert(
        "ReplicationLag",
        "warning",
        "5m",
        "pg_replication_lag_bytes > 1e9",  # max_wal_size: what a server replays after a crash at its defaults
        "Replication at {{ $labels.instance }} is {{ $value | humanize1024 }}B behind",
        "Compare the disk and network load of both servers, and look for a long query on the standby that holds "
        "replay up. "
        "A failover now would lose these bytes or wait for them.",
    ),
    _alert(
        "ReplicationDelay",
        "warning",
        "5m",
        "pg_replication_lag_seconds > 300",  # as long as a silent node takes to count as dead
        "Replication at {{ $labels.instance }} is {{ $value | humanizeDuration }} behind",
        "Readers of the standby see old rows. Look for a long query there, and whether replay was paused "
        "(pg_wal_replay_resume).",
    ),
    _alert(
        "WalRetained",
        "warning",
        "10m",
        # As the check of slots; on a small disk half of what is free.
        f"pg_wal_retained_bytes > {RETAINED_BYTES.default / 2**30:g} * 1024 ^ 3 "
        "or pg_wal_retained_bytes > 0.5 * capacity_available",
        "A replication slot at {{ $labels.instance }} holds back {{ $value | humanize1024 }}B of WAL",
        "Find it in pg_replication_slots (the smallest restart_lsn). Bring its standby or subscriber back, or "
        "drop the slot "
        "with pg_drop_replication_slot before the disk is full.",
    ),
    _alert(
        "ArchiveFailing",
        "warning",
        "15m",
        "increase(pg_archiver_failed_total[15m]) > 0",
        "WAL files at {{ $labels.instance }} can't be archived",
        "Run archive_command by hand with the file that pg_stat_archiver names. Until it works, WAL piles up "
        "and the last "
        "backup can't be rolled forward.",
    ),
)

_SPACE_AND_DATA: tuple[Rule, ...] = (
    _alert(
        "DiskNearlyFull",
        "warning",
        "5m",
        "capacity_available / capacity < 0.1",
        "Only {{ $value | humanizePercentage }} of the disk with the data directory at {{ $labels.instance }} "
        "is free",
        "Look whether a slot holds back WAL or archiving fails, then at the largest tables "
        "(/api/v2/nodes/local/ranges/).",
    ),
    _alert(
        "DiskAlmostFull",
        "critical",
        "1m",
        "capacity_available / capacity < 0.03",
        "Only {{ $value | humanizePercentage }} of the disk with the data directory at {{ $labels.instance }} "
        "is free",
        "PostgreSQL stops when it can't write WAL. Enlarge the file system or free space now; never delete in "
        "pg_wal.",
    ),
    _alert(
        "DiskFillsSoon",
        "warning",
        "1h",
        # A fifth: above it a day's growth is seldom a matter; six hours outlast a nightly load.
        "predict_linear(capacity_available[6h], 24 * 3600) < 0 and capacity_available / capacity < 0.2",
        "At this pace the disk at {{ $labels.instance }} is full within a day",
        "See what grows: databases (livebytes), WAL (pg_wal_retained_bytes), or something beside PostgreSQL.",
    ),
    _alert(
        "TransactionIdsOld",
        "warning",
        "10m",
        # Autovacuum is forced to freeze at this age: at twice the age it isn't getting there.
        "pg_xid_age > 2 * pg_xid_freeze_max_age or pg_xid_age > 1e9",
        "The oldest transaction id at {{ $labels.instance }} is {{ $value | humanize }} transactions old",
        "Something keeps vacuum from freezing: an old transaction, a prepared one, a forgotten slot, or too few "
        "workers. "
        "Find the table by age(relfrozenxid) and VACUUM FREEZE it.",
    ),
    _alert(
        "TransactionIdsRunOut",
        "critical",
        "1m",
        "pg_xid_age > 1.6e9",  # vacuum_failsafe_age; writes end at 2.1e9
        "The server at {{ $labels.instance }} runs out of transaction ids: {{ $value | humanize }} are taken",
        "End old transactions, drop forgotten slots and prepared transactions, and VACUUM the oldest tables now.",
    ),
    _alert(
        "ChecksumFailures",
        "critical",
        "0m",
        "increase(pg_checksum_failures_total[1h]) > 0",
        "The server at {{ $labels.instance }} read blocks whose checksum is wrong",
        "Its disk or memory corrupts data. Fail over to a standby, keep this data directory for inspection, "
        "check backups.",
    ),
)

_LOAD: tuple[Rule, ...] = (
    _alert(
        "ConnectionsNearLimit",
        "warning",
        "5m",
        f"pg_connections / pg_connections_max > {USED_RATIO.default:g}",
        "{{ $value | humanizePercentage }} of the connections of {{ $labels.instance }} are taken",
        "See by whom at /api/v2/sessions/; let applications use a pooler before max_connections is raised.",
    ),
    _alert(
        "OldTransaction",
        "warning",
        "5m",
        "pg_transactions_oldest_seconds > 3600",
        "A transaction at {{ $labels.instance }} has been open for {{ $value | humanizeDuration }}",
        "It keeps vacuum from cleaning up. /api/v2/sessions/ shows whose it is (active_txn): ask them, or end "
        "the session.",
    ),
    _alert(
        "PreparedTransactionForgotten",
        "warning",
        "5m",
        "pg_transactions_prepared_oldest_seconds > 3600",
        "A prepared transaction at {{ $labels.instance }} has waited for {{ $value | humanizeDuration }}",
        "It holds its locks and keeps vacuum from cleaning up. Find it in pg_prepared_xacts and COMMIT or "
        "ROLLBACK PREPARED.",
    ),
    _alert(
        "SessionsWaitForLocks",
        "warning",
        "5m",
        "pg_connections_waiting_for_lock > 10",  # a queue behind one holder, rather than ordinary contention
        "{{ $value }} sessions at {{ $labels.instance }} wait for locks",
        "blocking_pids at /api/v2/sessions/ leads to the one that holds them.",
    ),
    _alert(
        "Deadlocks",
        "warning",
        "0m",
        "increase(pg_deadlocks_total[10m]) > 5",  # a single one is retried; a series is a bug in an application
        "{{ $value | humanize }} deadlocks in ten minutes at {{ $labels.instance }}",
        "The server's log has the statements of each. Let the applications take locks in the same order.",
    ),
    _alert(
        "CacheHitsLow",
        "warning",
        "30m",
        # Nine of ten: below, waiting for disks rules; an idle server reads too little to tell.
        "rangeland:cache_hit:ratio_rate5m < 0.9 and rate(pg_cache_misses_total[5m]) > 1000",
        "Only {{ $value | humanizePercentage }} of the blocks that {{ $labels.instance }} needs are in its cache",
        "/api/v2/ranges/hot/ names the tables that are read (disk_read_bytes_per_second): an index may be "
        "missing, or "
        "shared_buffers is too small.",
    ),
    _alert(
        "LoginsRefused",
        "warning",
        "5m",
        'sum by (job) (rate(rangeland_http_requests_total{endpoint="/api/v2/login/", status="401"}[5m])) > 0.5',
        "{{ $value | humanize }} logins a second are refused by {{ $labels.job }}",
        "Somebody guesses passwords, or a client has an old one: the servers' logs name the users. Guessing is "
        "slowed down, "
        "see docs/explanation/security.md.",
    ),
    _alert(
        "RequestsFail",
        "warning",
        "10m",
        # Health checks and peers are told of a server that is down by 500 and 503: other alerts speak of that.
        "sum by (job, instance) (\n"
        '  rate(rangeland_http_requests_total{endpoint=~"/api/v2/.+", endpoint!="/api/v2/health/", '
        'status=~"5.."}[5m]))\n'
        "/ sum by (job, instance) (\n"
        '  rate(rangeland_http_requests_total{endpoint=~"/api/v2/.+", endpoint!="/api/v2/health/"}[5m])) > 0.05',
        "{{ $value | humanizePercentage }} of the answers of {{ $labels.instance }} are errors of its own",
        "The second line of each answer and the node's log say why.",
    ),
)

# What a node found by looking at the whole cluster: one alert a severity, one instance of it a kind. Of two nodes
# that count, on both sides of a split network, the larger number.
_TO_READ = (
    "`rangeland doctor` on a node's host, or /api/v2/problems/?kind={{ $labels.kind }} on any node, says where, why "
    "and what to do."
)
_PROBLEMS: tuple[Rule, ...] = (
    _alert(
        "ProblemCritical",
        "critical",
        "1m",
        'max by (job, kind) (rangeland_problems{severity="critical"}) > 0',
        "{{ $labels.job }} has {{ $value }} critical problems of kind {{ $labels.kind }}",
        _TO_READ,
    ),
    _alert(
        "ProblemWarning",
        "warning",
        "10m",  # what is over after ten minutes nobody has to look at
        'max by (job, kind) (rangeland_problems{severity="warning"}) > 0',
        "{{ $labels.job }} has {{ $value }} problems of kind {{ $labels.kind }}",
        _TO_READ,
    ),
)

ALERTS: tuple[Rule, ...] = _NODES_AND_SERVERS + _REPLICATION + _SPACE_AND_DATA + _LOAD + _PROBLEMS

RULES_BY_GROUP = {"rules/recording": RECORDING, "rules/alerts": ALERTS}

-- A server's own account of itself: what a node's status shows besides the machine.
-- Source of the columns: PostgreSQL, "The Cumulative Statistics System".

-- name: read_status
-- One row: connections, counters since the statistics began, WAL and replication. NULL where it has no
-- meaning.
-- since: 150000
-- on: any
-- needs: pg_monitor
-- returns: is_local bool, data_directory text, lsn int8, max_connections int4, connections int8, active int8,
--   idle int8, idle_in_transaction int8, waiting_for_lock int8, open_transactions int8, committed int8,
--   rolled_back int8, cache_hits int8, cache_misses int8, deadlocks int8, recovery_conflicts int8,
--   temp_bytes int8, tuples_read int8, tuples_written int8, checkpoints_timed int8,
--   checkpoints_requested int8, wal_bytes int8, streaming_standbys int8, send_lag_bytes int8,
--   replay_lag_bytes int8, replay_delay_s float8, retained_wal_bytes int8
WITH here AS (
    SELECT pg_is_in_recovery() AS in_recovery,
           CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END AS lsn
), sessions AS (
    SELECT count(*) AS connections,
           count(*) FILTER (WHERE state = 'active') AS active,
           count(*) FILTER (WHERE state = 'idle') AS idle,
           count(*) FILTER (WHERE state LIKE 'idle in transaction%%') AS idle_in_transaction,
           count(*) FILTER (WHERE wait_event_type = 'Lock') AS waiting_for_lock,
           count(*) FILTER (WHERE xact_start IS NOT NULL) AS open_transactions
      FROM pg_stat_activity
     WHERE backend_type = 'client backend'
), databases AS (
    SELECT sum(xact_commit)::int8 AS committed,
           sum(xact_rollback)::int8 AS rolled_back,
           sum(blks_hit)::int8 AS cache_hits,
           sum(blks_read)::int8 AS cache_misses,
           sum(deadlocks)::int8 AS deadlocks,
           sum(conflicts)::int8 AS recovery_conflicts,
           sum(temp_bytes)::int8 AS temp_bytes,
           sum(tup_returned + tup_fetched)::int8 AS tuples_read,
           sum(tup_inserted + tup_updated + tup_deleted)::int8 AS tuples_written
      FROM pg_stat_database
), standbys AS (
    -- Logical subscribers stream, too: only they always hold a logical slot.
    SELECT count(*) AS streaming, max(h.lsn - r.replay_lsn)::int8 AS send_lag_bytes
      FROM here AS h, pg_stat_replication AS r
     WHERE r.state = 'streaming'
       AND NOT EXISTS (SELECT FROM pg_replication_slots AS s WHERE s.active_pid = r.pid AND s.slot_type =
       'logical')
), slots AS (
    SELECT max(h.lsn - s.restart_lsn)::int8 AS retained_wal_bytes
      FROM here AS h, pg_replication_slots AS s
), receiver AS (
    SELECT greatest(max(latest_end_lsn), pg_last_wal_receive_lsn()) AS end_lsn FROM pg_stat_wal_receiver
)
SELECT inet_server_addr() IS NULL OR inet_server_addr() = inet_client_addr(),
       current_setting('data_directory', true),
       (h.lsn - '0/0')::int8,
       current_setting('max_connections')::int4,
       a.connections, a.active, a.idle, a.idle_in_transaction, a.waiting_for_lock, a.open_transactions,
       d.committed, d.rolled_back, d.cache_hits, d.cache_misses, d.deadlocks, d.recovery_conflicts,
       d.temp_bytes, d.tuples_read, d.tuples_written,
       pg_stat_get_bgwriter_timed_checkpoints(),
       pg_stat_get_bgwriter_requested_checkpoints(),
       (SELECT wal_bytes::int8 FROM pg_stat_wal),
       r.streaming,
       r.send_lag_bytes,
       CASE WHEN h.in_recovery THEN (w.end_lsn - h.lsn)::int8 END,
       -- Nothing left to replay is no delay, however long ago the last transaction was.
       CASE WHEN h.in_recovery THEN
           CASE WHEN w.end_lsn <= h.lsn THEN 0
                ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END
       END::float8,
       s.retained_wal_bytes
  FROM here AS h, sessions AS a, databases AS d, standbys AS r, slots AS s, receiver AS w;

-- name: read_status
-- As before; checkpoints have moved to pg_stat_checkpointer.
-- since: 170000
-- on: any
-- needs: pg_monitor
-- returns: is_local bool, data_directory text, lsn int8, max_connections int4, connections int8, active int8,
--   idle int8, idle_in_transaction int8, waiting_for_lock int8, open_transactions int8, committed int8,
--   rolled_back int8, cache_hits int8, cache_misses int8, deadlocks int8, recovery_conflicts int8,
--   temp_bytes int8, tuples_read int8, tuples_written int8, checkpoints_timed int8,
--   checkpoints_requested int8, wal_bytes int8, streaming_standbys int8, send_lag_bytes int8,
--   replay_lag_bytes int8, replay_delay_s float8, retained_wal_bytes int8
WITH here AS (
    SELECT pg_is_in_recovery() AS in_recovery,
           CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END AS lsn
), sessions AS (
    SELECT count(*) AS connections,
           count(*) FILTER (WHERE state = 'active') AS active,
           count(*) FILTER (WHERE state = 'idle') AS idle,
           count(*) FILTER (WHERE state LIKE 'idle in transaction%%') AS idle_in_transaction,
           count(*) FILTER (WHERE wait_event_type = 'Lock') AS waiting_for_lock,
           count(*) FILTER (WHERE xact_start IS NOT NULL) AS open_transactions
      FROM pg_stat_activity
     WHERE backend_type = 'client backend'
), databases AS (
    SELECT sum(xact_commit)::int8 AS committed,
           sum(xact_rollback)::int8 AS rolled_back,
           sum(blks_hit)::int8 AS cache_hits,
           sum(blks_read)::int8 AS cache_misses,
           sum(deadlocks)::int8 AS deadlocks,
           sum(conflicts)::int8 AS recovery_conflicts,
           sum(temp_bytes)::int8 AS temp_bytes,
           sum(tup_returned + tup_fetched)::int8 AS tuples_read,
           sum(tup_inserted + tup_updated + tup_deleted)::int8 AS tuples_written
      FROM pg_stat_database
), standbys AS (
    -- Logical subscribers stream, too: only they always hold a logical slot.
    SELECT count(*) AS streaming, max(h.lsn - r.replay_lsn)::int8 AS send_lag_bytes
      FROM here AS h, pg_stat_replication AS r
     WHERE r.state = 'streaming'
       AND NOT EXISTS (SELECT FROM pg_replication_slots AS s WHERE s.active_pid = r.pid AND s.slot_type =
       'logical')
), slots AS (
    SELECT max(h.lsn - s.restart_lsn)::int8 AS retained_wal_bytes
      FROM here AS h, pg_replication_slots AS s
), receiver AS (
    SELECT greatest(max(latest_end_lsn), pg_last_wal_receive_lsn()) AS end_lsn FROM pg_stat_wal_receiver
)
SELECT inet_server_addr() IS NULL OR inet_server_addr() = inet_client_addr(),
       current_setting('data_directory', true),
       (h.lsn - '0/0')::int8,
       current_setting('max_connections')::int4,
       a.connections, a.active, a.idle, a.idle_in_transaction, a.waiting_for_lock, a.open_transactions,
       d.committed, d.rolled_back, d.cache_hits, d.cache_misses, d.deadlocks, d.recovery_conflicts,
       d.temp_bytes, d.tuples_read, d.tuples_written,
       (SELECT num_timed FROM pg_stat_checkpointer),
       (SELECT num_requested FROM pg_stat_checkpointer),
       (SELECT wal_bytes::int8 FROM pg_stat_wal),
       r.streaming,
       r.send_lag_bytes,
       CASE WHEN h.in_recovery THEN (w.end_lsn - h.lsn)::int8 END,
       -- Nothing left to replay is no delay, however long ago the last transaction was.
       CASE WHEN h.in_recovery THEN
           CASE WHEN w.end_lsn <= h.lsn THEN 0
                ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END
       END::float8,
       s.retained_wal_bytes
  FROM here AS h, sessions AS a, databases AS d, standbys AS r, slots AS s, receiver AS w;

-- name: read_sizes
-- Bytes of all databases, and of the WAL that is kept. It stats every file of the data directory: about a
-- second for 100,000 tables.
-- since: 150000
-- on: any
-- needs: pg_monitor
-- returns: databases_bytes int8, wal_bytes int8
SELECT (SELECT sum(pg_database_size(oid))::int8 FROM pg_database),
       (SELECT sum(size)::int8 FROM pg_ls_waldir());

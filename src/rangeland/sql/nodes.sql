-- A server's own account of itself: what a node's status and metrics show besides the machine.
-- Source of the columns: PostgreSQL, "The Cumulative Statistics System". What each becomes: collect/nodes.py.

-- name: read_status
-- One row: connections, counters since the statistics began, WAL and replication. NULL where it has no
-- meaning. Everything in it is in shared memory or in a catalogue with a row a database.
-- since: 150000
-- on: any
-- needs: pg_monitor
-- returns: is_local bool, data_directory text, lsn int8, uptime_s float8,
--   connections int8, active int8, idle int8, idle_in_transaction int8, waiting_for_lock int8,
--   max_connections int4, open_transactions int8, oldest_transaction_s float8, autovacuum_workers int8,
--   prepared_transactions int8, oldest_prepared_s float8,
--   committed int8, rolled_back int8, cache_hits int8, cache_misses int8, deadlocks int8,
--   recovery_conflicts int8, temp_files int8, temp_bytes int8, tuples_read int8, tuples_written int8,
--   sessions int8, sessions_abandoned int8, sessions_fatal int8, sessions_killed int8,
--   checksum_failures int8, xid_age int8, multixact_age int8, freeze_max_age int8,
--   wal_bytes int8, wal_records int8, wal_full_page_images int8, archived int8, archive_failures int8,
--   streaming_standbys int8, synchronous_standbys int8, send_lag_bytes int8, send_lag_s float8,
--   slots int8, inactive_slots int8, retained_wal_bytes int8,
--   receiving int8, replay_lag_bytes int8, replay_delay_s float8, timeline int4
WITH here AS (
    SELECT pg_is_in_recovery() AS in_recovery,
           CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END AS lsn
), backends AS (
    SELECT b.backend_type = 'client backend' AS is_client, b.*
      FROM pg_stat_activity AS b
     WHERE b.backend_type IN ('client backend', 'autovacuum worker')
), sessions AS (
    SELECT count(*) FILTER (WHERE is_client) AS connections,
           count(*) FILTER (WHERE is_client AND state = 'active') AS active,
           count(*) FILTER (WHERE is_client AND state = 'idle') AS idle,
           count(*) FILTER (WHERE is_client AND state LIKE 'idle in transaction%%') AS idle_in_transaction,
           count(*) FILTER (WHERE is_client AND wait_event_type = 'Lock') AS waiting_for_lock,
           count(*) FILTER (WHERE is_client AND xact_start IS NOT NULL) AS open_transactions,
           -- Our own has just begun: without another one this is 0.
           max(extract(epoch FROM now() - xact_start)) FILTER (WHERE is_client)::float8 AS oldest_transaction_s,
           count(*) FILTER (WHERE NOT is_client) AS autovacuum_workers
      FROM backends
), prepared AS (
    SELECT count(*) AS transactions,
           coalesce(max(extract(epoch FROM now() - p.prepared)), 0)::float8 AS oldest_s
      FROM pg_prepared_xact() AS p
), databases AS (
    SELECT sum(xact_commit)::int8 AS committed,
           sum(xact_rollback)::int8 AS rolled_back,
           sum(blks_hit)::int8 AS cache_hits,
           sum(blks_read)::int8 AS cache_misses,
           sum(deadlocks)::int8 AS deadlocks,
           sum(conflicts)::int8 AS recovery_conflicts,
           sum(temp_files)::int8 AS temp_files,
           sum(temp_bytes)::int8 AS temp_bytes,
           sum(tup_returned + tup_fetched)::int8 AS tuples_read,
           sum(tup_inserted + tup_updated + tup_deleted)::int8 AS tuples_written,
           sum(sessions)::int8 AS sessions,
           sum(sessions_abandoned)::int8 AS sessions_abandoned,
           sum(sessions_fatal)::int8 AS sessions_fatal,
           sum(sessions_killed)::int8 AS sessions_killed,
           sum(checksum_failures)::int8 AS checksum_failures  -- NULL without checksums
      FROM pg_stat_database
), wraparound AS (
    SELECT max(age(datfrozenxid))::int8 AS xid_age, max(mxid_age(datminmxid))::int8 AS multixact_age
      FROM pg_database
), standbys AS (
    -- Logical subscribers stream, too: only they always hold a logical slot. PostgreSQL forgets the lag in
    -- seconds when nothing is written: who has all of it lags by nothing.
    SELECT count(*) AS streaming,
           count(*) FILTER (WHERE r.sync_state IN ('sync', 'quorum')) AS synchronous,
           max(h.lsn - r.replay_lsn)::int8 AS send_lag_bytes,
           max(CASE WHEN r.replay_lsn >= h.lsn THEN 0 ELSE extract(epoch FROM r.replay_lag) END)::float8
               AS send_lag_s
      FROM here AS h, pg_stat_replication AS r
     WHERE r.state = 'streaming'
       AND NOT EXISTS (SELECT FROM pg_replication_slots AS s WHERE s.active_pid = r.pid AND s.slot_type =
       'logical')
), slots AS (
    SELECT count(*) AS slots,
           count(*) FILTER (WHERE NOT s.active) AS inactive,
           max(h.lsn - s.restart_lsn)::int8 AS retained_wal_bytes
      FROM here AS h, pg_replication_slots AS s
), receiver AS (
    SELECT greatest(max(latest_end_lsn), pg_last_wal_receive_lsn()) AS end_lsn,
           count(*) FILTER (WHERE status = 'streaming') AS receiving,
           max(received_tli) AS timeline
      FROM pg_stat_wal_receiver
)
SELECT inet_server_addr() IS NULL OR inet_server_addr() = inet_client_addr(),
       current_setting('data_directory', true),
       (h.lsn - '0/0')::int8,
       extract(epoch FROM now() - pg_postmaster_start_time())::float8,
       a.connections, a.active, a.idle, a.idle_in_transaction, a.waiting_for_lock,
       current_setting('max_connections')::int4,
       a.open_transactions, a.oldest_transaction_s, a.autovacuum_workers,
       p.transactions, p.oldest_s,
       d.committed, d.rolled_back, d.cache_hits, d.cache_misses, d.deadlocks,
       d.recovery_conflicts, d.temp_files, d.temp_bytes, d.tuples_read, d.tuples_written,
       d.sessions, d.sessions_abandoned, d.sessions_fatal, d.sessions_killed,
       d.checksum_failures, x.xid_age, x.multixact_age, current_setting('autovacuum_freeze_max_age')::int8,
       l.wal_bytes::int8, l.wal_records, l.wal_fpi, v.archived_count, v.failed_count,
       r.streaming, r.synchronous, r.send_lag_bytes, r.send_lag_s,
       s.slots, s.inactive, s.retained_wal_bytes,
       CASE WHEN h.in_recovery THEN w.receiving END,
       CASE WHEN h.in_recovery THEN (w.end_lsn - h.lsn)::int8 END,
       -- Nothing left to replay is no delay, however long ago the last transaction was.
       CASE WHEN h.in_recovery THEN
           CASE WHEN w.end_lsn <= h.lsn THEN 0
                ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END
       END::float8,
       -- As in server.sql, identify_server: a standby follows a promotion without a word to its sessions.
       CASE WHEN h.in_recovery THEN coalesce(w.timeline, (SELECT timeline_id FROM pg_control_checkpoint()))
            ELSE ('x' || substr(pg_walfile_name(h.lsn), 1, 8))::bit(32)::int4 END
  FROM here AS h, sessions AS a, prepared AS p, databases AS d, wraparound AS x, standbys AS r, slots AS s,
       receiver AS w, pg_stat_wal AS l, pg_stat_archiver AS v;

-- name: read_checkpoints
-- One row: checkpoints and restartpoints since the statistics began.
-- since: 150000
-- on: any
-- needs: nothing
-- returns: timed int8, requested int8, write_s float8, sync_s float8, buffers int8
SELECT pg_stat_get_bgwriter_timed_checkpoints(),
       pg_stat_get_bgwriter_requested_checkpoints(),
       pg_stat_get_checkpoint_write_time() / 1000,
       pg_stat_get_checkpoint_sync_time() / 1000,
       pg_stat_get_bgwriter_buf_written_checkpoints();

-- name: read_checkpoints
-- As before; they have moved to pg_stat_checkpointer.
-- since: 170000
-- on: any
-- needs: nothing
-- returns: timed int8, requested int8, write_s float8, sync_s float8, buffers int8
SELECT num_timed, num_requested, write_time / 1000, sync_time / 1000, buffers_written
  FROM pg_stat_checkpointer;

-- name: count_statements
-- Statements finished, as far as pg_stat_statements still has them; no row where the state database hasn't
-- the extension or the server didn't load it, an error where its schema is closed to us. Summing 6,000
-- entries takes the server 8 to 16 ms.
-- A statement that names what isn't there fails, and its schema is the administrator's choice: hence ts_stat,
-- which runs a text of ours where the extension is, and returns the sum as a word.
-- since: 150000
-- on: any
-- needs: pg_monitor
-- returns: statements int8
SELECT s.word::int8
  FROM pg_extension AS e
  JOIN pg_namespace AS n ON n.oid = e.extnamespace
 CROSS JOIN
       ts_stat(format('SELECT array_to_tsvector(ARRAY[coalesce(sum(calls), 0)::int8::text]) FROM %%I.%%I(false)',
                      n.nspname, e.extname)) AS s
 WHERE e.extname = 'pg_stat_statements'
   AND current_setting('shared_preload_libraries') LIKE '%%pg_stat_statements%%';

-- name: read_sizes
-- Bytes of all databases, and of the WAL that is kept. It stats every file of the data directory: about a
-- second for 100,000 tables.
-- since: 150000
-- on: any
-- needs: pg_monitor
-- returns: databases_bytes int8, wal_bytes int8
SELECT (SELECT sum(pg_database_size(oid))::int8 FROM pg_database),
       (SELECT sum(size)::int8 FROM pg_ls_waldir());

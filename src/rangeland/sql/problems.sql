-- What the checks read (src/rangeland/checks/): one block a reading, its columns in the order of the row's fields.
-- Each returns at most `page_size` rows, the worst first, and waits for no lock: sizes are those of the last VACUUM
-- or ANALYZE (relpages), which need none.

-- name: connection_counts
-- How many connections are taken of each limit that there is: the server's (without what is reserved for
-- superusers), and those of roles and databases that have one. One reading of pg_stat_activity: 0.1 ms and 1 µs a
-- connection.
-- since: 150000
-- on: any
-- takes: page_size int8
-- needs: pg_monitor
-- returns: scope text, name bytea, used int8, allowed int8, top_application bytea, top_used int8
WITH clients AS MATERIALIZED (
    SELECT usesysid, datid, application_name FROM pg_stat_activity WHERE backend_type = 'client backend'
), limits (scope, oid, name, allowed) AS (
    SELECT 'server', NULL::oid, '',
           current_setting('max_connections')::int8 - current_setting('superuser_reserved_connections')::int8
    UNION ALL
    SELECT 'role', oid, rolname, rolconnlimit FROM pg_roles WHERE rolconnlimit > 0 AND NOT rolsuper
    UNION ALL
    SELECT 'database', oid, datname, datconnlimit FROM pg_database WHERE datconnlimit > 0
)
SELECT l.scope, textsend(l.name::text), coalesce(sum(a.used), 0)::int8, l.allowed,
       coalesce((array_agg(a.application_name ORDER BY a.used DESC, a.application_name))[1], ''::bytea),
       coalesce(max(a.used), 0)
  FROM limits AS l
  LEFT JOIN LATERAL (
      SELECT textsend(c.application_name) AS application_name, count(*) AS used
        FROM clients AS c
       WHERE CASE l.scope WHEN 'role' THEN c.usesysid = l.oid WHEN 'database' THEN c.datid = l.oid ELSE true END
       GROUP BY 1
  ) AS a ON true
 GROUP BY l.scope, l.name, l.allowed
 ORDER BY coalesce(sum(a.used), 0) / l.allowed DESC, 1, 2
 LIMIT %(page_size)s;

-- name: slots
-- Replication slots that were made on this server, those that hold the most WAL first. Temporary ones end with their
-- session. 0.1 ms.
-- since: 150000
-- on: any
-- takes: page_size int8
-- needs: pg_monitor
-- returns: name bytea, slot_type text, database bytea, active bool, wal_status text, retained_bytes int8,
--   safe_bytes int8, inactive_since timestamptz
SELECT textsend(slot_name::text),
       slot_type,
       textsend(coalesce(database::text, '')),
       active,
       coalesce(wal_status, ''),
       (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - restart_lsn)::int8,
       safe_wal_size,
       NULL::timestamptz
  FROM pg_replication_slots
 WHERE NOT temporary
 ORDER BY 6 DESC NULLS LAST, 1
 LIMIT %(page_size)s;

-- name: slots
-- As for older servers; those that the primary keeps up to date on a standby for a failover aren't its own.
-- since: 170000
-- on: any
-- takes: page_size int8
-- needs: pg_monitor
-- returns: name bytea, slot_type text, database bytea, active bool, wal_status text, retained_bytes int8,
--   safe_bytes int8, inactive_since timestamptz
SELECT textsend(slot_name::text),
       slot_type,
       textsend(coalesce(database::text, '')),
       active,
       coalesce(wal_status, ''),
       (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - restart_lsn)::int8,
       safe_wal_size,
       inactive_since
  FROM pg_replication_slots
 WHERE NOT temporary AND NOT synced
 ORDER BY 6 DESC NULLS LAST, 1
 LIMIT %(page_size)s;

-- name: invalid_indexes
-- Indexes of this database that no query may use, the largest first. A scan of pg_index: 0.2 ms on 1,000 tables.
-- since: 150000
-- on: primary
-- takes: page_size int8
-- needs: pg_monitor
-- returns: schema bytea, "table" bytea, index bytea, is_being_built bool, size_bytes int8
SELECT textsend(n.nspname::text), textsend(t.relname::text), textsend(i.relname::text),
       EXISTS (SELECT FROM pg_stat_progress_create_index AS p
                WHERE p.datid = (SELECT oid FROM pg_database WHERE datname = current_database())
                  AND p.relid = x.indrelid AND p.index_relid IN (0, x.indexrelid)),
       i.relpages::int8 * current_setting('block_size')::int8
  FROM pg_index AS x
  JOIN pg_class AS i ON i.oid = x.indexrelid
  JOIN pg_class AS t ON t.oid = x.indrelid
  JOIN pg_namespace AS n ON n.oid = i.relnamespace
 WHERE NOT (x.indisvalid AND x.indisready AND x.indislive)
   AND i.relkind = 'i' -- of a partitioned table it says that a partition has none yet
 ORDER BY i.relpages DESC, i.oid
 LIMIT %(page_size)s;

-- name: duplicate_indexes
-- Indexes of this database that are defined as another one of their table is, but for the name, the largest first.
-- Kept is one that enforces something, else the oldest. A sort of pg_index: 2 ms on 1,000 tables.
-- since: 150000
-- on: primary
-- takes: page_size int8
-- needs: pg_monitor
-- returns: schema bytea, "table" bytea, index bytea, kept bytea, size_bytes int8
WITH alike AS (
    SELECT x.indexrelid, x.indrelid, x.indisunique OR x.indisexclusion OR x.indisreplident AS enforces,
           first_value(x.indexrelid) OVER same AS kept, count(*) OVER (PARTITION BY x.indrelid, x.indkey::text,
               x.indclass::text, x.indcollation::text, x.indoption::text, x.indexprs::text, x.indpred::text,
               i.relam, x.indnkeyatts) AS alike
      FROM pg_index AS x
      JOIN pg_class AS i ON i.oid = x.indexrelid
     WHERE x.indisvalid AND x.indislive AND x.indrelid >= 16384 AND i.relkind = 'i'
    WINDOW same AS (PARTITION BY x.indrelid, x.indkey::text, x.indclass::text, x.indcollation::text,
                    x.indoption::text, x.indexprs::text, x.indpred::text, i.relam, x.indnkeyatts
                    ORDER BY NOT (x.indisunique OR x.indisexclusion OR x.indisreplident), x.indexrelid)
)
SELECT textsend(n.nspname::text), textsend(t.relname::text), textsend(i.relname::text), textsend(k.relname::text),
       i.relpages::int8 * current_setting('block_size')::int8
  FROM alike AS a
  JOIN pg_class AS i ON i.oid = a.indexrelid
  JOIN pg_class AS k ON k.oid = a.kept
  JOIN pg_class AS t ON t.oid = a.indrelid
  JOIN pg_namespace AS n ON n.oid = i.relnamespace
 WHERE a.alike > 1 AND a.indexrelid <> a.kept AND NOT a.enforces
   AND NOT EXISTS (SELECT FROM pg_inherits AS h WHERE h.inhrelid = a.indexrelid) -- its parent's index decides
 ORDER BY i.relpages DESC, i.oid
 LIMIT %(page_size)s;

-- name: unused_indexes
-- Indexes of this database that enforce nothing and were never scanned here since the counters began, the largest
-- first: the order is the same on every server. Where the counters were never reset, they began with the server's
-- start at the latest. A scan of pg_index: 1.5 ms on 1,000 tables.
-- since: 150000
-- on: any
-- takes: page_size int8
-- needs: pg_monitor
-- returns: schema bytea, "table" bytea, index bytea, oid int8, size_bytes int8, counted_since timestamptz
SELECT textsend(n.nspname::text), textsend(t.relname::text), textsend(i.relname::text), i.oid::int8,
       i.relpages::int8 * current_setting('block_size')::int8,
       coalesce(greatest(pg_stat_get_db_stat_reset_time(d.oid), pg_stat_get_bgwriter_stat_reset_time()),
                pg_postmaster_start_time())
  FROM pg_index AS x
  JOIN pg_class AS i ON i.oid = x.indexrelid
  JOIN pg_class AS t ON t.oid = x.indrelid
  JOIN pg_namespace AS n ON n.oid = i.relnamespace
  JOIN pg_database AS d ON d.datname = current_database()
 WHERE x.indisvalid AND x.indislive AND NOT x.indisunique AND NOT x.indisexclusion AND NOT x.indisreplident
   AND NOT x.indisclustered AND i.relkind = 'i' AND x.indrelid >= 16384
   AND pg_stat_get_numscans(i.oid) = 0
 ORDER BY i.relpages DESC, i.oid
 LIMIT %(page_size)s;

-- name: running_commands
-- Long commands that run on this server, and how far they are. A table has its name where it is in this database,
-- else its oid. Six functions over shared memory: 0.2 ms.
-- since: 150000
-- on: any
-- takes: page_size int8
-- needs: pg_monitor
-- returns: command text, pid int4, database bytea, object bytea, phase text, done int8, total int8, unit text
SELECT p.command, p.pid, textsend(coalesce(p.datname::text, '')),
       textsend(coalesce(CASE WHEN p.datname = current_database() THEN n.nspname || '.' || c.relname END,
                         nullif(p.relid, 0)::text, '')),
       p.phase, coalesce(p.done, 0), coalesce(p.total, 0), p.unit
  FROM (SELECT 'VACUUM' AS command, pid, datname, relid, phase,
               heap_blks_scanned AS done, heap_blks_total AS total, 'blocks' AS unit
          FROM pg_stat_progress_vacuum
         UNION ALL
        SELECT command, pid, datname, relid, phase, heap_blks_scanned, heap_blks_total, 'blocks'
          FROM pg_stat_progress_cluster
         UNION ALL
        SELECT 'ANALYZE', pid, datname, relid, phase, sample_blks_scanned, sample_blks_total, 'blocks'
          FROM pg_stat_progress_analyze
         UNION ALL
        SELECT command, pid, datname, relid, phase,
               CASE WHEN blocks_total > 0 THEN blocks_done ELSE tuples_done END,
               CASE WHEN blocks_total > 0 THEN blocks_total ELSE tuples_total END,
               CASE WHEN blocks_total > 0 THEN 'blocks' ELSE 'tuples' END
          FROM pg_stat_progress_create_index
         UNION ALL
        SELECT command, pid, datname, relid, type, bytes_processed, bytes_total, 'bytes'
          FROM pg_stat_progress_copy
         UNION ALL
        SELECT 'BASE BACKUP', pid, NULL, 0, phase, backup_streamed, backup_total, 'bytes'
          FROM pg_stat_progress_basebackup) AS p
  LEFT JOIN pg_class AS c ON c.oid = p.relid
  LEFT JOIN pg_namespace AS n ON n.oid = c.relnamespace
 ORDER BY p.pid, p.command
 LIMIT %(page_size)s;

-- name: replication_place
-- Where this server stands in replication: one row. `end_lsn` is what it has written (primary) or received (standby);
-- of a standby that neither streams nor has restarted lately the control file knows the timeline best.
-- One reading of pg_stat_activity: 0.1 ms and 1 µs a connection.
-- since: 150000
-- on: any
-- takes: page_size int8
-- needs: pg_monitor
-- returns: in_recovery bool, receiver text, slot bytea, name bytea, timeline int4, end_lsn int8,
--   replay_lag_bytes int8, pause_state text, apply_delay_s float8, restores bool, waits_for text,
--   synchronous_standby_names bytea, commits_wait bool, waiting_commits int8, started_at timestamptz
WITH receiver AS (
    SELECT status, slot_name, received_tli, latest_end_lsn FROM pg_stat_wal_receiver
), here AS (
    SELECT pg_is_in_recovery() AS in_recovery,
           CASE WHEN pg_is_in_recovery()
                THEN greatest((SELECT latest_end_lsn FROM receiver), pg_last_wal_receive_lsn(),
                              pg_last_wal_replay_lsn())
                ELSE pg_current_wal_lsn() END AS end_lsn
), backends AS (
    SELECT count(*) FILTER (WHERE wait_event = 'SyncRep') AS waiting_commits,
           max(wait_event) FILTER (WHERE backend_type = 'startup' AND (wait_event_type = 'Lock'
               OR wait_event LIKE 'RecoveryConflict%%')) AS waits_for
      FROM pg_stat_activity
)
SELECT h.in_recovery,
       coalesce(r.status, ''),
       textsend(coalesce(r.slot_name, current_setting('primary_slot_name'))),
       textsend(current_setting('cluster_name')),
       CASE WHEN h.in_recovery
            THEN coalesce(nullif(r.received_tli, 0),
                          greatest((SELECT timeline_id FROM pg_control_checkpoint()),
                                   (SELECT min_recovery_end_timeline FROM pg_control_recovery())))
            ELSE ('x' || substr(pg_walfile_name(h.end_lsn), 1, 8))::bit(32)::int4 END,
       (h.end_lsn - '0/0')::int8,
       CASE WHEN h.in_recovery THEN greatest(h.end_lsn - pg_last_wal_replay_lsn(), 0)::int8 ELSE 0 END,
       CASE WHEN h.in_recovery THEN pg_get_wal_replay_pause_state() ELSE '' END,
       extract(epoch FROM current_setting('recovery_min_apply_delay')::interval)::float8,
       current_setting('restore_command') <> '',
       coalesce(b.waits_for, ''),
       textsend(current_setting('synchronous_standby_names')),
       current_setting('synchronous_commit') NOT IN ('off', 'local'),
       b.waiting_commits,
       pg_postmaster_start_time()
  FROM here AS h
 CROSS JOIN backends AS b
  LEFT JOIN receiver AS r ON true
 LIMIT %(page_size)s;

-- name: physical_standbys
-- Who gets WAL from this server and holds no logical slot, the furthest behind first. PostgreSQL forgets the lag in
-- seconds when nothing is written: who has all of it lags by nothing. pg_receivewal, which replays nothing, has no
-- lag of its replay.
-- 0.1 ms.
-- since: 150000
-- on: any
-- takes: page_size int8
-- needs: pg_monitor
-- returns: name bytea, slot bytea, client_addr text, state text, sync_state text, flush_lag_bytes int8,
--   replay_lag_bytes int8, replay_lag_s float8
WITH here AS (
    SELECT CASE WHEN pg_is_in_recovery() THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
                ELSE pg_current_wal_lsn() END AS lsn
)
SELECT textsend(r.application_name),
       textsend(coalesce(s.slot_name::text, '')),
       coalesce(host(r.client_addr), ''),
       r.state,
       r.sync_state,
       greatest(h.lsn - r.flush_lsn, 0)::int8,
       greatest(h.lsn - r.replay_lsn, 0)::int8,
       (CASE WHEN r.replay_lsn >= h.lsn THEN 0 ELSE extract(epoch FROM r.replay_lag) END)::float8
  FROM here AS h
 CROSS JOIN pg_stat_replication AS r
  LEFT JOIN pg_replication_slots AS s ON s.active_pid = r.pid
 WHERE r.state IN ('streaming', 'catchup')
   AND s.slot_type IS DISTINCT FROM 'logical'
 ORDER BY 7 DESC NULLS LAST, 1
 LIMIT %(page_size)s;

-- name: archiver
-- What the archiver did, where WAL is archived: one row, none where it is not (archive_mode is off, or on on a
-- standby). `waiting_bytes` is whole segments since the last one that was archived; NULL where its name tells nothing,
-- or where archiving may have been off meanwhile. Only where few files can be in archive_status they are listed, for
-- `waiting_files` and for when the last base backup ended here; else both are NULL.
-- 0.1 ms, and 3 µs a file where they are listed, of which there are fewer than 1,000.
-- since: 150000
-- on: any
-- takes: page_size int8
-- needs: pg_monitor
-- returns: is_configured bool, last_archived text, last_archived_at timestamptz, last_failed text,
--   last_failed_at timestamptz, failed int8, counted_since timestamptz, waiting_bytes int8, segment_bytes int8,
--   waiting_files int8, last_backup_at timestamptz
WITH here AS MATERIALIZED (
    SELECT a.*,
           pg_size_bytes(current_setting('wal_segment_size')) AS segment,
           CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END - '0/0' AS lsn,
           substring(a.last_archived_wal FROM '^[0-9A-F]{24}') AS name
      FROM pg_stat_archiver AS a
     WHERE current_setting('archive_mode') = 'always'
        OR current_setting('archive_mode') = 'on' AND NOT pg_is_in_recovery()
), waiting AS MATERIALIZED (
    SELECT h.*,
           greatest(floor(h.lsn / h.segment) - 1
                    - (('x' || substr(h.name, 9, 8))::bit(32)::int8 * (4294967296 / h.segment)
                       + ('x' || substr(h.name, 17, 8))::bit(32)::int8), 0)::int8 AS segments
      FROM here AS h
), bounded AS MATERIALIZED (
    SELECT (pg_size_bytes(current_setting('max_wal_size')) + pg_size_bytes(current_setting('wal_keep_size')))
           / w.segment + coalesce(w.segments, w.lsn / w.segment)
           + coalesce((SELECT max(w.lsn - (s.restart_lsn - '0/0')) FROM pg_replication_slots AS s), 0) / w.segment
           < 1000 AS is_small
      FROM waiting AS w
)
SELECT current_setting('archive_command') NOT IN ('', '(disabled)') OR current_setting('archive_library') <> '',
       w.last_archived_wal, w.last_archived_time, w.last_failed_wal, w.last_failed_time, w.failed_count,
       greatest(w.stats_reset, pg_postmaster_start_time()),
       CASE WHEN w.last_archived_time >= pg_postmaster_start_time() THEN w.segments * w.segment END,
       w.segment, f.waiting, f.last_backup_at
  FROM waiting AS w
 CROSS JOIN bounded AS b
 CROSS JOIN LATERAL (
      SELECT CASE WHEN b.is_small THEN count(*) FILTER (WHERE d.name LIKE '%%.ready') END AS waiting,
             max(d.modification) FILTER (WHERE d.name ~ '\.backup\.(ready|done)$') AS last_backup_at
        FROM pg_ls_archive_statusdir() AS d
       WHERE b.is_small
  ) AS f
 LIMIT %(page_size)s;

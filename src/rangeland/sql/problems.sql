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
--   safe_bytes int8, inactive_since timestamptz, xmin int8, xmin_age int8, catalog_xmin_age int8, walsender_pid int4
SELECT textsend(slot_name::text),
       slot_type,
       textsend(coalesce(database::text, '')),
       active,
       coalesce(wal_status, ''),
       (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - restart_lsn)::int8,
       safe_wal_size,
       NULL::timestamptz,
       xmin::text::int8, age(xmin)::int8, age(catalog_xmin)::int8, active_pid
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
--   safe_bytes int8, inactive_since timestamptz, xmin int8, xmin_age int8, catalog_xmin_age int8, walsender_pid int4
SELECT textsend(slot_name::text),
       slot_type,
       textsend(coalesce(database::text, '')),
       active,
       coalesce(wal_status, ''),
       (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - restart_lsn)::int8,
       safe_wal_size,
       inactive_since,
       xmin::text::int8, age(xmin)::int8, age(catalog_xmin)::int8, active_pid
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

-- name: database_ages
-- How old the oldest transaction and multixact of each database may be that are not frozen yet, the oldest first, and
-- the settings by which vacuum goes. A reading of pg_database: 0.1 ms.
-- since: 150000
-- on: primary
-- takes: page_size int8
-- needs: nothing
-- returns: database bytea, may_be_visited bool, xid_age int8, xid_freeze_age int8, xid_failsafe_age int8,
--   multixact_age int8, multixact_freeze_age int8, multixact_failsafe_age int8
SELECT textsend(datname::text), datallowconn,
       age(datfrozenxid)::int8,
       current_setting('autovacuum_freeze_max_age')::int8,
       current_setting('vacuum_failsafe_age')::int8,
       mxid_age(datminmxid)::int8,
       current_setting('autovacuum_multixact_freeze_max_age')::int8,
       current_setting('vacuum_multixact_failsafe_age')::int8
  FROM pg_database
 WHERE datconnlimit <> -2 -- a DROP DATABASE that was interrupted: vacuum doesn't wait for it
 ORDER BY greatest(age(datfrozenxid), mxid_age(datminmxid)) DESC, oid
 LIMIT %(page_size)s;

-- name: oldest_tables
-- The tables of this database that keep its age: the ten oldest by transactions and the ten oldest by multixacts, the
-- oldest first. A TOAST table has the name of its table; a temporary one is vacuumed by its own session only. A scan
-- of pg_class: 1 ms on 1,000 tables.
-- since: 150000
-- on: primary
-- takes: page_size int8
-- needs: nothing
-- returns: counted text, schema bytea, "table" bytea, is_temporary bool, age int8, size_bytes int8
WITH oldest AS (
    (SELECT 'transactions' AS counted, oid, age(relfrozenxid) AS age
       FROM pg_class WHERE relkind IN ('r', 'm', 't') AND relfrozenxid <> '0'::xid
      ORDER BY age(relfrozenxid) DESC, oid LIMIT 10)
    UNION ALL
    (SELECT 'multixacts', oid, mxid_age(relminmxid)
       FROM pg_class WHERE relkind IN ('r', 'm', 't') AND relminmxid <> '0'::xid
      ORDER BY mxid_age(relminmxid) DESC, oid LIMIT 10)
)
SELECT o.counted, textsend(n.nspname::text), textsend(c.relname::text), c.relpersistence = 't', o.age::int8,
       c.relpages::int8 * current_setting('block_size')::int8
  FROM oldest AS o
  JOIN pg_class AS r ON r.oid = o.oid
  -- The name of a TOAST table has its owner's oid; no index leads from the one to the other.
  JOIN pg_class AS c ON c.oid = CASE WHEN r.relkind = 't' AND r.relname ~ '^pg_toast_[0-9]+$'
                                     THEN substr(r.relname, 10)::oid ELSE r.oid END
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
 ORDER BY o.age DESC, o.oid
 LIMIT %(page_size)s;

-- name: transactions
-- Sessions whose transaction is open for a second or more, those that wait for a lock, and those they wait for,
-- which come first; and the senders to standbys that hold back vacuum. `xmin` is the oldest transaction that the
-- session may still look at (its own, if that is older), which holds back vacuum; `xmin_age` counts from it. Of a wait
-- for a row `relation` is the row's table where the server tells. `prepared_xids` are prepared transactions that hold
-- what the session waits for. One reading of pg_stat_activity: 0.2 ms and 1 µs a connection; where somebody waits for
-- a lock one of pg_locks, and pg_blocking_pids as in sessions.sql, for no more than 100: 2 ms with 100 who wait.
-- since: 150000
-- on: any
-- takes: page_size int8
-- needs: pg_monitor
-- returns: read_at timestamptz, pid int4, backend_type text, database bytea, username bytea, application_name bytea,
--   client_address text, state text, state_change timestamptz, xact_start timestamptz, has_xid bool, xmin int8,
--   xmin_age int8, waits_since timestamptz, waits_for text, mode text, relation int8, lock text, blocking_pids int4[],
--   prepared_xids int8[]
WITH activity AS MATERIALIZED (
    SELECT *, wait_event_type = 'Lock' AS waits,
           CASE WHEN backend_xmin IS NULL OR age(backend_xid) >= age(backend_xmin) THEN backend_xid
                ELSE backend_xmin END AS horizon
      FROM pg_stat_activity
     WHERE leader_pid IS NULL AND pid <> pg_backend_pid()
), waiting AS MATERIALIZED (
    SELECT pid, CASE WHEN row_number() OVER (ORDER BY query_start, pid) <= 100 THEN pg_blocking_pids(pid) END AS blocking
      FROM activity WHERE waits
), locks AS MATERIALIZED (
    SELECT l.*, (locktype, database, relation, page, tuple, virtualxid, transactionid, classid, objid, objsubid)::text AS lock
      FROM pg_locks AS l
     WHERE (SELECT count(*) FROM waiting) > 0 -- else it isn't read
), found AS (
    SELECT a.*, w.blocking, a.pid IN (SELECT unnest(blocking) FROM waiting) AS blocks
      FROM activity AS a
      LEFT JOIN waiting AS w ON w.pid = a.pid
)
SELECT clock_timestamp(), f.pid, f.backend_type, textsend(coalesce(f.datname::text, '')),
       textsend(coalesce(f.usename::text, '')), textsend(coalesce(f.application_name, '')),
       coalesce(host(f.client_addr), ''), coalesce(f.state, ''), f.state_change, f.xact_start,
       f.backend_xid IS NOT NULL,
       -- What VACUUM itself looks at holds back nobody. Source: PostgreSQL, procarray.c, ComputeXidHorizons.
       CASE WHEN f.is_vacuum THEN NULL ELSE f.horizon::text::int8 END,
       CASE WHEN f.is_vacuum THEN NULL ELSE age(f.horizon)::int8 END,
       CASE WHEN f.waits THEN coalesce(l.waitstart, f.query_start) END,
       coalesce(l.locktype, ''), coalesce(l.mode, ''),
       coalesce(l.relation, CASE WHEN f.waits THEN (
           SELECT h.relation FROM locks AS h WHERE h.pid = f.pid AND h.locktype = 'tuple' AND h.granted LIMIT 1
       ) END)::int8,
       coalesce(l.lock, ''), f.blocking,
       CASE WHEN 0 = ANY (f.blocking) THEN ARRAY(
           SELECT DISTINCT x.transactionid::text::int8
             FROM locks AS p
             JOIN locks AS x ON x.pid IS NULL AND x.virtualtransaction = p.virtualtransaction
                            AND x.locktype = 'transactionid' AND x.granted
            WHERE p.pid IS NULL AND p.granted AND p.lock = l.lock
       ) END
  FROM (SELECT f.*, f.pid IN (SELECT pid FROM pg_stat_progress_vacuum) AS is_vacuum FROM found AS f) AS f
  LEFT JOIN locks AS l ON l.pid = f.pid AND NOT l.granted
 WHERE f.waits OR f.blocks OR f.xact_start < clock_timestamp() - interval '1 second'
    OR f.backend_type = 'walsender' AND f.backend_xmin IS NOT NULL
 ORDER BY f.waits OR f.blocks DESC NULLS LAST, f.xact_start, f.pid
 LIMIT %(page_size)s;

-- name: prepared_transactions
-- Prepared transactions, the oldest first; a standby has none of its own. 0.1 ms.
-- since: 150000
-- on: primary
-- takes: page_size int8
-- needs: nothing
-- returns: read_at timestamptz, gid bytea, xid int8, xid_age int8, prepared_at timestamptz, owner bytea,
--   database bytea
SELECT clock_timestamp(), textsend(gid), transaction::text::int8, age(transaction)::int8, prepared,
       textsend(owner::text), textsend(database::text)
  FROM pg_prepared_xacts
 ORDER BY prepared, gid
 LIMIT %(page_size)s;

-- name: awaited_tables
-- The names of this database's tables for which, or for a row of which, somebody waits just now. Reads pg_locks only
-- where somebody waits for a lock: else 0.1 ms and 1 µs a connection.
-- since: 150000
-- on: any
-- takes: page_size int8
-- needs: pg_monitor
-- returns: oid int8, schema bytea, "table" bytea
SELECT c.oid::int8, textsend(n.nspname::text), textsend(c.relname::text)
  FROM (SELECT DISTINCT relation
          FROM pg_locks
         WHERE (SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock') > 0
           AND (NOT granted OR locktype = 'tuple')
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS l
  JOIN pg_class AS c ON c.oid = l.relation
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
 ORDER BY c.oid
 LIMIT %(page_size)s;

-- name: neglected_tables
-- Tables of this database with more dead rows, or rows changed since ANALYZE, than autovacuum waits for (more than
-- 1,000, though), those that are furthest beyond first; not those that VACUUM or ANALYZE works on now, and none where
-- autovacuum is off altogether. Settings of the table are taken into account. A scan of pg_class: 3 ms on 1,000 tables.
-- since: 150000
-- on: primary
-- takes: page_size int8
-- needs: nothing
-- returns: schema bytea, "table" bytea, live_rows int8, dead_rows int8, changed_rows int8, vacuum_threshold float8,
--   analyze_threshold float8, autovacuum_on bool, vacuumed_at timestamptz, analyzed_at timestamptz, size_bytes int8
WITH defaults AS MATERIALIZED (
    SELECT current_setting('autovacuum_vacuum_threshold')::float8 AS vacuum_rows,
           current_setting('autovacuum_vacuum_scale_factor')::float8 AS vacuum_share,
           nullif(current_setting('autovacuum_vacuum_max_threshold', true), '-1')::float8 AS vacuum_most,
           current_setting('autovacuum_analyze_threshold')::float8 AS analyze_rows,
           current_setting('autovacuum_analyze_scale_factor')::float8 AS analyze_share
), counted AS MATERIALIZED (
    SELECT c.oid, c.relnamespace, c.relname, c.relpages, greatest(c.reltuples, 0) AS rows, c.reloptions,
           pg_stat_get_dead_tuples(c.oid) AS dead, pg_stat_get_mod_since_analyze(c.oid) AS changed
      FROM pg_class AS c
     WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND c.oid >= 16384
), busy AS MATERIALIZED (
    SELECT *
      FROM counted AS c, defaults AS d
     WHERE (c.dead > 1000 OR c.changed > 1000)
       AND current_setting('autovacuum')::bool AND current_setting('track_counts')::bool -- else all of them are
       AND c.oid NOT IN (SELECT relid FROM pg_stat_progress_vacuum
                          WHERE datname = current_database() AND relid IS NOT NULL
                         UNION ALL
                         SELECT relid FROM pg_stat_progress_analyze
                          WHERE datname = current_database() AND relid IS NOT NULL)
), thresholds AS (
    SELECT b.*,
           least(coalesce(o.vacuum_most, b.vacuum_most),
                 coalesce(o.vacuum_rows, b.vacuum_rows) + coalesce(o.vacuum_share, b.vacuum_share) * b.rows) AS vacuum_at,
           coalesce(o.analyze_rows, b.analyze_rows) + coalesce(o.analyze_share, b.analyze_share) * b.rows AS analyze_at,
           coalesce(o.is_on, true) AS is_on
      FROM busy AS b
      LEFT JOIN LATERAL (
          SELECT max(option_value) FILTER (WHERE option_name = 'autovacuum_vacuum_threshold')::float8 AS vacuum_rows,
                 max(option_value) FILTER (WHERE option_name = 'autovacuum_vacuum_scale_factor')::float8 AS vacuum_share,
                 nullif(max(option_value) FILTER (WHERE option_name = 'autovacuum_vacuum_max_threshold'), '-1')::float8
                     AS vacuum_most,
                 max(option_value) FILTER (WHERE option_name = 'autovacuum_analyze_threshold')::float8 AS analyze_rows,
                 max(option_value) FILTER (WHERE option_name = 'autovacuum_analyze_scale_factor')::float8 AS analyze_share,
                 bool_and(option_value::bool) FILTER (WHERE option_name = 'autovacuum_enabled') AS is_on
            FROM pg_options_to_table(b.reloptions)
      ) AS o ON b.reloptions IS NOT NULL
)
SELECT textsend(n.nspname::text), textsend(t.relname::text), pg_stat_get_live_tuples(t.oid), t.dead, t.changed,
       t.vacuum_at, t.analyze_at, t.is_on,
       greatest(pg_stat_get_last_vacuum_time(t.oid), pg_stat_get_last_autovacuum_time(t.oid)),
       greatest(pg_stat_get_last_analyze_time(t.oid), pg_stat_get_last_autoanalyze_time(t.oid)),
       t.relpages::int8 * current_setting('block_size')::int8
  FROM thresholds AS t
  JOIN pg_namespace AS n ON n.oid = t.relnamespace
 WHERE t.dead > t.vacuum_at OR t.changed > t.analyze_at
 ORDER BY greatest(t.dead / (t.vacuum_at + 1), t.changed / (t.analyze_at + 1)) DESC, t.oid
 LIMIT %(page_size)s;

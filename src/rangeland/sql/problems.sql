-- What the checks read (src/rangeland/checks/): one block a reading, its columns in the order of the row's fields.
-- Each returns at most `page_size` rows, the worst first, and waits for no lock: sizes are those of the last VACUUM
-- or ANALYZE (relpages), which need none.
-- A visit to a database is over a new connection, whose caches are empty: there, planning costs more than looking.
-- Joins cost the most to plan, and a scan most by the columns that it unpacks of each row (the farther behind, the
-- more). So what is looked for is found by one narrow scan, names are fetched for what was found only, and of the
-- readings of a database only those are asked of which `signs` says that they could find something.

-- name: signs
-- Which of the readings of this database, by their names, could find something: without a sign there is nothing to
-- be found. One scan of pg_class and one of pg_index: 4 to 8 ms on 1,000 tables.
-- since: 150000
-- on: any
-- needs: nothing
-- returns: invalid_indexes bool, duplicate_indexes bool, unused_indexes bool, collations bool, sequences bool,
--   unlogged_tables bool, empty_space bool, neglected_tables bool
WITH relations AS MATERIALIZED (
    SELECT relkind, relpersistence, relpages, oid,
           pg_stat_get_dead_tuples(oid) > 1000 OR pg_stat_get_mod_since_analyze(oid) > 1000 AS is_changed
      FROM pg_class
     WHERE oid >= 16384
       AND (relpages >= 32 OR relpersistence = 'u' OR relkind = 'S' -- 1 MB in the largest blocks
            OR CASE WHEN relkind IN ('r', 'm')
                    THEN pg_stat_get_dead_tuples(oid) > 1000 OR pg_stat_get_mod_since_analyze(oid) > 1000 END)
), indexes AS MATERIALIZED (
    SELECT NOT bool_and(indisvalid AND indisready AND indislive) AS is_invalid,
           indrelid >= 16384 AND count(*) > 1 AS is_double
      FROM pg_index
     GROUP BY indrelid, indkey[0], indnatts
    HAVING NOT bool_and(indisvalid AND indisready AND indislive) OR count(*) > 1
)
SELECT i.invalid, i.double, r.unused, EXISTS (SELECT FROM pg_depend WHERE refclassid = 'pg_collation'::regclass),
       r.sequences, r.unlogged, r.large, r.neglected
  FROM (SELECT coalesce(bool_or(is_invalid), false) AS invalid, coalesce(bool_or(is_double), false) AS double
          FROM indexes) AS i,
       (SELECT coalesce(bool_or(relkind = 'i' AND relpages >= 128 AND pg_stat_get_numscans(oid) = 0), false) AS unused,
               coalesce(bool_or(relkind = 'S'), false) AS sequences,
               coalesce(bool_or(relpersistence = 'u'), false) AS unlogged,
               coalesce(bool_or(relkind IN ('r', 'm')
                                AND relpages >= 1048576 / current_setting('block_size')::int8), false) AS large,
               coalesce(bool_or(relkind IN ('r', 'm') AND is_changed), false) AS neglected
          FROM relations) AS r;

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
SELECT namesend((SELECT nspname FROM pg_namespace WHERE oid = i.relnamespace)),
       namesend((SELECT relname FROM pg_class WHERE oid = x.indrelid)), namesend(i.relname),
       EXISTS (SELECT FROM pg_stat_progress_create_index AS p
                WHERE p.datname = current_database()
                  AND p.relid = x.indrelid AND p.index_relid IN (0, x.indexrelid)),
       i.relpages::int8 * current_setting('block_size')::int8
  FROM (SELECT indexrelid, indrelid FROM pg_index WHERE NOT (indisvalid AND indisready AND indislive) OFFSET 0) AS x
 CROSS JOIN LATERAL (
      SELECT relname, relnamespace, relpages FROM pg_class WHERE oid = x.indexrelid AND relkind = 'i' OFFSET 0
 ) AS i -- of a partitioned table it says that a partition has none yet
 ORDER BY i.relpages DESC, x.indexrelid
 LIMIT %(page_size)s;

-- name: duplicate_indexes
-- Indexes of this database that are defined as another one of their table is, but for the name, the largest first.
-- Kept is one that enforces something, else the oldest. The same operator classes are of the same method. Only tables
-- with two indexes of as many columns that begin with the same one are looked at: 2.5 ms on 1,000 tables.
-- since: 150000
-- on: primary
-- takes: page_size int8
-- needs: pg_monitor
-- returns: schema bytea, "table" bytea, index bytea, kept bytea, size_bytes int8
WITH suspects AS MATERIALIZED (
    SELECT DISTINCT indrelid
      FROM (SELECT indrelid FROM pg_index WHERE indrelid >= 16384
             GROUP BY indrelid, indkey[0], indnatts HAVING count(*) > 1) AS s
), looked_at AS MATERIALIZED (
    SELECT x.*
      FROM suspects AS s
     CROSS JOIN LATERAL (
          SELECT indexrelid, indrelid, indkey::int2[], indclass, indcollation, indoption::int2[], indnkeyatts,
                 indexprs::text, indpred::text, indisunique OR indisexclusion OR indisreplident AS enforces
            FROM pg_index WHERE indrelid = s.indrelid AND indisvalid AND indislive OFFSET 0
     ) AS x
), found AS (
    SELECT DISTINCT ON (x.indexrelid) x.indexrelid, x.indrelid, k.indexrelid AS kept
      FROM looked_at AS x
      JOIN looked_at AS k USING (indrelid, indkey, indclass, indcollation, indoption, indnkeyatts)
     WHERE NOT x.enforces AND k.indexrelid <> x.indexrelid AND (k.indexrelid < x.indexrelid OR k.enforces)
       AND k.indexprs IS NOT DISTINCT FROM x.indexprs AND k.indpred IS NOT DISTINCT FROM x.indpred
       AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = x.indexrelid) -- its parent's index decides
     ORDER BY x.indexrelid, k.enforces DESC, k.indexrelid
)
SELECT namesend((SELECT nspname FROM pg_namespace WHERE oid = i.relnamespace)),
       namesend((SELECT relname FROM pg_class WHERE oid = f.indrelid)), namesend(i.relname),
       namesend((SELECT relname FROM pg_class WHERE oid = f.kept)),
       i.relpages::int8 * current_setting('block_size')::int8
  FROM found AS f
 CROSS JOIN LATERAL (
      SELECT relname, relnamespace, relpages FROM pg_class WHERE oid = f.indexrelid AND relkind = 'i' OFFSET 0
 ) AS i
 ORDER BY i.relpages DESC, f.indexrelid
 LIMIT %(page_size)s;

-- name: unused_indexes
-- Indexes of this database of at least 1 MB (128 pages) that enforce nothing and were never scanned here since the
-- counters began, the largest first: the order is the same on every server. Where the counters were never reset, they began with the server's
-- start at the latest. A scan of pg_index: 1.5 ms on 1,000 tables.
-- since: 150000
-- on: any
-- takes: page_size int8
-- needs: pg_monitor
-- returns: schema bytea, "table" bytea, index bytea, oid int8, size_bytes int8, counted_since timestamptz
SELECT namesend((SELECT nspname FROM pg_namespace WHERE oid = i.relnamespace)),
       namesend((SELECT relname FROM pg_class WHERE oid = x.indrelid)), namesend(i.relname), i.oid::int8,
       i.relpages::int8 * current_setting('block_size')::int8,
       coalesce(greatest((SELECT pg_stat_get_db_stat_reset_time(oid) FROM pg_database
                           WHERE datname = current_database()),
                         pg_stat_get_bgwriter_stat_reset_time()),
                pg_postmaster_start_time())
  FROM (SELECT oid, relname, relnamespace, relpages FROM pg_class
         WHERE relkind = 'i' AND relpages >= 128 AND oid >= 16384 AND pg_stat_get_numscans(oid) = 0 OFFSET 0) AS i
 CROSS JOIN LATERAL (
      SELECT indrelid FROM pg_index
       WHERE indexrelid = i.oid AND indisvalid AND indislive
         AND NOT (indisunique OR indisexclusion OR indisreplident OR indisclustered) OFFSET 0
 ) AS x
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

-- name: settings_loaded
-- When this connection last heard that the configuration was read, to the microsecond: as long as that is the same,
-- `settings` are. 0.05 ms.
-- since: 150000
-- on: any
-- needs: nothing
-- returns: loaded_at timestamptz
SELECT pg_conf_load_time();

-- name: settings
-- The settings by which a failover or a crash would change what the server does, and those that wait for a restart;
-- of these the value is shown only where they are among the former. Left out is what differs by design (names,
-- ports, paths), what may hold a secret, and what this connection or its role has for itself. A scan of all
-- settings: 1 ms, made only when `settings_loaded` changes.
-- since: 150000
-- on: any
-- takes: page_size int8
-- needs: pg_monitor
-- returns: name text, value bytea, number int8, context text, source text, waits bool
SELECT s.name,
       CASE WHEN c.name IS NULL THEN ''::bytea ELSE textsend(current_setting(s.name)) END,
       CASE WHEN c.name IS NOT NULL AND s.vartype = 'integer' THEN s.setting::int8 END,
       s.context, s.source, s.pending_restart
  FROM pg_settings AS s
  LEFT JOIN unnest(ARRAY[
           'archive_mode', 'autovacuum', 'autovacuum_freeze_max_age', 'autovacuum_max_workers',
           'autovacuum_multixact_freeze_max_age', 'autovacuum_naptime', 'autovacuum_vacuum_cost_delay',
           'autovacuum_vacuum_cost_limit', 'autovacuum_vacuum_scale_factor', 'autovacuum_work_mem',
           'backslash_quote', 'bytea_output', 'checkpoint_timeout', 'data_sync_retry', 'DateStyle',
           'deadlock_timeout', 'default_statistics_target', 'default_table_access_method',
           'default_text_search_config', 'default_toast_compression', 'default_transaction_deferrable',
           'default_transaction_isolation', 'effective_cache_size', 'fsync', 'full_page_writes',
           'hash_mem_multiplier', 'idle_session_timeout', 'ignore_checksum_failure', 'ignore_invalid_pages',
           'IntervalStyle', 'lc_monetary', 'lc_numeric', 'lc_time', 'maintenance_work_mem', 'max_connections',
           'max_locks_per_transaction', 'max_logical_replication_workers', 'max_parallel_workers',
           'max_parallel_workers_per_gather', 'max_pred_locks_per_transaction', 'max_prepared_transactions',
           'max_replication_slots', 'max_slot_wal_keep_size', 'max_wal_senders', 'max_wal_size',
           'max_worker_processes', 'password_encryption', 'quote_all_identifiers', 'random_page_cost',
           'seq_page_cost', 'session_preload_libraries', 'shared_buffers', 'shared_preload_libraries', 'ssl',
           'standard_conforming_strings', 'superuser_reserved_connections', 'synchronous_commit', 'temp_buffers',
           'temp_file_limit', 'timezone_abbreviations', 'track_commit_timestamp', 'track_counts',
           'transform_null_equals', 'wal_compression', 'wal_keep_size', 'wal_level', 'wal_log_hints', 'work_mem',
           'xmloption', 'zero_damaged_pages'
       ]) AS c (name) ON c.name = s.name AND s.source IN ('default', 'environment variable', 'override',
                                                          'configuration file', 'command line')
 WHERE c.name IS NOT NULL OR s.pending_restart
 ORDER BY s.pending_restart DESC, s.name
 LIMIT %(page_size)s;

-- name: database_states
-- Of each database (and of the catalogues that all share, without a name): the pages whose checksum was wrong, and
-- which version of the collation's library it was made with and is read with. First those with damage, then those
-- whose versions differ. 0.2 ms and 20 µs a database.
-- since: 150000
-- on: any
-- takes: page_size int8
-- needs: pg_monitor
-- returns: database bytea, checksum_failures int8, failed_at timestamptz, locale bytea, made_with text, read_with text
SELECT textsend(coalesce(d.datname::text, '')), coalesce(pg_stat_get_db_checksum_failures(s.oid), 0),
       pg_stat_get_db_checksum_last_failure(s.oid), textsend(coalesce(d.datcollate::text, '')),
       coalesce(d.datcollversion, ''),
       coalesce(CASE WHEN d.oid IS NOT NULL THEN pg_database_collation_actual_version(d.oid) END, '')
  FROM (SELECT oid FROM pg_database WHERE datallowconn UNION ALL SELECT 0) AS s
  LEFT JOIN pg_database AS d ON d.oid = s.oid
 ORDER BY 2 DESC, 5 IS DISTINCT FROM 6 DESC, 1
 LIMIT %(page_size)s;

-- name: collations
-- Collations of this database that something in it uses and that have versions, with the number of indexes that are
-- sorted by each; first those whose versions differ. 0.3 ms, and 0.1 ms a collation.
-- since: 150000
-- on: any
-- takes: page_size int8
-- needs: pg_monitor
-- returns: schema bytea, collation bytea, oid int8, made_with text, read_with text, indexes int8
SELECT namesend((SELECT nspname FROM pg_namespace WHERE oid = c.collnamespace)), namesend(c.collname), c.oid::int8,
       c.collversion,
       coalesce(pg_collation_actual_version(c.oid), ''),
       (SELECT count(*) FROM pg_index AS x WHERE c.oid = ANY (x.indcollation::oid[]))
  FROM pg_collation AS c
 WHERE c.collversion IS NOT NULL
   AND c.oid IN (SELECT refobjid FROM pg_depend WHERE refclassid = 'pg_collation'::regclass)
 ORDER BY c.collversion = coalesce(pg_collation_actual_version(c.oid), ''), 6 DESC, c.oid
 LIMIT %(page_size)s;

-- name: sequences
-- Sequences of this database that stand above half of what they, or the column that owns them, can hold, the fullest
-- first. Where this role may not read a sequence, the rows that its table is known to have, or to have got since the
-- counters began, stand for it: it has given at least one number for each, if they were taken from it. Sequences that
-- somebody locks against readers are passed over. 4 ms on 1,000 sequences that may not be read, 5 ms on such that may.
-- since: 150000
-- on: primary
-- takes: page_size int8
-- needs: pg_monitor
-- returns: schema bytea, sequence bytea, "table" bytea, "column" bytea, column_type text, sequence_type text,
--   is_read bool, used int8, sequence_limit int8, column_limit int8, increment int8
WITH known AS MATERIALIZED (
    SELECT s.seqrelid, s.seqtypid, s.seqincrement, c.relname, c.relnamespace, d.refobjid, d.refobjsubid,
           has_sequence_privilege(s.seqrelid, 'SELECT, USAGE') AS is_read,
           CASE WHEN s.seqincrement > 0 THEN s.seqmax ELSE s.seqmin END AS sequence_limit,
           greatest(t.reltuples::int8, pg_stat_get_tuples_inserted(d.refobjid)) AS rows, t.relname AS "table"
      FROM (SELECT * FROM pg_sequence WHERE NOT seqcycle OFFSET 0) AS s
     CROSS JOIN LATERAL (
          SELECT relname, relnamespace FROM pg_class WHERE oid = s.seqrelid AND relpersistence <> 't' OFFSET 0
     ) AS c
      LEFT JOIN LATERAL (
          SELECT refobjid, refobjsubid FROM pg_depend
           WHERE classid = 'pg_class'::regclass AND objid = s.seqrelid AND objsubid = 0
             AND refclassid = 'pg_class'::regclass AND refobjsubid > 0 AND deptype IN ('a', 'i') OFFSET 0
     ) AS d ON true
      LEFT JOIN LATERAL (SELECT relname, reltuples FROM pg_class WHERE oid = d.refobjid OFFSET 0) AS t ON true
), locked AS MATERIALIZED (
    SELECT l.relation FROM pg_locks AS l
     WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND l.relation IS NOT NULL
       AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
), standing AS MATERIALIZED (
    SELECT k.*,
           CASE WHEN NOT k.is_read AND k.seqincrement > 0 THEN nullif(k.rows, 0)
                WHEN k.is_read AND k.seqrelid NOT IN (SELECT relation FROM locked)
                THEN pg_sequence_last_value(k.seqrelid) END AS used
      FROM known AS k
), limited AS (
    SELECT s.*, a.attname AS "column", a.atttypid,
           CASE a.atttypid WHEN 'int2'::regtype THEN 32767 WHEN 'int4'::regtype THEN 2147483647
                           WHEN 'int8'::regtype THEN 9223372036854775807 END AS column_limit
      FROM standing AS s
      LEFT JOIN LATERAL ( -- by its index, for few: a join would read the columns of all tables
          SELECT attname, atttypid FROM pg_attribute WHERE attrelid = s.refobjid AND attnum = s.refobjsubid LIMIT 1
      ) AS a ON true
     WHERE abs(s.used::float8) > least(16383, abs(s.sequence_limit::float8) / 2) -- half of the smallest type
), shares AS (
    SELECT l.*, l.used::float8 / nullif(CASE -- one that doesn't cross 0 on its way is passed over
               WHEN l.seqincrement > 0 THEN greatest(0, least(l.sequence_limit, l.column_limit))
               ELSE least(0, greatest(l.sequence_limit, -1 - l.column_limit)) END, 0) AS share
      FROM limited AS l
)
SELECT namesend((SELECT nspname FROM pg_namespace WHERE oid = s.relnamespace)), namesend(s.relname),
       namesend(coalesce(s."table", '')), namesend(coalesce(s."column", '')), coalesce(format_type(s.atttypid, NULL), ''),
       format_type(s.seqtypid, NULL), s.is_read, s.used, s.sequence_limit, s.column_limit, s.seqincrement
  FROM shares AS s
 WHERE s.share > 0.5
 ORDER BY s.share DESC, s.seqrelid
 LIMIT %(page_size)s;

-- name: unlogged_tables
-- How many tables and sequences of this database are unlogged, their size, and the name of the largest: at most one
-- row. A scan of pg_class: 0.3 ms on 1,000 tables.
-- since: 150000
-- on: primary
-- takes: page_size int8
-- needs: pg_monitor
-- returns: tables int8, sequences int8, size_bytes int8, schema bytea, "table" bytea
WITH found AS MATERIALIZED (
    SELECT oid, relkind, relpages, relname, relnamespace
      FROM pg_class WHERE relpersistence = 'u' AND relkind IN ('r', 'm', 'S')
)
SELECT (SELECT count(*) FROM found WHERE relkind <> 'S'), (SELECT count(*) FROM found WHERE relkind = 'S'),
       (SELECT sum(relpages::int8) FROM found)::int8 * current_setting('block_size')::int8,
       namesend((SELECT nspname FROM pg_namespace WHERE oid = f.relnamespace)), namesend(f.relname)
  FROM found AS f
 ORDER BY f.relkind = 'S', f.relpages DESC, f.oid
 LIMIT least(1, %(page_size)s);

-- name: empty_space
-- Tables of this database with more pages than their rows can fill, those with the most first. How long a row can be
-- at most is told by its columns' types: exactly where all have a fixed width or a limit, else it is what a row has
-- when its long values are moved out (2 kB, or a page where they may not be). Rows are those that the last VACUUM or
-- ANALYZE and the counters know, the dead ones among them, so what is left is free space. Tables under 1 MB, and
-- those that may be more than half full, are passed over. 0.7 ms on 1,000 small tables, 2 ms on 1,000 larger ones,
-- and 10 µs for each of which the columns are looked at.
-- since: 150000
-- on: primary
-- takes: page_size int8
-- needs: pg_monitor
-- returns: schema bytea, "table" bytea, size_bytes int8, free_bytes int8, rows int8, row_bytes int8
WITH large AS MATERIALIZED (
    SELECT c.oid, c.relname, c.relnamespace, c.relpages::int8 AS pages, c.relnatts, c.reltoastrelid > 0 AS has_toast,
           greatest(c.reltuples::int8, pg_stat_get_live_tuples(c.oid)) + pg_stat_get_dead_tuples(c.oid) AS rows,
           coalesce((SELECT option_value::int8 FROM pg_options_to_table(c.reloptions)
                      WHERE option_name = 'fillfactor'), 100) AS fillfactor,
           coalesce((SELECT option_value::int8 FROM pg_options_to_table(c.reloptions)
                      WHERE option_name = 'toast_tuple_target'), 0) AS toast_target
      FROM pg_class AS c
     WHERE c.relkind IN ('r', 'm') AND c.oid >= 16384 AND c.reltuples >= 0
       AND c.relpages >= 1048576 / current_setting('block_size')::int8
       AND c.relam = (SELECT oid FROM pg_am WHERE amname = 'heap')
), widths AS (
    SELECT l.*, w.*, b.room, greatest(l.toast_target, b.room / 4) AS moved_above
      FROM large AS l
      JOIN (SELECT current_setting('block_size')::int8 - 24) AS b (room)
        -- the shortest bound that its columns could give: most tables are full enough to need no look at them
        ON l.pages * b.room > 2 * l.rows * least(36 + 8 * l.relnatts, b.room / 4)
      CROSS JOIN LATERAL (
          -- each column with the most that it can be padded; a header of 23 bytes, a bit a column, a line pointer
          SELECT 4 + 24 + (l.relnatts / 64 + 1) * 8
                 + coalesce(sum(CASE WHEN a.attlen > 0 THEN a.attlen + 7
                                     WHEN a.atttypid IN ('varchar'::regtype, 'bpchar'::regtype) AND a.atttypmod > 4
                                     THEN least((a.atttypmod - 4) * 4::int8, 100000) + 11
                                     WHEN a.atttypid = 'numeric'::regtype AND a.atttypmod > 4
                                     THEN ((a.atttypmod - 4) >> 16 & 65535) / 2 + 23 END), 0)::int8 AS bounded,
                 bool_or(a.attlen < 0 AND NOT (a.atttypmod > 4 AND a.atttypid IN
                     ('varchar'::regtype, 'bpchar'::regtype, 'numeric'::regtype))) AS is_unbounded,
                 bool_or(a.attlen < 0 AND a.attstorage IN ('m', 'p')) AS stays
            FROM pg_attribute AS a
           WHERE a.attrelid = l.oid AND a.attnum > 0
      ) AS w
), bounds AS (
    SELECT w.*, least(w.room, CASE
               WHEN NOT w.is_unbounded AND (w.bounded <= w.moved_above OR NOT w.has_toast) THEN w.bounded
               WHEN w.stays OR NOT w.has_toast THEN w.room
               -- pointers to what was moved out take 18 bytes a column, in the place of what they stand for
               ELSE greatest(w.moved_above, 60 + w.relnatts * 25) END) AS row_bytes
      FROM widths AS w
), spaces AS (
    SELECT b.*, b.pages - ceil(b.rows::float8
               / greatest(1, b.room * b.fillfactor / 100 / b.row_bytes))::int8 AS free_pages
      FROM bounds AS b
)
SELECT namesend((SELECT nspname FROM pg_namespace WHERE oid = s.relnamespace)), namesend(s.relname),
       s.pages * current_setting('block_size')::int8, s.free_pages * current_setting('block_size')::int8, s.rows, s.row_bytes
  FROM spaces AS s
 WHERE s.free_pages > 0
 ORDER BY s.free_pages DESC, s.oid
 LIMIT %(page_size)s;

-- name: missing_privileges
-- What the node's role lacks to look at everything, of what `rangeland init` grants. No table is read: 0.1 ms.
-- since: 150000
-- on: any
-- takes: page_size int8
-- needs: nothing
-- returns: role bytea, privilege text
SELECT textsend(current_user::text), m.privilege
  FROM (VALUES ('pg_monitor', pg_has_role(current_user, 'pg_monitor', 'USAGE')),
               ('schema rangeland',
                to_regnamespace('rangeland') IS NULL OR has_schema_privilege(to_regnamespace('rangeland'), 'USAGE')))
       AS m (privilege, is_granted)
 WHERE NOT m.is_granted
 ORDER BY 2
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
    -- without pg_monitor there is a row, and all but its pid is NULL
    SELECT coalesce(status, 'hidden') AS status, slot_name, received_tli, latest_end_lsn FROM pg_stat_wal_receiver
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
-- oldest first. A TOAST table has the name of its table; a temporary one is vacuumed by its own session only. Two
-- scans of pg_class: 3 ms on 1,000 tables; asked only where the database is due.
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
-- The names of this database's tables for which, or for a row of which, somebody waits just now. One reading of
-- pg_locks: 0.1 ms and 1 µs a lock; asked only where somebody waits.
-- since: 150000
-- on: any
-- takes: page_size int8
-- needs: pg_monitor
-- returns: oid int8, schema bytea, "table" bytea
SELECT c.oid::int8, textsend(n.nspname::text), textsend(c.relname::text)
  FROM (SELECT DISTINCT relation
          FROM pg_locks
         WHERE (NOT granted OR locktype = 'tuple')
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
WITH counted AS MATERIALIZED (
    SELECT *
      FROM (SELECT oid, pg_stat_get_dead_tuples(oid) AS dead, pg_stat_get_mod_since_analyze(oid) AS changed
              FROM pg_class
             WHERE relkind IN ('r', 'm') AND relpersistence <> 't' AND oid >= 16384 OFFSET 0) AS c
     WHERE (dead > 1000 OR changed > 1000)
       AND current_setting('autovacuum')::bool AND current_setting('track_counts')::bool -- else all of them are
), busy AS (
    SELECT b.*, c.relname, c.relnamespace, c.relpages, greatest(c.reltuples, 0) AS rows,
           (SELECT jsonb_object_agg(option_name, option_value) FROM pg_options_to_table(c.reloptions)) AS own
      FROM counted AS b
     CROSS JOIN LATERAL (
          SELECT relname, relnamespace, relpages, reltuples, reloptions FROM pg_class WHERE oid = b.oid OFFSET 0
     ) AS c
     WHERE b.oid NOT IN (SELECT relid FROM pg_stat_progress_vacuum
                          WHERE datname = current_database() AND relid IS NOT NULL
                         UNION ALL
                         SELECT relid FROM pg_stat_progress_analyze
                          WHERE datname = current_database() AND relid IS NOT NULL)
), thresholds AS (
    SELECT b.*, coalesce(own ->> 'autovacuum_enabled', 'true')::bool AS is_on,
           least(nullif(coalesce(own ->> 'autovacuum_vacuum_max_threshold',
                                 current_setting('autovacuum_vacuum_max_threshold', true)), '-1')::float8,
                 coalesce(own ->> 'autovacuum_vacuum_threshold',
                          current_setting('autovacuum_vacuum_threshold'))::float8
                 + coalesce(own ->> 'autovacuum_vacuum_scale_factor',
                            current_setting('autovacuum_vacuum_scale_factor'))::float8 * b.rows) AS vacuum_at,
           coalesce(own ->> 'autovacuum_analyze_threshold',
                    current_setting('autovacuum_analyze_threshold'))::float8
           + coalesce(own ->> 'autovacuum_analyze_scale_factor',
                      current_setting('autovacuum_analyze_scale_factor'))::float8 * b.rows AS analyze_at
      FROM busy AS b
)
SELECT namesend((SELECT nspname FROM pg_namespace WHERE oid = t.relnamespace)), namesend(t.relname),
       pg_stat_get_live_tuples(t.oid), t.dead, t.changed, t.vacuum_at, t.analyze_at, t.is_on,
       greatest(pg_stat_get_last_vacuum_time(t.oid), pg_stat_get_last_autovacuum_time(t.oid)),
       greatest(pg_stat_get_last_analyze_time(t.oid), pg_stat_get_last_autoanalyze_time(t.oid)),
       t.relpages::int8 * current_setting('block_size')::int8
  FROM thresholds AS t
 WHERE t.dead > t.vacuum_at OR t.changed > t.analyze_at
 ORDER BY greatest(t.dead / (t.vacuum_at + 1), t.changed / (t.analyze_at + 1)) DESC, t.oid
 LIMIT %(page_size)s;

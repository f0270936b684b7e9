-- Ranges: tables, partitions and materialised views of the database that is connected to, with their indexes
-- and TOAST. Names come as bytes: a database in SQL_ASCII may hold names that are no UTF-8, and the driver
-- would refuse the whole answer.

-- name: list_databases
-- The databases that may be visited, by oid: no templates, none that refuse connections or are half dropped.
-- `counters_since` changes when counters begin anew, by hand (per database) or after a crash (then the
-- background writer's do, too); NULL: never reset.
-- since: 150000
-- on: any
-- needs: nothing
-- returns: oid int8, name text, is_state bool, counters_since timestamptz
SELECT d.oid::int8,
       d.datname::text,
       d.datname = current_database(),
       greatest(pg_stat_get_db_stat_reset_time(d.oid), pg_stat_get_bgwriter_stat_reset_time())
  FROM pg_database AS d
 WHERE d.datallowconn
   AND NOT d.datistemplate
   AND d.datconnlimit <> -2 -- a DROP DATABASE that was interrupted
   AND has_database_privilege(d.oid, 'CONNECT')
 ORDER BY d.oid;

-- name: count_ranges
-- How many ranges there are; `scope` is as in list_range_oids. Shared catalogues have oids that no user's table can
-- have. Source: PostgreSQL, access/transam.h, FirstNormalObjectId.
-- since: 150000
-- on: any
-- takes: scope text
-- needs: nothing
-- returns: ranges int8
SELECT count(*)
  FROM pg_class AS c
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.oid < CASE %(scope)s::text WHEN 'shared' THEN 16384 ELSE 4294967295 END::oid
   AND c.relkind IN ('r', 'm')
   AND (c.relpersistence = 'p' OR c.relpersistence = 'u' AND NOT pg_is_in_recovery())
   AND CASE %(scope)s::text
           WHEN 'shared' THEN c.relisshared
           WHEN 'system' THEN NOT c.relisshared
           ELSE n.nspname NOT IN ('pg_catalog', 'information_schema')
       END;

-- name: list_range_oids
-- At most `page_size` tables, and no more than 1,001, with an oid above `after_oid`, by oid. The scope `shared`
-- means the catalogues that all databases share, `user` what users made, `system` that and this database's
-- catalogues. The limit within is a constant: of a parameter a kept plan takes it to be a tenth of all rows, and
-- reads and sorts the whole catalogue.
-- since: 150000
-- on: any
-- takes: scope text, after_oid int8, page_size int8
-- needs: nothing
-- returns: oid int8
SELECT found.oid::int8
  FROM (SELECT c.oid
          FROM pg_class AS c
          JOIN pg_namespace AS n ON n.oid = c.relnamespace
         WHERE c.oid > %(after_oid)s::int8::oid
           AND c.oid < CASE %(scope)s::text WHEN 'shared' THEN 16384 ELSE 4294967295 END::oid
           AND c.relkind IN ('r', 'm')
           AND (c.relpersistence = 'p' OR c.relpersistence = 'u' AND NOT pg_is_in_recovery())
           AND CASE %(scope)s::text
                   WHEN 'shared' THEN c.relisshared
                   WHEN 'system' THEN NOT c.relisshared
                   ELSE n.nspname NOT IN ('pg_catalog', 'information_schema')
               END
         ORDER BY c.oid
         LIMIT 1001) AS found
 ORDER BY found.oid
 LIMIT %(page_size)s::int8;

-- name: skip_ranges
-- The table at place `skip`, from 1, of those of a scope by oid; no row where there are fewer. `scope` is as in
-- list_range_oids.
-- since: 150000
-- on: any
-- takes: scope text, skip int8
-- needs: nothing
-- returns: oid int8
SELECT c.oid::int8
  FROM pg_class AS c
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.oid < CASE %(scope)s::text WHEN 'shared' THEN 16384 ELSE 4294967295 END::oid
   AND c.relkind IN ('r', 'm')
   AND (c.relpersistence = 'p' OR c.relpersistence = 'u' AND NOT pg_is_in_recovery())
   AND CASE %(scope)s::text
           WHEN 'shared' THEN c.relisshared
           WHEN 'system' THEN NOT c.relisshared
           ELSE n.nspname NOT IN ('pg_catalog', 'information_schema')
       END
 ORDER BY c.oid
OFFSET %(skip)s::int8 - 1
 LIMIT 1;

-- name: find_range
-- The table that an oid belongs to: its own, or that of an index, of TOAST, of an index of TOAST. No row when
-- there is none, or when it is no range (a view, a partitioned table, a temporary table).
-- since: 150000
-- on: any
-- takes: oid int8
-- needs: nothing
-- returns: oid int8, is_shared bool
SELECT c.oid::int8, c.relisshared
  FROM pg_class AS part
  LEFT JOIN pg_index AS i ON i.indexrelid = part.oid
  JOIN pg_class AS own ON own.oid = coalesce(i.indrelid, part.oid)
  LEFT JOIN pg_class AS owner ON own.relkind = 't' AND owner.reltoastrelid = own.oid
  JOIN pg_class AS c ON c.oid = coalesce(owner.oid, own.oid)
 WHERE part.oid = %(oid)s::int8::oid
   AND c.relkind IN ('r', 'm')
   AND (c.relpersistence = 'p' OR c.relpersistence = 'u' AND NOT pg_is_in_recovery());

-- name: describe_ranges
-- Names and kinds of the given tables, by oid; what is gone or is no range is missing. Takes no lock.
-- since: 150000
-- on: any
-- takes: oids int8[]
-- needs: nothing
-- returns: oid int8, database bytea, schema_name bytea, table_name bytea, kind text, is_shared bool,
--   is_unlogged bool, key_database bytea, key_table bytea, bound bytea, index_names bytea[]
SELECT c.oid::int8,
       textsend(current_database()::text),
       textsend(n.nspname::text),
       textsend(c.relname::text),
       CASE WHEN n.nspname IN ('pg_catalog', 'information_schema') THEN 'catalog'
            WHEN c.relispartition THEN 'partition'
            WHEN c.relkind = 'm' THEN 'materialized view'
            ELSE 'table'
       END,
       c.relisshared,
       c.relpersistence = 'u',
       textsend(quote_ident(current_database())),
       textsend(quote_ident(coalesce(pn.nspname, n.nspname)) || '.' || quote_ident(coalesce(p.relname,
       c.relname))),
       -- Bounds hold no columns: without the table's oid newer servers take no lock on it.
       textsend(pg_get_expr(c.relpartbound, 0)),
       (SELECT array_agg(textsend(x.relname::text) ORDER BY x.relname)
          FROM pg_index AS i
          JOIN pg_class AS x ON x.oid = i.indexrelid
         WHERE i.indrelid = c.oid)
  FROM pg_class AS c
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
  LEFT JOIN pg_inherits AS h ON c.relispartition AND h.inhrelid = c.oid
  LEFT JOIN pg_class AS p ON p.oid = h.inhparent
  LEFT JOIN pg_namespace AS pn ON pn.oid = p.relnamespace
 WHERE c.oid = ANY (%(oids)s::int8[]::oid[])
   AND c.relkind IN ('r', 'm')
   AND (c.relpersistence = 'p' OR c.relpersistence = 'u' AND NOT pg_is_in_recovery())
 ORDER BY c.oid;

-- name: list_sizes
-- Bytes (main forks) of the given tables, of their TOAST with its index, and of each index, by oid. A size is
-- NULL where somebody holds or awaits the lock that pg_relation_size would wait for. Opening a relation costs
-- more than the stat of its file: 80 ms for 1,000 tables that have an index and TOAST, 30 ms the second time.
-- since: 150000
-- on: any
-- takes: oids int8[]
-- needs: nothing
-- returns: oid int8, table_bytes int8, toast_bytes int8, index_names bytea[], index_bytes int8[],
--   index_scans int8[]
WITH locked AS MATERIALIZED (
    SELECT l.relation
      FROM pg_locks AS l
     WHERE l.locktype = 'relation'
       AND l.mode = 'AccessExclusiveLock'
       AND l.database IN (0, (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()))
), tables AS (
    SELECT c.oid, c.reltoastrelid
      FROM pg_class AS c
     WHERE c.oid = ANY (%(oids)s::int8[]::oid[])
       AND c.relkind IN ('r', 'm')
), parts AS (
    SELECT t.oid AS range_oid, t.oid, 'table' AS role, NULL::name AS index_name FROM tables AS t
     UNION ALL
    SELECT t.oid, i.indexrelid, 'index', x.relname
      FROM tables AS t
      JOIN pg_index AS i ON i.indrelid = t.oid
      JOIN pg_class AS x ON x.oid = i.indexrelid
     UNION ALL
    SELECT t.oid, t.reltoastrelid, 'toast', NULL FROM tables AS t WHERE t.reltoastrelid <> 0
     UNION ALL
    SELECT t.oid, i.indexrelid, 'toast', NULL
      FROM tables AS t
      JOIN pg_index AS i ON i.indrelid = t.reltoastrelid
), sized AS (
    SELECT p.*,
           CASE WHEN NOT EXISTS (SELECT FROM locked AS l WHERE l.relation = p.oid) THEN
           pg_relation_size(p.oid) END
               AS bytes
      FROM parts AS p
)
SELECT s.range_oid::int8,
       max(s.bytes) FILTER (WHERE s.role = 'table'),
       CASE WHEN bool_and(s.bytes IS NOT NULL) FILTER (WHERE s.role = 'toast') IS NOT FALSE
            THEN coalesce(sum(s.bytes) FILTER (WHERE s.role = 'toast'), 0)::int8
       END,
       array_agg(textsend(s.index_name::text) ORDER BY s.index_name) FILTER (WHERE s.role = 'index'),
       array_agg(s.bytes ORDER BY s.index_name) FILTER (WHERE s.role = 'index'),
       array_agg(pg_stat_get_numscans(s.oid) ORDER BY s.index_name) FILTER (WHERE s.role = 'index')
  FROM sized AS s
 GROUP BY s.range_oid
 ORDER BY s.range_oid;

-- name: read_replication
-- How many physical standbys stream from this server, and the bytes of WAL that its slots hold back at most
-- (NULL: there is no slot).
-- since: 150000
-- on: any
-- needs: pg_monitor
-- returns: streaming_standbys int8, retained_wal_bytes int8
SELECT (SELECT count(*)
          FROM pg_stat_replication AS r
         WHERE r.state = 'streaming'
           AND NOT EXISTS (SELECT
                             FROM pg_replication_slots AS s
                            WHERE s.active_pid = r.pid AND s.slot_type = 'logical')),
       (SELECT max(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END
                   - s.restart_lsn)::int8
          FROM pg_replication_slots AS s);

-- Counters of ranges, from which rates are made. Source: PostgreSQL, "The Cumulative Statistics System".

-- name: read_counters
-- Counters of every range that was ever touched, since the server's statistics began, by oid. Blocks are
-- those of the table, its indexes, its TOAST and that one's index; scans those of the table and its indexes.
-- Only functions that read shared memory, no lock on any table: 65 to 100 ms for 10,000 tables that have an
-- index and TOAST.
-- since: 150000
-- on: any
-- takes: with_shared bool
-- needs: nothing
-- returns: oid int8, is_shared bool, scans int8, tuples_read int8, tuples_written int8, blocks_fetched int8,
--   blocks_hit int8
WITH index_counters AS (
    SELECT i.indrelid,
           sum(pg_stat_get_numscans(i.indexrelid))::int8 AS scans,
           sum(pg_stat_get_tuples_fetched(i.indexrelid))::int8 AS tuples_fetched,
           sum(pg_stat_get_blocks_fetched(i.indexrelid))::int8 AS fetched,
           sum(pg_stat_get_blocks_hit(i.indexrelid))::int8 AS hit
      FROM pg_index AS i
     GROUP BY i.indrelid
), counters AS (
    SELECT c.oid,
           c.relisshared,
           pg_stat_get_numscans(c.oid) + coalesce(x.scans, 0) AS scans,
           -- A table counts what sequential and bitmap scans read, its indexes what plain index scans did.
           pg_stat_get_tuples_returned(c.oid) + pg_stat_get_tuples_fetched(c.oid)
               + coalesce(x.tuples_fetched, 0) AS tuples_read,
           pg_stat_get_tuples_inserted(c.oid) + pg_stat_get_tuples_updated(c.oid)
               + pg_stat_get_tuples_deleted(c.oid) AS tuples_written,
           pg_stat_get_blocks_fetched(c.oid) + coalesce(x.fetched, 0)
               + coalesce(pg_stat_get_blocks_fetched(nullif(c.reltoastrelid, 0)), 0) + coalesce(tx.fetched, 0)
               AS fetched,
           pg_stat_get_blocks_hit(c.oid) + coalesce(x.hit, 0)
               + coalesce(pg_stat_get_blocks_hit(nullif(c.reltoastrelid, 0)), 0) + coalesce(tx.hit, 0)
               AS hit
      FROM pg_class AS c
      JOIN pg_namespace AS n ON n.oid = c.relnamespace
      LEFT JOIN index_counters AS x ON x.indrelid = c.oid
      LEFT JOIN index_counters AS tx ON tx.indrelid = nullif(c.reltoastrelid, 0)
     WHERE c.relkind IN ('r', 'm')
       AND (c.relpersistence = 'p' OR c.relpersistence = 'u' AND NOT pg_is_in_recovery())
       AND CASE WHEN n.nspname IN ('pg_catalog', 'information_schema')
                THEN c.relisshared AND %(with_shared)s::bool
                ELSE true
           END
)
SELECT oid::int8, relisshared, scans, tuples_read, tuples_written, fetched, hit
  FROM counters
 WHERE fetched > 0 OR tuples_written > 0 OR scans > 0
 ORDER BY oid;

-- name: read_block_size
-- Bytes of a buffer, fixed when the server was compiled.
-- since: 150000
-- on: any
-- needs: nothing
-- returns: block_size int4
SELECT current_setting('block_size')::int4;

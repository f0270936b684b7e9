-- Databases, their tables, and what can be said of one table. Names and expressions come as bytes: they may be in
-- another encoding than UTF-8, and the driver would refuse the whole answer. `page_size` NULL: all.

-- name: list_databases
-- The databases that may be visited, by name as bytes compare: no templates, none that refuse connections or are
-- half dropped.
-- since: 150000
-- on: any
-- takes: skip int8, page_size int8
-- needs: nothing
-- returns: name bytea
SELECT textsend(d.datname::text)
  FROM pg_database AS d
 WHERE d.datallowconn
   AND NOT d.datistemplate
   AND d.datconnlimit <> -2 -- a DROP DATABASE that was interrupted
   AND has_database_privilege(d.oid, 'CONNECT')
 ORDER BY d.datname
OFFSET %(skip)s::int8
 LIMIT %(page_size)s::int8;

-- name: find_database
-- The database of that name, if it may be visited.
-- since: 150000
-- on: any
-- takes: name text
-- needs: nothing
-- returns: oid int8, is_state bool, owner bytea, encoding text
SELECT d.oid::int8,
       d.datname = current_database(),
       textsend(pg_get_userbyid(d.datdba)::text),
       pg_encoding_to_char(d.encoding)::text
  FROM pg_database AS d
 WHERE d.datname::text = %(name)s::text
   AND d.datallowconn
   AND NOT d.datistemplate
   AND d.datconnlimit <> -2
   AND has_database_privilege(d.oid, 'CONNECT');

-- name: read_database_size
-- Bytes of all its files. It looks at each of them, which takes a second where there are 100,000.
-- since: 150000
-- on: any
-- takes: oid int8
-- needs: pg_monitor
-- returns: size_bytes int8
SELECT pg_database_size(d.oid)
  FROM pg_database AS d
 WHERE d.oid = %(oid)s::int8::oid;

-- name: list_database_grants
-- Who holds which privileges on a database, by name as bytes compare; `public` is everybody. The owner's are
-- among them, a superuser's are not.
-- since: 150000
-- on: any
-- takes: oid int8, skip int8, page_size int8
-- needs: nothing
-- returns: username bytea, privileges text[]
SELECT textsend(coalesce(r.rolname::text, 'public')),
       array_agg(DISTINCT a.privilege_type ORDER BY a.privilege_type)
  FROM pg_database AS d
 CROSS JOIN aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) AS a
  LEFT JOIN pg_roles AS r ON r.oid = a.grantee
 WHERE d.oid = %(oid)s::int8::oid
   AND (a.grantee = 0 OR r.oid IS NOT NULL)
 GROUP BY 1
 ORDER BY 1
OFFSET %(skip)s::int8
 LIMIT %(page_size)s::int8;

-- name: list_tables
-- Tables, partitioned tables, partitions, materialised views and foreign tables of the database that is connected
-- to, by schema and name as bytes compare, quoted as in SQL where they must be. No catalogues, nothing temporary.
-- since: 150000
-- on: any
-- takes: skip int8, page_size int8
-- needs: nothing
-- returns: quoted_name bytea
SELECT textsend(quote_ident(n.nspname) || '.' || quote_ident(c.relname))
  FROM pg_class AS c
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'm', 'f')
   AND c.relpersistence <> 't'
   AND n.nspname NOT IN ('pg_catalog', 'information_schema')
 ORDER BY n.nspname, c.relname
OFFSET %(skip)s::int8
 LIMIT %(page_size)s::int8;

-- name: find_table
-- The first table that exists of the given ones, each a schema's name and its own. `is_plain`: a CREATE TABLE of
-- columns, constraints, partition key and storage parameters makes it (no partition, no child, no composite type).
-- `is_locked`: somebody holds or awaits the lock that every function waits for which turns an expression with columns
-- into text; `partition_key` is NULL then.
-- since: 150000
-- on: any
-- takes: schemas text[], names text[]
-- needs: nothing
-- returns: oid int8, schema_name bytea, table_name bytea, quoted_name bytea, kind text, owner bytea,
--   is_unlogged bool, is_plain bool, is_locked bool, partition_key bytea, options bytea[], analyzed_at timestamptz
WITH locked AS MATERIALIZED (
    SELECT l.relation
      FROM pg_locks AS l
     WHERE l.locktype = 'relation'
       AND l.mode = 'AccessExclusiveLock'
       AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
)
SELECT c.oid::int8,
       textsend(n.nspname::text),
       textsend(c.relname::text),
       textsend(quote_ident(n.nspname) || '.' || quote_ident(c.relname)),
       CASE WHEN c.relispartition THEN 'partition'
            WHEN c.relkind = 'p' THEN 'partitioned table'
            WHEN c.relkind = 'm' THEN 'materialized view'
            WHEN c.relkind = 'f' THEN 'foreign table'
            ELSE 'table'
       END,
       textsend(pg_get_userbyid(c.relowner)::text),
       c.relpersistence = 'u',
       c.relkind IN ('r', 'p')
           AND c.reloftype = 0
           AND NOT EXISTS (SELECT FROM pg_inherits AS h WHERE h.inhrelid = c.oid)
           AND NOT EXISTS (SELECT FROM pg_am AS am WHERE am.oid = c.relam AND am.amname <> 'heap'),
       EXISTS (SELECT FROM locked AS l WHERE l.relation = c.oid),
       CASE WHEN NOT EXISTS (SELECT FROM locked AS l WHERE l.relation = c.oid)
            THEN textsend(pg_get_partkeydef(c.oid))
       END,
       (SELECT array_agg(textsend(o.option) ORDER BY o.place)
          FROM unnest(c.reloptions) WITH ORDINALITY AS o (option, place)),
       greatest(pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid))
  FROM unnest(%(schemas)s::text[], %(names)s::text[]) WITH ORDINALITY AS w (schema_name, table_name, place)
  JOIN pg_namespace AS n ON n.nspname = w.schema_name::name
  JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = w.table_name::name
 WHERE c.relkind IN ('r', 'p', 'm', 'f')
   AND c.relpersistence <> 't'
   AND n.nspname NOT IN ('pg_catalog', 'information_schema')
 ORDER BY w.place
 LIMIT 1;

-- name: list_leaves
-- The ranges of a table: itself, or of a partitioned one the partitions that hold rows. `has_files`: this server
-- has its data; a standby has none of an unlogged table.
-- since: 150000
-- on: any
-- takes: oid int8
-- needs: nothing
-- returns: oid int8, has_files bool
WITH RECURSIVE tree (oid) AS (
    SELECT %(oid)s::int8::oid
     UNION ALL
    SELECT h.inhrelid
      FROM tree AS t
      JOIN pg_inherits AS h ON h.inhparent = t.oid
      JOIN pg_class AS p ON p.oid = h.inhrelid AND p.relispartition
)
SELECT c.oid::int8, c.relpersistence = 'p' OR NOT pg_is_in_recovery()
  FROM tree AS t
  JOIN pg_class AS c ON c.oid = t.oid
 WHERE c.relkind IN ('r', 'm')
 ORDER BY c.oid;

-- name: list_columns
-- A table's columns in their order. `generation` is NULL also when it `is_locked`, as find_table tells.
-- since: 150000
-- on: any
-- takes: oid int8, is_locked bool
-- needs: nothing
-- returns: name bytea, quoted_name bytea, type bytea, is_nullable bool, default_value bytea, generation bytea,
--   generation_kind text, identity text, quoted_collation bytea
SELECT textsend(a.attname::text),
       textsend(quote_ident(a.attname)),
       textsend(format_type(a.atttypid, a.atttypmod)),
       NOT a.attnotnull,
       -- A default holds no columns: without the table's oid newer servers take no lock on it.
       CASE WHEN a.attgenerated = '' THEN textsend(pg_get_expr(d.adbin, 0)) END,
       CASE WHEN a.attgenerated <> '' AND NOT %(is_locked)s::bool THEN textsend(pg_get_expr(d.adbin, d.adrelid)) END,
       CASE a.attgenerated WHEN 's' THEN 'STORED' WHEN 'v' THEN 'VIRTUAL' ELSE '' END,
       CASE a.attidentity WHEN 'a' THEN 'ALWAYS' WHEN 'd' THEN 'BY DEFAULT' ELSE '' END,
       CASE WHEN a.attcollation <> t.typcollation
            THEN textsend(quote_ident(cn.nspname) || '.' || quote_ident(co.collname))
       END
  FROM pg_attribute AS a
  JOIN pg_type AS t ON t.oid = a.atttypid
  LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  LEFT JOIN pg_collation AS co ON co.oid = a.attcollation
  LEFT JOIN pg_namespace AS cn ON cn.oid = co.collnamespace
 WHERE a.attrelid = %(oid)s::int8::oid
   AND a.attnum > 0
   AND NOT a.attisdropped
 ORDER BY a.attnum;

-- name: list_indexes
-- A table's indexes by name, a row for each of their columns in its order; an expression stands as it is. The
-- direction of an index that has no order is N/A, as is that of columns that are only stored. `is_own`: no constraint
-- makes it, and it is valid. Expressions and definitions are NULL when the table `is_locked`, as find_table tells.
-- since: 150000
-- on: any
-- takes: oid int8, is_locked bool
-- needs: nothing
-- returns: name bytea, is_unique bool, seq int4, column_name bytea, direction text, is_stored bool,
--   definition bytea, is_own bool
SELECT textsend(x.relname::text),
       i.indisunique,
       k.seq,
       CASE WHEN a.attname IS NOT NULL THEN textsend(a.attname::text)
            WHEN NOT %(is_locked)s::bool THEN textsend(pg_get_indexdef(i.indexrelid, k.seq, true))
       END,
       CASE WHEN k.seq > i.indnkeyatts OR NOT pg_indexam_has_property(x.relam, 'can_order') THEN 'N/A'
            WHEN i.indoption[k.seq - 1] & 1 = 1 THEN 'DESC'
            ELSE 'ASC'
       END,
       k.seq > i.indnkeyatts,
       CASE WHEN NOT %(is_locked)s::bool THEN textsend(pg_get_indexdef(i.indexrelid)) END,
       i.indisvalid AND NOT EXISTS (SELECT
                                      FROM pg_constraint AS o
                                     WHERE o.conindid = i.indexrelid AND o.contype IN ('p', 'u', 'x'))
  FROM pg_index AS i
  JOIN pg_class AS x ON x.oid = i.indexrelid
 CROSS JOIN generate_series(1, i.indnatts::int4) AS k (seq)
  LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k.seq - 1] AND a.attnum <> 0
 WHERE i.indrelid = %(oid)s::int8::oid
 ORDER BY x.relname, k.seq;

-- name: list_constraints
-- A table's constraints except NOT NULL, which its columns tell: primary key, then by kind and name. It waits
-- where the table is locked.
-- since: 150000
-- on: any
-- takes: oid int8
-- needs: nothing
-- returns: quoted_name bytea, definition bytea
SELECT textsend(quote_ident(o.conname)), textsend(pg_get_constraintdef(o.oid))
  FROM pg_constraint AS o
 WHERE o.conrelid = %(oid)s::int8::oid
   AND o.contype IN ('p', 'u', 'x', 'c', 'f')
 ORDER BY array_position(ARRAY['p', 'u', 'x', 'c', 'f'], o.contype::text), o.conname;

-- name: list_table_grants
-- As list_database_grants, on a table.
-- since: 150000
-- on: any
-- takes: oid int8
-- needs: nothing
-- returns: username bytea, privileges text[]
SELECT textsend(coalesce(r.rolname::text, 'public')),
       array_agg(DISTINCT a.privilege_type ORDER BY a.privilege_type)
  FROM pg_class AS c
 CROSS JOIN aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS a
  LEFT JOIN pg_roles AS r ON r.oid = a.grantee
 WHERE c.oid = %(oid)s::int8::oid
   AND (a.grantee = 0 OR r.oid IS NOT NULL)
 GROUP BY 1
 ORDER BY 1;

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

-- Users: roles that may log in. No statement here reads a password, not even its hash.

-- name: list_users
-- Roles with LOGIN by name, as bytes compare, the first `skip` left out; `page_size` NULL: all. Names come as
-- bytes: they may be in another encoding than the database that is asked.
-- since: 150000
-- on: any
-- takes: skip int8, page_size int8
-- needs: nothing
-- returns: username bytea
SELECT textsend(r.rolname::text)
  FROM pg_roles AS r
 WHERE r.rolcanlogin
 ORDER BY r.rolname COLLATE "C"
OFFSET %(skip)s::int8
 LIMIT %(page_size)s::int8;

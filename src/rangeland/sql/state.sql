-- Our own tables: members, database numbers, web sessions, settings. Reads are primary key look-ups or lists
-- of a few rows; writes are one row each.

-- name: read_settings
-- The facts about the cluster: cluster_id, schema_version, admin_role, key_check, login_database, home.
-- since: 150000
-- on: any
-- needs: rangeland
-- returns: name text, value text
SELECT name, value FROM rangeland.settings ORDER BY name;

-- name: read_home
-- Where the schema lives: the server's data, the database, and two tables of ours that were made in one order and
-- would be restored in the other. Copies of the files share all of it; pg_upgrade keeps what follows the slash; a
-- dump that is restored elsewhere keeps nothing.
-- since: 150000
-- on: any
-- needs: rangeland
-- returns: home text
SELECT format('%%s/%%s.%%s.%%s',
              (SELECT system_identifier FROM pg_control_system()),
              (SELECT oid FROM pg_database WHERE datname = current_database()),
              'rangeland.settings'::regclass::oid,
              'rangeland.nodes'::regclass::oid);

-- name: write_setting
-- Keep a fact in the place of what was known.
-- since: 150000
-- on: primary
-- takes: name text, value text
-- needs: rangeland
-- returns: nothing
INSERT INTO rangeland.settings (name, value) VALUES (%(name)s, %(value)s)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: list_members
-- Every node that was ever registered, by id.
-- since: 150000
-- on: any
-- needs: rangeland
-- returns: node_id int4, http_addr text, sql_addr text, membership text, membership_version int4, status text,
--   registered_at_us int8
SELECT node_id, http_addr, sql_addr, membership, membership_version, status::text,
       (extract(epoch FROM registered_at) * 1000000)::int8
  FROM rangeland.nodes ORDER BY node_id;

-- name: add_member
-- Register a node under its address. A known address keeps its id.
-- since: 150000
-- on: primary
-- takes: http_addr text, sql_addr text
-- needs: rangeland
-- returns: nothing
INSERT INTO rangeland.nodes (node_id, http_addr, sql_addr)
SELECT coalesce(max(node_id), 0) + 1, %(http_addr)s::text, %(sql_addr)s::text
  FROM rangeland.nodes
HAVING NOT coalesce(bool_or(http_addr = %(http_addr)s::text), false)
ON CONFLICT DO NOTHING;

-- name: change_membership
-- Give nodes another membership; those that have it already stay as they are.
-- since: 150000
-- on: primary
-- takes: node_ids int4[], membership text
-- needs: rangeland
-- returns: nothing
UPDATE rangeland.nodes
   SET membership = %(membership)s, membership_version = membership_version + 1
 WHERE node_id = ANY (%(node_ids)s) AND membership <> %(membership)s;

-- name: save_status
-- Keep a node's complete status, for the time when it can't be asked.
-- since: 150000
-- on: primary
-- takes: node_id int4, sql_addr text, status text
-- needs: rangeland
-- returns: nothing
UPDATE rangeland.nodes
   SET status = %(status)s::jsonb, status_at = now(), sql_addr = %(sql_addr)s
 WHERE node_id = %(node_id)s;

-- name: list_database_numbers
-- The number of each database that has one; oid 0 is the shared catalogues.
-- since: 150000
-- on: any
-- needs: rangeland
-- returns: database_number int4, database_oid oid
SELECT database_number, database_oid FROM rangeland.databases ORDER BY database_number;

-- name: add_database_numbers
-- Give the next numbers to the databases that have none.
-- since: 150000
-- on: primary
-- takes: database_oids int8[]
-- needs: rangeland
-- returns: nothing
INSERT INTO rangeland.databases (database_number, database_oid)
SELECT (SELECT max(database_number) FROM rangeland.databases) + row_number() OVER (ORDER BY database_oid),
database_oid::oid
  FROM unnest(%(database_oids)s::int8[]) AS wanted (database_oid)
 WHERE NOT EXISTS (SELECT FROM rangeland.databases AS known WHERE known.database_oid =
 wanted.database_oid::oid)
ON CONFLICT DO NOTHING;

-- name: add_web_session
-- Keep a new web session, and remove at most 100 that ended over a week ago.
-- since: 150000
-- on: primary
-- takes: id int8, hashed_secret bytea, username text, created_at timestamptz, expires_at timestamptz,
--   mac bytea
-- needs: rangeland
-- returns: nothing
WITH old AS (
    DELETE FROM rangeland.web_sessions
     WHERE id IN (SELECT id FROM rangeland.web_sessions
                   WHERE expires_at < now() - interval '7 days' ORDER BY expires_at LIMIT 100)
)
INSERT INTO rangeland.web_sessions (id, hashed_secret, username, created_at, expires_at, last_used_at, mac)
VALUES (%(id)s, %(hashed_secret)s, %(username)s, %(created_at)s, %(expires_at)s, %(created_at)s, %(mac)s)
ON CONFLICT DO NOTHING;

-- name: exchange_web_session
-- End a web session that lives, and only then keep another one in its place: a row where it did, none where the
-- session had ended before, is over or isn't there. Of two that ask at once one waits for the other, and gets none.
-- since: 150000
-- on: primary
-- takes: ended_id int8, id int8, hashed_secret bytea, username text, created_at timestamptz,
--   expires_at timestamptz, mac bytea
-- needs: rangeland
-- returns: id int8
WITH ended AS (
    UPDATE rangeland.web_sessions SET revoked_at = now()
     WHERE id = %(ended_id)s AND revoked_at IS NULL AND expires_at > now()
    RETURNING id
)
INSERT INTO rangeland.web_sessions (id, hashed_secret, username, created_at, expires_at, last_used_at, mac)
SELECT %(id)s, %(hashed_secret)s, %(username)s, %(created_at)s, %(expires_at)s, %(created_at)s, %(mac)s
  FROM ended
RETURNING id;

-- name: revoke_web_sessions
-- End these web sessions; the time of an earlier end stays.
-- since: 150000
-- on: primary
-- takes: ids int8[]
-- needs: rangeland
-- returns: nothing
UPDATE rangeland.web_sessions SET revoked_at = now() WHERE id = ANY (%(ids)s) AND revoked_at IS NULL;

-- name: list_revoked
-- Those of the given web sessions that this server knows to have ended.
-- since: 150000
-- on: any
-- takes: ids int8[]
-- needs: rangeland
-- returns: id int8
SELECT id FROM rangeland.web_sessions WHERE id = ANY (%(ids)s) AND revoked_at IS NOT NULL;

-- name: list_web_sessions
-- Web sessions, oldest first, of one user or of all (an empty username); of more than 10,000 those that live, and
-- of these the newest.
-- since: 150000
-- on: any
-- takes: username text
-- needs: rangeland
-- returns: id int8, username text, created_at timestamptz, expires_at timestamptz, revoked_at timestamptz,
--   last_used_at timestamptz
SELECT id, username, created_at, expires_at, revoked_at, last_used_at
  FROM (SELECT * FROM rangeland.web_sessions
         WHERE %(username)s IN ('', username)
         ORDER BY revoked_at IS NULL AND expires_at > now() DESC, created_at DESC, id DESC
         LIMIT 10000) AS s
 ORDER BY created_at, id;

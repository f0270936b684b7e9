-- Who a token belongs to and what that user may do, on this server as it stands.

-- name: read_grant
-- One row always: the web session (null columns when this server has none with that id), and the rights of
-- its user, or of `username` for a session that is not in the table. Rights are tested with USAGE: MEMBER is
-- true for members that have no right at all. `fresh`: a primary, or a standby that has replayed all it
-- received and heard of the primary in the last 10 s (a receiver that hangs goes on saying that it streams), or
-- replayed a commit of the last 10 s; and whose replay is not paused. `may_signal` is about the connected role.
-- since: 150000
-- on: any
-- takes: id int8, username text, admin_role text
-- needs: rangeland
-- returns: hashed_secret bytea, username text, created_at timestamptz, expires_at timestamptz, revoked bool,
--   mac bytea, is_admin bool, is_monitor bool, may_read_redacted bool, fresh bool, paused bool,
--   may_signal bool, known_user bool, replayed_lsn int8
SELECT s.hashed_secret, s.username, s.created_at, s.expires_at, s.revoked_at IS NOT NULL, s.mac,
       coalesce(u.rolsuper OR pg_has_role(u.oid, a.oid, 'USAGE'), false),
       coalesce(pg_has_role(u.oid, m.oid, 'USAGE'), false),
       coalesce(pg_has_role(u.oid, x.oid, 'USAGE'), false),
       CASE WHEN NOT pg_is_in_recovery() THEN true
            WHEN pg_is_wal_replay_paused() THEN false
            ELSE coalesce(now() - pg_last_xact_replay_timestamp() < interval '10 s', false)
                 OR EXISTS (SELECT FROM pg_stat_wal_receiver
                             WHERE status = 'streaming' AND pg_last_wal_replay_lsn() >= flushed_lsn
                               AND last_msg_receipt_time > now() - interval '10 s')
       END,
       CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END,
       pg_has_role('pg_signal_backend', 'USAGE'),
       u.oid IS NOT NULL,
       (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END
        - '0/0'::pg_lsn)::int8
  FROM (VALUES (%(id)s::int8)) AS wanted (id)
  LEFT JOIN rangeland.web_sessions s ON s.id = wanted.id
  LEFT JOIN pg_roles u ON u.rolname = coalesce(s.username, %(username)s::text)
  LEFT JOIN pg_roles a ON a.rolname = %(admin_role)s::text
  LEFT JOIN pg_roles m ON m.rolname = 'pg_monitor'
  LEFT JOIN pg_roles x ON x.rolname = 'rangeland_redacted';

-- name: read_rights
-- The rights of a user as in read_grant, without the table of web sessions: for the time that it is locked.
-- since: 150000
-- on: any
-- takes: username text, admin_role text
-- needs: rangeland
-- returns: is_admin bool, is_monitor bool, may_read_redacted bool, fresh bool, paused bool, may_signal bool,
--   known_user bool, replayed_lsn int8
SELECT coalesce(u.rolsuper OR pg_has_role(u.oid, a.oid, 'USAGE'), false),
       coalesce(pg_has_role(u.oid, m.oid, 'USAGE'), false),
       coalesce(pg_has_role(u.oid, x.oid, 'USAGE'), false),
       CASE WHEN NOT pg_is_in_recovery() THEN true
            WHEN pg_is_wal_replay_paused() THEN false
            ELSE coalesce(now() - pg_last_xact_replay_timestamp() < interval '10 s', false)
                 OR EXISTS (SELECT FROM pg_stat_wal_receiver
                             WHERE status = 'streaming' AND pg_last_wal_replay_lsn() >= flushed_lsn
                               AND last_msg_receipt_time > now() - interval '10 s')
       END,
       CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END,
       pg_has_role('pg_signal_backend', 'USAGE'),
       u.oid IS NOT NULL,
       (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END
        - '0/0'::pg_lsn)::int8
  FROM (VALUES (%(username)s::text)) AS wanted (name)
  LEFT JOIN pg_roles u ON u.rolname = wanted.name
  LEFT JOIN pg_roles a ON a.rolname = %(admin_role)s::text
  LEFT JOIN pg_roles m ON m.rolname = 'pg_monitor'
  LEFT JOIN pg_roles x ON x.rolname = 'rangeland_redacted';

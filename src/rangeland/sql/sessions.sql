-- Sessions of this server's clients. Source of the columns: PostgreSQL, "The Statistics Views",
-- pg_stat_activity.

-- name: list_sessions
-- Client backends except our own, and the parallel workers that serve them (`leader_pid`), one row each, in no
-- order; the whole answer of a sessions request is this one statement. `query` has at most 1,001 bytes, and is NULL
-- for a worker, whose leader has the same. Text columns are the bytes that clients sent: a session of a database in another encoding
-- shows its text unconverted, and one such text would make the driver refuse every row.
-- since: 150000
-- on: any
-- takes: username text
-- needs: pg_monitor
-- returns: read_at timestamptz, pid int4, backend_start timestamptz, username bytea, database bytea,
--   application_name bytea, client_address text, client_port int4, state text, state_change timestamptz,
--   xact_start timestamptz, query_start timestamptz, wait_event_type text, wait_event text,
--   blocking_pids int4[], query bytea, query_id int8, backend_type text, leader_pid int4, in_recovery bool
SELECT clock_timestamp(),
       a.pid,
       a.backend_start,
       textsend(a.usename::text),
       textsend(a.datname::text),
       textsend(a.application_name),
       host(a.client_addr),
       a.client_port,
       a.state,
       a.state_change,
       a.xact_start,
       a.query_start,
       a.wait_event_type,
       a.wait_event,
       -- pg_blocking_pids holds the whole lock table for a moment, and is quadratic in those who wait for one
       -- lock: it is asked only for those who wait for a lock, and for no more than 100 of them.
       CASE WHEN a.wait_event_type = 'Lock' AND a.leader_pid IS NULL AND a.lock_waiters_before < 100
            THEN pg_blocking_pids(a.pid)
       END,
       CASE WHEN a.leader_pid IS NULL THEN substr(textsend(a.query), 1, 1001) END,
       a.query_id,
       a.backend_type,
       a.leader_pid,
       pg_is_in_recovery()
  FROM (SELECT *,
               count(*) FILTER (WHERE wait_event_type = 'Lock' AND leader_pid IS NULL)
                   OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS lock_waiters_before
          FROM pg_stat_activity
         WHERE backend_type IN ('client backend', 'parallel worker')) AS a
 WHERE (%(username)s::text = '' OR a.usename = %(username)s::text)
   AND NOT (a.application_name = 'rangeland' AND a.usename IS NOT DISTINCT FROM session_user);

-- name: signal_session
-- Cancel what a session does now, or end the session, if it is still the one that was meant and the caller may.
-- One row always: `outcome` says what was the case (wire/parts.py, SignalOutcome), the rest is of the session, NULL where
-- it is gone. All is tested in one CASE, which looks at no branch behind the one that it takes: a function in WHERE
-- may be called before the other tests. `is_vouched`: the primary has decided on the caller and the session's role,
-- which a session keeps for life. `is_doubted`: this server must not decide, though it is no standby. When a standby
-- is fresh is as in sql/auth.sql, read_grant.
-- since: 150000
-- on: any
-- takes: pid int8, started_at_us int8, terminate bool, caller text, is_vouched bool, is_doubted bool
-- needs: pg_monitor, rangeland
-- returns: outcome text, role_oid oid, username bytea, database bytea, application_name bytea
SELECT CASE WHEN a.pid IS NULL THEN 'gone'
            WHEN NOT pg_has_role(current_user, 'pg_signal_backend', 'USAGE')
                 OR NOT EXISTS (SELECT FROM rangeland.settings WHERE name = 'allow_cancel' AND value = 'true')
            THEN 'not_granted'
            WHEN coalesce(r.rolsuper, false) THEN 'superuser'
            WHEN NOT %(is_vouched)s::bool
                 AND (%(is_doubted)s::bool
                      OR NOT CASE WHEN NOT pg_is_in_recovery() THEN true
                                  WHEN pg_is_wal_replay_paused() THEN false
                                  ELSE coalesce(now() - pg_last_xact_replay_timestamp() < interval '10 s', false)
                                       OR EXISTS (SELECT FROM pg_stat_wal_receiver
                                                   WHERE status = 'streaming'
                                                     AND pg_last_wal_replay_lsn() >= flushed_lsn
                                                     AND last_msg_receipt_time > now() - interval '10 s')
                             END)
            THEN 'stale'
            WHEN NOT %(is_vouched)s::bool
                 AND NOT coalesce(c.rolsuper
                                  OR pg_has_role(c.oid, r.oid, 'USAGE')
                                  OR pg_has_role(c.oid, 'pg_signal_backend', 'USAGE'), false)
            THEN 'not_allowed'
            WHEN NOT %(terminate)s::bool
                 AND a.state IN ('idle', 'idle in transaction', 'idle in transaction (aborted)', 'starting')
            THEN 'idle'
            WHEN CASE WHEN %(terminate)s::bool THEN pg_terminate_backend(a.pid) ELSE pg_cancel_backend(a.pid) END
            THEN 'signalled'
            ELSE 'gone'
       END,
       a.usesysid,
       textsend(a.usename::text),
       textsend(a.datname::text),
       textsend(a.application_name)
  FROM (VALUES (%(pid)s::int8, %(started_at_us)s::int8)) AS wanted (pid, started_at_us)
  LEFT JOIN pg_stat_activity a
    ON a.pid = wanted.pid
   AND (extract(epoch FROM a.backend_start) * 1000000)::int8 = wanted.started_at_us
   AND a.backend_type = 'client backend'
   AND NOT (a.application_name = 'rangeland' AND a.usename IS NOT DISTINCT FROM session_user)
  LEFT JOIN pg_roles r ON r.oid = a.usesysid
  LEFT JOIN pg_roles c ON c.rolname = %(caller)s::text;

-- name: read_signal_right
-- Whether a caller may signal sessions of a role, as in signal_session, and whether that is a superuser; one row always.
-- since: 150000
-- on: any
-- takes: caller text, role_oid oid
-- needs: nothing
-- returns: allowed bool, target_is_superuser bool
SELECT coalesce(c.rolsuper
                OR pg_has_role(c.oid, r.oid, 'USAGE')
                OR pg_has_role(c.oid, 'pg_signal_backend', 'USAGE'), false),
       coalesce(r.rolsuper, false)
  FROM (VALUES (%(caller)s::text, %(role_oid)s::oid)) AS wanted (caller, role_oid)
  LEFT JOIN pg_roles r ON r.oid = wanted.role_oid
  LEFT JOIN pg_roles c ON c.rolname = wanted.caller;

-- Sessions of this server's clients. Source of the columns: PostgreSQL, "The Statistics Views",
-- pg_stat_activity.

-- name: list_sessions
-- Client backends except our own, one row each, in no order; the whole answer of a sessions request is this
-- one statement. Text columns are the bytes that clients sent: a session of a database in another encoding
-- shows its text unconverted, and one such text would make the driver refuse every row.
-- since: 150000
-- on: any
-- takes: username text
-- needs: pg_monitor
-- returns: read_at timestamptz, pid int4, backend_start timestamptz, username bytea, database bytea,
--   application_name bytea, client_address text, client_port int4, state text, state_change timestamptz,
--   xact_start timestamptz, query_start timestamptz, wait_event_type text, wait_event text,
--   blocking_pids int4[], query bytea, query_id int8, backend_type text
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
       CASE WHEN a.wait_event_type = 'Lock' AND a.lock_waiters_before < 100 THEN pg_blocking_pids(a.pid) END,
       textsend(a.query),
       a.query_id,
       a.backend_type
  FROM (SELECT *,
               count(*) FILTER (WHERE wait_event_type = 'Lock')
                   OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS lock_waiters_before
          FROM pg_stat_activity
         WHERE backend_type = 'client backend') AS a
 WHERE (%(username)s::text = '' OR a.usename = %(username)s::text)
   AND NOT (a.application_name = 'rangeland' AND a.usename IS NOT DISTINCT FROM session_user);

-- What decides whether a server can be stopped: whom it follows, and who follows it.
-- Source of the columns: PostgreSQL, pg_stat_replication and pg_stat_wal_receiver.

-- name: read_place
-- Where this server stands in replication: one row. NULL where it has no meaning on this server.
-- since: 150000
-- on: any
-- needs: pg_monitor
-- returns: in_recovery bool, synchronous_standby_names text, cluster_name text, receives bool, upstream_slot text
SELECT pg_is_in_recovery(),
       current_setting('synchronous_standby_names'),
       current_setting('cluster_name'),
       coalesce(r.status = 'streaming', false),
       r.slot_name
  FROM (SELECT) AS always
  LEFT JOIN pg_stat_wal_receiver AS r ON true;

-- name: list_standbys
-- The physical standbys that stream from this server, by slot and name. `lag_bytes` is the WAL that they have not
-- on their disks yet; NULL on a standby. pg_receivewal replays nothing and is none.
-- since: 150000
-- on: any
-- needs: pg_monitor
-- returns: slot_name text, application_name text, sync_state text, lag_bytes int8
SELECT s.slot_name::text,
       r.application_name,
       r.sync_state,
       CASE WHEN NOT pg_is_in_recovery() THEN greatest(pg_current_wal_flush_lsn() - r.flush_lsn, 0)::int8 END
  FROM pg_stat_replication AS r
  LEFT JOIN pg_replication_slots AS s ON s.active_pid = r.pid
 WHERE r.state = 'streaming'
   AND r.replay_lsn IS NOT NULL
   AND s.slot_type IS DISTINCT FROM 'logical'
 ORDER BY 1, 2;

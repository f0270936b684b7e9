-- What this node's server is: read at each connect after an outage and after a change of role.

-- name: identify_server
-- The server's version, role and timeline, and which server it is: its standbys and clones share the system
-- identifier, and none the moment at which its postmaster began. On a primary the timeline is that of the
-- WAL it writes (the control file's is old after a promotion); on a standby the one it last received.
-- since: 150000
-- on: any
-- needs: nothing
-- returns: version int4, in_recovery bool, timeline int4, server_id text
SELECT current_setting('server_version_num')::int4,
       pg_is_in_recovery(),
       CASE WHEN pg_is_in_recovery()
            THEN coalesce((SELECT received_tli FROM pg_stat_wal_receiver),
                          (SELECT timeline_id FROM pg_control_checkpoint()))
            ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int4
       END,
       (SELECT system_identifier FROM pg_control_system())
       || '-' || (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::int8;

-- name: missing_grants
-- What the connected role lacks to answer in full, one line each; no row when nothing is missing.
-- since: 150000
-- on: any
-- needs: nothing
-- returns: missing text
SELECT missing
  FROM (VALUES (pg_has_role(current_user, 'pg_monitor', 'USAGE'),
                format('membership in pg_monitor: GRANT pg_monitor TO %%I', current_user)),
               (to_regnamespace('rangeland') IS NULL OR has_schema_privilege('rangeland', 'USAGE'),
                format('usage of schema rangeland: GRANT USAGE ON SCHEMA rangeland TO %%I', current_user)))
       AS needed (granted, missing)
 WHERE NOT granted;

-- name: describe_installation
-- What `init` has to know before it changes anything: one row always.
-- since: 150000
-- on: any
-- takes: admin_role text
-- needs: nothing
-- returns: version int4, in_recovery bool, has_schema bool, has_admin bool, admin_is_ours bool,
--   can_create_role bool, database text, home text
SELECT current_setting('server_version_num')::int4,
       pg_is_in_recovery(),
       to_regnamespace('rangeland') IS NOT NULL,
       a.oid IS NOT NULL,
       coalesce(shobj_description(a.oid, 'pg_authid') LIKE 'Rangeland: %%', false),
       u.rolsuper OR u.rolcreaterole,
       current_database()::text,
       format('%%s/%%s.%%s.%%s',
              (SELECT system_identifier FROM pg_control_system()),
              (SELECT oid FROM pg_database WHERE datname = current_database()),
              (SELECT c.oid FROM pg_class c
                WHERE c.relname = 'settings' AND c.relnamespace = to_regnamespace('rangeland')),
              (SELECT c.oid FROM pg_class c
                WHERE c.relname = 'nodes' AND c.relnamespace = to_regnamespace('rangeland')))
  FROM pg_roles u
  LEFT JOIN pg_roles a ON a.rolname = %(admin_role)s::text
 WHERE u.rolname = current_user;

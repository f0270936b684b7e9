-- Roles, made or mended by every `rangeland init`.
DO $do$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {role_name}) THEN
        CREATE ROLE {role} LOGIN CONNECTION LIMIT 10;
        COMMENT ON ROLE {role} IS 'Rangeland: what the nodes connect as';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {admin_name}) THEN
        CREATE ROLE {admin} NOLOGIN;
        COMMENT ON ROLE {admin} IS 'Rangeland: members may use the whole API';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'rangeland_redacted') THEN
        CREATE ROLE rangeland_redacted NOLOGIN;
        COMMENT ON ROLE rangeland_redacted IS
            'Rangeland: members may read the API, other users'' statements without constants';
    ELSIF NOT EXISTS (SELECT FROM pg_roles AS r
                       WHERE r.rolname = 'rangeland_redacted'
                         AND shobj_description(r.oid, 'pg_authid') LIKE 'Rangeland: %') THEN
        RAISE EXCEPTION 'there is a role rangeland_redacted that Rangeland did not make: rename it first'
            USING ERRCODE = 'duplicate_object';
    END IF;
END
$do$;
GRANT pg_monitor TO {role};

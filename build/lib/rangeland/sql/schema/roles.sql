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
END
$do$;
GRANT pg_monitor TO {role};

-- Removes all that `rangeland init` made. A role that somebody else made stays.
DROP SCHEMA IF EXISTS rangeland CASCADE;
DO $do$
DECLARE
    ours oid;
BEGIN
    SELECT r.oid INTO ours FROM pg_roles r
     WHERE r.rolname = {admin_name} AND shobj_description(r.oid, 'pg_authid') LIKE 'Rangeland: %';
    IF ours IS NOT NULL THEN
        -- All that init granted it; what others granted stops the removal, and PostgreSQL says what that is.
        EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM %I', current_database(), {admin_name});
        EXECUTE format('DROP ROLE %I', {admin_name});
    END IF;
    SELECT r.oid INTO ours FROM pg_roles r
     WHERE r.rolname = 'rangeland_redacted' AND shobj_description(r.oid, 'pg_authid') LIKE 'Rangeland: %';
    IF ours IS NOT NULL THEN
        EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM rangeland_redacted', current_database());
        DROP ROLE rangeland_redacted;
    END IF;
    SELECT r.oid INTO ours FROM pg_roles r
     WHERE r.rolname = {role_name} AND shobj_description(r.oid, 'pg_authid') LIKE 'Rangeland: %';
    IF ours IS NOT NULL THEN
        EXECUTE format('DROP OWNED BY %I', {role_name});
        EXECUTE format('DROP ROLE %I', {role_name});
    END IF;
END
$do$;

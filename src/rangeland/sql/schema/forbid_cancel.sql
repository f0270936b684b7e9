-- Takes back what allow_cancel.sql gave, whoever has granted it.
DO $do$
DECLARE
    giver name;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {role_name}) THEN
        NULL; -- nobody has it
    ELSIF current_setting('server_version_num')::int4 < 160000 THEN
        EXECUTE format('REVOKE pg_signal_backend FROM %I', {role_name});
    ELSE
        FOR giver IN SELECT g.rolname
                       FROM pg_auth_members m
                       JOIN pg_roles g ON g.oid = m.grantor
                      WHERE m.roleid = 'pg_signal_backend'::regrole AND m.member = {role_name}::regrole
        LOOP
            EXECUTE format('REVOKE pg_signal_backend FROM %I GRANTED BY %I', {role_name}, giver);
        END LOOP;
    END IF;
END
$do$;
DELETE FROM rangeland.settings WHERE name = 'allow_cancel';

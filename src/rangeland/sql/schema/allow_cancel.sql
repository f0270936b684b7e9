-- The nodes may cancel and end other people's sessions, for callers who may: see sql/sessions.sql, signal_session.
DO $do$
BEGIN
    IF current_setting('server_version_num')::int4 >= 160000 THEN
        EXECUTE format('GRANT pg_signal_backend TO %I WITH INHERIT TRUE', {role_name});
    ELSE
        EXECUTE format('GRANT pg_signal_backend TO %I', {role_name});
    END IF;
    IF NOT pg_has_role({role_name}, 'pg_signal_backend', 'USAGE') THEN
        RAISE EXCEPTION 'role % inherits no rights: ALTER ROLE % INHERIT', {role_name}, {role_name}
            USING ERRCODE = 'invalid_grant_operation';
    END IF;
END
$do$;
INSERT INTO rangeland.settings (name, value) VALUES ('allow_cancel', 'true')
ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- Facts about the cluster, written after the last migration. Its id and database stay as they are known;
-- the admin role is the one of the last `init` that named one.
INSERT INTO rangeland.settings (name, value)
VALUES ('cluster_id', {cluster_id}), ('login_database', {database_name})
ON CONFLICT DO NOTHING;
INSERT INTO rangeland.settings (name, value)
VALUES ('schema_version', {schema_version}), ('admin_role', {admin_name})
ON CONFLICT (name) DO UPDATE SET value = excluded.value;
GRANT CONNECT ON DATABASE {database} TO {role}, {admin};

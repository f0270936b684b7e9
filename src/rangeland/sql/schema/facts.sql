-- Facts about the cluster, written after the last migration; what is known already stays.
INSERT INTO rangeland.settings (name, value)
VALUES ('cluster_id', {cluster_id}), ('admin_role', {admin_name}), ('login_database', {database_name})
ON CONFLICT DO NOTHING;
INSERT INTO rangeland.settings (name, value) VALUES ('schema_version', {schema_version})
ON CONFLICT (name) DO UPDATE SET value = excluded.value;
GRANT CONNECT ON DATABASE {database} TO {role}, {admin};

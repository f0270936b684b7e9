-- Where the schema lives from now on, as sql/state.sql, read_home, tells it.
INSERT INTO rangeland.settings (name, value)
SELECT 'home', format('%s/%s.%s.%s',
                      (SELECT system_identifier FROM pg_control_system()),
                      (SELECT oid FROM pg_database WHERE datname = current_database()),
                      'rangeland.settings'::regclass::oid,
                      'rangeland.nodes'::regclass::oid)
ON CONFLICT (name) DO UPDATE SET value = excluded.value;

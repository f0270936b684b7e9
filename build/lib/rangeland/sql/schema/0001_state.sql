-- Shared state, version 1. Written by the primary's node, read by every node from its own server.

CREATE SCHEMA rangeland;
COMMENT ON SCHEMA rangeland IS 'State of the Rangeland nodes of this cluster: removed by "rangeland uninstall"';

CREATE TABLE rangeland.settings (
    name text PRIMARY KEY,
    value text NOT NULL
);
COMMENT ON TABLE rangeland.settings IS 'Facts about the cluster, none of them secret';

CREATE TABLE rangeland.nodes (
    node_id int4 PRIMARY KEY CHECK (node_id > 0),
    http_addr text NOT NULL UNIQUE,
    sql_addr text NOT NULL,
    registered_at timestamptz NOT NULL DEFAULT now(),
    membership text NOT NULL DEFAULT 'active'
        CHECK (membership IN ('active', 'decommissioning', 'decommissioned')),
    status jsonb,
    status_at timestamptz
);
COMMENT ON TABLE rangeland.nodes IS 'One row per node, kept for good: an id is never given twice';
COMMENT ON COLUMN rangeland.nodes.status IS 'The last complete status, shown while the node is silent';

CREATE TABLE rangeland.databases (
    database_number int4 PRIMARY KEY CHECK (database_number > 0),
    group_id int4 NOT NULL DEFAULT 0,
    database_oid oid NOT NULL,
    UNIQUE (group_id, database_oid)
);
COMMENT ON TABLE rangeland.databases IS 'The number that stands for a database in range ids; 1 is for shared catalogues';
INSERT INTO rangeland.databases (database_number, database_oid) VALUES (1, 0);

CREATE TABLE rangeland.web_sessions (
    id int8 PRIMARY KEY,
    hashed_secret bytea NOT NULL,
    username text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    last_used_at timestamptz NOT NULL,
    mac bytea NOT NULL
);
CREATE INDEX ON rangeland.web_sessions (username);
CREATE INDEX ON rangeland.web_sessions (expires_at);
COMMENT ON TABLE rangeland.web_sessions IS
    'Logged-in users of the API. Of a token only the SHA-256 of its secret is kept; a row without a valid mac counts for nothing';

CREATE TABLE rangeland.events (
    event_id int8 PRIMARY KEY,
    happened_at timestamptz NOT NULL DEFAULT now(),
    event_type text NOT NULL,
    node_id int4 NOT NULL,
    info jsonb NOT NULL
);
CREATE INDEX ON rangeland.events (happened_at);

GRANT USAGE ON SCHEMA rangeland TO {role};
GRANT SELECT ON ALL TABLES IN SCHEMA rangeland TO {role};
GRANT INSERT, UPDATE ON rangeland.settings, rangeland.nodes TO {role};
GRANT INSERT ON rangeland.databases TO {role};
GRANT INSERT, UPDATE, DELETE ON rangeland.web_sessions TO {role};
GRANT INSERT, DELETE ON rangeland.events TO {role};

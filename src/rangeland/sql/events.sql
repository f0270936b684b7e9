-- Our own table of events. At most 10,000 rows: a list of all is 3 MB, a page by index is a few rows.

-- name: list_events
-- Events, newest first, the first `skip` left out; `page_size` NULL: all. `event_type` "" means of every type.
-- since: 150000
-- on: any
-- takes: event_type text, skip int8, page_size int8
-- needs: rangeland
-- returns: event_id bytea, happened_at timestamptz, event_type text, node_id int4, info text
SELECT uuid_send(event_id), happened_at, event_type, node_id, info::text
  FROM rangeland.events
 WHERE %(event_type)s::text IN ('', event_type)
 ORDER BY happened_at DESC, event_id DESC
OFFSET %(skip)s::int8
 LIMIT %(page_size)s::int8;

-- name: add_events
-- Write events down; one that is there already stays as it is. Then remove at most 200 of those over the cap (users'
-- events and the others are counted apart, so that logins push out nobody else's), and 200 that are too old.
-- Counting reads a hundred pages of memory, 2 ms where the table is full.
-- since: 150000
-- on: primary
-- takes: event_ids uuid[], moments timestamptz[], event_types text[], infos text[], node_id int4, kept int8,
--   days int4
-- needs: rangeland
-- returns: nothing
WITH held AS (
    SELECT count(*) FILTER (WHERE starts_with(event_type, 'user_')) AS users,
           count(*) FILTER (WHERE NOT starts_with(event_type, 'user_')) AS others
      FROM rangeland.events
), surplus AS (
    (SELECT event_id FROM rangeland.events WHERE starts_with(event_type, 'user_')
      ORDER BY happened_at LIMIT (SELECT greatest(0, least(200, users - %(kept)s::int8)) FROM held))
    UNION
    (SELECT event_id FROM rangeland.events WHERE NOT starts_with(event_type, 'user_')
      ORDER BY happened_at LIMIT (SELECT greatest(0, least(200, others - %(kept)s::int8)) FROM held))
    UNION
    (SELECT event_id FROM rangeland.events
      WHERE happened_at < now() - make_interval(days => %(days)s::int4) ORDER BY happened_at LIMIT 200)
), trimmed AS (
    DELETE FROM rangeland.events WHERE event_id IN (SELECT event_id FROM surplus)
)
INSERT INTO rangeland.events (event_id, happened_at, event_type, node_id, info)
SELECT told.event_id, told.happened_at, told.event_type, %(node_id)s::int4, told.info::json
  FROM unnest(%(event_ids)s::uuid[], %(moments)s::timestamptz[], %(event_types)s::text[], %(infos)s::text[])
       AS told (event_id, happened_at, event_type, info)
ON CONFLICT DO NOTHING;

-- name: list_departures
-- Who left and who returned, oldest first. Read when a node becomes the primary's. The infos are not looked into here:
-- a database in another encoding than UTF-8 may fail on a letter.
-- since: 150000
-- on: any
-- needs: rangeland
-- returns: event_type text, info text
SELECT event_type, info::text
  FROM rangeland.events
 WHERE event_type IN ('node_left', 'node_return')
 ORDER BY happened_at, event_id;

-- name: read_last_primary
-- Which node had the primary, and on which timeline, as NODE;TIMELINE; no row where none was noted yet.
-- since: 150000
-- on: any
-- needs: rangeland
-- returns: value text
SELECT value FROM rangeland.settings WHERE name = 'last_primary';

-- name: write_last_primary
-- Note which node has the primary.
-- since: 150000
-- on: primary
-- takes: value text
-- needs: rangeland
-- returns: nothing
INSERT INTO rangeland.settings (name, value) VALUES ('last_primary', %(value)s)
ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: list_known_names
-- Those of the names, in bytes, that are roles.
-- since: 150000
-- on: any
-- takes: names bytea[]
-- needs: nothing
-- returns: name bytea
SELECT textsend(r.rolname::text) FROM pg_roles AS r WHERE textsend(r.rolname::text) = ANY (%(names)s::bytea[]);

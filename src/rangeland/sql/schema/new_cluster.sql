-- A copy becomes a cluster of its own: it forgets who and what the other one knew. Its facts follow, with a new id.
DELETE FROM rangeland.settings WHERE name IN ('cluster_id', 'key_check', 'last_primary', 'home');
DELETE FROM rangeland.nodes;
DELETE FROM rangeland.web_sessions;
DELETE FROM rangeland.events;

"""PostgreSQL servers in throw-away directories, for the demo and for the tests alike.

Nothing here serves a user's own data: durability is switched off, and closing removes every file and
process. A `Workplace` owns one directory and the processes in it; a `PostgresServer` is one server there;
`cluster` puts a primary, its standbys, their nodes and a load together. Not here: what the demo prints
(cli/demo.py), and how a node talks to its server (pg/). Read server.py first.
"""

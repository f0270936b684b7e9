"""What this node knows: rows of its own server, readings of its own machine, as the wire types, a module a
resource.

Not here: the statements (`sql/`), connections (`pg/`), other nodes (`cluster/`), and how parts become an
answer (`merge/`). Decisions: one statement for a sessions request and one for a node's status; databases are
visited one at a time and never kept; a size never waits for a lock; what PostgreSQL doesn't know is left out.
Read `sessions.py` first.
"""

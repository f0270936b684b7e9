"""state/: our own tables in the cluster's database: members, database numbers, web sessions, settings.

Every node reads them from its own server, so also while there is no primary; only the primary's node writes.
Not here: what a member last said of itself (cluster/), and who may do what (auth/). The tables stand in
sql/schema/, the statements in sql/state.sql.
"""

"""What can be wrong with a cluster: which rows tell, and what they mean taken together. No I/O.

Every node reads the rows of all checks from its own server (collect/problems.py); the node that was asked judges
them. A check is a module here and its blocks in sql/problems.sql. Start with `check`, then `connections`; `table`
lists them all.
"""

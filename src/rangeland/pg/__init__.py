"""pg/: this node's own PostgreSQL server.

It holds the connections, their deadlines, the server's version and role, and turns the driver's errors into
ours. What is asked stands in sql/; what an answer means is known in collect/ and state/. Read server.py first.
"""

from rangeland.pg.errors import TABLE_REFUSED
from rangeland.pg.server import Down, Role, Server, Visit

__all__ = ["TABLE_REFUSED", "Down", "Role", "Server", "Visit"]

"""The whole API on one page: path, method, who may, what answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum

from starlette.responses import Response

from rangeland.api import databases, health, hot_ranges, login, nodes, peer, ranges, sessions, users
from rangeland.api.asking import Asking
from rangeland.api.replies import Body

Handler = Callable[[Asking], Awaitable[Response | Body]]  # a body is compressed for who takes that


class Access(Enum):
    """Who may ask."""

    ANYONE = "anyone"  # health and login
    LOGGED_IN = "logged in"  # logout: any live session, whatever its rights
    READER = "reader"  # members of the admin role and of pg_monitor
    PEER = "peer"  # nodes and commands that hold the cluster key


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`path` has no trailing slash; it answers with and without one."""

    method: str
    path: str
    access: Access
    answer: Handler


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GET", "/api/v2/databases", Access.READER, databases.list_databases),
    Endpoint("GET", "/api/v2/databases/{database:name}", Access.READER, databases.show_database),
    Endpoint("GET", "/api/v2/databases/{database:name}/grants", Access.READER, databases.list_grants),
    Endpoint("GET", "/api/v2/databases/{database:name}/tables", Access.READER, databases.list_tables),
    Endpoint("GET", "/api/v2/databases/{database:name}/tables/{table:name}", Access.READER, databases.show_table),
    Endpoint("GET", "/api/v2/health", Access.ANYONE, health.show_health),
    Endpoint("GET", "/api/v2/nodes", Access.READER, nodes.list_nodes),
    Endpoint("GET", "/api/v2/nodes/{node_id}/ranges", Access.READER, ranges.list_node_ranges),
    Endpoint("GET", "/api/v2/ranges/hot", Access.READER, hot_ranges.list_hot_ranges),
    Endpoint("GET", "/api/v2/ranges/{range_id:digits}", Access.READER, ranges.show_range),
    Endpoint("GET", "/api/v2/sessions", Access.READER, sessions.list_sessions),
    Endpoint("GET", "/api/v2/users", Access.READER, users.list_users),
    Endpoint("POST", "/api/v2/login", Access.ANYONE, login.log_in),
    Endpoint("POST", "/api/v2/logout", Access.LOGGED_IN, login.log_out),
    Endpoint("GET", "/health", Access.ANYONE, health.show_root_health),
    Endpoint("GET", "/_admin/v1/health", Access.ANYONE, health.show_root_health),
    Endpoint("POST", "/_peer/v1/{question}", Access.PEER, peer.answer_question),
)

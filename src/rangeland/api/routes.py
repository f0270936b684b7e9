"""The whole API on one page: path, method, who may, what answers; and what that takes, returns and refuses."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from msgspec import Struct
from starlette.responses import Response

from rangeland.api import (
    databases,
    events,
    health,
    hot_ranges,
    login,
    metrics,
    nodes,
    openapi,
    peer,
    problems,
    ranges,
    restart_safety,
    rules,
    sessions,
    users,
    whoami,
)
from rangeland.api import failures as f
from rangeland.api import parameters as p
from rangeland.api.asking import Asking
from rangeland.api.authenticate import Access
from rangeland.api.replies import Body
from rangeland.wire.databases import DatabaseAnswer, DatabasesAnswer, GrantsAnswer, TableAnswer, TablesAnswer
from rangeland.wire.events import EventsAnswer
from rangeland.wire.health import HealthAnswer
from rangeland.wire.hot_ranges import HotRangesAnswer
from rangeland.wire.login import LoginAnswer, LogoutAnswer
from rangeland.wire.nodes import NodesAnswer
from rangeland.wire.problems import ProblemsAnswer
from rangeland.wire.ranges import NodeRangesAnswer, RangeAnswer
from rangeland.wire.restart_safety import RestartSafetyAnswer
from rangeland.wire.sessions import SessionsAnswer, SignalAnswer
from rangeland.wire.users import UsersAnswer
from rangeland.wire.whoami import WhoamiAnswer

Handler = Callable[[Asking], Awaitable[Response | Body]]  # a body is compressed for who takes that


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`path` has no trailing slash; it answers with and without one.

    What follows `answer` is for the document of the API (see openapi/): what a 200 holds, as a wire type or a media
    type; the parameters that the handler reads; the errors it makes beside those of its `access` (see `failures`).
    `stable` is Cluster API v2.0's word: of the others, a patch release may change what the contract doesn't say.
    Peers' rows have none of it.
    """

    method: str
    path: str
    access: Access
    answer: Handler
    returns: type[Struct] | str | None = None
    takes: tuple[p.Parameter, ...] = ()
    fails: tuple[f.Failure, ...] = ()
    stable: bool = True
    name: str = ""  # the operation's, where the handler's own is taken by another row

    @property
    def public_path(self) -> str:
        """As documents write it: below /api/v2/ with the last slash, unless it is a file."""
        path = re.sub(r":\w+}", "}", self.path)
        return f"{path}/" if path.startswith("/api/v2/") and "." not in path.rpartition("/")[2] else path

    @property
    def operation(self) -> str:
        return self.name or self.answer.__name__

    @property
    def failures(self) -> tuple[f.Failure, ...]:
        """Every error that it may answer with."""
        return (*_ACCESS_FAILURES[self.access], *self.fails)


_TOKEN_FAILURES = (f.BAD_TOKEN, f.BAD_COOKIE, f.UNKNOWN_TOKEN, f.INTERNAL)
_ACCESS_FAILURES = {
    Access.ANYONE: (),
    Access.LOGGED_IN: (*_TOKEN_FAILURES, f.NOTHING_TO_END),
    Access.READER: (*_TOKEN_FAILURES, f.NO_TOKEN, f.NO_READER),
    Access.PEER: (),
}

PAGE = (p.LIMIT, p.OFFSET)
TOKEN_PAGE = (p.LIMIT, p.START)
A_DATABASE = (f.NOT_A_NAME, f.NO_DATABASE)
BAD_PROBLEMS = (f.BAD_SEVERITY, f.BAD_KIND, f.BAD_NODE_ID)
LOGIN_FORM = (p.LOGIN_USERNAME, p.LOGIN_PASSWORD, p.LOGIN_SESSION, p.QUERY_USERNAME, p.QUERY_PASSWORD)
BODY_FAILURES = (f.BROKEN_OFF, f.TOO_SLOW, f.TOO_LARGE)
SIGNAL_FAILURES = (
    f.BAD_SESSION_ID,
    f.CANCEL_NOT_GRANTED,
    f.SIGNAL_NOT_ALLOWED,
    f.SUPERUSERS_SESSION,
    f.NOBODY_LOGGED_IN,
    f.SESSION_GONE,
    f.NOTHING_RUNS,
)
LOGIN_FAILURES = (
    f.NO_USERNAME,
    f.BAD_TOKEN,
    f.REFUSED,
    f.UNKNOWN_TOKEN,
    *BODY_FAILURES,
    f.INTERNAL,
    f.NOBODY_CHECKS,
    f.CANNOT_CHECK,
    f.NOBODY_EXCHANGES,
    f.TOO_OLD_TO_EXCHANGE,
    f.TOO_MANY_LOGINS,
)

# fmt: off
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GET", "/api/v2/databases", Access.READER, databases.list_databases, DatabasesAnswer, PAGE),
    Endpoint("GET", "/api/v2/databases/{database:name}", Access.READER, databases.show_database,
        DatabaseAnswer, (p.DATABASE,), A_DATABASE),
    Endpoint("GET", "/api/v2/databases/{database:name}/grants", Access.READER, databases.list_grants,
        GrantsAnswer, (p.DATABASE, *PAGE), A_DATABASE),
    Endpoint("GET", "/api/v2/databases/{database:name}/tables", Access.READER, databases.list_tables,
        TablesAnswer, (p.DATABASE, *PAGE), A_DATABASE),
    Endpoint("GET", "/api/v2/databases/{database:name}/tables/{table:name}", Access.READER, databases.show_table,
        TableAnswer, (p.DATABASE, p.TABLE), (f.NOT_A_NAME, f.NO_TABLE)),
    Endpoint("GET", "/api/v2/docs", Access.ANYONE, openapi.show_docs, "text/html"),
    Endpoint("GET", "/api/v2/events", Access.READER, events.list_events,
        EventsAnswer, (p.EVENT_TYPE, *PAGE), stable=False),
    Endpoint("GET", "/api/v2/health", Access.ANYONE, health.show_health,
        HealthAnswer, (p.READY,), (f.BAD_READY, f.NOT_READY)),
    Endpoint("GET", "/api/v2/health/restart_safety", Access.ANYONE, restart_safety.show_restart_safety,
        RestartSafetyAnswer, (p.ALLOW_MINIMUM_QUORUM,), (f.BAD_ALLOW_MINIMUM_QUORUM, f.NOT_SAFE, f.NO_STATUS)),
    Endpoint("GET", "/api/v2/nodes", Access.READER, nodes.list_nodes, NodesAnswer, PAGE),
    Endpoint("GET", "/api/v2/nodes/{node_id}/ranges", Access.READER, ranges.list_node_ranges,
        NodeRangesAnswer, (p.NODE_ID, p.RANGES, *PAGE, p.SYSTEM), (f.BAD_NODE_ID, f.BAD_RANGE_IDS), stable=False),
    Endpoint("GET", "/api/v2/openapi.json", Access.ANYONE, openapi.show_openapi, "application/json"),
    Endpoint("GET", "/api/v2/problems", Access.READER, problems.list_problems,
        ProblemsAnswer, (p.SEVERITY, p.PROBLEM_NODE_ID, p.KIND), BAD_PROBLEMS, stable=False),
    Endpoint("GET", "/api/v2/ranges/hot", Access.READER, hot_ranges.list_hot_ranges,
        HotRangesAnswer, (p.HOT_NODE_ID, *TOKEN_PAGE), (f.BAD_NODE_ID,)),
    Endpoint("GET", "/api/v2/ranges/{range_id:digits}", Access.READER, ranges.show_range,
        RangeAnswer, (p.RANGE_ID,), (f.NOT_DIGITS, f.BAD_RANGE_ID), stable=False),
    Endpoint("GET", "/api/v2/rules", Access.ANYONE, rules.list_rules, "text/plain", (p.FORMAT,), (f.BAD_FORMAT,)),
    Endpoint("GET", "/api/v2/sessions", Access.READER, sessions.list_sessions,
        SessionsAnswer, (p.USERNAME, p.EXCLUDE_CLOSED_SESSIONS, *TOKEN_PAGE), stable=False),
    Endpoint("GET", "/api/v2/users", Access.READER, users.list_users, UsersAnswer, PAGE),
    Endpoint("GET", "/api/v2/whoami", Access.READER, whoami.show_caller, WhoamiAnswer, stable=False),
    Endpoint("POST", "/api/v2/login", Access.ANYONE, login.log_in, LoginAnswer, LOGIN_FORM, LOGIN_FAILURES),
    Endpoint("POST", "/api/v2/sessions/{session_id}/cancel", Access.READER, sessions.cancel_session,
        SignalAnswer, (p.SESSION_ID,), SIGNAL_FAILURES, stable=False),
    Endpoint("POST", "/api/v2/sessions/{session_id}/terminate", Access.READER, sessions.terminate_session,
        SignalAnswer, (p.SESSION_ID,), SIGNAL_FAILURES, stable=False),
    Endpoint("POST", "/api/v2/logout", Access.LOGGED_IN, login.log_out, LogoutAnswer),
    Endpoint("GET", "/health", Access.ANYONE, health.show_root_health,
        HealthAnswer, (p.READY,), (f.BAD_READY, f.NOT_READY_AT_ROOT)),
    Endpoint("GET", "/metrics", Access.ANYONE, metrics.show_metrics, "text/plain"),
    Endpoint("GET", "/_status/vars", Access.ANYONE, metrics.show_metrics, "text/plain", name="show_status_vars"),
    Endpoint("GET", "/_admin/v1/health", Access.ANYONE, health.show_root_health,
        HealthAnswer, (p.READY,), (f.BAD_READY, f.NOT_READY_AT_ROOT), name="show_admin_health"),
    Endpoint("POST", "/_peer/v1/{question}", Access.PEER, peer.answer_question),
)
# fmt: on

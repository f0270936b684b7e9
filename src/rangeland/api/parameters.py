"""What requests may carry: each parameter's name, place, schema and meaning, for the document of the API.

Handlers parse a parameter by its name; a test compares what they read with what their row in routes.py declares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Schema = Mapping[str, object]  # JSON Schema


@dataclass(frozen=True, slots=True)
class Parameter:
    """`text` says what it means, what its absence means, and what an unreadable value does."""

    name: str
    schema: Schema
    example: str | int | bool
    text: str
    where: Literal["query", "path", "form"] = "query"  # in a path and in a form it is required
    is_optional: bool = False  # in a form all the same


_TEXT: Final = {"type": "string"}
_SECRET: Final = {"type": "string", "format": "password"}
_COUNT: Final = {"type": "integer", "format": "int64", "minimum": 0, "default": 0}
_FLAG: Final = {"type": "boolean", "default": False}
_NAME: Final = {"type": "string", "pattern": "^[A-Za-z0-9_.]+$"}
_SESSION_ID: Final = {"type": "string", "pattern": "^([A-Za-z0-9_-]{21}[AQgw](==)?|[0-9A-Fa-f]{32})$"}
_NODE_NUMBER: Final = {"type": "integer", "format": "int32", "minimum": 1, "maximum": 2**31 - 1}
_NODE_ID: Final = {"anyOf": [_NODE_NUMBER, {"type": "string", "const": "local"}]}
_RANGE_ID: Final = {"type": "integer", "format": "int64", "minimum": 0}
_RANGE_IDS: Final = {"type": "array", "items": {"type": "integer", "format": "int64"}}

# fmt: off
LIMIT = Parameter("limit", _COUNT, 2, "How many entries a page has at most. Absent, 0 or unreadable: everything.")
OFFSET = Parameter("offset", _COUNT, 2,
    "Where the page begins: `next` of the page before. Counts only with a `limit`.")
START = Parameter("start", _TEXT, "fDB8MHw=",
    "Where the page begins: `next` of the page before. Unreadable: at the beginning. Needs a `limit`.")
READY = Parameter("ready", _FLAG, True,
    "Ask also whether this node should get traffic. 1, t, TRUE, 0, f, FALSE and the like count, too.")
EVENT_TYPE = Parameter("type", _TEXT, "node_join", "Only events of this type. Absent: of all.")
ALLOW_MINIMUM_QUORUM = Parameter("allow_minimum_quorum", _FLAG, True,
    "Only a loss of availability counts, not one of redundancy.")
SEVERITY = Parameter("severity", {"type": "string", "enum": ["critical", "warning", "info"]}, "critical",
    "Only problems of this severity. Absent: of all.")
KIND = Parameter("kind", _TEXT, "slot_inactive",
    "Only problems of this kind, all of them. Absent: of all, the first hundred of each.")
PROBLEM_NODE_ID = Parameter("node_id", _NODE_ID, 2,
    "Only problems of this node's server; `local`: of the node that is asked. Absent: of all, and the cluster's.")
FORMAT = Parameter("format", {"type": "string", "enum": ["", "prometheus"]}, "prometheus",
    "`prometheus`: as a file that Prometheus loads. Absent: as a map of groups.")
USERNAME = Parameter("username", _TEXT, "app", "Only the sessions of this role. Absent: of all.")
EXCLUDE_CLOSED_SESSIONS = Parameter("exclude_closed_sessions", _FLAG, True,
    "Leave out sessions that have ended. Anything but `true` is false.")
HOT_NODE_ID = Parameter("node_id", _NODE_ID, 2,
    "Of this node only; `local`: of the node that is asked. Absent: of all.")
RANGES = Parameter("ranges", _RANGE_IDS, "8589951008,8589951014",
    "Only these range ids, separated by commas; those that don't exist are passed over. Absent: all.")
SYSTEM = Parameter("system", _FLAG, True, "Also each database's own catalogues. Anything but `true` is false.")

NODE_ID = Parameter("node_id", _NODE_ID, "local", "A node's id; `local`: the node that is asked.", "path")
RANGE_ID = Parameter("range_id", _RANGE_ID, 8589951008,
    "A range's id. One made of an index's oid leads to the range of its table.", "path")
SESSION_ID = Parameter("session_id", _SESSION_ID, "AAAAAQAANKIABmD4Ph-XFg==",
    "A session's `id`, with `-` for `+` and `_` for `/`. 32 hexadecimal digits are taken, too.", "path")
DATABASE = Parameter("database", _NAME, "pgbench", "A database's name.", "path")
TABLE = Parameter("table", _NAME, "sales.orders",
    "A table's name with its schema, or without it for schema `public`.", "path")

_BETTER = "Taken where the form doesn't have it. Better in the form: addresses end up in logs."
LOGIN_USERNAME = Parameter("username", {"type": "string", "minLength": 1}, "app", "A role that may log in.", "form")
LOGIN_PASSWORD = Parameter("password", _SECRET, "not-a-password", "Its password.", "form")
LOGIN_SESSION = Parameter("session", _SECRET, "not-a-token",
    "Instead of a name and a password: a token, whose session ends as another one of the same user begins. That one "
    "ends when the first one would have.", "form", is_optional=True)
QUERY_USERNAME = Parameter("username", _TEXT, "app", _BETTER)
QUERY_PASSWORD = Parameter("password", _SECRET, "not-a-password", _BETTER)
# fmt: on

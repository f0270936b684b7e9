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
    text: str
    where: Literal["query", "path", "form"] = "query"
    is_required: bool = False  # in a path it is always


_TEXT: Final = {"type": "string"}
_COUNT: Final = {"type": "integer", "format": "int64", "minimum": 0, "default": 0}
_FLAG: Final = {"type": "boolean", "default": False}
_NAME: Final = {"type": "string", "pattern": "^[A-Za-z0-9_.]+$"}
_LOCAL: Final = {"const": "local", "type": "string"}
_NODE_ID: Final = {"anyOf": [{"type": "integer", "format": "int32", "minimum": 1, "maximum": 2**31 - 1}, _LOCAL]}

LIMIT = Parameter("limit", _COUNT, "How many entries a page has at most. Absent, 0 or unreadable: everything.")
OFFSET = Parameter("offset", _COUNT, "Where the page begins: `next` of the page before. Counts only with a `limit`.")
START = Parameter(
    "start", _TEXT, "Where the page begins: `next` of the page before. Unreadable: at the beginning. Needs a `limit`."
)
READY = Parameter("ready", _FLAG, "Ask also whether this node should get traffic. 1, 0, t, f, TRUE, … count, too.")
USERNAME = Parameter("username", _TEXT, "Only the sessions of this role. Absent: of all.")
EXCLUDE_CLOSED_SESSIONS = Parameter(
    "exclude_closed_sessions", _FLAG, "Leave out sessions that have ended. Anything but `true` is false."
)
HOT_NODE_ID = Parameter("node_id", _NODE_ID, "Of this node only; `local`: of the node that is asked. Absent: of all.")
RANGES = Parameter(
    "ranges",
    {"type": "array", "items": {"type": "integer", "format": "int64"}},
    "Only these range ids, separated by commas; those that don't exist are passed over. Absent: all.",
)
SYSTEM = Parameter("system", _FLAG, "Also each database's own catalogues. Anything but `true` is false.")

NODE_ID = Parameter("node_id", _NODE_ID, "A node's id; `local`: the node that is asked.", "path")
RANGE_ID = Parameter(
    "range_id",
    {"type": "integer", "format": "int64", "minimum": 0},
    "A range's id. One made of an index's oid leads to the range of its table.",
    "path",
)
DATABASE = Parameter("database", _NAME, "A database's name.", "path")
TABLE = Parameter("table", _NAME, "A table's name with its schema, or without it for schema `public`.", "path")

_CREDENTIALS = "Taken where the form doesn't have it. Better in the form: addresses end up in logs."
LOGIN_USERNAME = Parameter("username", {"type": "string", "minLength": 1}, "A role that may log in.", "form", True)
LOGIN_PASSWORD = Parameter("password", {"type": "string", "format": "password"}, "Its password.", "form", True)
QUERY_USERNAME = Parameter("username", _TEXT, _CREDENTIALS)
QUERY_PASSWORD = Parameter("password", {"type": "string", "format": "password"}, _CREDENTIALS)

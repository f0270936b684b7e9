"""The errors that an endpoint may answer with, as clients read them: status, text, and when.

Where they are raised is in the handlers, app.py and authenticate.py; a test compares the statuses.
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import Struct

from rangeland.api.authenticate import NOT_VALIDATED
from rangeland.api.login import NO_ACCOUNT, NO_EXCHANGE, NO_PRIMARY, NOT_CHECKED, TOO_OLD
from rangeland.api.replies import GENERIC, NOT_FOUND
from rangeland.api.sessions import (
    NO_ID,
    NO_SESSION,
    NOBODY,
    NOT_ALLOWED,
    NOT_GRANTED,
    NOTHING_TO_CANCEL,
    OF_A_SUPERUSER,
)
from rangeland.wire.health import UnreadyAnswer
from rangeland.wire.restart_safety import RestartSafetyAnswer


@dataclass(frozen=True, slots=True)
class Failure:
    """`text` is an example of the answer's line; with `answer` the body is that type as JSON instead."""

    status: int
    text: str
    when: str
    answer: type[Struct] | None = None
    has_retry_after: bool = False  # header Retry-After: seconds


INTERNAL = Failure(500, GENERIC, "It can't be answered now; a second line says why where that helps.")
BAD_TOKEN = Failure(400, "illegal base64 data at input byte 0", "The session token is no base64.")
BAD_COOKIE = Failure(
    400, "invalid session header", "The header says `cookie`, and no cookie `session` holds a token."
)
NO_TOKEN = Failure(401, "invalid session header", "There is no session token.")
UNKNOWN_TOKEN = Failure(401, NOT_VALIDATED, "The token is of no live session.")
NO_READER = Failure(403, "user not allowed to access this endpoint", "The user is no reader.")
NOTHING_TO_END = Failure(400, "invalid or unspecified session", "There is no session token.")

NOT_A_NAME = Failure(404, NOT_FOUND, "A name in the path has other characters than ASCII letters, digits, _ and .")
NOT_DIGITS = Failure(404, NOT_FOUND, "The id in the path isn't made of digits.")
NO_DATABASE = Failure(404, "database not found", "There is no database of that name that a node may visit.")
NO_TABLE = Failure(404, "database or table not found", "There is no such database, or no such table in it.")
BAD_NODE_ID = Failure(400, "invalid node ID", "The node id is no number of a node, nor `local`.")
BAD_RANGE_IDS = Failure(400, "invalid range ID", "`ranges` holds something else than numbers.")
BAD_RANGE_ID = Failure(400, "invalid range ID", "The number is larger than 63 bits.")
BAD_READY = Failure(400, "invalid ready value", "`ready` is neither true nor false.")
NOT_READY = Failure(500, GENERIC, "Asked with `ready`: this node should get no traffic now.")
NOT_READY_AT_ROOT = Failure(503, "", "Asked with `ready`: this node should get no traffic now.", UnreadyAnswer)
BAD_ALLOW_MINIMUM_QUORUM = Failure(
    400,
    "invalid allow_minimum_quorum value; should be true or false",
    "`allow_minimum_quorum` is neither true nor false.",
)
NOT_SAFE = Failure(503, "", "Stopping the server now would cost something; `reasons` says what.", RestartSafetyAnswer)
BAD_FORMAT = Failure(400, "invalid format value: leave it out, or prometheus", "`format` is something else.")
BAD_KIND = Failure(
    400, "invalid kind; there are slot_inactive, slot_lost, slot_retains_wal", "There is no such kind."
)
BAD_SEVERITY = Failure(400, "invalid severity; should be critical, warning or info", "`severity` is something else.")
NO_STATUS = Failure(500, "Error checking store status", "The server is down, or can't say.")

BAD_SESSION_ID = Failure(400, NO_ID, "The id is no session's id.")
SESSION_GONE = Failure(404, NO_SESSION, "No server has that session, or has it any more.")
NOTHING_RUNS = Failure(409, NOTHING_TO_CANCEL, "The session is idle, in a transaction or not.")
NOBODY_LOGGED_IN = Failure(403, NOBODY, "The node runs with `--insecure`.")
CANCEL_NOT_GRANTED = Failure(403, NOT_GRANTED, "`init --allow-cancel` was not given, or its grant was taken back.")
SUPERUSERS_SESSION = Failure(403, OF_A_SUPERUSER, "The session is a superuser's.")
SIGNAL_NOT_ALLOWED = Failure(403, NOT_ALLOWED, "The user is none of these.")

NO_USERNAME = Failure(400, "username not specified", "There is no user name, or an empty one.")
REFUSED = Failure(401, NO_ACCOUNT, "The server refuses this name and password, whatever the reason.")
TOO_LARGE = Failure(413, "the body is larger than 65536 bytes", "The body is larger than that.")
BROKEN_OFF = Failure(400, "the body is not whole", "The body breaks off, or its chunks are no chunks.")
TOO_SLOW = Failure(408, "the body did not arrive in time", "The body isn't whole after 4.5 s.")
NOBODY_CHECKS = Failure(503, NO_PRIMARY, "No node has a primary in reach.", has_retry_after=True)
CANNOT_CHECK = Failure(503, NOT_CHECKED, "The primary doesn't answer in time, or has no connection left.", None, True)
NOBODY_EXCHANGES = Failure(503, NO_EXCHANGE, "No primary answers, and a session was to be exchanged.", None, True)
TOO_OLD_TO_EXCHANGE = Failure(503, TOO_OLD, "A session was to be exchanged, in the midst of an upgrade.")
TOO_MANY_LOGINS = Failure(503, "too many logins, try again later", "Too many log in at once.", has_retry_after=True)

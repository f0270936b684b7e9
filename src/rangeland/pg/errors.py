"""The driver's errors as ours, with the SQLSTATE and a text that says what to do."""

from __future__ import annotations

import psycopg

from rangeland.errors import MissingGrantError, ServerDownError, ServerError

# Class 08 and these mean that the server, not the statement, is the matter.
# Source: PostgreSQL, appendix A, "PostgreSQL Error Codes".
_DOWN = {"57P01", "57P02", "57P03", "53300", "57P05"}
DRIVER_REFUSED = "22000"  # data_exception: a value that the driver can't send, such as a text with a NUL
INSUFFICIENT_PRIVILEGE = "42501"
TABLE_REFUSED = {"55P03", INSUFFICIENT_PRIVILEGE}  # lock_timeout, too: the server is well, its table is not to be had
RETRIED = {"40001", "57P04"}  # a recovery conflict; a database that was dropped while we read it


def server_error(exc: psycopg.Error, *, doing: str) -> ServerError:
    """One of ours for an error of psycopg's; `doing` is a participle, such as "connecting"."""
    sqlstate = exc.sqlstate or (DRIVER_REFUSED if isinstance(exc, psycopg.DataError) else None)
    text = first_line(exc.diag.message_primary or str(exc))
    if sqlstate is None or sqlstate in _DOWN or sqlstate.startswith("08"):
        return ServerDownError(text, sqlstate=sqlstate)
    if sqlstate == INSUFFICIENT_PRIVILEGE:
        return MissingGrantError(
            f"{doing}: {text}: grant it to the role of --server-url (rangeland init does so)",
            sqlstate=sqlstate,
        )
    return ServerError(f"{doing}: {text}", sqlstate=sqlstate)


def first_line(text: str) -> str:
    """The message without libpq's hints and prefixes, on one line."""
    line = text.strip().partition("\n")[0]
    for prefix in ("connection failed: ", "FATAL:  ", "FATAL: "):
        line = line.removeprefix(prefix)
    return line

"""Cancels or ends one session of this node's server, and says who may: each with one statement."""

from __future__ import annotations

from typing import NamedTuple

from rangeland.collect.text import is_storable, text_from_bytes
from rangeland.pg import Server
from rangeland.wire.parts import SignalOutcome, SignalParams, SignalRight, SignalRightParams


class Signalled(NamedTuple):
    """A row of sql/sessions.sql, signal_session: what became of the signal, and whose session it is."""

    outcome: SignalOutcome
    role_oid: int = 0
    username: str = ""
    database: str = ""
    application_name: str = ""


async def signal_session(
    server: Server, params: SignalParams, *, deadline: float, is_vouched: bool = False, is_doubted: bool = False
) -> Signalled:
    """Signal the session if all is as it should be. `is_vouched`: the primary says that the caller may.

    `is_doubted`: it has to, whatever this server is. Raises: ServerError.
    """
    if not is_storable(params.caller):
        return Signalled(SignalOutcome.NOT_ALLOWED)
    [(outcome, role_oid, username, database, application_name)] = await server.fetch(
        "sessions",
        "signal_session",
        deadline=deadline,
        pid=params.pid,
        started_at_us=params.started_at_us,
        terminate=params.terminate,
        caller=params.caller,
        is_vouched=is_vouched,
        is_doubted=is_doubted,
    )
    return Signalled(
        SignalOutcome(outcome),
        role_oid or 0,
        text_from_bytes(username),
        text_from_bytes(database),
        text_from_bytes(application_name),
    )


async def collect_signal_right(server: Server, params: SignalRightParams, *, deadline: float) -> SignalRight:
    """What this server's roles say. Raises: ServerError."""
    if not is_storable(params.caller):
        return SignalRight(allowed=False, target_is_superuser=False)
    [(allowed, is_superuser)] = await server.fetch(
        "sessions", "read_signal_right", deadline=deadline, caller=params.caller, role_oid=params.role_oid
    )
    return SignalRight(allowed=allowed, target_is_superuser=is_superuser)

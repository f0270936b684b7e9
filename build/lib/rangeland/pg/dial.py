"""Connecting, step by step, so that a refusal tells its SQLSTATE, whatever language the server speaks."""

from __future__ import annotations

import asyncio
import ctypes
import importlib.util
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from psycopg import pq
from psycopg.conninfo import make_conninfo

from rangeland.errors import ServerDownError, ServerError, ServerTimeoutError

_VERBOSE = 2  # PQERRORS_VERBOSE in libpq-fe.h: "FATAL:  28P01: password authentication failed …"
# The severity is in the server's language; every code has a digit, which tells it from the word FATAL.
_CODE = re.compile(r"\w+:\s+((?=[A-Z]*\d)[0-9A-Z]{5}): (.*)")
# Not the fault of who connects: starting up, shutting down, no slots, no memory, connection trouble, bugs.
_SERVERS_FAULT = re.compile(r"57P0[1-5]|53\w{3}|55000|08\w{3}|XX\w{3}|58\w{3}")


async def dial(params: Mapping[str, Any], *, deadline: float) -> pq.abc.PGconn:
    """An open connection. Raises: ServerTimeoutError, ServerDownError; ServerError where the server refused us.

    libpq takes nothing from the environment here: `config.forget_libpq_environment` has cleared it.
    """
    conninfo = make_conninfo("", **params).encode()
    try:
        async with asyncio.timeout_at(deadline):
            # In a thread: libpq resolves the host's name before it returns.
            conn = await asyncio.get_running_loop().run_in_executor(None, pq.PGconn.connect_start, conninfo)
            try:
                connected = await _connected(conn)
            except BaseException:
                conn.finish()
                raise
    except TimeoutError as exc:
        raise ServerTimeoutError("the server did not accept a connection in time") from exc
    if not connected:
        error = _no_password() if conn.needs_password else refusal(conn.error_message.decode(errors="replace"))
        conn.finish()
        raise error
    return conn


async def _connected(conn: pq.abc.PGconn) -> bool:
    if conn.status == pq.ConnStatus.BAD:
        return False
    _ask_for_codes(conn)
    status: int = pq.PollingStatus.WRITING
    while status in (pq.PollingStatus.READING, pq.PollingStatus.WRITING):
        await _ready(conn.socket, writing=status == pq.PollingStatus.WRITING)
        status = conn.connect_poll()
    return status == pq.PollingStatus.OK


async def _ready(fileno: int, *, writing: bool) -> None:
    """Wait for the socket; libpq may change it between two calls, so nothing stays registered."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    add, remove = (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
    add(fileno, wake)
    try:
        await ready
    finally:
        remove(fileno)


def refusal(text: str) -> ServerError:
    """The error for libpq's text about a connection that did not come about."""
    lines = [line for line in text.splitlines() if not line.startswith(("LOCATION:", "ROUTINE:"))]
    last = next((match for line in reversed(lines) if (match := _CODE.search(line))), None)
    if last is None:
        reason = lines[0].strip() if lines else "no reason given"
        return ServerDownError(reason.removeprefix("connection to ").strip() or "the server can't be reached")
    sqlstate, reason = last[1], last[2].strip()
    if _SERVERS_FAULT.fullmatch(sqlstate):
        return ServerDownError(reason, sqlstate=sqlstate)
    return ServerError(reason, sqlstate=sqlstate)


def _no_password() -> ServerError:
    """libpq has no code for it, as it is the one to end the connection."""
    return ServerError("the server asks for a password, and the URL has none", sqlstate="28P01")


def _ask_for_codes(conn: pq.abc.PGconn) -> None:
    pointer = getattr(conn, "pgconn_ptr", None)
    if pointer is not None:
        _libpq().PQsetErrorVerbosity(ctypes.c_void_p(pointer), ctypes.c_int(_VERBOSE))


@cache
def _libpq() -> ctypes.CDLL:
    """The libpq that psycopg itself uses: the one in its wheel, or the system's."""
    spec = importlib.util.find_spec("psycopg_binary")
    if pq.__impl__ == "binary" and spec is not None and spec.origin is not None:
        package = Path(spec.origin).parent
        found = [*package.parent.glob("psycopg_binary.libs/libpq-*"), *package.glob(".dylibs/libpq*")]
        if found:
            return ctypes.CDLL(str(found[0]))
    return ctypes.CDLL("libpq.so.5")

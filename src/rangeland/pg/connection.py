"""One connection to a PostgreSQL server, and statements on it that end when their deadline does."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from rangeland.config import LOCK_TIMEOUT_MS, STATEMENT_TIMEOUT_S
from rangeland.errors import ServerTimeoutError, SettingError
from rangeland.pg.dial import dial
from rangeland.pg.errors import server_error
from rangeland.sql import Block

APPLICATION_NAME = "rangeland"
MASK = "*****"
# libpq's parameters that let their owner in.
SECRETS = ("password", "sslpassword", "scram_client_key", "scram_server_key", "oauth_client_secret")
STATE_DATABASE = "postgres"  # where our schema is unless the URL names another

# A statement whose client has left is noticed within a second, so that a request that was given up costs the
# server no more than that. jit: compiling costs more than any statement of ours takes.
READ_OPTIONS = (
    f"-c statement_timeout={int(STATEMENT_TIMEOUT_S * 1000)} -c lock_timeout={LOCK_TIMEOUT_MS} "
    "-c idle_in_transaction_session_timeout=10s -c client_connection_check_interval=1s -c jit=off "
    "-c timezone=UTC -c search_path=pg_catalog -c default_transaction_read_only=on"
)
# A commit may wait for ever for a synchronous standby that is dead: our own rows never wait for one.
WRITE_OPTIONS = READ_OPTIONS.replace("read_only=on", "read_only=off") + " -c synchronous_commit=local"


def parse_server_url(url: str, *, setting: str) -> dict[str, Any]:
    """The libpq parameters of a URL or conninfo string that names one server. Raises: SettingError.

    A node talks to its own server only: a list of hosts would let a statement reach another one.
    """
    try:
        params = conninfo_to_dict(url)
    except UnicodeEncodeError as exc:
        raise SettingError(f"{setting} is not a PostgreSQL URL: it holds bytes that are not UTF-8") from exc
    except psycopg.Error as exc:
        raise SettingError(f"{setting} is not a PostgreSQL URL: {_without_secrets(str(exc).strip())}") from exc
    if "," in str(params.get("host", "")) or "," in str(params.get("port", "")):
        raise SettingError(f"{setting} must name one server: a node talks only to its own")
    if "service" in params:
        raise SettingError(f"{setting} can't name a service: give host, port, user and dbname")
    return {"dbname": STATE_DATABASE, **params}


def _without_secrets(complaint: str) -> str:
    """libpq's complaint without the piece of the URL at its end, unless that is a parameter's name."""
    is_name = complaint.startswith("invalid URI query parameter")
    return complaint if is_name else re.sub(r'(:| after) ".*', "", complaint, flags=re.DOTALL)


def masked_url(url: str) -> str:
    """A URL or conninfo string that can be parsed, for people to read: without a password.

    One whose secrets are elsewhere than before the @ becomes a conninfo string.
    """
    masked = re.sub(r"^(\w+://[^/@:]*):[^/@]*@", rf"\1:{MASK}@", url)
    secrets = {name: MASK for name, value in conninfo_to_dict(masked).items() if name in SECRETS and value != MASK}
    return make_conninfo(masked, **secrets) if secrets else masked


class Connection:
    """A connection in autocommit, used by one statement at a time."""

    def __init__(self, raw: psycopg.AsyncConnection[Any]) -> None:
        self._raw = raw
        self._statement: asyncio.Task[list[tuple[Any, ...]]] | None = None

    @classmethod
    async def open(cls, params: dict[str, Any], *, options: str, deadline: float) -> Connection:
        """Connect before `deadline` (loop time). Raises: ServerDownError, ServerError."""
        pgconn = await dial(
            {
                **params,
                "application_name": APPLICATION_NAME,
                "options": options,
                "connect_timeout": str(int(STATEMENT_TIMEOUT_S)),
            },
            deadline=deadline,
        )
        pgconn.nonblocking = 1
        raw = psycopg.AsyncConnection[Any](pgconn)
        await raw.set_autocommit(True)
        return cls(raw)

    async def run(self, block: Block, params: dict[str, Any], *, deadline: float) -> list[tuple[Any, ...]]:
        """Rows of the block, binary-loaded. At the deadline, or when cancelled, the connection is dropped.

        The server itself gives up after 3 s (statement_timeout), so nobody waits longer for one that hangs.
        psycopg's own cancellation is never awaited: on a server that hangs it takes 6 to 11 s.
        """
        self._statement = statement = asyncio.create_task(self._execute(block, params))
        left_s = deadline - asyncio.get_running_loop().time()
        try:
            await asyncio.wait({statement}, timeout=max(0.0, min(left_s, STATEMENT_TIMEOUT_S)))
        finally:
            if not statement.done():
                self.drop()
        if not statement.done():
            raise ServerTimeoutError(f"the server did not answer {block.name} in time")
        try:
            return statement.result()
        except psycopg.Error as exc:
            raise server_error(exc, doing=f"running {block.resource}.{block.name}") from exc

    async def _execute(self, block: Block, params: dict[str, Any]) -> list[tuple[Any, ...]]:
        cursor = await self._raw.cursor(binary=True).execute(block.text, params)
        return await cursor.fetchall() if cursor.description else []

    def cut(self) -> None:
        """Shut the socket down without a word: whoever waits on it wakes with an error, and the server notices."""
        if self._raw.closed:
            return
        try:
            with socket.socket(fileno=os.dup(self._raw.fileno())) as twin:
                twin.shutdown(socket.SHUT_RDWR)
        except (OSError, psycopg.Error):
            return  # the other side was faster

    def drop(self) -> None:
        """Close it: at once, or as soon as a statement that still waits on the socket has woken up."""
        if self._statement is None or self._statement.done():
            self._raw.pgconn.finish()
            return
        self.cut()
        self._statement.add_done_callback(self._finish)

    def _finish(self, statement: asyncio.Task[Any]) -> None:
        if not statement.cancelled():
            statement.exception()
        self._raw.pgconn.finish()

    @property
    def closed(self) -> bool:
        return self._raw.closed

    @property
    def version(self) -> int:
        """server_version_num, such as 180006."""
        return self._raw.info.server_version

    @property
    def in_recovery(self) -> bool:
        """What the server last reported of itself, without asking: it tells a session of a promotion."""
        return self._raw.info.parameter_status("in_hot_standby") == "on"

"""This node's own server: two kept connections for reading, one for writing, and what is known of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rangeland.config import WRITE_TIMEOUT_S
from rangeland.errors import MissingGrantError, NotPrimaryError, ServerDownError, ServerError, ServerTimeoutError
from rangeland.pg.connection import READ_OPTIONS, WRITE_OPTIONS, Connection, parse_server_url
from rangeland.pg.errors import RETRIED
from rangeland.sql import Block, block

OLDEST_VERSION = 150000  # 13 and 14 are past their end of life
NEWEST_TESTED_VERSION = 189999
READERS = 2  # with one writer: three connections to the state database, as promised to the DBA
RETRY_S = 1.0  # a server that is back is found within a second; a pool's back-off once cost 15 s
IDENTIFY_TIMEOUT_S = 2.0
TOO_MANY_CONNECTIONS = "53300"
SUSPECT_AFTER_S = 0.7  # a statement that takes longer is slow, or the server hangs: a second connection tells
PROBE_TIMEOUT_S = 1.5  # with the above less than STATEMENT_TIMEOUT_S: who waits learns why


class Role(StrEnum):
    PRIMARY = "primary"
    STANDBY = "standby"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Down:
    """Why the server can't be used, and since when (ns since the epoch, this node's clock)."""

    since_ns: int
    reason: str


class Visit:
    """A short stay in one other database."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def fetch(self, resource: str, name: str, /, *, deadline: float, **params: Any) -> list[tuple[Any, ...]]:
        """As `Server.fetch`, in the visited database."""
        chosen = block(resource, name, self._connection.version)
        return await self._connection.run(chosen, params, deadline=deadline)


class Server:
    """The PostgreSQL server beside this node.

    `down` is None while it answers. While it is down every question fails at once and a task tries to connect
    each second. A statement that is slow starts a probe; if that fails, too, the server is down, and whoever
    waits for it is told so. `role`, `timeline`, `version` and `server_id` are as last heard; no two postmasters
    have one `server_id`, and each start has a new one.
    """

    def __init__(self, url: str, *, on_change: Callable[[], None] | None = None) -> None:
        self.params = {"user": "rangeland", **parse_server_url(url, setting="--server-url")}
        self.version = 0
        self.role = Role.UNKNOWN
        self.timeline = 0
        self.server_id = ""  # unknown
        self.warning: str | None = None
        self.down: Down | None = Down(time.time_ns(), "not connected yet")
        self.on_change = on_change or (lambda: None)
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._reading = asyncio.Semaphore(READERS)
        self._writing = asyncio.Lock()
        self._writer: Connection | None = None
        self._visiting = asyncio.Lock()
        self._news = asyncio.Condition()
        self._reviving: asyncio.Task[None] | None = None
        self._identifying: asyncio.Task[None] | None = None
        self._probing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to connect; returns at once."""
        if self._reviving is None:
            self._reviving = asyncio.create_task(self._revive())

    async def wait_until_up(self, *, deadline: float | None = None) -> None:
        """Return once it answers. Raises: ServerDownError at the deadline, with the reason."""
        try:
            async with asyncio.timeout_at(deadline), self._news:
                await self._news.wait_for(lambda: self.down is None)
        except TimeoutError as exc:
            raise ServerDownError(self.down.reason if self.down else "the server went down again") from exc

    async def close(self) -> None:
        """End the tasks and every connection, without waiting for a server that hangs."""
        for task in (self._reviving, self._identifying, self._probing):
            if task is not None:
                task.cancel()
        self._drop_connections()

    def require_primary(self) -> None:
        """Raises: NotPrimaryError unless the server answers and takes writes, as last heard."""
        if self.role is not Role.PRIMARY or self.down is not None:
            raise NotPrimaryError("this node's server is not a primary that answers")

    async def fetch(self, resource: str, name: str, /, *, deadline: float, **params: Any) -> list[tuple[Any, ...]]:
        """Rows of the named statement on the state database; `deadline` is in loop time.

        A connection that the server had closed meanwhile, a recovery conflict: tried once more, quietly.
        Raises: ServerDownError, ServerTimeoutError, MissingGrantError, ServerError.
        """
        async with _turn(self._reading, deadline):
            for last_try in (False, True):
                connection = await self._reader(deadline)
                reused = connection is not None
                if connection is None:
                    connection = await self._opened(READ_OPTIONS, deadline)
                try:
                    rows = await self._run(connection, block(resource, name, connection.version), params, deadline)
                except ServerError as exc:
                    broken = isinstance(exc, ServerDownError)
                    if not broken:
                        self._idle.append(connection)
                    if not last_try and self._was_stale(exc, reused):
                        self._drop_idle()  # closed, too: one of them would be the second try's
                        continue
                    if not last_try and exc.sqlstate in RETRIED:
                        continue
                    raise self._judged(exc) from exc
                self._heard(connection)
                self._idle.append(connection)
                return rows
        raise AssertionError("a second try returns or raises")

    async def write(self, resource: str, name: str, /, *, deadline: float, **params: Any) -> list[tuple[Any, ...]]:
        """As `fetch`, for a statement that changes our own tables, within 2 s; never waits for a synchronous standby.

        Raises: NotPrimaryError where the server is a standby.
        """
        deadline = min(deadline, asyncio.get_running_loop().time() + WRITE_TIMEOUT_S)
        async with _turn(self._writing, deadline):
            for last_try in (False, True):
                reused = self._writer is not None
                if self._writer is None or self._writer.closed:
                    self._writer = await self._opened(WRITE_OPTIONS, deadline)
                connection = self._writer
                if connection.in_recovery:
                    connection.drop()  # it would go on saying so after a promotion
                    self._writer = None
                    raise NotPrimaryError("this node's server is a standby")
                try:
                    rows = await self._run(connection, block(resource, name, connection.version), params, deadline)
                except ServerError as exc:
                    if exc.sqlstate == "25006":  # read_only_sql_transaction
                        raise NotPrimaryError("this node's server is a standby") from exc
                    if isinstance(exc, ServerDownError):
                        self._writer = None
                    if not last_try and self._was_stale(exc, reused):
                        continue
                    raise self._judged(exc) from exc
                self._heard(connection)
                return rows
        raise AssertionError("a second try returns or raises")

    @contextlib.asynccontextmanager
    async def visit(self, database: str, *, deadline: float) -> AsyncIterator[Visit]:
        """Connect to another database, one at a time, and leave it: an idle connection would block its DROP."""
        async with _turn(self._visiting, deadline):
            if self.down is not None:
                raise ServerDownError(self.down.reason)
            connection = await Connection.open(
                {**self.params, "dbname": database}, options=READ_OPTIONS, deadline=deadline
            )
            self._busy.add(connection)
            try:
                yield Visit(connection)
            finally:
                self._busy.discard(connection)
                connection.drop()

    async def look_again(self, *, deadline: float) -> None:
        """Ask the server who it is now: it tells a session of its promotion with the next statement only.

        Raises: ServerError.
        """
        self._identified((await self.fetch("server", "identify_server", deadline=deadline))[0])

    def suspect(self) -> None:
        """Begin to find out whether the server still answers; returns at once."""
        if self.down is None and (self._probing is None or self._probing.done()):
            self._probing = asyncio.create_task(self._probe())

    async def _run(
        self, connection: Connection, chosen: Block, params: dict[str, Any], deadline: float
    ) -> list[tuple[Any, ...]]:
        watch = asyncio.get_running_loop().call_later(SUSPECT_AFTER_S, self.suspect)
        self._busy.add(connection)
        try:
            return await connection.run(chosen, params, deadline=deadline)
        except (ServerDownError, asyncio.CancelledError):
            connection.drop()
            raise
        finally:
            self._busy.discard(connection)
            watch.cancel()

    def _was_stale(self, exc: ServerError, reused: bool) -> bool:
        """Whether a kept connection had only been closed meanwhile, as after a restart of the server."""
        broke = isinstance(exc, ServerDownError) and not isinstance(exc, ServerTimeoutError)
        return broke and reused and self.down is None

    def _judged(self, exc: ServerError) -> ServerError:
        """What to raise: a connection that broke may have been cut, as a probe found the server down."""
        if isinstance(exc, ServerDownError):
            if self.down is not None:
                return ServerDownError(self.down.reason)
            if not isinstance(exc, ServerTimeoutError):
                self._fell(exc)
        return exc

    async def _probe(self) -> None:
        deadline = asyncio.get_running_loop().time() + PROBE_TIMEOUT_S
        try:
            connection = await self._connected(deadline)
        except ServerError as exc:
            self._fell(exc)
            return
        connection.drop()

    async def _reader(self, deadline: float) -> Connection | None:
        """A kept connection, or None where a new one has to be opened."""
        if self.down is not None:
            raise ServerDownError(self.down.reason)
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
        return None

    async def _opened(self, options: str, deadline: float) -> Connection:
        if self.down is not None:
            raise ServerDownError(self.down.reason)
        try:
            return await Connection.open(self.params, options=options, deadline=deadline)
        except ServerTimeoutError:
            self.suspect()
            raise
        except ServerDownError as exc:
            self._fell(exc)
            raise

    def _fell(self, exc: ServerError) -> None:
        if exc.sqlstate == TOO_MANY_CONNECTIONS and (self._idle or self._busy):
            return  # those that we have still serve
        if self.down is None:
            self.down = Down(time.time_ns(), str(exc))
            self.on_change()
        self._drop_connections()
        if self._reviving is None or self._reviving.done():
            self._reviving = asyncio.create_task(self._revive())

    def _drop_connections(self) -> None:
        for connection in self._busy:
            connection.cut()
        if self._writer is not None and self._writer not in self._busy:
            self._writer.drop()
        self._writer = None
        self._drop_idle()

    def _drop_idle(self) -> None:
        for connection in self._idle:
            connection.drop()
        self._idle.clear()

    def _heard(self, connection: Connection) -> None:
        """A change of role counts once the timeline is known, too: between two primaries that decides."""
        role = Role.STANDBY if connection.in_recovery else Role.PRIMARY
        if role is not self.role and (self._identifying is None or self._identifying.done()):
            self._identifying = asyncio.create_task(self._identify_again())

    async def _identify_again(self) -> None:
        with contextlib.suppress(ServerError):
            await self.look_again(deadline=asyncio.get_running_loop().time() + IDENTIFY_TIMEOUT_S)
        self.on_change()  # also where only the role is known yet

    def _identified(self, row: tuple[Any, ...]) -> None:
        self.version, in_recovery, self.timeline, self.server_id = row
        self.role = Role.STANDBY if in_recovery else Role.PRIMARY

    async def _revive(self) -> None:
        """Try each second until a connection answers; the reason why it does not is kept up to date."""
        while True:
            try:
                connection = await self._connected(asyncio.get_running_loop().time() + IDENTIFY_TIMEOUT_S)
            except ServerError as exc:
                self._still_down(exc)
                await asyncio.sleep(RETRY_S)
                continue
            self._idle.append(connection)
            self.down = None
            self.on_change()
            async with self._news:
                self._news.notify_all()
            return

    async def _connected(self, deadline: float) -> Connection:
        connection = await Connection.open(self.params, options=READ_OPTIONS, deadline=deadline)
        try:
            if connection.version < OLDEST_VERSION:
                raise ServerError(_too_old(connection.version))
            rows = await connection.run(block("server", "identify_server", connection.version), {}, deadline=deadline)
        except (ServerError, asyncio.CancelledError):
            connection.drop()
            raise
        self._identified(rows[0])
        if connection.version > NEWEST_TESTED_VERSION:
            self.warning = f"PostgreSQL {connection.version // 10000} is newer than those tested"
        return connection

    def _still_down(self, exc: ServerError) -> None:
        if self.down is not None and self.down.reason != str(exc):
            self.down = Down(self.down.since_ns, str(exc))
            self.on_change()


async def require_usable(server: Server, *, deadline: float) -> None:
    """Connect once, for a command or a start that has to say at once what is wrong.

    Raises: ServerDownError, MissingGrantError, ServerError (too old).
    """
    connection = await Connection.open(server.params, options=READ_OPTIONS, deadline=deadline)
    try:
        if connection.version < OLDEST_VERSION:
            raise ServerError(_too_old(connection.version))
        rows = await connection.run(block("server", "missing_grants", connection.version), {}, deadline=deadline)
        if rows:
            raise MissingGrantError(
                "the role of --server-url lacks: " + "; ".join(row[0] for row in rows) + " (rangeland init grants it)"
            )
    finally:
        connection.drop()


def _too_old(version: int) -> str:
    return f"the server is PostgreSQL {version // 10000}; 15 or newer is needed"


@contextlib.asynccontextmanager
async def _turn(lock: asyncio.Semaphore | asyncio.Lock, deadline: float) -> AsyncIterator[None]:
    """Hold the lock, waiting for it no longer than `deadline`. Raises: ServerError."""
    try:
        async with asyncio.timeout_at(deadline):
            await lock.acquire()
    except TimeoutError as exc:
        raise ServerError("every connection of this node to its server was busy until the deadline") from exc
    try:
        yield
    finally:
        lock.release()

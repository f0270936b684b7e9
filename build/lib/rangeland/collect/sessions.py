"""Reads pg_stat_activity once and makes it this node's list of sessions."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from msgspec import Raw

from rangeland.collect.masking import mask_passwords
from rangeland.collect.text import text_from_bytes
from rangeland.pg import Server
from rangeland.wire.json import encode
from rangeland.wire.parts import Item, ListPart, SessionsParams
from rangeland.wire.sessions import ActiveQuery, Phase, Session, SessionStatus, TxnInfo
from rangeland.wire.times import ZERO_TIME, duration_ns, ns, rfc3339

HOLD = timedelta(seconds=60)  # how long a shown session keeps its place after it ended
MAX_SQL_BYTES = 1000  # then "…". Source: Cluster API v2.0, /sessions/

# pg_stat_activity.state. "disabled" (track_activities is off) and no state at all say nothing: they are left
# to the contract's default.
_IDLE_STATES = {"idle", "idle in transaction", "idle in transaction (aborted)", "starting"}
_RUNNING_STATES = {"active", "fastpath function call"}


class SessionRow(NamedTuple):
    """A row of sql/sessions.sql, list_sessions."""

    read_at: datetime
    pid: int
    backend_start: datetime
    username_bytes: bytes | None
    database_bytes: bytes | None
    application_name_bytes: bytes | None
    client_address: str | None
    client_port: int | None  # -1: a Unix socket
    state: str | None
    state_change: datetime | None
    xact_start: datetime | None
    query_start: datetime | None
    wait_event_type: str | None
    wait_event: str | None
    blocking_pids: list[int] | None
    query_bytes: bytes | None
    query_id: int | None
    backend_type: str

    @property
    def key(self) -> SessionKey:
        """Tells this session from every other of this server, and orders sessions by start."""
        return (self.backend_start, self.pid)

    @property
    def username(self) -> str:
        return text_from_bytes(self.username_bytes)


SessionKey = tuple[datetime, int]


class SessionCollector:
    """This node's sessions, in an order that holds from one page to the next."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._places = Places()

    async def collect(
        self, params: SessionsParams, *, node_id: int, deadline: float, now: datetime | None = None
    ) -> ListPart:
        """Read the sessions with one statement: by ascending start, a page of them or all.

        Sessions that ended less than a minute ago are there, too, as closed ones, if a page showed them
        before. `now` is this node's clock (None: read it). Raises: ServerError.
        """
        if not _is_storable(params.username):
            return ListPart(items=[])
        rows = await self._server.fetch("sessions", "list_sessions", deadline=deadline, username=params.username)
        moment = now or datetime.now(UTC)
        placed = self._places.arrange([SessionRow(*row) for row in rows], params.username, moment)
        page = cut_page(placed, params)
        if params.limit:
            self._places.show(page.passed, is_of_all=not params.username)
        return part_from_page(page, params, node_id=node_id)


@dataclass(slots=True)
class Placed:
    """A session at its place in the list; `ended_at` is when it was first missed, None while it lives."""

    order: tuple[Any, ...]
    row: SessionRow
    seen_at: datetime
    ended_at: datetime | None = None
    is_shown_to_all: bool = False  # by a page without `username`


class Places:
    """Keeps the place of each session that a page has shown.

    Clients page by counting places. So a session that was shown stays where it is until a minute after its
    end, and one that shows up late with an early start comes behind all that were shown, instead of among
    them.
    """

    def __init__(self) -> None:
        self._shown: dict[SessionKey, Placed] = {}

    def arrange(self, rows: Sequence[SessionRow], username: str, now: datetime) -> list[Placed]:
        """Return the sessions of a reading (of all users or one) and those remembered, in order."""
        self._update(rows, username, now)
        floors = self._floors()
        arranged = [shown for shown in self._shown.values() if username in ("", shown.row.username)]
        for row in rows:
            if row.key not in self._shown:
                floor = max(floors.get("", ()), floors.get(row.username, ()))
                order = row.key if row.key > floor else (*floor, *row.key)
                arranged.append(Placed(order, row, now))
        return sorted(arranged, key=lambda placed: placed.order)

    def show(self, passed: Iterable[Placed], *, is_of_all: bool) -> None:
        """Remember the sessions that a page has passed."""
        for placed in passed:
            placed.is_shown_to_all |= is_of_all
            self._shown[placed.row.key] = placed

    def _update(self, rows: Sequence[SessionRow], username: str, now: datetime) -> None:
        row_by_key = {row.key: row for row in rows}
        read_at = rows[0].read_at if rows else None
        for key, shown in list(self._shown.items()):
            if username not in ("", shown.row.username):
                continue
            if key in row_by_key:
                shown.row, shown.seen_at, shown.ended_at = row_by_key[key], now, None
            elif read_at is not None and shown.row.read_at > read_at:
                continue  # a reading that was overtaken by the one that found this session
            elif now - (shown.ended_at or shown.seen_at) > HOLD:
                del self._shown[key]
            elif shown.ended_at is None:
                shown.ended_at = now

    def _floors(self) -> dict[str, tuple[Any, ...]]:
        """The last place that was shown, by user name, and to those who see all users under ""."""
        floors: dict[str, tuple[Any, ...]] = {}
        for shown in self._shown.values():
            for name in ("", shown.row.username) if shown.is_shown_to_all else (shown.row.username,):
                floors[name] = max(floors.get(name, ()), shown.order)
        return floors


class Page(NamedTuple):
    """A stretch of the list."""

    shown: list[tuple[int, Placed]]  # with its place
    passed: list[Placed]  # also those passed over
    next_index: int  # 0: the end was reached


def cut_page(placed: Sequence[Placed], params: SessionsParams) -> Page:
    """Cut `limit` sessions from place `index` on; without a limit, all from there."""
    wanted = [
        (place, session)
        for place, session in enumerate(placed)
        if place >= params.index and not (params.exclude_closed and session.ended_at)
    ]
    shown = wanted[: params.limit] if params.limit else wanted
    is_end = len(shown) == len(wanted)
    next_index = 0 if is_end else shown[-1][0] + 1
    return Page(shown, list(placed[params.index : next_index or None]), next_index)


def part_from_page(page: Page, params: SessionsParams, *, node_id: int) -> ListPart:
    """Encode each session of the page once; from here on it is passed on as bytes."""
    items = [
        Item(
            key=placed.row.backend_start.timestamp(),
            body=Raw(encode(session_from_row(placed.row, node_id=node_id, ended_at=placed.ended_at))),
        )
        for _, placed in page.shown
    ]
    places = [place for place, _ in page.shown]
    is_in_a_row = places == list(range(params.index, params.index + len(places)))
    return ListPart(items=items, next_index=page.next_index, places=[] if is_in_a_row else places)


def session_from_row(row: SessionRow, *, node_id: int, ended_at: datetime | None = None) -> Session:
    """Translate a row; for a session that has ended, `ended_at` is when it was first missed."""
    is_running = row.state in _RUNNING_STATES and ended_at is None
    sql = sql_from_bytes(row.query_bytes)
    txn = None if row.xact_start is None or ended_at else _transaction(row, node_id)
    return Session(
        node_id=node_id,
        username=row.username,
        client_address=_client_address(row),
        application_name=text_from_bytes(row.application_name_bytes),
        active_queries=[_active_query(row, node_id, sql, txn)] if is_running else [],
        start=rfc3339(row.backend_start),
        last_active_query="" if is_running else sql,
        id=_identity(node_id, row.pid, row.backend_start),
        active_txn=txn,
        status=_status(row, ended_at),
        end=rfc3339(ended_at) if ended_at else "",
        txn_fingerprint_ids=[],
        total_active_time=0,
        pg_backend_pid=row.pid,
        database=text_from_bytes(row.database_bytes),
        backend_type=row.backend_type,
        query_id=str(row.query_id or ""),
        **({} if ended_at else _waiting(row)),
    )


def _status(row: SessionRow, ended_at: datetime | None) -> SessionStatus:
    if ended_at:
        return SessionStatus.CLOSED
    return SessionStatus.IDLE if row.state in _IDLE_STATES else SessionStatus.ACTIVE


def _waiting(row: SessionRow) -> dict[str, Any]:
    return {
        "state": row.state or "",
        "wait_event_type": row.wait_event_type or "",
        "wait_event": row.wait_event or "",
        "blocking_pids": row.blocking_pids or [],
    }


def _active_query(row: SessionRow, node_id: int, sql: str, txn: TxnInfo | None) -> ActiveQuery:
    start = row.query_start or row.backend_start
    return ActiveQuery(
        id=_identity(node_id, row.pid, start).hex(),
        txn_id=txn.id if txn else str(UUID(int=0)),
        sql=sql,
        start=rfc3339(start),
        phase=Phase.EXECUTING,
        elapsed_time=_elapsed_ns(start, row.read_at),
        database=text_from_bytes(row.database_bytes),
        pid=row.pid,
    )


def _transaction(row: SessionRow, node_id: int) -> TxnInfo:
    start = row.xact_start or row.read_at
    return TxnInfo(
        id=str(UUID(bytes=_identity(node_id, row.pid, start))),
        start=rfc3339(start),
        deadline=ZERO_TIME,
        elapsed_time=_elapsed_ns(start, row.read_at),
    )


def _elapsed_ns(start: datetime, read_at: datetime) -> int:
    """Never negative: a server's clock may be set back."""
    return max(0, duration_ns(read_at - start))


def _identity(node_id: int, pid: int, start: datetime) -> bytes:
    """16 bytes that no other session, statement or transaction of the cluster has: node, process, µs since
    1970."""
    return struct.pack(">IIq", node_id, pid, ns(start) // 1000)


def _client_address(row: SessionRow) -> str:
    if row.client_address is None:
        return "[local]" if row.client_port == -1 else ""
    host = f"[{row.client_address}]" if ":" in row.client_address else row.client_address
    return f"{host}:{row.client_port}"


def sql_from_bytes(raw: bytes | None) -> str:
    """A statement as readers may see it: no passwords, at most 1,000 bytes and then "…"."""
    text = raw or b""
    masked = mask_passwords(text_from_bytes(text[: MAX_SQL_BYTES + 1])).encode()
    if len(text) <= MAX_SQL_BYTES and len(masked) <= MAX_SQL_BYTES:
        return masked.decode()
    return masked[:MAX_SQL_BYTES].decode(errors="ignore") + "…"


def _is_storable(name: str) -> bool:
    """Whether a server could have this name at all; the driver refuses to send it otherwise."""
    return "\0" not in name and name == name.encode(errors="ignore").decode()

"""Reads pg_stat_activity once and makes it this node's list of sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from msgspec import Raw

from rangeland.collect.session_places import Page, Placed, Places, Translation, cut_page
from rangeland.collect.session_rows import SessionRow, Workers, split_workers
from rangeland.collect.statements import Form, Statement, statement_from_bytes
from rangeland.collect.text import is_storable, text_from_bytes
from rangeland.errors import RefusedError
from rangeland.pg import Server
from rangeland.wire.json import encode
from rangeland.wire.parts import Item, ListPart, SessionsParams
from rangeland.wire.session_ids import SessionId
from rangeland.wire.sessions import ActiveQuery, ParallelWorker, Phase, Session, SessionStatus, TxnInfo
from rangeland.wire.times import ZERO_TIME, duration_ns, ns, rfc3339

FORGOTTEN = "no page has ended where this one begins; if it was started again meanwhile, begin without start"
MANY = 200  # sessions that take 5 ms and more to translate: in a thread, so that others are answered meanwhile

# pg_stat_activity.state. "disabled" (track_activities is off) and no state at all say nothing: they are left
# to the contract's default.
_IDLE_STATES = {"idle", "idle in transaction", "idle in transaction (aborted)", "starting"}
_RUNNING_STATES = {"active", "fastpath function call"}


class SessionCollector:
    """This node's sessions, in an order that holds from one page to the next."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._places = Places()

    async def collect(
        self, params: SessionsParams, *, node_id: int, deadline: float, now: datetime | None = None
    ) -> ListPart:
        """Read the sessions with one statement: by ascending start, a page of them or all.

        Sessions that an answer showed and that ended less than a minute ago are there, too, as closed ones. `now`
        is this node's clock (None: read it). Raises: ServerError; RefusedError for an index that no answer gave.
        """
        if not is_storable(params.username):
            return ListPart(items=[])
        if params.index > self._places.free(params.username):
            raise RefusedError(FORGOTTEN)
        rows = await self._server.fetch("sessions", "list_sessions", deadline=deadline, username=params.username)
        moment = now or datetime.now(UTC)
        sessions, workers = split_workers(map(SessionRow._make, rows))
        placed = self._places.arrange(sessions, params.username, moment)
        page = cut_page(placed, params)
        self._places.show(page.passed, params.username)
        known = [None if params.redacted_for else known_item(each, node_id) for _, each in page.shown]
        if known.count(None) <= MANY:
            return part_from_page(page, params, node_id=node_id, workers=workers, known=known)
        return await asyncio.to_thread(part_from_page, page, params, node_id=node_id, workers=workers, known=known)


def part_from_page(
    page: Page,
    params: SessionsParams,
    *,
    node_id: int,
    workers: Workers | None = None,
    known: Sequence[Item | None] | None = None,
) -> ListPart:
    """Encode each session of the page once; from here on it is passed on as bytes.

    `known`: what `known_item` says of each; None: nothing is known.
    """
    items = [
        item or _translated(placed, params, node_id, (workers or {}).get(placed.row.pid, ()))
        for (_, placed), item in zip(page.shown, known or [None] * len(page.shown), strict=True)
    ]
    places = [place for place, _ in page.shown] if params.limit else []
    is_in_a_row = places == list(range(params.index, params.index + len(places)))
    return ListPart(items=items, next_index=page.next_index, places=[] if is_in_a_row else places)


def known_item(placed: Placed, node_id: int) -> Item | None:
    """The JSON of the last reading, if this one is the same but for its time: most sessions do nothing in between.

    None for one that shows how long something takes. It is for readers who see every constant.
    """
    known = placed.translation
    if (
        known is None
        or known.content != placed.row[1:]
        or known.ended_at != placed.ended_at
        or known.node_id != node_id
    ):
        return None
    return known.item


def _translated(placed: Placed, params: SessionsParams, node_id: int, workers: Sequence[SessionRow]) -> Item:
    row, ended_at = placed.row, placed.ended_at
    is_redacted = _is_redacted(row, params)
    session = session_from_row(row, node_id=node_id, ended_at=ended_at, workers=workers, is_redacted=is_redacted)
    item = Item(key=row.backend_start.timestamp(), body=Raw(encode(session)))
    tells_time = bool(session.active_queries) or session.active_txn is not None
    if not (params.redacted_for or tells_time):
        placed.translation = Translation(row[1:], ended_at, node_id, item)
    return item


def _is_redacted(row: SessionRow, params: SessionsParams) -> bool:
    """Compared as bytes: two names in other encodings may read the same."""
    return bool(params.redacted_for) and row.username_bytes != params.redacted_for.encode()


def session_from_row(
    row: SessionRow,
    *,
    node_id: int,
    ended_at: datetime | None = None,
    workers: Sequence[SessionRow] = (),
    is_redacted: bool = False,
) -> Session:
    """Translate a row; for a session that has ended, `ended_at` is when it was first missed.

    `workers`: its parallel ones, by ascending pid. `is_redacted`: the reader sees statements without constants only.
    """
    is_running = row.state in _RUNNING_STATES and ended_at is None
    sql, form = statement_from_bytes(row.query_bytes)
    statement = Statement(form.no_constants if is_redacted else sql, form)
    txn = None if row.xact_start is None or ended_at else _transaction(row, node_id, form)
    return Session(
        node_id=node_id,
        username=row.username,
        client_address=_client_address(row),
        application_name=text_from_bytes(row.application_name_bytes),
        active_queries=[_active_query(row, node_id, statement, txn, workers)] if is_running else [],
        start=rfc3339(row.backend_start),
        last_active_query="" if is_running else statement.sql,
        last_active_query_no_constants="" if is_running else form.no_constants,
        last_active_query_anon="" if is_running else form.no_constants,
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


def _active_query(
    row: SessionRow, node_id: int, statement: Statement, txn: TxnInfo | None, workers: Sequence[SessionRow]
) -> ActiveQuery:
    start = row.query_start or row.backend_start
    return ActiveQuery(
        id=_identity(node_id, row.pid, start).hex(),
        txn_id=txn.id if txn else str(UUID(int=0)),
        sql=statement.sql,
        start=rfc3339(start),
        phase=Phase.EXECUTING,
        sql_no_constants=statement.form.no_constants,
        sql_anon=statement.form.no_constants,
        sql_summary=statement.form.summary,
        elapsed_time=_elapsed_ns(start, row.read_at),
        database=text_from_bytes(row.database_bytes),
        pid=row.pid,
        parallel_workers=[_parallel_worker(worker) for worker in workers],
    )


def _parallel_worker(row: SessionRow) -> ParallelWorker:
    return ParallelWorker(
        pid=row.pid,
        wait_event_type=row.wait_event_type or "",
        wait_event=row.wait_event or "",
        elapsed_time=_elapsed_ns(row.backend_start, row.read_at),
    )


def _transaction(row: SessionRow, node_id: int, form: Form) -> TxnInfo:
    """A statement that began its transaction has the transaction's start, to the µs; so has the BEGIN of a block."""
    start = row.xact_start or row.read_at
    return TxnInfo(
        id=str(UUID(bytes=_identity(node_id, row.pid, start))),
        start=rfc3339(start),
        deadline=ZERO_TIME,
        elapsed_time=_elapsed_ns(start, row.read_at),
        implicit=form.is_one and row.state == "active" and row.xact_start == row.query_start,
        read_only=row.in_recovery,
    )


def _elapsed_ns(start: datetime, read_at: datetime) -> int:
    """Never negative: a server's clock may be set back."""
    return max(0, duration_ns(read_at - start))


def _identity(node_id: int, pid: int, start: datetime) -> bytes:
    """16 bytes that no other session, statement or transaction of the cluster has: node, process, µs since
    1970."""
    return SessionId(node_id, pid, ns(start) // 1000).packed()


def _client_address(row: SessionRow) -> str:
    if row.client_address is None:
        return "[local]" if row.client_port == -1 else ""
    host = f"[{row.client_address}]" if ":" in row.client_address else row.client_address
    return f"{host}:{row.client_port}"

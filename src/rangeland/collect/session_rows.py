"""What pg_stat_activity says of a session, and whose parallel workers are whose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from rangeland.collect.text import text_from_bytes


class SessionRow(NamedTuple):
    """A row of sql/sessions.sql, list_sessions."""

    read_at: datetime  # first: what follows it is the same while a session does nothing
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
    query_bytes: bytes | None  # at most 1,001
    query_id: int | None
    backend_type: str
    leader_pid: int | None  # only of a parallel worker
    in_recovery: bool

    @property
    def key(self) -> SessionKey:
        """Tells this session from every other of this server, and orders sessions by start."""
        return (self.backend_start, self.pid)

    @property
    def username(self) -> str:
        return text_from_bytes(self.username_bytes)


SessionKey = tuple[datetime, int]
Workers = Mapping[int, Sequence[SessionRow]]  # by the leader's pid


def split_workers(rows: Iterable[SessionRow]) -> tuple[list[SessionRow], Workers]:
    """The sessions, and the parallel workers of each by ascending pid."""
    sessions: list[SessionRow] = []
    workers: dict[int, list[SessionRow]] = {}
    for row in rows:
        if row.leader_pid is None:
            sessions.append(row)
        else:
            workers.setdefault(row.leader_pid, []).append(row)
    return sessions, {pid: sorted(found, key=lambda row: row.pid) for pid, found in workers.items()}

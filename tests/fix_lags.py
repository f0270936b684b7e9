"""Ways in which a standby falls behind while it goes on answering, each undone at the end of its block."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import psutil
import psycopg

from fix_cluster import wait_until
from rangeland.engine.processes import send_all
from rangeland.engine.server import PostgresServer

Lag = Callable[[PostgresServer], AbstractContextManager[None]]


@contextmanager
def delayed_replay(server: PostgresServer) -> Iterator[None]:
    """It has each commit on its disk, and applies it an hour later."""
    server.configure(recovery_min_apply_delay="1h")
    _wait_for(server, "SHOW recovery_min_apply_delay", "1h")
    try:
        yield
    finally:
        server.configure(recovery_min_apply_delay="0")
        _wait_for(server, "SHOW recovery_min_apply_delay", "0")


@contextmanager
def paused_replay(server: PostgresServer) -> Iterator[None]:
    """As an administrator pauses it."""
    _run(server, "SELECT pg_wal_replay_pause()")
    _wait_for(server, "SELECT pg_get_wal_replay_pause_state()", "paused")
    try:
        yield
    finally:
        _run(server, "SELECT pg_wal_replay_resume()")


@contextmanager
def stopped_receiver(server: PostgresServer) -> Iterator[None]:
    """Its receiver hangs and goes on saying that it streams, as on a network that swallows everything."""
    with _stopped(server, "walreceiver"):
        yield


@contextmanager
def stopped_senders(primary: PostgresServer) -> Iterator[None]:
    """No standby hears of what is committed here; if it is killed meanwhile, none ever will."""
    with _stopped(primary, "walsender"):
        yield


LAGS: tuple[Lag, ...] = (delayed_replay, paused_replay, stopped_receiver)


@contextmanager
def _stopped(server: PostgresServer, kind: str) -> Iterator[None]:
    found = [each for each in psutil.Process(server.pid).children() if kind in " ".join(each.cmdline())]
    assert found, f"{server.name} has no {kind}"
    send_all(found, signal.SIGSTOP)
    try:
        yield
    finally:
        send_all(found, signal.SIGCONT)


def _wait_for(server: PostgresServer, query: str, answer: str) -> None:
    wait_until(lambda: _run(server, query) == answer, f"{query} says {answer}")


def _run(server: PostgresServer, query: str) -> str:
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
    return str(row[0]) if row else ""

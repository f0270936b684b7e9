"""What every test of statements and collectors finds on its servers."""

from __future__ import annotations

import pytest

from fix_collect import WATCHER
from fix_engine import wait_for_replay
from rangeland.engine.server import PostgresServer


@pytest.fixture(autouse=True)
def _watcher(pg_primary: PostgresServer, pg_standby: PostgresServer) -> None:
    if WATCHER not in pg_primary.password_by_user:
        pg_primary.create_role(WATCHER, "LOGIN IN ROLE pg_monitor")
        wait_for_replay(pg_primary, pg_standby)


@pytest.fixture
def replayed_database(database: str, pg_primary: PostgresServer, pg_standby: PostgresServer) -> str:
    """A fresh database, which the standby has, too."""
    wait_for_replay(pg_primary, pg_standby)
    return database

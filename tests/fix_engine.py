"""Fixtures over `rangeland.engine`: real PostgreSQL servers, a primary with a standby for each version.

Servers start when a test first asks for them and live as long as the pytest process. A test that kills,
promotes or reconfigures takes its own from `make_servers`; a test that writes takes a fresh `database`.
"""

import itertools
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from string import ascii_lowercase

import psycopg
import pytest
from psycopg import sql

from rangeland.engine.binaries import find_binaries, find_major
from rangeland.engine.ports import free_port
from rangeland.engine.server import PostgresServer
from rangeland.engine.workplace import Workplace, remove_leftovers
from rangeland.errors import EngineError

VERSIONS = (15, 18)  # the oldest and the newest that are supported
MakeServers = Callable[..., list[PostgresServer]]
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def workplace() -> Iterator[Workplace]:
    """The throw-away directory of this pytest process."""
    remove_leftovers(kind="test")
    with Workplace(kind="test") as place:
        yield place


@pytest.fixture
def open_path() -> Iterator[Path]:
    """An empty directory that the servers' account may enter; `tmp_path` is private to us."""
    path = Path(tempfile.mkdtemp(prefix="open path ")).resolve()
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def _pair_by_version() -> dict[int, list[PostgresServer]]:
    """Primary and standby of the versions that were asked for so far."""
    return {}


@pytest.fixture(scope="session", params=VERSIONS, ids=lambda major: f"pg{major}")
def server_version(request: pytest.FixtureRequest) -> int:
    """The major version under test; `parametrize("server_version", [18], indirect=True)` restricts a test."""
    major: int = request.param
    if find_major(major) is None:
        pytest.skip(f"PostgreSQL {major} is not installed")
    return major


@pytest.fixture(scope="session")
def _pair(
    workplace: Workplace, server_version: int, _pair_by_version: dict[int, list[PostgresServer]]
) -> list[PostgresServer]:
    if server_version not in _pair_by_version:
        _pair_by_version[server_version] = start_servers(workplace, 2, server_version)
    return _pair_by_version[server_version]


@pytest.fixture(scope="session")
def pg_primary(_pair: list[PostgresServer]) -> PostgresServer:
    """A primary with one streaming standby, `pg_standby`. Leave it as you found it."""
    return _pair[0]


@pytest.fixture(scope="session")
def pg_standby(_pair: list[PostgresServer]) -> PostgresServer:
    """The standby of `pg_primary`; `wait_for_replay` waits until it has what was written there."""
    return _pair[1]


@pytest.fixture
def database(pg_primary: PostgresServer) -> Iterator[str]:
    """The name of a fresh database of `pg_primary`, dropped afterwards with all its connections."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(pg_primary.conninfo(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield name
    with psycopg.connect(pg_primary.conninfo(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def make_servers(workplace: Workplace) -> Iterator[MakeServers]:
    """`make_servers(count, major=18)`: a primary and its standbys for this test alone, gone when it ends."""
    made: list[PostgresServer] = []

    def make(count: int = 1, major: int = VERSIONS[-1]) -> list[PostgresServer]:
        if find_major(major) is None:
            pytest.skip(f"PostgreSQL {major} is not installed")
        made.extend(servers := start_servers(workplace, count, major))
        return servers

    yield make
    for server in reversed(made):
        server.remove()


def start_servers(workplace: Workplace, count: int, major: int) -> list[PostgresServer]:
    """A running primary and `count - 1` running standbys, in this order."""
    room = workplace.path / f"bin{major}"
    binaries = find_binaries(find_major(major), account=workplace.account, room=room)
    number = next(_numbers)
    names = [f"pg{number}{letter}" for letter in ascii_lowercase[:count]]
    servers = [PostgresServer(workplace, binaries, name=name, port=free_port()) for name in names]
    servers[0].become_primary()
    for standby in servers[1:]:
        standby.become_standby(servers[0])
    return servers


def wait_for_replay(primary: PostgresServer, standby: PostgresServer, *, timeout_s: float = 10.0) -> None:
    """Return once the standby has replayed all that the primary has written by now."""
    with psycopg.connect(primary.conninfo(), autocommit=True) as connection:
        # Flushed, as every commit is: what was only inserted may wait 10 s for a writer that hibernates.
        written = _one(connection, "SELECT pg_current_wal_flush_lsn()")
    deadline = time.monotonic() + timeout_s
    with psycopg.connect(standby.conninfo(), autocommit=True) as connection:
        while not _one(connection, "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", written):
            if time.monotonic() > deadline:
                raise EngineError(f"{standby.name} has not replayed {written} within {timeout_s} s")
            time.sleep(0.01)


def _one(connection: psycopg.Connection, statement: str, *params: object) -> object:
    row = connection.execute(statement.encode(), params).fetchone()
    assert row is not None
    return row[0]

"""Where measurements are taken: clusters in throw-away directories, with as many sessions and tables as wanted."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import psutil
import psycopg

from fix_cluster import apis_of, free_ports, log_in, wait_until
from rangeland.engine.cluster import Cluster, Plan
from rangeland.engine.server import PostgresServer
from rangeland.engine.workplace import Workplace, remove_leftovers

T = TypeVar("T")

KIND = "bench"  # of directories; what a killed measurement left is removed by the next one
MEMORY = Path("/dev/shm")
IDLER = "idler"  # the role of idle sessions
SPARE_CONNECTIONS = 100  # for nodes, loads, the exporter and us; a standby must not have fewer than its primary has
TABLES_A_STATEMENT = 500  # each locks its table and index until its transaction ends: 64 × 100 places by default


@dataclass(frozen=True, slots=True)
class Scene:
    """How much is measured: in full, or in short as in the tests, where only the way is tried and not the speed."""

    is_short: bool = False

    def pick(self, full: T, short: T) -> T:
        """A size, or a number of rounds."""
        return short if self.is_short else full

    @contextmanager
    def cluster(
        self,
        nodes: int = 1,
        *,
        connections: int = 0,
        load_tps: int = 0,
        settings: Mapping[str, str | int] | None = None,
        parent: Path | None = None,
    ) -> Iterator[Ready]:
        """A cluster that is ready, whose servers take `connections` beside those that it needs itself.

        `settings` are every server's, also such as need a restart. `parent` is where its files are, else a temporary
        directory.
        """
        remove_leftovers(parent, kind=KIND)
        plan = Plan(nodes=nodes, http_port=free_ports(nodes), sql_port=free_ports(nodes), load_tps=load_tps)
        with Workplace(parent, kind=KIND) as place:
            cluster = Cluster(place, plan)
            try:
                cluster.open()
                _restart_with(cluster, {"max_connections": connections + SPARE_CONNECTIONS, **(settings or {})})
                yield Ready(cluster, log_in(cluster, apis_of(cluster)[0], cluster.username))
            finally:
                cluster.stop()


def memory_with_room(size_bytes: int) -> Path | None:
    """Where files are kept in memory, if so many fit; None: a temporary directory will do."""
    with suppress(OSError):
        if min(psutil.disk_usage(str(MEMORY)).free, psutil.virtual_memory().available // 2) >= size_bytes:
            return MEMORY
    return None


@dataclass(frozen=True, slots=True)
class Ready:
    """A running cluster and a token of an admin's."""

    cluster: Cluster
    token: str

    @property
    def primary(self) -> PostgresServer:
        return self.cluster.servers[0]

    def url(self, path: str, node: int = 1) -> str:
        """Of a path below /api/v2/, or from the root if it begins with a slash."""
        return self.cluster.nodes[node - 1].url + (path if path.startswith("/") else f"/api/v2/{path}")

    def kept(self, node: int = 1) -> AbstractContextManager[Kept]:
        """A client of a node that is logged in."""
        return kept_client(self.url("/", node), self.cluster.ca_cert, token=self.token)


@dataclass(frozen=True, slots=True)
class Kept:
    """A client that asks again and again over one connection."""

    connection: HTTPConnection
    headers: dict[str, str]

    def get(self, path: str) -> bytes:
        """The body of a 200; anything else fails the measurement."""
        whole = path if path.startswith("/") else f"/api/v2/{path}"
        self.connection.request("GET", whole, headers=self.headers)
        answer = self.connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body.decode(errors="replace")
        return body


@contextmanager
def kept_client(url: str, ca_cert: Path | None = None, *, token: str | None = None) -> Iterator[Kept]:
    """A client of whatever serves at the URL, whose path doesn't matter."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=60)
    if parts.scheme == "https":
        context = ssl.create_default_context(cafile=str(ca_cert))
        connection = HTTPSConnection(parts.netloc, context=context, timeout=60)
    with closing(connection):
        yield Kept(connection, {"X-Cockroach-API-Session": token} if token else {})


@contextmanager
def idle_sessions(server: PostgresServer, count: int) -> Iterator[None]:
    """Real connections of real clients: each ran a statement, no two the same, and waits. They end with the block."""
    _trust(server, IDLER)
    with ExitStack() as stack:
        for number in range(count):
            name = f"worker {number % 20}"
            connection = psycopg.connect(server.conninfo(user=IDLER), application_name=name, autocommit=True)
            stack.callback(connection.close)
            connection.execute(_LAST_STATEMENT.format(number=number).encode())
        yield


_LAST_STATEMENT = "SELECT relname FROM pg_class WHERE relname = 'customer {number}' AND relkind = 'r'"


def make_tables(server: PostgresServer, count: int, *, dbname: str = "postgres", prefix: str = "t") -> None:
    """Tables with a primary key and one more index each, all empty; over two connections some 2,000 a second."""
    firsts = range(0, count, TABLES_A_STATEMENT)

    def make(begin: int) -> None:
        with psycopg.connect(server.conninfo(dbname), autocommit=True) as connection:
            for first in firsts[begin::2]:
                last = min(first + TABLES_A_STATEMENT, count) - 1
                connection.execute(_MAKE_TABLES.format(prefix=prefix, first=first, last=last).encode())

    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(make, (0, 1)))


_MAKE_TABLES = """
DO $$BEGIN FOR n IN {first}..{last} LOOP
    EXECUTE format('CREATE TABLE {prefix}%s (id int PRIMARY KEY, name text)', n);
    EXECUTE format('CREATE INDEX ON {prefix}%s (name)', n);
END LOOP; END$$
"""


def _restart_with(cluster: Cluster, settings: Mapping[str, str | int]) -> None:
    """Standbys first: one that has fewer connections than its primary doesn't start."""
    for server in reversed(cluster.servers):
        server.configure(**settings)
        server.restart()
    for node in cluster.nodes:
        node.wait_until_ready()


def _trust(server: PostgresServer, role: str) -> None:
    """Make the role; it needs no password: proving one takes 5 ms of CPU a connection."""
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        known = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,)).fetchone()
    if known is None:
        server.create_role(role)
        server.write_hba(f"host all {role} 127.0.0.1/32 trust\n" + server.read_hba())
        wait_until(lambda: _lets_in(server, role), "the server follows its pg_hba.conf")


def _lets_in(server: PostgresServer, role: str) -> bool:
    try:
        psycopg.connect(server.conninfo(user=role, password="")).close()
    except psycopg.OperationalError:
        return False
    return True

"""Fixtures over `rangeland.engine.cluster`: three real nodes beside a primary and two standbys, asked over HTTPS.

`cluster` lives as long as its pytest process, of which xdist runs two, each with whole files: leave it as you
found it. A module that breaks things overrides it with one of its own, made by `running_cluster`.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import random
import re
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import psycopg
import pytest

from fix_engine import wait_for_replay
from rangeland.engine.binaries import find_major
from rangeland.engine.cluster import Cluster, Plan
from rangeland.engine.ports import require_free_port
from rangeland.engine.workplace import Workplace
from rangeland.errors import EngineError

FORM = "application/x-www-form-urlencoded"
ANSWER_S = 5.0  # every endpoint answers within this, whatever is broken
LOAD_TPS = 10  # enough to make pgbench_accounts the hottest
CLIENT = "127.0.0.1"
PORTS = range(12000, 20000)  # below those that the system gives to clients
_numbers = itertools.count(1)
_given: deque[int] = deque(maxlen=200)  # ports


@dataclass(frozen=True)
class Reply:
    """An answer as it came; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    elapsed_s: float

    @cached_property
    def text(self) -> str:
        return self.body.decode()

    @cached_property
    def json(self) -> Any:
        """The body as JSON. Fails where the answer isn't a 200."""
        assert self.status == 200, self.text
        return json.loads(self.body)


class Api:
    """A node's HTTP port as a client sees it; each request has a connection of its own."""

    def __init__(self, url: str, ca_cert: Path | None) -> None:
        self.url = url
        self.host = url.partition("://")[2]
        self._tls = ssl.create_default_context(cafile=str(ca_cert)) if ca_cert else None

    def connect(self, *, client: str = CLIENT, timeout_s: float = ANSWER_S + 1) -> http.client.HTTPConnection:
        """A connection that is made with its first request, from this loopback address."""
        more: dict[str, Any] = {"timeout": timeout_s, "source_address": (client, 0)}
        if self._tls is None:
            return http.client.HTTPConnection(self.host, **more)
        return http.client.HTTPSConnection(self.host, context=self._tls, **more)

    def request(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | str | None = None,
        client: str = CLIENT,
    ) -> Reply:
        """Ask for `path`, below /api/v2/ unless it begins with a slash."""
        sent = {"X-Cockroach-API-Session": token} if token is not None else {}
        begun = time.monotonic()
        with closing(self.connect(client=client)) as connection:
            whole = path if path.startswith("/") else f"/api/v2/{path}"
            connection.request(method, whole, body=body, headers={**sent, **(headers or {})})
            answer = connection.getresponse()
            content = answer.read()
            lowered = {name.lower(): value for name, value in answer.headers.items()}
            return Reply(answer.status, lowered, content, time.monotonic() - begun)

    def get(self, path: str, token: str | None = None, **more: Any) -> Reply:
        return self.request("GET", path, token=token, **more)

    def log_in(self, username: str, password: str, *, client: str = CLIENT) -> Reply:
        """Ask for a token with a form body."""
        form = urlencode({"username": username, "password": password})
        return self.request("POST", "login/", headers={"Content-Type": FORM}, body=form, client=client)

    def log_out(self, token: str | None) -> Reply:
        return self.request("POST", "logout/", token=token)


def wait_until(is_so: Callable[[], object], what: str, *, timeout_s: float = 10.0, poll_s: float = 0.02) -> None:
    """Return once `is_so` gives a true value; fails after `timeout_s`. A broken connection counts as no."""
    deadline = time.monotonic() + timeout_s
    while True:
        with suppress(OSError, http.client.HTTPException):
            if is_so():
                return
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(poll_s)


def free_ports(count: int, *, among: range = PORTS) -> int:
    """The first of `count` loopback ports in a row that nobody used a moment ago.

    Never one of those that were given last, which may not be in use yet; and each of the processes that run tests
    side by side takes from a part of its own.
    """
    share = _own_share(among)
    while True:
        first = random.choice(share[: len(share) - count])
        ports = range(first, first + count)
        try:
            for port in ports:
                require_free_port(port, setting="")
        except EngineError:
            continue
        if not set(_given).intersection(ports):
            _given.extend(ports)
            return first


def _own_share(ports: range) -> range:
    """What this worker of xdist may use; all of them where it runs alone."""
    size = len(ports) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return ports[number * size : (number + 1) * size]


def new_client() -> str:
    """A loopback address from which nobody has logged in wrongly yet: that slows an address down."""
    high, low = divmod(next(_numbers) % 62_500, 250)
    return f"127.1.{high}.{low + 1}"


def apis_of(cluster: Cluster) -> list[Api]:
    """The nodes' ports, by node number from 1: the first is the primary's."""
    return [Api(node.url, cluster.ca_cert) for node in cluster.nodes]


def log_in(cluster: Cluster, api: Api, username: str) -> str:
    """The token of a user that the cluster's servers know."""
    token: str = api.log_in(username, cluster.servers[0].password_by_user[username]).json["session"]
    return token


def add_user(cluster: Cluster, name: str, attributes: str = "LOGIN") -> str:
    """Make a role, known to every server when this returns; its password."""
    password = cluster.servers[0].create_role(name, attributes)
    for standby in cluster.servers[1:]:
        wait_for_replay(cluster.servers[0], standby)
    return password


def session_url(path: str, **parameters: object) -> str:
    """A path with a query string."""
    return f"{path}?{urlencode(parameters, quote_via=quote)}" if parameters else path


@contextmanager
def running_cluster(
    nodes: int,
    *,
    load_tps: int = 0,
    insecure: bool = False,
    node_settings: Mapping[str, str] | None = None,
    major: int | None = None,
) -> Iterator[Cluster]:
    """A cluster in a directory of its own, of PostgreSQL `major`; nothing of it is left afterwards."""
    plan = Plan(
        nodes=nodes,
        http_port=free_ports(nodes),
        sql_port=free_ports(nodes),
        load_tps=load_tps,
        insecure=insecure,
        pg_bin_dir=find_major(major) if major else None,
        node_settings=node_settings or {},
    )
    with Workplace(kind="test") as place:
        cluster = Cluster(place, plan)
        try:
            cluster.open()
            yield cluster
        finally:
            cluster.stop()


@contextmanager
def logging_statements(cluster: Cluster) -> Iterator[None]:
    """Every statement is in the servers' logs, with the application's name, while the block runs."""
    _configure(cluster, "all", "%a> ")
    try:
        yield
    finally:
        _configure(cluster, "none", "%m [%p] %q%u@%d ")


def _configure(cluster: Cluster, log_statement: str, log_line_prefix: str) -> None:
    for server in cluster.servers:
        server.configure(log_statement=log_statement, log_line_prefix=log_line_prefix)
    for server in cluster.servers:
        with psycopg.connect(server.conninfo(), autocommit=True) as connection:
            wait_until(partial(_shows, connection, log_statement), "the server follows its settings")
            connection.execute("SELECT pg_sleep(0.2)")  # the nodes' idle backends take their signal, too


def _shows(connection: psycopg.Connection, log_statement: str) -> bool:
    return connection.execute("SHOW log_statement").fetchone() == (log_statement,)


def count_statements(cluster: Cluster, number: int, begin: int) -> int:
    """Statements of the node in its server's log since that place."""
    with cluster.servers[number].log.open("rb") as log:
        log.seek(begin)
        lines = log.read().decode(errors="replace").splitlines()
    return sum(re.match(r"rangeland> LOG:  (statement|execute [^:]*): ", line) is not None for line in lines)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Three nodes and a light load; roles `reader` (in pg_monitor) and `stranger` (in nothing) beside `demo`."""
    with running_cluster(3, load_tps=LOAD_TPS) as made:
        add_user(made, "reader", "LOGIN IN ROLE pg_monitor")
        add_user(made, "stranger")
        yield made


@pytest.fixture(scope="session")
def apis(cluster: Cluster) -> list[Api]:
    return apis_of(cluster)


@pytest.fixture(scope="session")
def token(cluster: Cluster, apis: list[Api]) -> str:
    """Of `demo`, a member of admin. Don't log it out."""
    return log_in(cluster, apis[0], cluster.username)

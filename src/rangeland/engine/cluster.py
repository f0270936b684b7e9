"""A whole cluster in one throw-away directory: a primary, its standbys, a node beside each, and a load."""

import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from string import ascii_lowercase
from urllib.parse import urlencode

import psycopg

from rangeland.engine.binaries import Binaries, find_binaries
from rangeland.engine.load import NAME as LOAD
from rangeland.engine.load import Load
from rangeland.engine.node import NodeProcess
from rangeland.engine.ports import require_free_port
from rangeland.engine.server import PostgresServer, make_password
from rangeland.engine.workplace import Workplace
from rangeland.errors import EngineError
from rangeland.sql import block
from rangeland.state.init import NODE_ROLE, init_cluster
from rangeland.tls import CA_CERT, copy_shared, create_ca, create_cluster_key, create_node
from rangeland.wire.nodes import Liveness

USER = "demo"
HOSTS = ("localhost", "127.0.0.1", "::1")
MAX_NODES = 26  # a zone has one letter
SERVER_BYTES = 256 << 20  # 40 MB empty, 45 MB of pgbench's, up to 128 MB of WAL, 33 MB for copied programs
DRAIN_S = 3.0  # then kill -9: nobody waits for an answer of a demo that ends

Step = Callable[[str], AbstractContextManager[None]]


@contextmanager
def no_display(_: str) -> Iterator[None]:
    """The `Step` that shows nothing."""
    yield


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run: node `n` (from 1) serves HTTP on `http_port + n - 1`, its server on `sql_port + n - 1`."""

    nodes: int
    http_port: int
    sql_port: int
    load_tps: int  # 0: neither load nor its database
    insecure: bool = False
    pg_bin_dir: Path | None = None
    allow_cancel: bool = True  # and `username` may cancel, too: else nobody but a superuser could try it
    node_settings: Mapping[str, str] = field(default_factory=dict)  # of every node, beside the plan's own

    def require_possible(self) -> None:
        """Raises: EngineError where a number is out of bounds or a port is taken."""
        if not 1 <= self.nodes <= MAX_NODES:
            raise EngineError(f"--nodes must be from 1 to {MAX_NODES}, not {self.nodes}")
        if abs(self.http_port - self.sql_port) < self.nodes:
            raise EngineError("--http-port and --sql-port are too close: each node needs one of either")
        for number in range(self.nodes):
            require_free_port(self.http_port + number, setting="--http-port")
            require_free_port(self.sql_port + number, setting="--sql-port")


class Cluster:
    """All that one demo or test runs. `open` makes it, `stop` ends it; its workplace removes the files."""

    def __init__(self, workplace: Workplace, plan: Plan, *, step: Step = no_display) -> None:
        self.workplace = workplace
        self.plan = plan
        self.username = USER
        self.servers: list[PostgresServer] = []  # by node number, from 1; the first begins as the primary
        self.nodes: list[NodeProcess] = []  # likewise
        self.load: Load | None = None
        self._step = step
        self._nodes_serve = threading.Event()
        self._node_password = make_password()
        self._certs = workplace.make_directory("certs")

    @property
    def ca_cert(self) -> Path | None:
        """The authority's certificate that clients need; None without TLS."""
        return None if self.plan.insecure else self.workplace.path / CA_CERT

    @property
    def password(self) -> str:
        """The password of `username`, a member of `admin`."""
        return self.servers[0].password_by_user[self.username]

    @property
    def database(self) -> str:
        """What `username` may look at: the load's database, or the default one when there is no load."""
        return LOAD if self.plan.load_tps else "postgres"

    def sql_url(self, server: PostgresServer) -> str:
        """Where `username` logs in to `server`."""
        return server.url(self.database, self.username, host="localhost")

    def running(self) -> dict[str, bool]:
        """Whether each server and node lives, by name."""
        parts: list[PostgresServer | NodeProcess] = [*self.servers, *self.nodes]
        return {each.name: each.is_running for each in parts}

    def open(self) -> None:
        """Make and start everything; returns when every node is ready and the load runs.

        Raises: EngineError, or another error of ours, with every process ended.
        """
        self.plan.require_possible()
        require_free_disk(self.workplace.path, self.plan.nodes * SERVER_BYTES)
        room = self.workplace.path / "bin"
        binaries = find_binaries(self.plan.pg_bin_dir, account=self.workplace.account, room=room)
        numbers = range(1, self.plan.nodes + 1)
        self.servers = [self._describe_server(binaries, number) for number in numbers]
        self.nodes = [self._describe_node(number) for number in numbers]
        self._together(self._start_nodes, self._make_primary)
        standbys = [partial(self._start_standby, number) for number in numbers[1:]]
        self._together(self._make_state, self._start_load, *standbys)
        self._together(*[partial(self._wait_for_node, node) for node in self.nodes])
        with self._step("every node knows all nodes"):
            session = self._log_in()
            self._together(*[partial(self._learn_node_id, node, session) for node in self.nodes])

    def add_node(self) -> NodeProcess:
        """One more standby with a node beside it, on the ports that follow; returns when it is part of the cluster.

        Raises: EngineError.
        """
        number = len(self.nodes) + 1
        self.plan = replace(self.plan, nodes=number)
        server = PostgresServer(
            self.workplace, self.servers[0].binaries, name=f"server{number}", port=self.plan.sql_port + number - 1
        )
        self.servers.append(server)
        server.become_standby(self.servers[0])
        node = self._describe_node(number)
        self.nodes.append(node)
        if node.certs_dir:
            copy_shared(self._certs / self.nodes[0].name, node.certs_dir)
            create_node(node.certs_dir, self._certs / "ca.key", HOSTS)
        node.start()
        self._wait_for_node(node)
        self._learn_node_id(node, self._log_in())
        return node

    def stop(self) -> None:
        """End every process, nodes before servers; within 5 s, also paused ones. Again is harmless."""
        if self.load:
            self.load.stop()
        with ThreadPoolExecutor(self.plan.nodes) as threads:
            list(threads.map(lambda node: node.stop(timeout_s=DRAIN_S), self.nodes))
            list(threads.map(lambda server: server.stop(immediately=True), self.servers))
        self.workplace.end_processes()

    def _describe_server(self, binaries: Binaries, number: int) -> PostgresServer:
        port = self.plan.sql_port + number - 1
        return PostgresServer(self.workplace, binaries, name=f"server{number}", port=port)

    def _describe_node(self, number: int) -> NodeProcess:
        server = self.servers[number - 1]
        certs_dir = None if self.plan.insecure else self._certs / f"node{number}"
        addresses = [f"localhost:{self.plan.http_port + other}" for other in range(self.plan.nodes)]
        own = addresses.pop(number - 1)
        safety: dict[str, str | bool] = {"certs_dir": str(certs_dir)} if certs_dir else {"insecure": True}
        settings = safety | {
            "server_url": server.url("postgres", NODE_ROLE, self._node_password) + "?sslmode=disable",
            "http_addr": own,
            "advertise_http_addr": own,
            "advertise_sql_addr": f"localhost:{server.port}",
            "join": ",".join(addresses),
            "locality": f"region=demo,zone={ascii_lowercase[number - 1]}",
            "cluster_name": "demo",
            **self.plan.node_settings,
        }
        port = self.plan.http_port + number - 1
        return NodeProcess(
            self.workplace,
            server,
            name=f"node{number}",
            http_port=port,
            certs_dir=certs_dir,
            settings=settings,
        )

    def _start_nodes(self) -> None:
        """They serve before their servers are up: so they wake up while initdb works."""
        try:
            if not self.plan.insecure:
                with self._step("certificates and cluster key"):
                    self._make_certificates()
            for node in self.nodes:
                node.start()
            for node in self.nodes:
                node.wait_until_serving()
        finally:
            self._nodes_serve.set()

    def _make_certificates(self) -> None:
        """One directory a node, as on machines of their own; only the authority's key is in none of them."""
        ca_key = self._certs / "ca.key"
        first, *others = [self._certs / node.name for node in self.nodes]
        create_ca(first, ca_key)
        shutil.copy(first / CA_CERT, self.workplace.path)
        create_cluster_key(first)
        for directory in others:
            copy_shared(first, directory)
        for directory in (first, *others):
            create_node(directory, ca_key, HOSTS)

    def _make_primary(self) -> None:
        with self._step("PostgreSQL primary"):
            # A node that began with the server up, but not yet its role, would rightly refuse to start.
            self.servers[0].become_primary(hold=self._nodes_serve.wait)

    def _make_state(self) -> None:
        with self._step("Rangeland's schema and roles"):
            url = self.servers[0].url()
            # Without a password no node gets in yet: it would register before its turn.
            init_cluster(url, allow_cancel=self.plan.allow_cancel or None)
            self._register_nodes()
            init_cluster(url, role_password=self._node_password)
            groups = "admin, pg_read_all_data" + (", pg_signal_backend" if self.plan.allow_cancel else "")
            self.servers[0].create_role(self.username, f"LOGIN IN ROLE {groups}")

    def _register_nodes(self) -> None:
        """Give the nodes their ids in the order of their ports; they would register in the order they wake up."""
        statement = block("state", "add_member", self.servers[0].major * 10000).text.encode()
        try:
            with psycopg.connect(self.servers[0].url(), autocommit=True) as connection:
                for node in self.nodes:
                    connection.execute(statement, {"http_addr": node.address, "sql_addr": node.sql_address})
        except psycopg.Error as exc:
            raise EngineError(f"the nodes could not be registered: {str(exc).splitlines()[0]}") from exc

    def _start_standby(self, number: int) -> None:
        with self._step(f"PostgreSQL standby {number - 1}"):
            self.servers[number - 1].become_standby(self.servers[0])

    def _start_load(self) -> None:
        if self.plan.load_tps:
            with self._step("pgbench's database"):
                self.load = Load(self.workplace, self.servers, tps=self.plan.load_tps)
                self.load.fill()
                self.load.start()

    def _wait_for_node(self, node: NodeProcess) -> None:
        with self._step(f"Rangeland {node.name}"):
            node.wait_until_ready()

    def _log_in(self) -> str | None:
        """A session token of `username`; None where no login is needed. Raises: EngineError."""
        if self.plan.insecure:
            return None
        form = urlencode({"username": self.username, "password": self.password})
        answer = self.nodes[0].ask("POST", "login/", form=form)
        if answer is None:
            raise EngineError(f"{self.nodes[0].name} refused the login of {self.username}: see its log")
        return str(answer["session"])

    def _learn_node_id(self, node: NodeProcess, session: str | None) -> None:
        """Wait until the node lists all nodes as live, and read there which number it was given."""

        def lists_all() -> bool:
            answer = node.ask("GET", "nodes/", session=session) or {"nodes": []}
            live = [status for status in answer["nodes"] if status["liveness_status"] == Liveness.LIVE]
            ids = {status["sql_address"]["address_field"]: status["node_id"] for status in live}
            node.node_id = ids.get(node.sql_address, 0)
            return len(ids) == self.plan.nodes and node.node_id > 0

        node.wait_until(lists_all, "part of the cluster")

    def _together(self, *parts: Callable[[], None]) -> None:
        """Run all side by side; when one fails, end every process, so that the others fail too, and raise."""
        with ThreadPoolExecutor(len(parts)) as threads:
            futures = [threads.submit(part) for part in parts]
            finished, _ = wait(futures, return_when=FIRST_EXCEPTION)
            failures = [error for future in finished if (error := future.exception())]
            if failures:
                self.workplace.end_processes()
                raise failures[0]


def require_free_disk(directory: Path, needed_bytes: int) -> None:
    """Raises: EngineError where the directory's file system has less room."""
    free = shutil.disk_usage(directory).free
    if free < needed_bytes:
        raise EngineError(
            f"{directory.parent} has {free >> 20} MB of free disk, {needed_bytes >> 20} MB are needed: "
            "choose another with --data-dir, or fewer --nodes"
        )

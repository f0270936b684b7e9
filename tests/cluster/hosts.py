"""Hosts with networks of their own, as namespaces of this machine's kernel, and a cluster with a node on each.

Every host is a network namespace with a loopback, and an interface on a switch that is in a namespace, too: nothing
of this machine's network is touched, and two runs know nothing of each other. Clients are at the switch. Needs root,
`ip` of iproute2, and `nsenter` and `setpriv` of util-linux.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from fix_cluster import Api, Reply, wait_until
from rangeland.engine.binaries import find_binaries
from rangeland.engine.node import NodeProcess
from rangeland.engine.server import PostgresServer, make_password
from rangeland.engine.workplace import Workplace
from rangeland.sql import block
from rangeland.state.init import NODE_ROLE, init_cluster
from rangeland.tls import CA_CERT, copy_shared, create_ca, create_cluster_key, create_node

T = TypeVar("T")

PREFIX = "rangeland"
NETWORK = "198.18.0.{}"  # for measurements between networks. Source: RFC 2544
HTTP_PORT, SQL_PORT = 8080, 5432
NOWHERE = "02:00:00:00:00:01"  # a hardware address that nobody has: the switch carries such packets to nobody's use
USER, TABLE = "demo", "things"
CLONE_NEWNET = 0x40000000  # Source: linux/sched.h
_libc = ctypes.CDLL(None, use_errno=True)


def why_not() -> str:
    """What is missing for namespaces; "" where nothing is."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [tool for tool in ("ip", "nsenter", "setpriv") if shutil.which(tool) is None]
    if missing:
        return f"network namespaces need {', '.join(missing)}"
    tried = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "this kernel gives no network namespaces"


class Lan:
    """Some hosts, by number from 0, and the switch between them. `close` removes all of it."""

    def __init__(self, hosts: int) -> None:
        _remove_leftovers()
        self.switch = f"{PREFIX}-{os.getpid()}-switch"
        self.names = [f"{PREFIX}-{os.getpid()}-{number}" for number in range(hosts)]
        self.addresses = [NETWORK.format(10 + number) for number in range(hosts)]
        try:
            self._make_switch()
            for number in range(hosts):
                self._make_host(number)
        except BaseException:
            self.close()
            raise

    def lose(self, sender: int, receiver: int) -> None:
        """Every packet from one host to the other vanishes, without a word to anybody."""
        _ip(self.names[sender], "neigh", "replace", self.addresses[receiver], "lladdr", NOWHERE, "dev", "lan")

    def deliver(self, sender: int, receiver: int) -> None:
        """Undo `lose`."""
        _ip(self.names[sender], "neigh", "del", self.addresses[receiver], "dev", "lan")

    def refuse(self, sender: int, receiver: int) -> None:
        """One host is told at once that the other can't be reached."""
        _ip(self.names[sender], "route", "add", "unreachable", self.addresses[receiver])

    def accept(self, sender: int, receiver: int) -> None:
        """Undo `refuse`."""
        _ip(self.names[sender], "route", "del", "unreachable", self.addresses[receiver])

    def unplug(self, host: int) -> None:
        """Pull the host's cable out of the switch."""
        _ip(self.switch, "link", "set", f"port{host}", "down")

    def plug(self, host: int) -> None:
        """Undo `unplug`."""
        _ip(self.switch, "link", "set", f"port{host}", "up")

    def close(self) -> None:
        for name in [*self.names, self.switch]:
            with contextlib.suppress(subprocess.CalledProcessError):
                _run("ip", "netns", "del", name)

    def _make_switch(self) -> None:
        _run("ip", "netns", "add", self.switch)
        _ip(self.switch, "link", "set", "lo", "up")
        _ip(self.switch, "link", "add", "lan", "type", "bridge")
        _ip(self.switch, "addr", "add", NETWORK.format(1) + "/24", "dev", "lan")
        _ip(self.switch, "link", "set", "lan", "up")

    def _make_host(self, number: int) -> None:
        name, port = self.names[number], f"port{number}"
        _run("ip", "netns", "add", name)
        _ip(name, "link", "set", "lo", "up")
        _ip(name, "link", "add", "lan", "type", "veth", "peer", "name", port, "netns", self.switch)
        _ip(self.switch, "link", "set", port, "master", "lan", "up")
        _ip(name, "addr", "add", f"{self.addresses[number]}/24", "dev", "lan")
        _ip(name, "link", "set", "lan", "up")


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Sockets that this thread makes in the block, and threads that it starts there, are in the namespace."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        _enter(there)
        try:
            yield
        finally:
            _enter(own)
    finally:
        os.close(there)
        os.close(own)


class LanApi(Api):
    """A node's port as a client at the switch sees it."""

    def __init__(self, lan: Lan, url: str, ca_cert: Path) -> None:
        super().__init__(url, ca_cert)
        self._switch = lan.switch

    def request(self, method: str, path: str, *, client: str = "", **more: Any) -> Reply:
        with inside(self._switch):
            return super().request(method, path, client=client, **more)


class HostWorkplace(Workplace):
    """A directory whose processes run on a host."""

    def __init__(self, namespace: str) -> None:
        super().__init__(kind="test")
        self.namespace = namespace

    def start(
        self,
        argv: list[str | Path],
        *,
        death_signal: signal.Signals = signal.SIGKILL,
        as_server: bool = False,
        **more: Any,
    ) -> subprocess.Popen[bytes]:
        """As anywhere, by way of nsenter, which needs root; only then the server's account is taken."""
        way: list[str | Path] = ["nsenter", f"--net=/run/netns/{self.namespace}", "--"]
        if as_server:
            ids = (f"--reuid={self.account.uid}", f"--regid={self.account.gid}", "--clear-groups")
            way += ["setpriv", *ids, f"--pdeathsig={death_signal.name.removeprefix('SIG')}"]
        return super().start([*way, *argv], death_signal=death_signal, as_server=False, **more)


class HostNode(NodeProcess):
    """A node that is known by its host's address."""

    lan_address = ""

    @property
    def address(self) -> str:
        return f"{self.lan_address}:{self.http_port}"


class LanCluster:
    """A primary on the first host, a standby on each other, a node beside every server; table `things`."""

    def __init__(self, hosts: int) -> None:
        self.username = USER
        self._left = ExitStack()
        try:
            self.lan = Lan(hosts)
            self._left.callback(self.lan.close)
            self.place = self._left.enter_context(Workplace(kind="test"))
            self.places = [HostWorkplace(name) for name in self.lan.names]
            for place in self.places:
                self._left.callback(place.close)
            self.servers = self._make_servers()
            self._node_password = make_password()
            self._make_state()
            self.nodes = [self._make_node(number) for number in range(hosts)]
            self._make_certificates()
            self.apis = [LanApi(self.lan, node.url, self.place.path / CA_CERT) for node in self.nodes]
            self._start_nodes()
        except BaseException:
            self._left.close()
            raise

    def close(self) -> None:
        """End every process, then remove the files and the network."""
        self._left.close()

    def on(self, host: int, work: Callable[[], T]) -> T:
        """Do the work as a program on that host would."""
        with inside(self.lan.names[host]):
            return work()

    def _make_servers(self) -> list[PostgresServer]:
        binaries = find_binaries(None, account=self.place.account, room=self.place.path / "bin")
        servers = [
            PostgresServer(place, binaries, name=f"server{number + 1}", port=SQL_PORT + number)
            for number, place in enumerate(self.places)
        ]
        primary, *standbys = servers
        self.on(0, lambda: primary.become_primary(hold=lambda: _open_to_lan(primary)))
        for standby, place in zip(standbys, self.places[1:], strict=True):
            self._copy(primary, standby, place)
        return servers

    def _copy(self, primary: PostgresServer, standby: PostgresServer, place: HostWorkplace) -> None:
        """Copied beside the primary, as engine/ does it, then taken to its own host."""
        own, place.namespace = place.namespace, self.lan.names[0]
        standby.become_standby(primary)
        standby.stop()
        place.namespace = own
        source = (standby.data_dir / "postgresql.conf").read_text("utf-8")
        told = re.search(r"^primary_conninfo = '(.*)'$", source, re.MULTILINE)
        assert told is not None
        there = told[1].replace("host=127.0.0.1", f"host={self.lan.addresses[0]}").replace("''", "'")
        standby.configure(listen_addresses="*", primary_conninfo=there)
        standby.start()

    def _make_state(self) -> None:
        primary = self.servers[0]

        def make() -> None:
            init_cluster(primary.url(), role_password=self._node_password)
            primary.create_role(self.username, "LOGIN IN ROLE admin, pg_read_all_data")
            add = block("state", "add_member", primary.major * 10000).text.encode()
            with psycopg.connect(primary.url(), autocommit=True) as connection:
                connection.execute(f"CREATE TABLE {TABLE} AS SELECT n FROM generate_series(1, 1000) AS n".encode())
                for number, address in enumerate(self.lan.addresses):
                    own = {"http_addr": f"{address}:{HTTP_PORT}", "sql_addr": f"{address}:{SQL_PORT + number}"}
                    connection.execute(add, own)

        self.on(0, make)

    def _make_node(self, number: int) -> HostNode:
        addresses = [f"{address}:{HTTP_PORT}" for address in self.lan.addresses]
        own, server = addresses.pop(number), self.servers[number]
        certs_dir = self.places[number].make_directory("certs")
        settings: dict[str, str | bool] = {
            "certs_dir": str(certs_dir),
            "server_url": server.url("postgres", NODE_ROLE, self._node_password) + "?sslmode=disable",
            "http_addr": f":{HTTP_PORT}",
            "advertise_http_addr": own,
            "advertise_sql_addr": f"{self.lan.addresses[number]}:{server.port}",
            "join": ",".join(addresses),
            "cluster_name": "hosts",
        }
        name = f"node{number + 1}"
        place = self.places[number]
        node = HostNode(place, server, name=name, http_port=HTTP_PORT, certs_dir=certs_dir, settings=settings)
        node.lan_address = self.lan.addresses[number]
        node.node_id = number + 1
        return node

    def _make_certificates(self) -> None:
        directories: Sequence[Path] = [node.certs_dir for node in self.nodes if node.certs_dir]
        ca_key = self.place.path / "ca.key"
        create_ca(directories[0], ca_key)
        create_cluster_key(directories[0])
        shutil.copy(directories[0] / CA_CERT, self.place.path)
        for directory, address in zip(directories, self.lan.addresses, strict=True):
            if directory != directories[0]:
                copy_shared(directories[0], directory)
            create_node(directory, ca_key, ["localhost", "127.0.0.1", address])

    def _start_nodes(self) -> None:
        for node in self.nodes:
            node.start()
        with ThreadPoolExecutor(len(self.nodes)) as threads:
            list(
                threads.map(
                    lambda number: self.on(number, self.nodes[number].wait_until_ready), range(len(self.nodes))
                )
            )
        password = self.servers[0].password_by_user[self.username]
        self.token: str = self.apis[0].log_in(self.username, password, client="").json["session"]
        for api in self.apis:
            wait_until(partial(is_whole, api, self.token, len(self.nodes)), "all nodes are known", timeout_s=20)


def is_whole(api: Api, token: str, nodes: int) -> bool:
    """Whether a node is ready and misses no part of any."""
    told, sessions = api.get("nodes/", token), api.get("sessions/", token)
    if told.status != 200 or sessions.status != 200 or sessions.json["errors"]:
        return False
    live = [each["liveness_status"] for each in told.json["nodes"]] == [3] * nodes
    return live and api.get("health/?ready=true").status == 200


def _open_to_lan(server: PostgresServer) -> None:
    network = NETWORK.format("0/24")
    rules = "".join(f"host {what} all {network} scram-sha-256\n" for what in ("all", "replication"))
    server.write_hba(server.read_hba() + rules)
    server.configure(listen_addresses="*")


def _remove_leftovers() -> None:
    """Namespaces of processes that were killed."""
    for name in os.listdir("/run/netns") if Path("/run/netns").is_dir() else []:
        found = re.fullmatch(rf"{PREFIX}-(\d+)-\w+", name)
        if found and not Path(f"/proc/{found[1]}").exists():
            with contextlib.suppress(subprocess.CalledProcessError):
                _run("ip", "netns", "del", name)


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _ip(namespace: str, *arguments: str) -> None:
    _run("ip", "-n", namespace, *arguments)


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True, timeout=10)

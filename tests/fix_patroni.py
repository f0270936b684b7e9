"""A cluster that Patroni runs: real members, the store by which they elect their leader, and a node beside each.

They are set up as docs/howto/patroni.md tells: its `pg_hba` lines and its `server_url` are read from there.

Patroni is a process here as in production; nothing of ours imports it. As root it runs, like every server, as an
account without rights: it gets a copy of its packages, and of the interpreter where that account can't reach it.
"""

from __future__ import annotations

import http.client
import importlib.metadata
import json
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tomllib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from packaging.requirements import Requirement

from fix_cluster import Api, Reply, free_ports, new_client, wait_until
from rangeland.engine.binaries import Binaries, find_binaries
from rangeland.engine.node import NodeProcess
from rangeland.engine.processes import kill_all, processes_inside
from rangeland.engine.server import REPLICATOR, SETTINGS, SUPERUSER, PostgresServer, make_password
from rangeland.engine.workplace import Workplace
from rangeland.state.init import NODE_ROLE, init_cluster
from rangeland.tls import CA_CERT, copy_shared, create_ca, create_cluster_key, create_node

HOWTO = Path(__file__).parents[1] / "docs/howto/patroni.md"
ETCD = shutil.which("etcd")
PACKAGES = ("patroni[etcd3,raft]", "psycopg[binary]")
TTL_S = 20  # the least that Patroni accepts: a leader that dies without a word is replaced after that long
LOOP_WAIT_S = 1  # the least
RETRY_S = 3  # the least
FORM_TIMEOUT_S = 60.0  # 8 s on two idle cores
ELECTION_TIMEOUT_S = TTL_S + 25.0
DRAIN_S = 3.0  # then kill -9
MEMBERS = 4  # three from the start, one to be added
USER = "operator"
# What Patroni decides itself, or pg_rewind doesn't allow.
NOT_OURS = {"cluster_name", "full_page_writes", "listen_addresses", "port", "wal_level"}


class Store(ABC):
    """Where Patroni's members elect their leader."""

    @abstractmethod
    def settings(self, number: int) -> dict[str, Any]:
        """What member `number` (from 0) writes in its file to find the store."""

    @abstractmethod
    def start(self, workplace: Workplace) -> None:
        """Begin to serve; the workplace ends it."""


class Etcd(Store):
    """One etcd for all."""

    def __init__(self) -> None:
        first = free_ports(2)
        self._client, self._peer = f"127.0.0.1:{first}", f"127.0.0.1:{first + 1}"

    def settings(self, number: int) -> dict[str, Any]:
        return {"etcd3": {"host": self._client}}

    def start(self, workplace: Workplace) -> None:
        assert ETCD is not None
        home = workplace.make_directory("etcd")
        client, peer = f"http://{self._client}", f"http://{self._peer}"
        argv: list[str | Path] = [ETCD, "--data-dir", home / "data", "--logger=zap", "--log-level=warn"]
        argv += ["--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer]
        argv += ["--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"]
        with (home / "etcd.log").open("ab") as log:
            workplace.start(argv, directory=home, output=log)


class Raft(Store):
    """Patroni's own: every member is a part of it, so two of three have to live."""

    def __init__(self) -> None:
        first = free_ports(3)
        self._addresses = [f"127.0.0.1:{first + number}" for number in range(3)]

    def settings(self, number: int) -> dict[str, Any]:
        others = [address for each, address in enumerate(self._addresses) if each != number]
        return {"raft": {"data_dir": "raft", "self_addr": self._addresses[number], "partner_addrs": others}}

    def start(self, workplace: Workplace) -> None:
        """It is there as soon as two members are."""


class PatroniMember(PostgresServer):
    """A server that Patroni makes, starts, promotes and restarts."""

    def __init__(
        self,
        workplace: Workplace,
        binaries: Binaries,
        store: Store,
        program: PatroniProgram,
        passwords: dict[str, str],
        *,
        number: int,
        port: int,
        rest_port: int,
    ) -> None:
        super().__init__(workplace, binaries, name=f"member{number + 1}", port=port)
        assert self.socket_dir is not None, "the path of the socket is too long"
        self.password_by_user = passwords
        self.rest_port = rest_port
        self._program = program
        workplace.make_directory(self.name, for_server=True)
        text = json.dumps(self._settings(store.settings(number)), indent=1)  # JSON is YAML
        self.config = workplace.write_file(self.home / "patroni.yml", text, for_server=True)

    @property
    def socket_url(self) -> str:
        """Where the node of this member connects, as the docs tell."""
        url: str = tomllib.loads(_documented("toml"))["server_url"]
        places = {
            "PASSWORD": self.password_by_user[NODE_ROLE],
            "/var/run/postgresql": str(self.socket_dir),
            "5432": str(self.port),
        }
        for documented, here in places.items():
            assert documented in url
            url = url.replace(documented, here)
        return url

    @property
    def rest_url(self) -> str:
        """Where Patroni's API is."""
        return f"http://127.0.0.1:{self.rest_port}"

    @property
    def is_running(self) -> bool:
        """Whether Patroni lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start Patroni, which does the rest."""
        with self.log.open("ab") as log:
            self.workplace.account.give(log.fileno())
            self._process = self.workplace.start(
                [*self._program.argv, self.config],
                directory=self.home,
                death_signal=signal.SIGTERM,  # it stops its server, too
                as_server=True,
                env=self._program.env,
                output=log,
            )

    def stop(self, *, immediately: bool = False) -> None:
        """Stop Patroni, and so the server, cleanly."""
        if self._process is not None and self.is_running:
            self._process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(20)
        self.kill()

    def kill(self) -> None:
        """Kill Patroni and the server with -9, as a power cut would; it can be started again."""
        self.kill_patroni()
        kill_all(list(processes_inside(self.home)))

    def kill_patroni(self) -> None:
        """Kill Patroni alone: the server goes on, and nobody demotes it any more."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def kill_server(self) -> None:
        """Kill the server alone with all its backends."""
        kill_all(list(processes_inside(self.data_dir)))

    def ask_patroni(self, method: str, path: str, body: object = None) -> Any:
        """What Patroni's API answers; None where it answers nothing."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.rest_port, timeout=30)) as connection:
            try:
                connection.request(method, path, body=json.dumps(body) if body is not None else None)
                answer = connection.getresponse().read().decode()
            except (OSError, http.client.HTTPException):
                return None
        with suppress(ValueError):
            return json.loads(answer)
        return answer

    def set_tags(self, **tags: object) -> None:
        """Write the member's tags and make Patroni read them."""
        settings = json.loads(self.config.read_text("utf-8")) | {"tags": tags}
        self.workplace.write_file(self.config, json.dumps(settings, indent=1), for_server=True)
        self.ask_patroni("POST", "/reload")

    def is_primary(self) -> bool:
        """Whether the server takes writes, as it says itself."""
        try:
            with psycopg.connect(self.conninfo(), autocommit=True, connect_timeout=2) as connection:
                return not one(connection, "SELECT pg_is_in_recovery()")
        except psycopg.Error:
            return False

    def knows_role(self, name: str) -> bool:
        """Whether the server has a role; one that is just starting doesn't say."""
        try:
            with psycopg.connect(self.conninfo(), autocommit=True, connect_timeout=2) as connection:
                return bool(one(connection, "SELECT count(*) FROM pg_roles WHERE rolname = %s", name))
        except psycopg.Error:
            return False

    def timeline(self) -> int:
        """Of the WAL that a primary writes."""
        with psycopg.connect(self.conninfo(), autocommit=True) as connection:
            name = one(connection, "SELECT pg_walfile_name(pg_current_wal_lsn())")
        return int(str(name)[:8], 16)

    def started(self) -> object:
        """When the server started."""
        with psycopg.connect(self.conninfo(), autocommit=True) as connection:
            return one(connection, "SELECT pg_postmaster_start_time()")

    def _settings(self, store: dict[str, Any]) -> dict[str, Any]:
        place = {"name": self.name, "port": self.port, "socket_dir": self.socket_dir}
        parameters = {name: text.format(**place) for name, text in SETTINGS.items() if name not in NOT_OURS}
        users = {"superuser": SUPERUSER, "replication": REPLICATOR}
        rest = f"127.0.0.1:{self.rest_port}"
        timing = {"ttl": TTL_S, "loop_wait": LOOP_WAIT_S, "retry_timeout": RETRY_S}
        return {
            "scope": "rangeland",
            "name": self.name,
            "restapi": {"listen": rest, "connect_address": rest},
            **store,
            "bootstrap": {
                "dcs": timing | {"postgresql": {"use_pg_rewind": True, "use_slots": True}},
                "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, "no-sync"],
            },
            "postgresql": {
                "listen": f"127.0.0.1:{self.port}",
                "connect_address": f"127.0.0.1:{self.port}",
                "data_dir": str(self.data_dir),
                "bin_dir": str(self.binaries.directory),
                "pgpass": str(self.home / "pgpass"),
                "use_unix_socket": True,
                "authentication": {
                    kind: {"username": user, "password": self.password_by_user[user]} for kind, user in users.items()
                },
                "parameters": parameters,
                "pg_hba": _documented_hba(),
                "basebackup": [{"checkpoint": "fast"}, "no-sync"],
            },
        }


class PatroniProgram:
    """How Patroni is run: `argv` wants the file of a member's settings behind it."""

    def __init__(self, workplace: Workplace) -> None:
        self.argv: list[str | Path] = [sys.executable, "-m", "patroni"]
        self.env: dict[str, str] = {}
        account = workplace.account
        if not account.is_other:
            return
        room = workplace.path / "python"
        self.env["PYTHONPATH"] = str(room / "packages")
        for name in _distributions(PACKAGES):
            _copy_distribution(name, room / "packages")
        interpreter = Path(sys.executable).resolve()
        if not account.may_run(interpreter):
            self.env["PYTHONHOME"] = str(room)
            self.env["LD_LIBRARY_PATH"] = str(room / "lib")
            interpreter = _copy_interpreter(interpreter, room)
        self.argv[:1] = [interpreter, "-S"]  # without what else is installed on this host
        for path in [room, *room.rglob("*")]:
            path.chmod(0o755 if path.is_dir() or path == interpreter else 0o644)


class PatroniCluster:
    """Three members with their nodes, ready; a fourth of either can be made."""

    def __init__(self, workplace: Workplace, store: Store) -> None:
        self.workplace = workplace
        self.store = store
        room = workplace.path / "bin"
        self._binaries = find_binaries(None, account=workplace.account, room=room)
        self._program = PatroniProgram(workplace)
        self._sql_port, self._rest_port, self._http_port = (free_ports(MEMBERS) for _ in range(3))
        self.passwords = {name: make_password() for name in (SUPERUSER, REPLICATOR, NODE_ROLE)}
        self.members: list[PatroniMember] = []
        self.nodes: list[NodeProcess] = []
        self._certs = workplace.make_directory("certs")

    def open(self) -> None:
        """Make the cluster; returns when every node is ready."""
        self.store.start(self.workplace)
        for _ in range(3):
            self.add_member()
        for member in self.members:
            member.start()
        wait_until(lambda: self._streaming() == 2, "two standbys stream", timeout_s=FORM_TIMEOUT_S, poll_s=0.1)
        leader = self.leader()
        init_cluster(leader.url(), role_password=self.passwords[NODE_ROLE])
        leader.create_role(USER, "LOGIN IN ROLE admin")
        wait_until(self._is_known_everywhere, "the standbys have the roles", timeout_s=FORM_TIMEOUT_S, poll_s=0.1)
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.wait_until_ready()

    def add_member(self) -> tuple[PatroniMember, NodeProcess]:
        """Describe one more member and its node; neither is started."""
        number = len(self.members)
        member = PatroniMember(
            self.workplace,
            self._binaries,
            self.store,
            self._program,
            self.passwords,
            number=number,
            port=self._sql_port + number,
            rest_port=self._rest_port + number,
        )
        self.members.append(member)
        self.nodes.append(self._describe_node(number, member))
        return member, self.nodes[-1]

    def forget_last_member(self) -> None:
        """Leave out the newest member, which was stopped."""
        self.members.pop()
        self.nodes.pop()

    def leader(self) -> PatroniMember:
        """Whose server takes writes and who holds Patroni's lock; fails where there is none or are two."""
        [found] = [member for member in self.members if member.is_running and member.is_primary()]
        return found

    def others(self, member: PatroniMember) -> list[PatroniMember]:
        return [each for each in self.members if each is not member and each.is_running]

    def api(self, member: PatroniMember) -> Api:
        """The node beside a member."""
        return Api(self.node(member).url, self._certs / "node1" / CA_CERT)

    def node(self, member: PatroniMember) -> NodeProcess:
        return self.nodes[self.members.index(member)]

    def log_in(self, member: PatroniMember) -> Reply:
        """The answer of that member's node to a right password."""
        return self.api(member).log_in(USER, self.passwords[USER], client=new_client())

    def stop(self) -> None:
        """End every node; the workplace ends what runs beside."""
        with ThreadPoolExecutor(MEMBERS) as threads:
            list(threads.map(lambda node: node.stop(timeout_s=DRAIN_S), self.nodes))
        for member in self.members:
            member.kill_patroni()

    def _is_known_everywhere(self) -> bool:
        return all(member.knows_role(USER) for member in self.members)

    def _streaming(self) -> int:
        leaders = [member for member in self.members if member.is_primary()]
        if len(leaders) != 1:
            return 0
        with psycopg.connect(leaders[0].conninfo(), autocommit=True) as connection:
            return int(str(one(connection, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'")))

    def _describe_node(self, number: int, member: PatroniMember) -> NodeProcess:
        address = f"localhost:{self._http_port + number}"
        others = [f"localhost:{self._http_port + each}" for each in range(3) if each != number]
        certs_dir = self._make_certificates(number)
        settings: dict[str, str | bool] = {
            "server_url": member.socket_url,
            "certs_dir": str(certs_dir),
            "http_addr": address,
            "advertise_http_addr": address,
            "advertise_sql_addr": f"localhost:{member.port}",
            "join": ",".join(others),
            "patroni_url": member.rest_url,
        }
        return NodeProcess(
            self.workplace,
            member,
            name=f"node{number + 1}",
            http_port=self._http_port + number,
            certs_dir=certs_dir,
            settings=settings,
        )

    def _make_certificates(self, number: int) -> Path:
        ca_key, first = self._certs / "ca.key", self._certs / "node1"
        certs_dir = self._certs / f"node{number + 1}"
        if number == 0:
            create_ca(first, ca_key)
            create_cluster_key(first)
        else:
            copy_shared(first, certs_dir)
        create_node(certs_dir, ca_key, ("localhost", "127.0.0.1", "::1"))
        return certs_dir


@contextmanager
def patroni_cluster(store: Store) -> Iterator[PatroniCluster]:
    """Open inside the block; every process and file is gone afterwards, also where opening it failed."""
    with Workplace(kind="test") as place:
        made = PatroniCluster(place, store)
        try:
            made.open()
            yield made
        finally:
            made.stop()


def one(connection: psycopg.Connection, statement: str, *params: object) -> object:
    """The first column of a statement's only row."""
    row = connection.execute(statement.encode(), params).fetchone()
    assert row is not None
    return row[0]


def _documented(language: str) -> str:
    """The how-to's first block of that language."""
    found = re.search(rf"```{language}\n(.*?)```", HOWTO.read_text("utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def _documented_hba() -> list[str]:
    """The how-to's lines for pg_hba.conf, with the network of the members that of this host."""
    lines = re.findall(r"^  - ([^#\n]*)", _documented("yaml"), re.MULTILINE)
    assert len(lines) == 3
    return [line.strip().replace("10.0.0.0/24", "127.0.0.1/32") for line in lines]


def _distributions(wanted: tuple[str, ...]) -> set[str]:
    """The names of installed distributions and of all that they need."""
    found: set[str] = set()
    seen: set[str] = set()
    queue = list(wanted)
    while queue:
        text = queue.pop()
        if text in seen:
            continue
        seen.add(text)
        requirement = Requirement(text)
        found.add(requirement.name)
        for needed in map(Requirement, importlib.metadata.requires(requirement.name) or ()):
            extras = requirement.extras or {""}
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                queue.append(f"{needed.name}[{','.join(sorted(needed.extras))}]")
    return found


def _copy_distribution(name: str, packages: Path) -> None:
    """Copy what the distribution put into site-packages; its commands, which are elsewhere, stay."""
    for file in importlib.metadata.files(name) or ():
        target = packages / file
        if ".." not in file.parts:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.locate(), target)


def _copy_interpreter(interpreter: Path, room: Path) -> Path:
    """Copy it with the standard library and its own shared library; 60 MB."""
    library = Path(sysconfig.get_path("stdlib"))
    unneeded = shutil.ignore_patterns("site-packages", "test", "tests", "config-*", "idlelib", "tkinter")
    shutil.copytree(library, room / "lib" / library.name, ignore=unneeded)
    for shared in (library.parent).glob("libpython*.so*"):
        shutil.copyfile(shared, room / "lib" / shared.name)
    (room / "bin").mkdir()
    return Path(shutil.copyfile(interpreter, room / "bin" / interpreter.name))

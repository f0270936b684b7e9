"""docs/howto/restore-and-upgrade.md as it stands there: servers are dumped, restored, upgraded below their node."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fix_cluster import Api, free_ports, wait_until
from fix_commands import complaint, run_command
from fix_engine import start_servers
from howto import programs_of
from rangeland.engine.binaries import find_binaries, find_major
from rangeland.engine.node import NodeProcess
from rangeland.engine.server import PostgresServer
from rangeland.engine.workplace import Workplace
from rangeland.state.init import NODE_ROLE, init_cluster
from rangeland.tls import create_ca, create_cluster_key, create_node

PAGE = "restore-and-upgrade.md"
PASSWORD = "of-the-nodes-0123456789"
NEWEST = 18
TRUST = "local all all trust\nhost all all 127.0.0.1/32 trust\n"  # pg_upgrade and the tools log in without a password
ELSEWHERE = "was restored here from another server's dump"
MakeNode = Callable[[PostgresServer], NodeProcess]


@pytest.fixture(scope="module")
def certs_dir(workplace: Workplace) -> Path:
    directory = workplace.make_directory("upgrade")
    create_ca(directory / "certs", directory / "ca.key")
    create_cluster_key(directory / "certs")
    create_node(directory / "certs", directory / "ca.key", ["localhost"])
    return directory / "certs"


@pytest.fixture
def make_node(workplace: Workplace, certs_dir: Path) -> Iterator[MakeNode]:
    """`make_node(server)`: a node that is not started yet. Each one has the same address: one after the other."""
    port = free_ports(1)
    with ExitStack() as stack:

        def make(server: PostgresServer) -> NodeProcess:
            node = NodeProcess(
                workplace,
                server,
                name=f"node-of-{server.name}-{port}",
                http_port=port,
                certs_dir=certs_dir,
                settings={
                    "server_url": server.url("postgres", NODE_ROLE, PASSWORD) + "?sslmode=disable",
                    "http_addr": f"localhost:{port}",
                    "certs_dir": str(certs_dir),
                },
            )
            stack.callback(node.kill)
            return node

        yield make


@pytest.fixture
def old(workplace: Workplace, server_version: int) -> Iterator[PostgresServer]:
    """A server with schema `rangeland`, a user of the API, and database `shop` with a table."""
    [made] = start_servers(workplace, 1, server_version)
    init_cluster(made.url(), role_password=PASSWORD)
    made.create_role("demo", "LOGIN IN ROLE admin")
    with psycopg.connect(made.conninfo(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE scratch")
        connection.execute("CREATE DATABASE shop")
        connection.execute("DROP DATABASE scratch")
    with psycopg.connect(made.conninfo("shop")) as connection:
        connection.execute("CREATE TABLE orders AS SELECT generate_series(1, 100) AS id")
    yield made
    made.remove()


@pytest.fixture
def new(workplace: Workplace) -> Iterator[PostgresServer]:
    """An empty server of the newest version."""
    [made] = start_servers(workplace, 1, NEWEST)
    made.write_hba(TRUST)
    yield made
    made.remove()


def block_of(section: str) -> str:
    """The only program of a section."""
    [source] = programs_of(PAGE, section)
    return source


def run_block(
    section: str, directory: Path, *, strict: bool = True, major: int = NEWEST, **servers: PostgresServer
) -> None:
    """Run a section's program with the tools of that version of PostgreSQL."""
    tools = find_major(major)
    environ = {
        "PATH": f"{Path(sys.executable).parent}:{tools}:{os.environ['PATH']}",
        "HOME": str(directory),
        **{name: f"postgresql://postgres@127.0.0.1:{server.port}" for name, server in servers.items()},
    }
    argv = ["bash", *(["-eu", "-o", "pipefail"] if strict else []), "-c", block_of(section)]
    done = subprocess.run(argv, cwd=directory, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def start(node: NodeProcess, ca_cert: Path) -> Api:
    node.start()
    node.wait_until_ready()
    return Api(node.url, ca_cert)


def log_in(api: Api, server: PostgresServer) -> str:
    token: str = api.log_in("demo", server.password_by_user["demo"]).json["session"]
    return token


def seen(api: Api, token: str) -> dict[str, Any]:
    """What has to go on, or not: the node's id, the range of table `orders`, how many events there are."""
    [node] = api.get("nodes/", token).json["nodes"]
    ranges = api.get("nodes/local/ranges/", token).json["ranges"]
    [orders] = [each["desc"]["range_id"] for each in ranges if "orders" in each["span"]["start_key"]]
    return {"node_id": node["node_id"], "range_id": orders, "major": node["ServerVersion"]["major"]}


def numbers_of(server: PostgresServer) -> set[int]:
    with psycopg.connect(server.conninfo()) as connection:
        return {row[0] for row in connection.execute("SELECT database_number FROM rangeland.databases")}


def setting_of(server: PostgresServer, name: str) -> str:
    with psycopg.connect(server.conninfo()) as connection:
        [row] = connection.execute("SELECT value FROM rangeland.settings WHERE name = %s", [name]).fetchall()
    return str(row[0])


@pytest.mark.parametrize("server_version", [15], indirect=True)
def test_pg_upgrade_keeps_ids_logins_and_ranges(
    workplace: Workplace, old: PostgresServer, make_node: MakeNode, certs_dir: Path, tmp_path: Path
) -> None:
    before_node = make_node(old)
    api = start(before_node, certs_dir / "ca.crt")
    token = log_in(api, old)
    before = seen(api, token)
    cluster_id = setting_of(old, "cluster_id")
    before_node.stop()

    upgraded = upgrade(workplace, old)
    try:
        node = make_node(upgraded)
        api = start(node, certs_dir / "ca.crt")  # nobody has run init yet
        assert seen(api, token) == {**before, "major": NEWEST}
        node.stop()
        was_home = setting_of(upgraded, "home")
        run_block("Upgrade with pg_upgrade", tmp_path, NEW=upgraded)
        assert setting_of(upgraded, "home") != was_home
        assert setting_of(upgraded, "cluster_id") == cluster_id
        api = start(node, certs_dir / "ca.crt")
        assert seen(api, token) == {**before, "major": NEWEST}
    finally:
        upgraded.remove()


def upgrade(workplace: Workplace, old: PostgresServer) -> PostgresServer:
    """Run the newest version's pg_upgrade; the running new server."""
    binaries = find_binaries(find_major(NEWEST), account=workplace.account, room=workplace.path / f"bin{NEWEST}")
    new = PostgresServer(workplace, binaries, name=f"{old.name}n", port=free_ports(1))
    new.become_primary()
    with psycopg.connect(new.conninfo(), autocommit=True) as connection:
        connection.execute("DROP ROLE replicator")  # pg_upgrade wants a server as initdb leaves it
    for server in (old, new):
        server.write_hba(TRUST)
        server.stop()
    # From 18 on initdb makes checksums; both must have them.
    workplace.run([old.binaries.tool("pg_checksums"), "--enable", "--pgdata", old.data_dir], directory=old.home)
    workplace.run(
        [
            binaries.tool("pg_upgrade"),
            *("--old-bindir", old.binaries.directory, "--new-bindir", binaries.directory),
            *("--old-datadir", old.data_dir, "--new-datadir", new.data_dir),
            *("--old-port", str(old.port), "--new-port", str(new.port), "--username", "postgres"),
        ],
        directory=new.home,
    )
    new.password_by_user = old.password_by_user
    new.start()
    return new


@pytest.mark.parametrize("server_version", [15, 18], indirect=True)
def test_a_dump_in_a_new_server_keeps_ids_and_logins_and_gives_new_ranges(
    old: PostgresServer, new: PostgresServer, make_node: MakeNode, certs_dir: Path, tmp_path: Path
) -> None:
    node = make_node(old)
    api = start(node, certs_dir / "ca.crt")
    token = log_in(api, old)
    before, old_numbers = seen(api, token), numbers_of(old)
    node.stop()
    old.write_hba(TRUST)

    whole = block_of("Upgrade with a dump")
    assert whole.splitlines()[-1].startswith("rangeland init --after-upgrade")
    run_block("Upgrade with a dump", tmp_path, strict=False, OLD=old, NEW=new)
    new.password_by_user = old.password_by_user
    after_node = make_node(new)
    api = start(after_node, certs_dir / "ca.crt")
    after = seen(api, token)
    assert (after["node_id"], after["major"]) == (before["node_id"], NEWEST)
    assert after["range_id"] >> 32 not in old_numbers
    assert numbers_of(new) & old_numbers == {1}
    assert "orders" in api.get(f"ranges/{after['range_id']}/", token).text
    assert "orders" not in api.get(f"ranges/{before['range_id']}/", token).text


@pytest.mark.parametrize("server_version", [18], indirect=True)
def test_a_dump_in_a_new_server_is_refused_until_somebody_says_what_it_is(
    old: PostgresServer, new: PostgresServer, make_node: MakeNode, certs_dir: Path, tmp_path: Path
) -> None:
    old.write_hba(TRUST)
    run_block("Back up", tmp_path, major=old.major, OLD=old)
    cluster_id = setting_of(old, "cluster_id")
    restore = ["psql", "--no-psqlrc", "--quiet", "--dbname", new.url(), "--file", "roles.sql"]
    tools = find_major(NEWEST)
    assert tools is not None
    subprocess.run([tools / "psql", *restore[1:]], cwd=tmp_path, capture_output=True, timeout=30, check=True)
    new.password_by_user = old.password_by_user
    restore = ["--exit-on-error", "--dbname", new.url(), "rangeland.dump"]
    subprocess.run([tools / "pg_restore", *restore], cwd=tmp_path, capture_output=True, timeout=30, check=True)

    node = make_node(new)
    node.start()
    wait_until(lambda: not node.is_running, "the node ends")
    assert ELSEWHERE in node.last_words()
    assert ELSEWHERE in complaint(run_command("init", "--url", new.url(), home=tmp_path))
    assert ELSEWHERE in complaint(run_command("init", "--dry-run", "--url", new.url(), home=tmp_path))
    assert setting_of(new, "cluster_id") == cluster_id

    run_block("Make a copy a cluster of its own", tmp_path, NEW=new)
    new.write_hba("host all all 127.0.0.1/32 scram-sha-256\n")
    assert setting_of(new, "cluster_id") != cluster_id
    api = start(node, certs_dir / "ca.crt")
    token = log_in(api, new)
    [shown] = api.get("nodes/", token).json["nodes"]
    assert (shown["node_id"], shown["role"]) == (1, "primary")


@pytest.mark.parametrize("server_version", [15, 18], indirect=True)
def test_a_lost_schema_comes_back_from_its_dump_with_everything(
    old: PostgresServer, make_node: MakeNode, certs_dir: Path, tmp_path: Path
) -> None:
    node = make_node(old)
    api = start(node, certs_dir / "ca.crt")
    token = log_in(api, old)
    before = seen(api, token)
    old.write_hba(TRUST)
    run_block("Back up", tmp_path, major=old.major, OLD=old)
    dumped = (tmp_path / "roles.sql").read_bytes() + (tmp_path / "rangeland.dump").read_bytes()
    assert (certs_dir / "cluster.key").read_bytes().strip() not in dumped
    node.stop()
    with psycopg.connect(old.conninfo(), autocommit=True) as connection:
        connection.execute("DROP SCHEMA rangeland CASCADE")
    run_block("Bring back a schema that was lost", tmp_path, major=old.major, OLD=old)
    api = start(node, certs_dir / "ca.crt")
    assert seen(api, token) == before


@pytest.mark.parametrize("flag", ["--new-cluster", "--after-upgrade"])
def test_a_server_without_our_schema_is_no_copy(new: PostgresServer, flag: str, tmp_path: Path) -> None:
    assert "this one has none" in complaint(run_command("init", flag, "--url", new.url(), home=tmp_path))


def test_a_copy_is_one_or_the_other(tmp_path: Path) -> None:
    done = run_command("init", "--new-cluster", "--after-upgrade", "--url", "postgresql:///", home=tmp_path)
    assert "give one" in complaint(done)

"""`rangeland start` with what can't work: one clear line, a non-zero exit, and nothing left running."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from fix_cluster import free_ports
from fix_engine import start_servers
from rangeland.config import program
from rangeland.engine.server import PostgresServer
from rangeland.engine.workplace import Workplace
from rangeland.state.init import NODE_ROLE, init_cluster
from rangeland.tls import create_ca, create_cluster_key, create_node

PASSWORD = "of-the-nodes-0123456789"


@dataclass(frozen=True)
class Site:
    """A server that was set up, and certificates for its node."""

    server: PostgresServer
    certs_dir: Path
    ca_key: Path
    home: Path

    def url(self, *, user: str = NODE_ROLE, password: str = PASSWORD, dbname: str = "postgres") -> str:
        return self.server.url(dbname, user, password) + "?sslmode=disable"

    def refused(self, *flags: str, certs_dir: Path | None = None, url: str | None = None) -> str:
        """The one line that a node says that doesn't start."""
        port = free_ports(1)
        own = () if any(flag.startswith("--http-addr") for flag in flags) else (f"--http-addr=localhost:{port}",)
        done = self.run(*own, f"--certs-dir={certs_dir or self.certs_dir}", *flags, url=url or self.url())
        assert done.returncode not in (0, -signal.SIGKILL), done.stderr
        assert re.fullmatch(r"ERROR: [^\n]+\n", done.stderr), done.stderr
        assert PASSWORD not in done.stderr
        assert _listeners(port) == []
        return done.stderr

    def run(self, *flags: str, url: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*program(), "start", *flags],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
            env={"PATH": os.defpath, "HOME": str(self.home), "RANGELAND_SERVER_URL": url, "PGPASSWORD": PASSWORD},
        )


@pytest.fixture(scope="module")
def site(workplace: Workplace) -> Iterator[Site]:
    [server] = start_servers(workplace, 1, 18)
    init_cluster(server.url(), role_password=PASSWORD)
    home = workplace.make_directory("site")
    certs_dir, ca_key = home / "certs", home / "ca.key"
    create_ca(certs_dir, ca_key)
    create_cluster_key(certs_dir)
    create_node(certs_dir, ca_key, ["localhost"])
    yield Site(server, certs_dir, ca_key, home)
    server.remove()


@pytest.fixture
def certs_dir(site: Site, tmp_path: Path) -> Path:
    """A copy of the node's certificates, to be spoiled."""
    return Path(shutil.copytree(site.certs_dir, tmp_path / "certs"))


# addresses


def test_a_port_in_use(site: Site) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"localhost:{taken.getsockname()[1]}"
        assert f"can't listen on 127.0.0.1:{taken.getsockname()[1]}: address already in use" in site.refused(
            f"--http-addr={address}"
        )


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("no-such-host.invalid:8080", "the host no-such-host.invalid can't be resolved"),
        ("localhost:http", "--http-addr must end in a port from 1 to 65535"),
        ("localhost:70000", "--http-addr must end in a port from 1 to 65535"),
        ("::1:8080", "an IPv6 address in brackets"),
        ("192.0.2.1:8080", "can't listen on 192.0.2.1:8080"),
    ],
)
def test_an_address_that_can_t_be_served(site: Site, address: str, complaint: str) -> None:
    assert complaint in site.refused(f"--http-addr={address}")


# the server


def test_a_wrong_password(site: Site) -> None:
    assert "password authentication failed" in site.refused(url=site.url(password="wrong"))


def test_an_unknown_user(site: Site) -> None:
    assert "password authentication failed" in site.refused(url=site.url(user="nobody-of-that-name"))


def test_an_unknown_database(site: Site) -> None:
    assert 'database "nowhere" does not exist' in site.refused(url=site.url(dbname="nowhere"))


def test_a_database_without_our_schema(site: Site) -> None:
    """`init` has not run, or the URL names another database."""
    assert "has no schema rangeland: run 'rangeland init" in site.refused(url=site.url(dbname="template1"))


def test_a_role_without_pg_monitor_is_told_which_grant_is_missing(site: Site) -> None:
    site.server.create_role("bare", password=PASSWORD)
    complaint = site.refused(url=site.url(user="bare"))
    assert "pg_monitor" in complaint
    assert "bare" in complaint or "the role of --server-url" in complaint


def test_a_role_without_rights_on_our_schema_is_told_so(site: Site) -> None:
    site.server.create_role("half", "LOGIN IN ROLE pg_monitor", password=PASSWORD)
    assert re.search(r"rangeland init|permission denied", site.refused(url=site.url(user="half")))


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("", "--server-url is missing"),
        ("nonsense", "--server-url is not a PostgreSQL URL"),
        ("postgresql://a,b/postgres", "--server-url must name one server"),
        ("postgresql://u@localhost:1,localhost:2/postgres", "--server-url must name one server"),
        ("postgresql:///?service=x", "--server-url can't name a service"),
        ("postgresql://u@no-such-host.invalid/postgres", "could not translate host name"),
    ],
)
def test_a_url_of_no_server(site: Site, url: str, complaint: str) -> None:
    port = free_ports(1)
    done = site.run(f"--http-addr=localhost:{port}", f"--certs-dir={site.certs_dir}", url=url)
    assert done.returncode == 1
    assert re.fullmatch(rf"ERROR: .*{re.escape(complaint)}.*\n", done.stderr), done.stderr


# keys and certificates


@pytest.mark.parametrize("name", ["ca.crt", "node.crt", "node.key", "cluster.key"])
def test_a_file_that_is_missing(site: Site, certs_dir: Path, name: str) -> None:
    (certs_dir / name).unlink()
    assert name in site.refused(certs_dir=certs_dir)


@pytest.mark.parametrize("name", ["ca.crt", "node.crt", "node.key", "cluster.key"])
def test_a_file_that_holds_something_else(site: Site, certs_dir: Path, name: str) -> None:
    (certs_dir / name).write_text("not what you think\n")
    assert name in site.refused(certs_dir=certs_dir)


@pytest.mark.parametrize("name", ["node.key", "cluster.key"])
@pytest.mark.parametrize("mode", [0o604, 0o660])
def test_a_key_that_others_can_read(site: Site, certs_dir: Path, name: str, mode: int) -> None:
    (certs_dir / name).chmod(mode)
    complaint = site.refused(certs_dir=certs_dir)
    assert name in complaint
    assert "chmod" in complaint


def test_an_expired_certificate(site: Site, certs_dir: Path) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=2)
    create_ca(certs_dir, certs_dir / "ca.key", overwrite=True, now=long_ago)
    create_node(
        certs_dir, certs_dir / "ca.key", ["localhost"], lifetime=timedelta(days=1), overwrite=True, now=long_ago
    )
    assert "expired" in site.refused(certs_dir=certs_dir)


def test_a_certificate_of_another_authority(site: Site, certs_dir: Path, tmp_path: Path) -> None:
    create_ca(tmp_path / "other", tmp_path / "other.key")
    shutil.copy(tmp_path / "other/ca.crt", certs_dir)
    assert "ca.crt" in site.refused(certs_dir=certs_dir)


def test_a_key_of_another_certificate(site: Site, certs_dir: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(site.certs_dir, tmp_path / "other"))
    create_node(other, site.ca_key, ["localhost"], overwrite=True)
    shutil.copy(other / "node.key", certs_dir)
    assert "node.key" in site.refused(certs_dir=certs_dir)


# settings


def test_an_unknown_flag(site: Site) -> None:
    done = site.run("--no-such-flag", url=site.url())
    assert done.returncode == 2
    assert "No such option" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--insecure", "--unencrypted-localhost-http"], "exclude each other"),
        (
            ["--unencrypted-localhost-http", "--http-addr=0.0.0.0:8080"],
            "--unencrypted-localhost-http is incompatible",
        ),
        (["--locality=region"], "--locality must be key=value"),
        (["--locality=a=1,a=2"], "--locality names a key twice"),
        (["--join=a:b:c"], "--join must be HOST:PORT"),
        (["--log-format=xml"], "--log-format must be text or json"),
        (["--config=/nowhere/rangeland.toml"], "can't read the configuration file /nowhere/rangeland.toml"),
    ],
)
def test_settings_that_make_no_sense(site: Site, flags: list[str], complaint: str) -> None:
    assert complaint in site.refused(*flags)


@pytest.mark.parametrize("text", ["http_adr = 'x'\n", "= broken", "log_format = 5\n", "insecure = 'perhaps'\n"])
def test_a_configuration_file_that_is_wrong(site: Site, tmp_path: Path, text: str) -> None:
    (tmp_path / "rangeland.toml").write_text(text)
    assert "configuration file" in site.refused(f"--config={tmp_path / 'rangeland.toml'}")


# imports


def test_help_loads_neither_the_driver_nor_the_http_server() -> None:
    script = (
        "import sys\n"
        "sys.argv = ['rangeland', '--help']\n"
        "from rangeland.cli.main import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'psycopg', 'granian', 'aiohttp', 'starlette', 'cryptography', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([program()[0], "-c", script], capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: rangeland")


def test_a_url_without_a_password_takes_none_from_the_environment(site: Site) -> None:
    """PGPASSWORD is set, and right, whenever a node is started here."""
    assert "asks for a password" in site.refused(url=site.url(password=""))


def _listeners(port: int) -> list[int]:
    """Ids of the processes that listen on the port."""
    found = [each for each in psutil.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
    return [each.pid or 0 for each in found if each.laddr[1:] == (port,)]

"""`rangeland cert` as a user runs it: files, texts and exit codes."""

from __future__ import annotations

import csv
import io
import json
import os
import ssl
import stat
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from psycopg.conninfo import make_conninfo

from fix_engine import MakeServers
from rangeland import tls


def rangeland(*args: object, home: Path, **variables: object) -> subprocess.CompletedProcess[str]:
    """Run the command in `home`; `variables` are added to its environment."""
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        **{name: str(text) for name, text in variables.items()},
    }
    argv = [sys.executable, "-m", "rangeland", *map(str, args)]
    return subprocess.run(argv, cwd=home, env=environ, capture_output=True, text=True, timeout=30, check=False)


def files_under(directory: Path) -> dict[str, str]:
    """Path → mode in octal, of every file below."""
    found = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): f"{stat.S_IMODE(path.stat().st_mode):04o}" for path in found}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with `certs`, complete, and `safe/ca.key`, all made by commands."""
    home = tmp_path_factory.mktemp("made")
    for args in (
        ("create-ca", "--certs-dir", "certs", "--ca-key", "safe/ca.key"),
        ("create-cluster-key", "--certs-dir", "certs"),
        ("create-node", "localhost", "127.0.0.1", "--certs-dir", "certs", "--ca-key", "safe/ca.key"),
    ):
        done = rangeland("cert", *args, home=home)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("wrote ")
    return home


def test_three_commands_make_what_a_node_needs(made: Path) -> None:
    assert files_under(made) == {
        "safe/ca.key": "0600",
        "certs/ca.crt": "0644",
        "certs/cluster.key": "0600",
        "certs/node.key": "0600",
        "certs/node.crt": "0644",
    }
    assert tls.read_node_material(made / "certs").names == ("localhost", "127.0.0.1")
    assert [len(key) for key in tls.read_cluster_keys(made / "certs")] == [32]
    ssl.create_default_context(cafile=made / "certs" / "ca.crt")


def test_the_list_shows_what_is_there(made: Path) -> None:
    done = rangeland("cert", "list", "--certs-dir", "certs", home=made)
    assert (done.returncode, done.stderr) == (0, "")
    rows = list(csv.DictReader(io.StringIO(done.stdout), delimiter="\t"))
    assert [(row["usage"], row["certificate file"], row["key file"], row["notes"], row["error"]) for row in rows] == [
        ("CA", "ca.crt", "", "authorities: 1", ""),
        ("Node", "node.crt", "node.key", "addresses: localhost,127.0.0.1", ""),
        ("Cluster key", "", "cluster.key", "", ""),
    ]


def test_a_clients_certificate_names_the_user_and_is_for_clients_only(made: Path, tmp_path: Path) -> None:
    tls.copy_shared(made / "certs", tmp_path / "certs")
    words = ("cert", "create-client", "Alice Ö.", "--certs-dir", "certs", "--ca-key", made / "safe" / "ca.key")
    done = rangeland(*words, home=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "wrote certs/client.Alice Ö..key\nwrote certs/client.Alice Ö..crt\n"
    modes = files_under(tmp_path)
    assert (modes["certs/client.Alice Ö..key"], modes["certs/client.Alice Ö..crt"]) == ("0600", "0644")
    certificate = x509.load_pem_x509_certificate((tmp_path / "certs" / "client.Alice Ö..crt").read_bytes())
    assert [name.value for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["Alice Ö."]
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    authority = x509.load_pem_x509_certificate((made / "certs" / "ca.crt").read_bytes())
    certificate.verify_directly_issued_by(authority)
    again = rangeland(*words, home=tmp_path)
    assert again.returncode == 1
    assert "exists already: --overwrite replaces it" in again.stderr
    assert rangeland(*words, "--overwrite", "--lifetime", "1h", home=tmp_path).returncode == 0


def test_the_list_has_clients_by_name_and_says_what_is_wrong_with_them(made: Path, tmp_path: Path) -> None:
    tls.copy_shared(made / "certs", tmp_path / "certs")
    for user in ("b", "a", "node"):
        tls.create_client(tmp_path / "certs", made / "safe" / "ca.key", user)
    (tmp_path / "certs" / "client.node.key").unlink()
    (tmp_path / "certs" / "client.b.crt").rename(tmp_path / "certs" / "client.c.crt")
    (tmp_path / "certs" / "client.b.key").rename(tmp_path / "certs" / "client.c.key")
    done = rangeland("cert", "list", "--certs-dir", "certs", "--format", "json", home=tmp_path)
    clients = [row for row in json.loads(done.stdout) if row["usage"] == "Client"]
    assert [(row["certificate file"], row["key file"], row["notes"]) for row in clients] == [
        ("client.a.crt", "client.a.key", "user: a"),
        ("client.c.crt", "client.c.key", ""),
        ("client.node.crt", "client.node.key", ""),
    ]
    errors = ["", "is the certificate of another user: 'b'", "client.node.key does not exist"]
    assert all(error in row["error"] for error, row in zip(errors, clients, strict=True))
    assert clients[0]["error"] == ""
    assert done.returncode == 1


def test_the_list_is_shown_in_each_format(made: Path) -> None:
    as_json = rangeland("cert", "list", "--certs-dir", "certs", "--format", "json", home=made)
    assert [row["usage"] for row in json.loads(as_json.stdout)] == ["CA", "Node", "Cluster key"]
    as_table = rangeland("cert", "list", "--certs-dir", "certs", "--format", "table", home=made)
    assert as_table.stdout.endswith("(3 rows)\n")


def test_the_list_of_an_unusable_file_fails_and_says_which(made: Path, tmp_path: Path) -> None:
    tls.copy_shared(made / "certs", tmp_path / "certs")
    (tmp_path / "certs" / "cluster.key").chmod(0o644)
    done = rangeland("cert", "list", "--certs-dir", "certs", home=tmp_path)
    assert done.returncode == 1
    assert "can be used by others (mode 0644)" in done.stdout
    assert done.stderr.splitlines() == ["ERROR: not usable in certs: cluster.key (see the column error)"]


def test_directories_come_from_the_environment_and_from_home(tmp_path: Path) -> None:
    done = rangeland("cert", "create-ca", home=tmp_path, RANGELAND_CERTS_DIR="c", RANGELAND_CA_KEY="~/k/ca.key")
    assert (done.returncode, done.stderr) == (0, "")
    done = rangeland("cert", "create-cluster-key", home=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert files_under(tmp_path) == {
        "c/ca.crt": "0644",
        "k/ca.key": "0600",
        ".rangeland-certs/cluster.key": "0600",
    }


def test_a_second_authority_needs_to_be_asked_for(made: Path) -> None:
    before = (made / "safe" / "ca.key").read_bytes()
    done = rangeland("cert", "create-ca", "--certs-dir", "certs", "--ca-key", "safe/ca.key", home=made)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "ERROR: safe/ca.key exists: --allow-ca-key-reuse signs with it, --overwrite replaces it"
    ]
    assert (made / "safe" / "ca.key").read_bytes() == before


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("create-node", "localhost:8080"), "neither a host name nor an IP address"),
        (("create-node", "localhost", "--ca-key", "nowhere"), "nowhere does not exist"),
        (("create-node", "localhost", "--lifetime", "900000h"), "lifetime"),
        (("create-client", "../alice"), "can't be part of a file's name"),
        (("create-client", ""), "can't be part of a file's name"),
        (("create-client", "a" * 64), "longer than the 63 bytes"),
        (("create-client", "alice", "--lifetime", "900000h"), "lifetime"),
        (("create-ca", "--ca-key", "certs/ca.crt/ca.key"), "Not a directory"),
        (("create-ca", "--ca-key", "certs"), "is a directory"),
        (("create-cluster-key",), "cluster.key exists already: --overwrite replaces it"),
        (("list", "--certs-dir", "nowhere"), "nowhere: No such file or directory"),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(made: Path, args: tuple[str, ...], text: str) -> None:
    before = files_under(made)
    done = rangeland("cert", *args, home=made, RANGELAND_CERTS_DIR="certs", RANGELAND_CA_KEY="safe/ca.key")
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("ERROR: ")
    assert text in done.stderr
    assert files_under(made) == before


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("create-node",), "HOST"),
        (("create-client",), "USER"),
        (("create-ca",), "--ca-key"),
        (("create-ca", "--ca-key", ""), "an empty path"),
        (("create-ca", "--ca-key", "k", "--lifetime", "soon"), "not a duration such as 24h"),
        (("list", "--format", "xml"), "xml"),
        (("make-coffee",), "make-coffee"),
    ],
)
def test_wrong_usage_exits_with_2(tmp_path: Path, args: tuple[str, ...], text: str) -> None:
    done = rangeland("cert", *args, home=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert text in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_names_the_defaults_that_hold(tmp_path: Path) -> None:
    assert f"{tls.NODE_LIFETIME.days} days" in rangeland("cert", "create-node", "--help", home=tmp_path).stdout
    hours = tls.CA_LIFETIME // timedelta(hours=1)
    assert f"[default: {hours}h]" in rangeland("cert", "create-ca", "--help", home=tmp_path).stdout
    overview = rangeland("cert", "--help", home=tmp_path).stdout
    assert all(
        name in overview for name in ("create-ca", "create-client", "create-cluster-key", "create-node", "list")
    )


def test_postgresql_takes_a_clients_certificate_for_its_user_and_no_other(
    made: Path, tmp_path: Path, make_servers: MakeServers
) -> None:
    [server] = make_servers(1, major=15)  # from Debian: the embedded 18 is built without TLS
    for role in ("alice", "bob"):
        server.create_role(role)
    tls.copy_shared(made / "certs", tmp_path / "certs")
    certs = tmp_path / "certs"
    words = ("create-client", "alice", "--certs-dir", certs, "--ca-key", made / "safe" / "ca.key")
    assert rangeland("cert", *words, home=tmp_path).returncode == 0
    for name in ("ca.crt", "node.crt", "node.key"):
        text = (made / "certs" / name).read_text("ascii")
        server.workplace.write_file(server.data_dir / name, text, for_server=True)
    server.configure(ssl="on", ssl_ca_file="ca.crt", ssl_cert_file="node.crt", ssl_key_file="node.key")
    server.write_hba("hostssl all all 127.0.0.1/32 cert\nlocal all all trust\n")
    server.restart()

    def who(user: str) -> object:
        conninfo = make_conninfo(
            server.conninfo(user=user, password=""),
            sslmode="verify-full",
            sslrootcert=str(certs / "ca.crt"),
            sslcert=str(certs / "client.alice.crt"),
            sslkey=str(certs / "client.alice.key"),
        )
        with psycopg.connect(conninfo) as connection:
            return connection.execute("SELECT current_user").fetchone()

    assert who("alice") == ("alice",)
    with pytest.raises(psycopg.OperationalError, match="certificate authentication failed"):
        who("bob")

"""The programs of docs/howto/clients.md run against a live cluster, as they stand there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from fix_cluster import Api, wait_until
from rangeland.engine.cluster import Cluster

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "clients.md"
SECTIONS = ("curl and jq", "HTTP/2", "Python", "Node.js")
PROGRAMS = {"sh": ["bash", "-eu", "-o", "pipefail", "client.sh"], "python": [sys.executable, "client.py"]}
PROGRAMS["js"] = ["node", "client.mjs"]
NEEDS = {"sh": ("bash", "curl", "jq"), "python": (), "js": ("node",)}
CLIENTS = 25  # of each kind more than a page


@pytest.fixture(scope="module")
def names(cluster: Cluster) -> Iterator[list[str]]:
    """Of sessions that live as long as these tests, on a primary and a standby."""
    made = [f"paged {number}" for number in range(CLIENTS)]
    with ExitStack() as stack:
        for number, name in enumerate(made):
            server = cluster.servers[number % 2]
            stack.enter_context(psycopg.connect(server.conninfo(), autocommit=True, application_name=name))
        yield made


@pytest.mark.parametrize("section", SECTIONS)
def test_a_client_logs_in_sees_everything_once_and_logs_out(
    cluster: Cluster, apis: list[Api], token: str, names: list[str], section: str, tmp_path: Path
) -> None:
    language, source = block_of(section)
    for tool in NEEDS[language]:
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    wait_until(lambda: "pgbench_" in apis[1].get("ranges/hot/?limit=5", token).text, "the load shows", timeout_s=30)
    before = live_web_sessions(cluster)
    done = run(cluster, apis[1], language, source, cluster.password, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert {line for line in lines if line.startswith("node ")} == {
        "node 1 primary 3",
        "node 2 standby 3",
        "node 3 standby 3",
    }
    seen = Counter(match[1] for line in lines if (match := re.match(r"session \d \S+ (paged .*)", line)))
    assert seen == Counter(names)
    assert any(line.startswith("hot pgbench_") for line in lines)
    assert re.search("logged_out\\W*[:]? ?(true|True)", lines[-1])
    assert live_web_sessions(cluster) == before


@pytest.mark.parametrize("section", SECTIONS)
def test_a_client_with_a_wrong_password_ends_with_an_error(
    cluster: Cluster, apis: list[Api], section: str, tmp_path: Path
) -> None:
    language, source = block_of(section)
    for tool in NEEDS[language]:
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    done = run(cluster, apis[0], language, source, "wrong", tmp_path)
    assert done.returncode != 0
    assert "node 1" not in done.stdout


def test_http_2_is_spoken(cluster: Cluster, apis: list[Api], tmp_path: Path) -> None:
    if not shutil.which("curl") or not shutil.which("jq"):
        pytest.skip("curl or jq is not installed")
    done = run(cluster, apis[2], *block_of("HTTP/2"), cluster.password, tmp_path)
    assert done.stdout.splitlines()[:3] == ["HTTP/2 200"] * 3


def block_of(section: str) -> tuple[str, str]:
    """Language and text of the only program in a section."""
    text = PAGE.read_text("utf-8").partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    [(language, source)] = re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return language, source


def run(
    cluster: Cluster, api: Api, language: str, source: str, password: str, directory: Path
) -> subprocess.CompletedProcess[str]:
    argv = PROGRAMS[language]
    (directory / argv[-1]).write_text(source, "utf-8")
    ca_cert = str(cluster.ca_cert)
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "CA": ca_cert,
        "NODE_EXTRA_CA_CERTS": ca_cert,
        "API": f"{api.url}/api/v2",
        "API_USER": cluster.username,
        "PASSWORD": password,
    }
    return subprocess.run(argv, cwd=directory, env=environ, capture_output=True, text=True, timeout=60, check=False)


def live_web_sessions(cluster: Cluster) -> int:
    with psycopg.connect(cluster.servers[0].conninfo()) as connection:
        row = connection.execute("SELECT count(*) FROM rangeland.web_sessions WHERE revoked_at IS NULL").fetchone()
    assert row is not None
    return int(row[0])

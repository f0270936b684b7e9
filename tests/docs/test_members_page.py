"""The commands of docs/howto/add-and-remove-nodes.md, as they stand there, on a live cluster."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from fix_cluster import Api, apis_of, free_ports, log_in, wait_until
from howto import programs_of
from rangeland.engine.cluster import Cluster, Plan
from rangeland.engine.node import NodeProcess
from rangeland.engine.server import PostgresServer
from rangeland.engine.workplace import Workplace

PAGE = "add-and-remove-nodes.md"


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Workplace(kind="test") as place:
        made = Cluster(place, Plan(nodes=1, http_port=free_ports(1), sql_port=free_ports(1), load_tps=0))
        made.open()
        yield made
        made.stop()


def environ_of(cluster: Cluster, directory: Path, **more: str) -> dict[str, str]:
    node = cluster.nodes[0]
    own = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(directory)}
    return own | {"RANGELAND_NODE_URL": node.url, "RANGELAND_CERTS_DIR": str(node.certs_dir), **more}


def run(source: str, cluster: Cluster, directory: Path, **more: str) -> str:
    """What a program of the page printed."""
    environ = environ_of(cluster, directory, **more)
    argv = ["bash", "-eu", "-o", "pipefail", "-c", source]
    done = subprocess.run(argv, cwd=directory, env=environ, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def lists(api: Api, token: str, node_ids: list[int]) -> bool:
    answer = api.get("nodes/", token)
    return (
        answer.status == 200
        and [node["node_id"] for node in answer.json["nodes"] if node["liveness_status"] == 3] == node_ids
    )


def test_a_node_is_added_moved_and_removed(cluster: Cluster, tmp_path: Path) -> None:
    [first] = cluster.nodes
    primary = cluster.servers[0]
    shutil.copytree(cast(Path, first.certs_dir), tmp_path / "node1")
    (tmp_path / "safe").mkdir()
    shutil.copy(cluster.workplace.path / "certs" / "ca.key", tmp_path / "safe")
    standby = PostgresServer(cluster.workplace, primary.binaries, name="added", port=free_ports(1))
    standby.become_standby(primary)
    make_files, start = programs_of(PAGE, "Add a node")
    run(make_files, cluster, tmp_path, HOST="localhost")

    [api] = apis_of(cluster)
    token = log_in(cluster, api, cluster.username)
    port = free_ports(2)
    with started(cluster, standby, start, tmp_path, port):
        wait_until(partial(lists, api, token, [1, 2]), "the added node is a member", timeout_s=20)
        wait_until(partial(lists, added_api(cluster, port), token, [1, 2]), "it answers for all")
    with started(cluster, standby, start, tmp_path, port + 1):
        wait_until(partial(lists, api, token, [1, 3]), "the moved node is a new member", timeout_s=20)
        [leave] = programs_of(PAGE, "Move a node")
        told = run(leave, cluster, tmp_path, OLD_ID="2")
        assert told.splitlines()[1].split("\t") == ["2", f"localhost:{port}", "true", "decommissioned"]
        assert [node["node_id"] for node in api.get("nodes/", token).json["nodes"]] == [1, 3]
        [leave] = programs_of(PAGE, "Remove a node")
        run(leave, cluster, tmp_path, OLD_ID="3")
        assert [node["node_id"] for node in api.get("nodes/", token).json["nodes"]] == [1]
        assert "was decommissioned" in added_api(cluster, port + 1).get("nodes/", token).text


def added_api(cluster: Cluster, port: int) -> Api:
    return Api(f"https://localhost:{port}", cluster.ca_cert)


class started:
    """The page's `rangeland start`, in the directory in which its files are, until the block ends."""

    def __init__(self, cluster: Cluster, standby: PostgresServer, source: str, directory: Path, port: int) -> None:
        first: NodeProcess = cluster.nodes[0]
        [url] = re.findall(r'^server_url = "(.*)"$', first.config.read_text("utf-8"), re.MULTILINE)
        settings = {
            "server_url": url.replace(f":{cluster.servers[0].port}/", f":{standby.port}/"),
            "certs_dir": str(directory / "added"),
            "http_addr": f"localhost:{port}",
            "advertise_http_addr": f"localhost:{port}",
            "join": first.address,
        }
        text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
        cluster.workplace.write_file(directory / "added.toml", text)
        self._argv = ["bash", "-euc", f"exec {source.strip()}"]
        self._directory = directory
        self._environ = environ_of(cluster, directory)

    def __enter__(self) -> None:
        self._process = subprocess.Popen(
            self._argv, cwd=self._directory, env=self._environ, stderr=subprocess.DEVNULL
        )

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        assert self._process.wait(20) == 0

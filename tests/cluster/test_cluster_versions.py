"""Two neighbouring versions of Rangeland in one cluster: this one, and the one before nodes last learnt new words."""

from __future__ import annotations

import asyncio
import io
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import cast

import psycopg
import pytest

from fix_cluster import Api, apis_of, log_in, running_cluster, wait_until
from rangeland.client import Client
from rangeland.cluster import Cluster as Peers
from rangeland.cluster import Question
from rangeland.cluster.peer_token import PeerTokens
from rangeland.engine.cluster import Cluster
from rangeland.merge.part import Part, text
from rangeland.pg import Server
from rangeland.tls import client_context, read_cluster_keys
from rangeland.wire.members import Member
from rangeland.wire.parts import Nothing

ROOT = Path(__file__).parents[2]
WORDS = ("src/rangeland/cluster", "src/rangeland/wire/members.py", "src/rangeland/wire/parts.py")  # of nodes
ASK = Question("of_tomorrow", Nothing, Nothing)


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program as it was before the last change of what nodes say to each other."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip("there is no git history to take an older version from")
    last = git("log", "-1", "--format=%H", "--no-merges", "--", *WORDS).decode().strip()
    if not last or not git("rev-list", "--parents", "-1", last).decode().split()[1:]:
        pytest.skip("the git history does not reach back to an older version")
    directory = tmp_path_factory.mktemp("older")
    with tarfile.open(fileobj=io.BytesIO(git("archive", f"{last}^", "src"))) as archive:
        archive.extractall(directory, filter="data")
    where = [sys.executable, "-c", "import rangeland; print(rangeland.__file__)"]
    environ = {"PYTHONPATH": str(directory / "src")}
    done = subprocess.run(where, env=environ, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.startswith(str(directory))
    return directory / "src"


def git(*words: str) -> bytes:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, timeout=30, check=True).stdout


@pytest.fixture(scope="module")
def cluster(older: Path) -> Iterator[Cluster]:
    """Three nodes, the second one of the older version."""
    with running_cluster(3) as made:
        made.nodes[1].stop()
        run_older(made, older)
        yield made


def run_older(cluster: Cluster, older: Path) -> None:
    node = cluster.nodes[1]
    environ = {"PYTHONPATH": str(older), "PYTHONDONTWRITEBYTECODE": "1"}
    with node.log.open("ab") as log:
        node._process = cluster.workplace.start(  # NodeProcess runs this version only
            [sys.executable, "-m", "rangeland", "start", "--config", node.config],
            directory=node.home,
            env=environ,
            output=log,
        )
    node.wait_until_ready()


@pytest.fixture
def apis(cluster: Cluster) -> list[Api]:
    return apis_of(cluster)


def is_whole(api: Api, token: str) -> bool:
    answer = api.get("nodes/", token)
    return answer.status == 200 and [
        (node["node_id"], node.get("role"), node["liveness_status"]) for node in answer.json["nodes"]
    ] == [(1, "primary", 3), (2, "standby", 3), (3, "standby", 3)]


@pytest.fixture
def _clients(cluster: Cluster) -> Iterator[None]:
    """One of each server."""
    with ExitStack() as stack:
        for server in cluster.servers:
            stack.enter_context(psycopg.connect(server.conninfo(), autocommit=True))
        yield


@pytest.mark.usefixtures("_clients")
def test_either_version_answers_for_all(cluster: Cluster, apis: list[Api]) -> None:
    for asked in apis:
        wait_until(partial(can_log_in, cluster, asked), "a login goes to the primary's node")
        token = log_in(cluster, asked, cluster.username)
        for api in apis:
            wait_until(partial(is_whole, api, token), "every node sees all")
            sessions = api.get("sessions/", token).json
            assert sessions["errors"] == []
            assert {each["node_id"] for each in sessions["sessions"]} == {1, 2, 3}
            assert "response_error" not in api.get("ranges/hot/", token).json
        assert asked.log_out(token).status == 200
        assert [api.get("nodes/", token).status for api in apis] == [401, 401, 401]


def can_log_in(cluster: Cluster, api: Api) -> bool:
    return api.log_in(cluster.username, cluster.password).status == 200


def test_either_version_stays_when_both_restart(cluster: Cluster, apis: list[Api], older: Path) -> None:
    for node in (cluster.nodes[0], cluster.nodes[2]):
        node.stop()
        node.start()
        node.wait_until_ready()
    cluster.nodes[1].stop()
    run_older(cluster, older)
    token = log_in(cluster, apis[1], cluster.username)
    for api in apis:
        wait_until(partial(is_whole, api, token), "every node sees all")


def test_a_question_that_a_node_does_not_know_is_an_error_of_that_node(cluster: Cluster) -> None:
    """As a newer node would ask it; nobody is taken for silent because of it."""
    parts, silent = asyncio.run(ask_of_tomorrow(cluster))
    assert [part.node_id for part in parts] == [1, 2, 3]
    for part in parts:
        assert text(part, "news") == (
            f"error requesting news from node {part.node_id} (NODE_STATUS_LIVE): "
            "this node does not know the question; is it older than the one that asks?"
        )
    assert silent == {}


async def ask_of_tomorrow(cluster: Cluster) -> tuple[list[Part[Nothing]], dict[int, int]]:
    certs_dir = cast(Path, cluster.nodes[0].certs_dir)
    client = Client(client_context(certs_dir))
    peers = Peers(
        client=client,
        tokens=PeerTokens(read_cluster_keys(certs_dir)),
        server=Server(cluster.servers[0].url()),
        http_addr="localhost:1",
        sql_addr="",
        scheme="https",
    )
    peers.take_members(
        Member(node_id=node.node_id, http_addr=node.address, sql_addr=node.sql_address) for node in cluster.nodes
    )
    try:
        parts = await peers.ask_all(ASK, Nothing(), deadline=asyncio.get_running_loop().time() + 4)
        return parts, peers.silent_since_ns()
    finally:
        await peers.close()
        await client.close()

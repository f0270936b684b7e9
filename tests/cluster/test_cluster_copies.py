"""Who is taken for a member: one node a server, no copy of the cluster, and everybody who really is one."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import psycopg
import pytest

from fix_cluster import Api, apis_of, free_ports, log_in, running_cluster, wait_until
from fix_commands import run_command
from rangeland.engine.cluster import Cluster
from rangeland.engine.node import NodeProcess
from rangeland.engine.server import PostgresServer

READY = "/health?ready=1"
SECOND = "is beside the same server"
MakeNode = Callable[[PostgresServer], NodeProcess]
MakeClone = Callable[[], PostgresServer]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two nodes, of this module alone."""
    with running_cluster(2) as made:
        yield made


@pytest.fixture
def apis(cluster: Cluster) -> list[Api]:
    return apis_of(cluster)


@pytest.fixture
def token(cluster: Cluster, apis: list[Api]) -> str:
    return log_in(cluster, apis[0], cluster.username)


@pytest.fixture
def start_node(cluster: Cluster) -> Iterator[MakeNode]:
    """`start_node(server)`: one more node, with the settings, the key and the certificate of the first."""
    with ExitStack() as stack:

        def start(server: PostgresServer) -> NodeProcess:
            first, port = cluster.nodes[0], free_ports(1)
            settings = tomllib.loads(first.config.read_text("utf-8"))
            settings["server_url"] = settings["server_url"].replace(
                f":{cluster.servers[0].port}/", f":{server.port}/"
            )
            settings["http_addr"] = settings["advertise_http_addr"] = f"localhost:{port}"
            settings["advertise_sql_addr"] = f"localhost:{server.port}"
            settings["join"] = ",".join(node.address for node in cluster.nodes)
            node = NodeProcess(
                cluster.workplace,
                server,
                name=f"extra{port}",
                http_port=port,
                certs_dir=first.certs_dir,
                settings=settings,
            )
            stack.callback(node.kill)
            node.start()
            return node

        yield start


@pytest.fixture
def make_clone(cluster: Cluster) -> Iterator[MakeClone]:
    """`make_clone()`: a copy of the primary that streams from it, removed afterwards."""
    with ExitStack() as stack:

        def make() -> PostgresServer:
            port = free_ports(1)
            clone = PostgresServer(cluster.workplace, cluster.servers[0].binaries, name=f"clone{port}", port=port)
            stack.callback(drop_slot, cluster, clone.name)
            stack.callback(clone.remove)
            clone.become_standby(cluster.servers[0])
            return clone

        yield make


def drop_slot(cluster: Cluster, name: str) -> None:
    with psycopg.connect(cluster.servers[0].conninfo(), autocommit=True) as connection:
        query = b"SELECT count(pg_drop_replication_slot(slot_name)) FROM pg_replication_slots WHERE slot_name = %s"
        connection.execute(query, [name])


def api_of(cluster: Cluster, node: NodeProcess) -> Api:
    return Api(node.url, cluster.ca_cert)


def is_unready(api: Api, text: str) -> bool:
    answer = api.get(READY)
    return answer.status == 503 and text in answer.text


def is_ready(api: Api) -> bool:
    return api.get(READY).status == 200


def shown(api: Api, token: str) -> list[tuple[int, str, int]]:
    """Id, role and liveness of each node."""
    nodes = api.get("nodes/", token).json["nodes"]
    return [(node["node_id"], node.get("role"), node["liveness_status"]) for node in nodes]


def is_whole(api: Api, token: str) -> bool:
    return api.get("nodes/", token).status == 200 and shown(api, token) == WHOLE


def rangeland(node: NodeProcess, home: Path, *words: str) -> None:
    environment = {"RANGELAND_NODE_URL": node.url, "RANGELAND_CERTS_DIR": node.certs_dir or ""}
    done = run_command(*words, home=home, **environment)
    assert (done.returncode, done.stderr) == (0, "")


WHOLE = [(1, "primary", 3), (2, "standby", 3)]


@pytest.mark.parametrize("number", [0, 1], ids=["primary", "standby"])
def test_a_second_node_beside_a_server_stays_out_and_says_why(
    cluster: Cluster, apis: list[Api], token: str, start_node: MakeNode, number: int
) -> None:
    second = start_node(cluster.servers[number])
    api = api_of(cluster, second)
    why = f"node {number + 1} at {cluster.nodes[number].address} {SECOND}"
    wait_until(lambda: is_unready(api, why), "it says why")
    assert why in second.log.read_text("utf-8")
    assert api.get("health/?ready=1").status == 500
    refused = api.get("nodes/", token)
    assert (refused.status, why in refused.text) == (500, True)
    assert [shown(each, token) for each in apis] == [WHOLE, WHOLE]
    assert all(is_ready(each) for each in apis)


def test_a_server_that_restarts_is_beside_one_node_as_before(cluster: Cluster, apis: list[Api], token: str) -> None:
    for server in cluster.servers:
        server.restart()
    for api in apis:
        wait_until(partial(is_ready, api), "the node is ready again")
        wait_until(partial(is_whole, api, token), "the cluster is whole again")
    assert [node.name for node in cluster.nodes if SECOND in node.log.read_text("utf-8")] == []


def test_a_standby_that_is_cloned_again_has_the_node_it_had(cluster: Cluster, apis: list[Api], token: str) -> None:
    primary, standby = cluster.servers
    standby.remove()
    drop_slot(cluster, standby.name)
    standby.become_standby(primary)
    for api in apis:
        wait_until(partial(is_ready, api), "the node is ready again")
        wait_until(partial(is_whole, api, token), "the cluster is whole again")
    assert [node.name for node in cluster.nodes if SECOND in node.log.read_text("utf-8")] == []


def test_a_node_that_moves_is_a_new_member_and_both_say_so_if_the_old_one_comes_back(
    cluster: Cluster, apis: list[Api], token: str, start_node: MakeNode, tmp_path: Path
) -> None:
    old = cluster.nodes[1]
    old.stop()
    new = start_node(cluster.servers[1])
    new_api = api_of(cluster, new)
    wait_until(partial(is_ready, new_api), "the new address is a member")
    [new_id] = [node_id for node_id, _, liveness in shown(apis[0], token) if node_id > 2 and liveness == 3]

    old.start()
    for api, other in ((apis[1], new), (new_api, old)):
        wait_until(partial(is_unready, api, f"{other.address} {SECOND}"), "each names the other")
    assert is_ready(apis[0])

    new.kill()
    wait_until(partial(is_ready, apis[1]), "the one that is left is in doubt no more")
    rangeland(cluster.nodes[0], tmp_path, "node", "decommission", str(new_id))
    wait_until(partial(is_whole, apis[1], token), "the cluster is as it was")


def test_a_restored_copy_is_refused_until_it_is_a_cluster_of_its_own(
    cluster: Cluster, apis: list[Api], token: str, start_node: MakeNode, make_clone: MakeClone, tmp_path: Path
) -> None:
    """It is a primary on a higher timeline, with the same key, certificates, id and table of nodes."""
    clone = make_clone()
    clone.promote()
    node = start_node(clone)
    api = api_of(cluster, node)
    wait_until(lambda: is_unready(api, "this node is refused by localhost:"), "it says who refuses it")
    assert "rangeland init --new-cluster" in api.get("nodes/", token).text
    rangeland(node, tmp_path, "node", "decommission", "2")  # there; nobody here takes orders from it
    assert [shown(each, token) for each in apis] == [WHOLE, WHOLE]
    assert all(is_ready(each) for each in apis)
    made = log_in(cluster, apis[1], cluster.username)
    assert shown(apis[0], made) == WHOLE

    node.stop()
    known = cluster_id(cluster.servers[0])
    planned = run_command("init", "--new-cluster", "--dry-run", home=tmp_path, RANGELAND_URL=clone.url())
    assert "DELETE FROM rangeland.nodes" in planned.stdout
    assert cluster_id(clone) == known
    done = run_command("init", "--new-cluster", home=tmp_path, RANGELAND_URL=clone.url())
    assert (done.returncode, done.stderr) == (0, "")
    assert cluster_id(clone) != known
    node.start()
    wait_until(partial(is_ready, api), "it is a cluster of one node")
    assert api.get("nodes/", token).status == 401
    own = log_in(cluster, api, cluster.username)
    assert shown(api, own) == [(1, "primary", 3)]
    assert apis[0].get("nodes/", own).status == 401
    assert {event["event_type"] for event in api.get("events/", own).json["events"]} <= {"node_join", "user_login"}
    assert [shown(each, token) for each in apis] == [WHOLE, WHOLE]


def cluster_id(server: PostgresServer) -> str:
    with psycopg.connect(server.conninfo()) as connection:
        row = connection.execute("SELECT value FROM rangeland.settings WHERE name = 'cluster_id'").fetchone()
    assert row is not None
    return str(row[0])


def test_a_copy_that_was_registered_as_a_standby_never_becomes_the_leader(
    cluster: Cluster, apis: list[Api], token: str, start_node: MakeNode, make_clone: MakeClone, tmp_path: Path
) -> None:
    """It follows nobody, so what the primary writes of it does not come to it; then it is promoted."""
    clone = make_clone()
    clone.configure(primary_conninfo="", primary_slot_name="")
    clone.restart()
    node = start_node(clone)
    api = api_of(cluster, node)
    wait_until(lambda: is_unready(api, "does the server follow that primary?"), "it says what is missing")
    clone.promote()
    wait_until(lambda: is_unready(api, "this node is refused by localhost:"), "it says who refuses it")
    for each in apis:
        listed = each.get("nodes/", token).json["nodes"]
        assert [node["node_id"] for node in listed if node.get("role") == "primary"] == [1]
        assert is_ready(each)
    log_in(cluster, apis[1], cluster.username)
    node.kill()
    rangeland(cluster.nodes[0], tmp_path, "node", "decommission", id_of(cluster, node))
    wait_until(partial(is_whole, apis[0], token), "the cluster is as it was")


def id_of(cluster: Cluster, node: NodeProcess) -> str:
    with psycopg.connect(cluster.servers[0].conninfo()) as connection:
        query = b"SELECT node_id::text FROM rangeland.nodes WHERE http_addr = %s"
        return str(connection.execute(query, [node.address]).fetchall()[0][0])


def become_own_cluster(clone: PostgresServer, home: Path) -> None:
    clone.promote()
    assert run_command("init", "--new-cluster", home=home, RANGELAND_URL=clone.url()).returncode == 0


def test_a_node_of_another_cluster_is_refused(
    cluster: Cluster, apis: list[Api], token: str, start_node: MakeNode, make_clone: MakeClone, tmp_path: Path
) -> None:
    """A standby of a copy that was made a cluster of its own, with the key and the --join of the first."""
    clone = make_clone()
    become_own_cluster(clone, tmp_path)
    standby = PostgresServer(cluster.workplace, clone.binaries, name="theirs", port=free_ports(1))
    try:
        standby.become_standby(clone)
        node = start_node(standby)
        wait_until(lambda: "see --join" in node.log.read_text("utf-8"), "it says which cluster that is")
        assert [shown(each, token) for each in apis] == [WHOLE, WHOLE]
    finally:
        standby.remove()


def test_a_node_that_starts_before_its_copied_server_joins_nobody_meanwhile(
    cluster: Cluster, apis: list[Api], token: str, start_node: MakeNode, make_clone: MakeClone, tmp_path: Path
) -> None:
    """Which cluster the server is of is known only once it was read, whatever --join says."""
    clone = make_clone()
    become_own_cluster(clone, tmp_path)
    clone.stop()
    node = start_node(clone)
    api = api_of(cluster, node)
    wait_until(lambda: "the server is down" in node.log.read_text("utf-8"), "it has begun to ask the others")
    clone.start()
    wait_until(partial(is_ready, api), "it is a cluster of one node")
    assert shown(api, log_in(cluster, api, cluster.username)) == [(1, "primary", 3)]
    assert [shown(each, token) for each in apis] == [WHOLE, WHOLE]


def test_a_promoted_standby_is_trusted(cluster: Cluster, apis: list[Api], token: str) -> None:
    """The last test of this module: it leaves another primary."""
    cluster.servers[0].kill()
    cluster.servers[1].promote()
    for api in apis:
        wait_until(partial(can_log_in, cluster, api), "logins go on", timeout_s=20)
    by_id = {node_id: role for node_id, role, _ in shown(apis[0], token)}
    assert by_id[2] == "primary"


def can_log_in(cluster: Cluster, api: Api) -> bool:
    return api.log_in(cluster.username, cluster.password).status == 200

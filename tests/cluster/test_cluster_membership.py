"""Nodes that leave the cluster by command, come back, or are drained."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fix_cluster import Api, apis_of, log_in, running_cluster, wait_until
from fix_commands import Completed, complaint, run_command
from rangeland.cli.asking import ask_node
from rangeland.cluster.questions import CHANGE_MEMBERSHIP
from rangeland.engine.cluster import Cluster
from rangeland.wire.members import MembershipChange

Ask = Callable[..., Completed]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster(3) as made:
        yield made


@pytest.fixture
def apis(cluster: Cluster) -> list[Api]:
    return apis_of(cluster)


@pytest.fixture
def token(cluster: Cluster, apis: list[Api]) -> str:
    return log_in(cluster, apis[0], cluster.username)


@pytest.fixture
def ask(cluster: Cluster, tmp_path: Path) -> Ask:
    """Run `rangeland node` against node 2, which is beside a standby."""
    node = cluster.nodes[1]

    def run(*words: str) -> Completed:
        environment = {"RANGELAND_NODE_URL": node.url, "RANGELAND_CERTS_DIR": node.certs_dir or ""}
        return run_command("node", *words, home=tmp_path, **environment)

    return run


def shown(api: Api, token: str) -> dict[int, tuple[int, str]]:
    """Liveness and membership by node id."""
    nodes = api.get("nodes/", token).json["nodes"]
    return {node["node_id"]: (node["liveness_status"], node["membership"]) for node in nodes}


def test_a_decommissioned_node_is_gone_everywhere_at_once_and_says_so_itself(
    cluster: Cluster, apis: list[Api], token: str, ask: Ask
) -> None:
    done = ask("decommission", "3", "--format", "tsv")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1].split("\t")[0::2] == ["3", "true"]
    for api in apis[:2]:
        assert list(shown(api, token)) == [1, 2]
        assert {session["node_id"] for session in api.get("sessions/", token).json["sessions"]} <= {1, 2}
    refused = apis[2].get("nodes/", token)
    assert refused.status == 500
    assert "node 3 was decommissioned; 'rangeland node recommission 3' takes it back" in refused.text
    assert apis[2].get("health/?ready=1").status == 500
    assert apis[2].get("health/").status == 200

    assert ask("recommission", "3").returncode == 0
    for api in apis:
        assert shown(api, token)[3] == (3, "active")
    assert apis[2].get("health/?ready=1").status == 200


def test_a_node_that_restarts_while_decommissioned_stays_out(
    cluster: Cluster, apis: list[Api], token: str, ask: Ask
) -> None:
    assert ask("decommission", "3").returncode == 0
    cluster.nodes[2].kill()
    cluster.nodes[2].start()
    wait_until(lambda: "was decommissioned" in apis[2].get("nodes/", token).text, "node 3 knows that it is out")
    assert list(shown(apis[0], token)) == [1, 2]
    assert ask("recommission", "3").returncode == 0
    wait_until(lambda: apis[2].get("health/?ready=1").status == 200, "node 3 is back")
    assert list(shown(apis[2], token)) == [1, 2, 3]


def test_a_node_that_was_silent_at_the_time_learns_of_it_when_it_is_back(
    cluster: Cluster, apis: list[Api], token: str, ask: Ask
) -> None:
    cluster.nodes[2].kill()
    assert ask("decommission", "3").returncode == 0
    assert list(shown(apis[0], token)) == [1, 2]
    cluster.nodes[2].start()
    wait_until(lambda: "was decommissioned" in apis[2].get("nodes/", token).text, "node 3 knows that it is out")
    assert ask("recommission", "3").returncode == 0
    wait_until(lambda: shown(apis[0], token).get(3) == (3, "active"), "node 3 is back")


def test_a_session_that_ended_while_a_node_was_out_is_refused_as_soon_as_it_is_back(
    cluster: Cluster, apis: list[Api], token: str
) -> None:
    """Also where that node has just recognised it, and would go on for a second."""
    ended = log_in(cluster, apis[0], cluster.username)
    first = cluster.nodes[0]
    values = {"node_url": first.url, "certs_dir": str(first.certs_dir), "insecure": False}
    assert apis[2].get("nodes/", ended).status == 200
    ask_node(values, CHANGE_MEMBERSHIP, MembershipChange(node_ids=[3], membership="decommissioned"))
    assert apis[0].log_out(ended).status == 200
    ask_node(values, CHANGE_MEMBERSHIP, MembershipChange(node_ids=[3], membership="active"))
    assert [api.get("nodes/", ended).status for api in (apis[2], apis[0])] == [401, 401]
    assert apis[2].get("nodes/", token).status == 200


def test_an_announced_decommissioning_leaves_the_node_a_member(apis: list[Api], token: str, ask: Ask) -> None:
    assert ask("decommission", "--wait", "none", "3").returncode == 0
    assert [shown(api, token)[3] for api in apis] == [(4, "decommissioning")] * 3
    assert ask("recommission", "3").returncode == 0
    assert [shown(api, token)[3] for api in apis] == [(3, "active")] * 3


def test_the_node_beside_the_primary_is_not_decommissioned(apis: list[Api], token: str, ask: Ask) -> None:
    done = ask("decommission", "1", "3")
    assert done.returncode == 1
    assert "node 1 is beside the primary" in complaint(done)
    assert shown(apis[0], token) == {1: (3, "active"), 2: (3, "active"), 3: (3, "active")}


def test_an_id_that_nobody_has_is_refused(ask: Ask) -> None:
    assert "there is no node 9" in complaint(ask("decommission", "9"))
    assert "there is no node 9" in complaint(ask("recommission", "9"))


@pytest.mark.parametrize("words", [(), ("3", "--self")])
def test_either_ids_or_self_must_be_given(ask: Ask, words: tuple[str, ...]) -> None:
    assert "--self" in complaint(ask("decommission", *words))


def test_a_drained_node_sends_load_balancers_away_and_still_answers(
    cluster: Cluster, apis: list[Api], token: str, ask: Ask
) -> None:
    done = ask("drain", "3")
    assert (done.returncode, done.stdout) == (0, "node 3 is draining\n")
    assert apis[2].get("health/?ready=1").status == 500
    assert [shown(api, token)[3] for api in apis] == [(6, "active")] * 3
    cluster.nodes[2].kill()
    cluster.nodes[2].start()
    wait_until(lambda: shown(apis[0], token)[3] == (3, "active"), "node 3 is live")


def test_a_drained_node_ends_when_it_is_told_to(cluster: Cluster, apis: list[Api], token: str, ask: Ask) -> None:
    assert ask("drain", "3", "--shutdown").returncode == 0
    wait_until(lambda: not cluster.nodes[2].is_running, "the process ends", timeout_s=20)
    assert cluster.nodes[2].stop() == 0
    cluster.nodes[2].start()
    wait_until(lambda: shown(apis[0], token)[3] == (3, "active"), "node 3 is live")


def test_each_change_is_told_in_the_event_log(apis: list[Api], token: str, ask: Ask) -> None:
    def told(kind: str) -> list[dict[str, int]]:
        return [json.loads(each["info"]) for each in apis[1].get(f"events/?type={kind}", token).json["events"]]

    kinds = ("node_decommissioning", "node_decommissioned", "node_recommissioned")
    before = {kind: len(told(kind)) for kind in kinds}
    for words in (("decommission", "--wait", "none", "3"), ("decommission", "3"), ("recommission", "3")):
        assert ask(*words).returncode == 0
    wait_until(lambda: all(len(told(kind)) == before[kind] + 1 for kind in kinds), "each is told once")
    assert {(told(kind)[0]["TargetNodeID"], told(kind)[0]["RequestingNodeID"]) for kind in kinds} == {(3, 1)}

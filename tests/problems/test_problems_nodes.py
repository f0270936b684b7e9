"""Nodes and servers that are away, and a cluster without a primary or with two."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from fix_cluster import wait_until
from fix_commands import run_command
from fix_problems import Clinic, clinic
from rangeland.engine.server import PostgresServer


@pytest.fixture(scope="module")
def sick() -> Iterator[Clinic]:
    with clinic(3, limits={"standby_connect_s": 0}) as made:
        yield made


@pytest.fixture(autouse=True)
def well_before_and_after(sick: Clinic) -> Iterator[None]:
    sick.require_well()
    yield
    sick.require_well()


def test_a_silent_node_is_one_problem_until_it_is_back(sick: Clinic) -> None:
    """Its server streams on, so there is no problem with that."""
    sick.cluster.nodes[2].kill()
    problems = [sick.only("node_silent", node=asked) for asked in (1, 2)]
    assert {(each["node_id"], each["severity"], each["evidence"]["last_role"]) for each in problems} == {
        (3, "warning", "standby")
    }
    assert problems[0]["object"] == sick.cluster.nodes[2].address
    assert problems[0]["since"] in sick.answer()["errors"][0]["message"]
    back(sick, 3)


def test_the_silent_node_of_a_primary_that_feeds_its_standbys_is_no_missing_primary(sick: Clinic) -> None:
    sick.cluster.nodes[0].kill()
    problem = sick.only("node_silent", node=2)
    assert (problem["node_id"], problem["evidence"]["last_role"]) == (1, "primary")
    assert "standbys still get WAL" in problem["summary"]
    back(sick, 1)


def test_a_silent_node_that_is_taken_out_of_use_is_no_problem(sick: Clinic, tmp_path: Path) -> None:
    node = sick.cluster.nodes[2]
    node.kill()
    problem = sick.only("node_silent")
    assert "rangeland node decommission" in problem["next_step"]
    change(sick, "decommission", tmp_path)
    assert [sick.problems(asked) for asked in (1, 2)] == [[], []]
    node.start()
    change(sick, "recommission", tmp_path)
    node.wait_until_ready()


@pytest.mark.parametrize("asked", [1, 3])
def test_a_standby_that_is_down_is_one_problem(sick: Clinic, asked: int) -> None:
    sick.server(3).stop()
    problem = sick.only("server_down", node=asked)
    assert (problem["node_id"], problem["severity"], problem["evidence"]["last_role"]) == (3, "warning", "standby")
    assert "refused" in problem["evidence"]["cause"]
    assert problem["since"].endswith("Z")
    sick.server(3).start()


def test_a_server_that_is_down_while_its_node_drains_is_no_problem(sick: Clinic, tmp_path: Path) -> None:
    change(sick, "drain", tmp_path)
    sick.server(3).stop()
    wait_until(lambda: liveness(sick, 3) == 2, "its node tells")
    assert [sick.problems(asked) for asked in (1, 2, 3)] == [[], [], []]
    sick.server(3).start()
    sick.cluster.nodes[2].stop()
    back(sick, 3)


@pytest.mark.parametrize("asked", [1, 2])
def test_a_primary_that_is_down_is_a_cluster_without_one_and_nothing_else(sick: Clinic, asked: int) -> None:
    sick.server(1).stop()
    problem = sick.only("no_primary", node=asked)
    assert (problem["node_id"], problem["severity"]) == (1, "critical")
    assert problem["evidence"]["standbys"] == 2
    assert problem["since"].endswith("Z")
    [(received, _, _)] = sick.follow(problem)
    assert received == problem["evidence"]["furthest_lsn"]
    sick.server(1).start()


def test_a_primary_that_is_gone_with_its_node_is_the_same(sick: Clinic) -> None:
    sick.cluster.nodes[0].kill()
    sick.server(1).kill()
    problem = sick.only("no_primary", node=2)
    assert problem["node_id"] == 1
    assert "node 1 is silent" in problem["summary"]
    sick.server(1).start()
    back(sick, 1)


def test_of_two_primaries_the_one_with_the_lower_timeline_is_to_be_fenced(sick: Clinic) -> None:
    """Then both go on as if nothing had happened: the one that was fenced can't follow, and is made anew."""
    old, new, third = sick.cluster.servers
    new.promote()
    for asked in (1, 2, 3):
        problem = sick.only("two_primaries", node=asked)
        assert (problem["severity"], problem["node_id"], problem["run_on_node_id"]) == ("critical", 1, 1)
        assert problem["evidence"] == {
            "kept_node_id": 2,
            "kept_timeline": 2,
            "fence_node_id": 1,
            "fence_timeline": 1,
            "primaries": 2,
        }
    sick.sql("CREATE TABLE lost ()")
    assert {row[1] for row in sick.follow(problem)} >= {"rangeland"}

    old.stop()
    renew(third, new)
    down = sick.only("server_down", node=2)
    assert (down["node_id"], down["evidence"]["last_role"]) == (1, "primary")

    sick.sql("SELECT pg_create_physical_replication_slot('server1', true)", node=2)
    old.follow(new)
    old.start()
    stray = sick.only("standby_timeline_differs", node=2)
    assert (stray["node_id"], stray["severity"]) == (1, "warning")
    told = stray["evidence"]
    assert (told["timeline"], told["primary_node_id"], told["primary_timeline"], told["streams"]) == (1, 2, 2, False)
    assert sick.follow(stray) == [("server1",)]
    sick.sql("SELECT pg_drop_replication_slot('server1')", node=2)
    renew(old, new)


def test_of_two_primaries_with_one_timeline_the_higher_node_is_to_be_fenced(sick: Clinic) -> None:
    """Two standbys of a primary that is gone were promoted: neither knows of the other."""
    kept, other = sick.cluster.servers[0], sick.cluster.servers[2]
    sick.server(2).stop()
    assert sick.only("no_primary")["node_id"] == 2
    kept.promote()
    other.promote()
    wait_until(lambda: "two_primaries" in kinds(sick), "both are told")
    [problem] = [each for each in sick.problems() if each["kind"] == "two_primaries"]
    assert problem["evidence"] == {
        "kept_node_id": 1,
        "kept_timeline": 3,
        "fence_node_id": 3,
        "fence_timeline": 3,
        "primaries": 2,
    }
    for server in (sick.server(2), other):
        renew(server, kept)


def kinds(sick: Clinic) -> list[str]:
    return [each["kind"] for each in sick.problems()]


def back(sick: Clinic, node: int) -> None:
    """Start a node that was ended."""
    sick.cluster.nodes[node - 1].start()
    sick.cluster.nodes[node - 1].wait_until_ready()


def renew(server: PostgresServer, primary: PostgresServer) -> None:
    """Make the server a standby with a new copy."""
    server.remove()
    with psycopg.connect(primary.conninfo(), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", [server.name]
        )
    server.become_standby(primary)


def change(sick: Clinic, how: str, home: Path) -> None:
    """Drain, decommission or recommission node 3."""
    where = (f"--url={sick.cluster.nodes[0].url}", f"--certs-dir={sick.cluster.nodes[0].certs_dir}")
    done = run_command("node", how, 3, *where, home=home)
    assert (done.returncode, done.stderr) == (0, "")


def liveness(sick: Clinic, node: int) -> int:
    nodes = sick.apis[0].get("nodes/", sick.token).json["nodes"]
    [found] = [int(each["liveness_status"]) for each in nodes if each["node_id"] == node]
    return found

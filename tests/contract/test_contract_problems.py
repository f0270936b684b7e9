"""GET /problems/: fields, filters, and what it says of nodes and databases that can't be looked at."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from contract.committed import departures
from fix_cluster import ANSWER_S, Reply, add_user, log_in, new_client, session_url, wait_until
from fix_engine import wait_for_replay
from fix_problems import FOUND_S, Clinic, clinic
from rangeland.checks.table import KINDS
from rangeland.engine.server import PostgresServer

PLACES = {("slot_inactive", "one"), ("slot_inactive", "two"), ("index_duplicate", "public.twice_b_idx1")}
DATABASE = "shut"


@pytest.fixture(scope="module")
def sick() -> Iterator[Clinic]:
    """A slot that nobody follows at nodes 1 and 2, two warnings, and an index that is there twice, a note."""
    with clinic(3, limits={"slot_inactive_s": 0, "slot_retained_bytes": 1e6}) as made:
        made.require_well()
        made.sql("SELECT pg_create_physical_replication_slot('one', true)")
        made.sql("SELECT pg_create_physical_replication_slot('two', true)", node=2)
        made.sql("CREATE TABLE twice (b int)", "CREATE INDEX ON twice (b)", "CREATE INDEX ON twice (b)")
        wait_until(lambda: objects(made) == PLACES, "all are found", timeout_s=FOUND_S, poll_s=0.2)
        yield made


def asked(sick: Clinic, node: int = 1, **parameters: object) -> Reply:
    return sick.apis[node - 1].get(session_url("problems/", **parameters), sick.token)


def objects(sick: Clinic, node: int = 1, **parameters: object) -> set[tuple[str, str]]:
    """Kinds and objects of the problems that were asked for."""
    answer = asked(sick, node, **parameters)
    assert answer.status == 200, answer.text
    return {(each["kind"], each["object"]) for each in answer.json["problems"]}


def test_keeps_the_committed_contract_and_every_node_tells_the_same_worst_first(sick: Clinic) -> None:
    wait_until(
        lambda: all(objects(sick, node) == PLACES for node in (1, 2, 3)), "every node knows", timeout_s=FOUND_S
    )
    answers = [asked(sick, node).json for node in (1, 2, 3)]
    for answer in answers:
        assert departures(answer, "ProblemsAnswer") == []
        assert [each["severity"] for each in answer["problems"]] == ["warning", "warning", "info"]
        assert [each.get("node_id") for each in answer["problems"]] == [1, 2, None]
        assert (answer["unchecked"], answer["errors"]) == ([], [])
        assert "omitted" not in answer


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({"severity": "warning"}, {"one", "two"}),
        ({"severity": "info"}, {"public.twice_b_idx1"}),
        ({"severity": "critical"}, set()),
        ({"severity": ""}, {"one", "two", "public.twice_b_idx1"}),
        ({"kind": "slot_inactive"}, {"one", "two"}),
        ({"kind": "slot_lost"}, set()),
        ({"node_id": 2}, {"two"}),
        ({"node_id": "local"}, {"one"}),
        ({"node_id": 3}, set()),
        ({"node_id": 2, "severity": "warning", "kind": "slot_inactive"}, {"two"}),
        ({"node_id": 2, "severity": "info", "kind": "slot_inactive"}, set()),
        ({"unknown": "yes"}, {"one", "two", "public.twice_b_idx1"}),
    ],
)
def test_parameters_pick_problems_and_all_of_them_have_to_fit(
    sick: Clinic, parameters: dict[str, Any], found: set[str]
) -> None:
    assert {each for _, each in objects(sick, **parameters)} == found


def test_local_is_the_node_that_is_asked(sick: Clinic) -> None:
    assert objects(sick, 2, node_id="local") == {("slot_inactive", "two")}


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"severity": "fatal"}, "invalid severity; should be critical, warning or info\n"),
        ({"severity": "Critical"}, "invalid severity; should be critical, warning or info\n"),
        ({"kind": "slot_inactiv"}, f"invalid kind; there are {', '.join(sorted(KINDS))}\n"),
        ({"node_id": "0"}, "invalid node ID\n"),
        ({"node_id": "LOCAL"}, "invalid node ID\n"),
        ({"node_id": 2**31}, "invalid node ID\n"),
    ],
)
def test_what_can_find_nothing_is_400_and_does_not_look_healthy(
    sick: Clinic, parameters: dict[str, Any], text: str
) -> None:
    answer = asked(sick, **parameters)
    assert (answer.status, answer.text) == (400, text)


def test_a_node_that_does_not_exist_is_named(sick: Clinic) -> None:
    answer = asked(sick, node_id=99).json
    assert answer["problems"] == []
    assert answer["errors"] == [{"node_id": 99, "message": "there is no node 99"}]


def test_members_of_pg_monitor_may_ask_and_others_not(sick: Clinic) -> None:
    add_user(sick.cluster, "seer", "LOGIN IN ROLE pg_monitor")
    add_user(sick.cluster, "nobody_known")
    for name, status in (("seer", 200), ("nobody_known", 403)):
        password = sick.cluster.servers[0].password_by_user[name]
        token = sick.apis[0].log_in(name, password, client=new_client()).json["session"]
        assert sick.apis[0].get("problems/", token).status == status


def locked(server: PostgresServer) -> psycopg.Connection:
    """A transaction that keeps everybody from reading about indexes in that database."""
    connection = psycopg.connect(server.conninfo(DATABASE))
    connection.execute("LOCK TABLE pg_catalog.pg_index IN ACCESS EXCLUSIVE MODE")
    return connection


def shut_at(sick: Clinic) -> set[int]:
    """The nodes that could not look into the locked database."""
    return {each["node_id"] for each in asked(sick).json["unchecked"] if each.get("database") == DATABASE}


def test_a_locked_database_is_told_delays_nobody_and_is_read_again(sick: Clinic) -> None:
    """A lock on a standby's catalogue comes by replay."""
    sick.sql(f"CREATE DATABASE {DATABASE}")
    for standby in sick.cluster.servers[1:]:
        wait_for_replay(sick.cluster.servers[0], standby)
    with locked(sick.server()) as connection:
        wait_until(lambda: 1 in shut_at(sick), "the database can't be read", timeout_s=FOUND_S, poll_s=0.2)
        for _ in range(3):
            answer = asked(sick)
            assert answer.elapsed_s < ANSWER_S / 2
            assert {each["object"] for each in answer.json["problems"]} == {each for _, each in PLACES}
        connection.rollback()
    wait_until(lambda: shut_at(sick) == set(), "it is read again", timeout_s=90, poll_s=0.5)
    sick.sql(f"DROP DATABASE {DATABASE}")


def test_who_asks_while_others_ask_waits_no_longer(sick: Clinic) -> None:
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda number: asked(sick, 1 + number % 3), range(24)))
    assert {answer.status for answer in answers} == {200}
    assert max(answer.elapsed_s for answer in answers) < ANSWER_S


def test_a_server_that_hangs_delays_nobody_beyond_the_limit_and_is_told(sick: Clinic) -> None:
    with sick.server(2).paused():
        begun = time.monotonic()
        answer = asked(sick)
        assert time.monotonic() - begun < ANSWER_S
        wait_until(lambda: 2 in unknown_nodes(sick), "what node 2 could not read is told")
        assert asked(sick).elapsed_s < ANSWER_S
        assert ("slot_inactive", "one") in objects(sick)
        assert ("slot_inactive", "two") not in objects(sick)
    wait_until(lambda: objects(sick) >= PLACES and not unknown_nodes(sick), "all is told again", timeout_s=FOUND_S)
    assert answer.status == 200


def unknown_nodes(sick: Clinic) -> set[int]:
    answer = asked(sick).json
    return {each["node_id"] for each in (*answer["unchecked"], *answer["errors"])}


def test_nodes_that_are_down_are_named_and_the_others_problems_told(sick: Clinic) -> None:
    nodes = sick.cluster.nodes
    for number in (2, 3):
        nodes[number - 1].kill()
    try:
        for _ in range(2):
            answer = asked(sick)
            assert answer.elapsed_s < ANSWER_S
            assert [each["node_id"] for each in answer.json["errors"]] == [2, 3]
            assert ("slot_inactive", "one") in objects(sick)
            assert all(each["message"].startswith("failed to dial into node") for each in answer.json["errors"])
    finally:
        for number in (2, 3):
            nodes[number - 1].start()
        for number in (2, 3):
            nodes[number - 1].wait_until_ready()
    wait_until(lambda: objects(sick) >= PLACES and not unknown_nodes(sick), "all is told again", timeout_s=FOUND_S)
    assert log_in(sick.cluster, sick.apis[1], sick.cluster.username)

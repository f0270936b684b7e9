"""/health/restart_safety/ on real servers: each answer is what stopping that server would really cost."""

from __future__ import annotations

import json
from collections.abc import Iterator

import psycopg
import pytest

from contract.committed import departures
from fix_cluster import Api, Reply, apis_of, running_cluster, wait_until
from rangeland.engine.cluster import Cluster

PATH = "health/restart_safety/"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster(3) as made:
        yield made


@pytest.fixture
def apis(cluster: Cluster) -> list[Api]:
    found = apis_of(cluster)
    wait_until(
        lambda: found[1].get(PATH).status == found[2].get(PATH).status == 200, "both standbys stream", timeout_s=20
    )
    return found


def kinds(reply: Reply) -> list[str]:
    """Of the reasons in an answer that says no."""
    assert reply.status == 503
    return [reason["kind"] for reason in json.loads(reply.body)["reasons"]]


def test_a_standby_can_be_stopped_and_the_primary_can_not(apis: list[Api]) -> None:
    safe = apis[1].get(PATH)
    assert safe.headers["content-type"] == "application/json"
    assert safe.json == {"is_restart_safe": True, "node_id": 2, "store_not_draining_count": 1}
    unsafe = apis[0].get(PATH)
    assert kinds(unsafe) == ["primary"]
    assert [departures(json.loads(reply.body), "RestartSafetyAnswer") for reply in (safe, unsafe)] == [[], []]
    assert unsafe.headers["content-type"] == "application/json"
    assert kinds(apis[0].get(f"{PATH}?allow_minimum_quorum=true")) == ["primary"]


def test_a_standby_that_commits_wait_for_can_not_be_stopped(cluster: Cluster, apis: list[Api]) -> None:
    cluster.servers[0].configure(synchronous_standby_names="ANY 2 (*)")
    try:
        wait_until(lambda: apis[1].get(PATH).status == 503, "the setting is in force")
        assert [kinds(api.get(f"{PATH}?allow_minimum_quorum=true")) for api in apis[1:]] == [["synchronous"]] * 2
        cluster.servers[0].configure(synchronous_standby_names="ANY 1 (*)")
        wait_until(lambda: apis[1].get(PATH).status == 200, "one of two is enough")
    finally:
        cluster.servers[0].configure(synchronous_standby_names="")


def test_the_last_standby_can_not_be_stopped(cluster: Cluster, apis: list[Api]) -> None:
    cluster.servers[2].stop()
    try:
        wait_until(lambda: apis[1].get(PATH).status == 503, "the primary misses standby 3")
        assert kinds(apis[1].get(PATH)) == ["last_standby"]
        assert apis[1].get(f"{PATH}?allow_minimum_quorum=true").status == 200
        down = apis[2].get(PATH)
        assert (down.status, down.text) == (500, "Error checking store status\n")
    finally:
        cluster.servers[2].start()


def test_a_standby_that_hangs_is_no_second_copy(cluster: Cluster, apis: list[Api]) -> None:
    """It goes on "streaming" for wal_sender_timeout, a minute."""
    with cluster.servers[2].paused():
        with psycopg.connect(cluster.servers[0].conninfo(), autocommit=True) as conn:
            conn.execute("SELECT pg_logical_emit_message(false, 'filler', repeat('x', 17 << 20))")
            conn.execute("SELECT pg_switch_wal()")
        wait_until(lambda: apis[1].get(PATH).status == 503, "standby 3 is behind")
        [reason] = json.loads(apis[1].get(PATH).body)["reasons"]
        assert reason["kind"] == "last_standby"
        assert "16 MiB of WAL behind" in reason["text"]


def test_without_a_primary_no_standby_can_be_stopped(cluster: Cluster, apis: list[Api]) -> None:
    cluster.servers[0].stop()
    try:
        wait_until(lambda: apis[1].get(PATH).status == 503, "the primary is gone")
        assert kinds(apis[1].get(PATH)) == ["no_primary"]
    finally:
        cluster.servers[0].start()


def test_a_flag_that_is_none_is_told(apis: list[Api]) -> None:
    reply = apis[1].get(f"{PATH}?allow_minimum_quorum=yes")
    assert (reply.status, reply.text) == (400, "invalid allow_minimum_quorum value; should be true or false\n")


def test_it_is_for_get_only(apis: list[Api]) -> None:
    assert apis[1].request("POST", PATH).status == 405

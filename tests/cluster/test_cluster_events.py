"""Every type of event, made for real: nodes that go and return, a new primary, logins, and nobody there to write.

The tests go on where the one before ended; the last ones change the primary.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from fix_cluster import Api, add_user, apis_of, log_in, new_client, running_cluster, wait_until
from rangeland.config import program
from rangeland.engine.cluster import Cluster
from rangeland.engine.server import PostgresServer

FAILURES = 50
MINUTE_S = 60.0
NOTICED_S = 30.0  # a round each 10 s, one more to be sure, a second to write, on a busy machine


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Of this module alone."""
    with running_cluster(3) as made:
        add_user(made, "operator", "LOGIN IN ROLE admin")
        yield made


@pytest.fixture(scope="module")
def apis(cluster: Cluster) -> list[Api]:
    return apis_of(cluster)


@pytest.fixture(scope="module")
def token(cluster: Cluster, apis: list[Api]) -> str:
    return log_in(cluster, apis[0], cluster.username)


@pytest.fixture(scope="module", autouse=True)
def burst(cluster: Cluster, apis: list[Api], token: str) -> float:
    """Wrong logins at two nodes, half of them with a name that is no role; when the first one came."""
    began = time.time()
    for number in range(FAILURES):
        name = "operator" if number % 2 else f"secret {number}"
        answer = apis[number % 3].log_in(name, "wrong", client=new_client())
        assert answer.status == 401, number
        if number % 2:  # a good one in between, or the name's owner would have to wait
            log_in(cluster, apis[0], "operator")
    wait_until(lambda: _count_logins(apis[0], token, "operator") == FAILURES // 2, "the good ones are written")
    return began


def infos(api: Api, token: str, event_type: str) -> list[dict[str, Any]]:
    """Of all events of a type, oldest first."""
    events = api.get(f"events/?type={event_type}", token).json["events"]
    return [{**json.loads(event["info"]), "reporting_id": event["reporting_id"]} for event in reversed(events)]


def new_infos(
    apis: list[Api], token: str, event_type: str, before: int, count: int = 1, *, timeout_s: float = NOTICED_S
) -> list[dict[str, Any]]:
    """Those beyond the first `before`, once that many are there, on every node that is given."""
    for api in apis:

        def are_there(api: Api = api) -> bool:
            return len(infos(api, token, event_type)) >= before + count

        wait_until(are_there, f"{event_type} at {api.url}", timeout_s=timeout_s, poll_s=0.1)
    return infos(apis[0], token, event_type)[before:]


def count_of(api: Api, token: str, event_type: str) -> int:
    return len(infos(api, token, event_type))


def ids_once_alike(apis: list[Api], token: str) -> set[str]:
    """Of all events, once every node's server has replayed them."""
    found: list[set[str]] = []

    def are_alike() -> bool:
        found[:] = [{each["unique_id"] for each in api.get("events/", token).json["events"]} for api in apis]
        return all(each == found[0] for each in found)

    wait_until(are_alike, "every node tells the same")
    return found[0]


def test_a_login_tells_user_and_address_and_a_logout_too(cluster: Cluster, apis: list[Api], token: str) -> None:
    before = [count_of(apis[0], token, each) for each in ("user_login", "user_logout")]
    client = new_client()
    made = apis[1].log_in("operator", cluster.servers[0].password_by_user["operator"], client=client).json["session"]
    [login] = new_infos(apis, token, "user_login", before[0])
    assert (login["User"], login["RemoteAddress"], login["Method"]) == ("operator", client, "password")
    assert login["reporting_id"] == 1  # the primary's node decides
    assert apis[2].log_out(made).status == 200
    [logout] = new_infos(apis, token, "user_logout", before[1])
    assert (logout["User"], logout["RemoteAddress"], logout["Method"]) == ("operator", "127.0.0.1", "token")
    assert logout["reporting_id"] == 3
    printed = apis[0].get("events/", token).text
    assert made not in printed
    assert token not in printed


def test_the_command_with_the_cluster_key_is_told_with_how_many_sessions_it_ended(
    cluster: Cluster, apis: list[Api], token: str
) -> None:
    before = [count_of(apis[0], token, each) for each in ("user_login", "user_logout")]
    add_user(cluster, "visitor", "LOGIN IN ROLE admin")
    for _ in range(2):
        _command(cluster, "login", "visitor")
    logins = new_infos(apis[:1], token, "user_login", before[0], 2)
    assert [(each["User"], each["Method"], "RemoteAddress" in each) for each in logins] == [
        ("visitor", "cluster key", False)
    ] * 2
    _command(cluster, "logout", "visitor")
    [logout] = new_infos(apis[:1], token, "user_logout", before[1])
    assert (logout["User"], logout["Method"], logout["Count"]) == ("visitor", "cluster key", 2)


def test_a_login_neither_fails_nor_waits_for_a_table_that_is_locked(
    cluster: Cluster, apis: list[Api], token: str
) -> None:
    """Its event comes when the lock has gone."""
    before = count_of(apis[0], token, "user_login")
    with psycopg.connect(cluster.servers[0].conninfo()) as connection:
        connection.execute("LOCK TABLE rangeland.events IN EXCLUSIVE MODE")  # reading goes on
        for _ in range(5):
            answer = apis[0].log_in("operator", cluster.servers[0].password_by_user["operator"])
            assert (answer.status, answer.elapsed_s < 1.5) == (200, True)
        time.sleep(1.5)  # it is tried meanwhile, and tried again
        assert count_of(apis[0], token, "user_login") == before
    assert len(new_infos(apis[:1], token, "user_login", before, 5)) == 5


def test_a_node_that_is_killed_left_and_one_that_is_started_again_returned(
    cluster: Cluster, apis: list[Api], token: str
) -> None:
    kinds = ("node_left", "node_return", "node_restart")
    before = {kind: count_of(apis[0], token, kind) for kind in kinds}
    killed_ns = time.time_ns()
    cluster.nodes[2].kill()
    [left] = new_infos(apis[:2], token, "node_left", before["node_left"])
    assert (left["NodeID"], left["Reason"], left["reporting_id"]) == (3, "silent", 1)
    assert killed_ns < left["Since"] < time.time_ns() - 4 * 10**9
    started_ns = time.time_ns()
    cluster.nodes[2].start()
    [returned] = new_infos(apis[:2], token, "node_return", before["node_return"])
    assert (returned["NodeID"], returned["Since"]) == (3, left["Since"])
    [restarted] = new_infos(apis, token, "node_restart", before["node_restart"])
    assert (restarted["NodeID"], restarted["reporting_id"]) == (3, 3)
    assert restarted["LastUp"] < killed_ns < started_ns < restarted["StartedAt"]
    assert {kind: count_of(apis[0], token, kind) - before[kind] for kind in kinds} == dict.fromkeys(kinds, 1)


def test_fifty_failed_logins_in_a_minute_are_one_event(apis: list[Api], token: str, burst: float) -> None:
    """Names that are no roles are not told: people type passwords into the wrong field."""
    left_s = max(burst + MINUTE_S - time.time(), 0.0)
    [failed] = new_infos(apis, token, "user_login_failed", 0, timeout_s=left_s + NOTICED_S)
    assert (failed["Count"], failed["Users"], failed["reporting_id"]) == (FAILURES, ["operator"], 1)
    assert "TurnedAway" not in failed
    assert len(failed["RemoteAddresses"]) == 10
    assert burst * 1e9 < failed["Since"] < (burst + 5) * 1e9
    assert "secret" not in apis[0].get("events/", token).text


def test_rounds_in_which_nothing_changes_write_nothing(cluster: Cluster) -> None:
    """Once the failed logins, too, have been told."""
    wait_until(lambda: _last_write(cluster) == _last_write(cluster, after_s=2.0), "all is written")
    assert _last_write(cluster) == _last_write(cluster, after_s=21.0)


def test_a_server_that_is_stopped_left_and_returned(cluster: Cluster, apis: list[Api], token: str) -> None:
    before = {kind: count_of(apis[0], token, kind) for kind in ("node_left", "node_return")}
    with cluster.servers[1].paused():
        [left] = new_infos(apis[:1], token, "node_left", before["node_left"])
        assert (left["NodeID"], left["Reason"]) == (2, "server down")
        assert cluster.nodes[0].log.read_text("utf-8").count("a node's server is down") == 1
    [returned] = new_infos(apis[:1], token, "node_return", before["node_return"])
    assert (returned["NodeID"], returned["Reason"]) == (2, "server down")


def test_a_primary_that_was_down_for_a_moment_is_told_by_its_own_node(
    cluster: Cluster, apis: list[Api], token: str
) -> None:
    before = {kind: count_of(apis[0], token, kind) for kind in ("node_left", "node_return", "node_promoted")}
    cluster.servers[0].kill()
    wait_until(lambda: apis[0].get("health/?ready=true").status == 500, "its node notices", timeout_s=20)
    assert len(apis[0].get("events/", token).json["events"]) > 10  # another node's server tells them
    cluster.servers[0].start()
    for kind in ("node_left", "node_return"):
        [told] = new_infos(apis[:1], token, kind, before[kind])
        assert (told["NodeID"], told["Reason"], told["reporting_id"]) == (1, "server down", 1)
    assert count_of(apis[0], token, "node_promoted") == before["node_promoted"]


def test_what_happens_without_a_primary_is_told_after_the_promotion(
    cluster: Cluster, apis: list[Api], token: str
) -> None:
    """Meanwhile what is known goes on being answered, by every node."""
    primary, standby, other = cluster.servers
    _make_slot(standby, other.name)
    known = ids_once_alike(apis, token)
    before = {kind: count_of(apis[1], token, kind) for kind in ("node_left", "node_restart", "node_promoted")}
    primary.kill()
    cluster.nodes[2].kill()
    cluster.nodes[2].start()
    cluster.nodes[2].wait_until_serving()
    for api in apis:
        wait_until(lambda api=api: api.get("events/", token).status == 200, "answered", timeout_s=20)  # type: ignore[misc]
        assert {event["unique_id"] for event in api.get("events/", token).json["events"]} == known
    standby.promote()
    other.stop(immediately=True)
    other.follow(standby)
    other.start()
    [promoted] = new_infos(apis, token, "node_promoted", before["node_promoted"])
    assert (promoted["NodeID"], promoted["OldNodeID"], promoted["reporting_id"]) == (2, 1, 2)
    assert promoted["Timeline"] > promoted["OldTimeline"]
    [restarted] = new_infos(apis, token, "node_restart", before["node_restart"])
    assert (restarted["NodeID"], restarted["Timestamp"] < promoted["Timestamp"]) == (3, True)
    left = new_infos(apis[1:], token, "node_left", before["node_left"])
    assert [(each["NodeID"], each["Reason"], each["reporting_id"]) for each in left][:1] == [(1, "server down", 2)]


def test_an_old_primary_that_comes_back_takes_no_event(cluster: Cluster, apis: list[Api], token: str) -> None:
    """Neither its own node nor another writes there, and the new primary is not promoted twice."""
    old, new = cluster.servers[:2]
    before = count_of(apis[1], token, "node_restart")
    old.start()
    rows = _count_rows(old)
    cluster.nodes[0].kill()
    cluster.nodes[0].start()
    [restarted] = new_infos(apis[1:], token, "node_restart", before)
    assert (restarted["NodeID"], restarted["reporting_id"]) == (1, 1)
    log_in(cluster, apis[0], "operator")
    wait_until(lambda: infos(apis[1], token, "node_return"), "it returned", timeout_s=NOTICED_S)
    time.sleep(11)  # its own round comes and goes
    assert _count_rows(old) == rows
    assert _count_rows(new) > rows
    assert count_of(apis[1], token, "node_promoted") == 1
    old.stop()


def test_a_node_that_is_told_to_stop_has_its_events_written_down(
    cluster: Cluster, apis: list[Api], token: str
) -> None:
    """Also the failed logins of a minute that is not over."""
    before = count_of(apis[1], token, "user_login_failed")
    assert apis[2].log_in("operator", "wrong", client=new_client()).status == 401
    assert cluster.nodes[1].stop() == 0
    [failed] = new_infos(apis[2:], token, "user_login_failed", before)
    assert (failed["Count"], failed["Users"], failed["reporting_id"]) == (1, ["operator"], 2)


def _count_logins(api: Api, token: str, user: str) -> int:
    return sum(each["User"] == user for each in infos(api, token, "user_login"))


def _command(cluster: Cluster, *arguments: str) -> None:
    node = cluster.nodes[1]
    flags = [f"--url={node.url}", f"--certs-dir={node.certs_dir}"]
    subprocess.run([*program(), "auth-session", *arguments, *flags], capture_output=True, timeout=20, check=True)


def _make_slot(server: PostgresServer, name: str) -> None:
    with closing(psycopg.connect(server.conninfo(), autocommit=True)) as connection:
        connection.execute("SELECT pg_create_physical_replication_slot(%s)", [name])


def _last_write(cluster: Cluster, *, after_s: float = 0.0) -> int:
    """The youngest transaction that left a row in a table of ours."""
    time.sleep(after_s)
    tables = ("settings", "nodes", "databases", "web_sessions", "events")
    rows = " UNION ALL ".join(f"SELECT xmin::text::int8 AS xid FROM rangeland.{name}" for name in tables)
    with closing(psycopg.connect(cluster.servers[0].conninfo())) as connection:
        row = connection.execute(f"SELECT max(xid) FROM ({rows}) AS written".encode()).fetchone()
    assert row is not None
    return int(row[0])


def _count_rows(server: PostgresServer) -> int:
    with closing(psycopg.connect(server.conninfo())) as connection:
        row = connection.execute("SELECT count(*) FROM rangeland.events").fetchone()
    assert row is not None
    return int(row[0])

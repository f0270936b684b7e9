"""Two primaries, as after a promotion that the old one never heard of: only the higher timeline is written to."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psycopg
import pytest

from fix_cluster import Api, apis_of, log_in, running_cluster, wait_until
from rangeland.auth.session_token import decode_token
from rangeland.engine.cluster import Cluster
from rangeland.engine.server import PostgresServer

NOTICED_S = 2.0  # from a promotion until every node writes to the new primary
WARNING = "two primaries"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Of this module alone: its second server becomes a primary, too."""
    with running_cluster(3) as made:
        yield made


@pytest.fixture(scope="module")
def apis(cluster: Cluster) -> list[Api]:
    return apis_of(cluster)


def test_one_primary_is_written_to_through_every_node_and_no_log_speaks_of_two(
    cluster: Cluster, apis: list[Api]
) -> None:
    tokens = [log_in(cluster, api, cluster.username) for api in apis]
    assert [_holds(cluster.servers[0], token) for token in tokens] == [True] * 3
    assert not any(WARNING in node.log.read_text("utf-8") for node in cluster.nodes)


def test_a_logout_while_the_primary_s_node_hangs_is_written_when_that_goes_on(
    cluster: Cluster, apis: list[Api]
) -> None:
    """By the node that took it: neither server has changed meanwhile."""
    token = log_in(cluster, apis[0], cluster.username)
    cluster.nodes[0].pause()
    try:
        assert apis[1].log_out(token).status == 200
        assert not _holds(cluster.servers[0], token, "revoked_at IS NOT NULL")
    finally:
        cluster.nodes[0].resume()
    wait_until(partial(_holds, cluster.servers[0], token, "revoked_at IS NOT NULL"), "it is written")
    assert [api.get("nodes/", token).status for api in apis] == [401] * 3


def test_of_two_primaries_the_higher_timeline_is_written_to_and_both_are_reported(
    cluster: Cluster, apis: list[Api]
) -> None:
    """Nobody tells the first that the second was promoted; its own node sends logins there."""
    old, new, _ = cluster.servers
    before = log_in(cluster, apis[0], cluster.username)
    new.promote()
    for api in apis:
        wait_until(partial(_is_written_to, cluster, api, new), "the new one is written to", timeout_s=NOTICED_S)
    tokens = [log_in(cluster, api, cluster.username) for api in apis]
    assert [_holds(new, token) for token in tokens] == [True] * 3
    assert [_holds(old, token) for token in tokens] == [False] * 3
    for api, node in zip(apis, cluster.nodes, strict=True):
        assert [api.get("nodes/", token).status for token in (before, *tokens)] == [200] * 4
        shown = {
            each["node_id"]: (each["role"], each["timeline"]) for each in api.get("nodes/", before).json["nodes"]
        }
        assert shown == {1: ("primary", 1), 2: ("primary", 2), 3: ("standby", 1)}
        assert {each["leaseholder_node_id"] for each in api.get("ranges/hot/", before).json["ranges"]} == {2}
        wait_until(partial(_warns, node.log), "its log tells", timeout_s=5)


def test_a_logout_through_the_old_primary_s_node_is_written_on_the_new_one(cluster: Cluster, apis: list[Api]) -> None:
    new = cluster.servers[1]
    wait_until(partial(_is_written_to, cluster, apis[0], new), "the new one is written to")
    token = log_in(cluster, apis[2], cluster.username)
    assert apis[0].log_out(token).status == 200
    assert _holds(new, token, "revoked_at IS NOT NULL")
    assert [api.get("nodes/", token).status for api in apis] == [401] * 3


def test_when_the_old_primary_is_gone_the_nodes_say_so(cluster: Cluster, apis: list[Api]) -> None:
    cluster.servers[0].kill()
    token = log_in(cluster, apis[1], cluster.username)

    def is_told() -> bool:
        apis[0].get("nodes/", token)
        return "one primary again" in cluster.nodes[0].log.read_text("utf-8")

    wait_until(is_told, "the old primary's node tells")
    assert log_in(cluster, apis[0], cluster.username)


def _is_written_to(cluster: Cluster, api: Api, server: PostgresServer) -> bool:
    return _holds(server, log_in(cluster, api, cluster.username))


def _holds(server: PostgresServer, token: str, condition: str = "true") -> bool:
    """Whether the server has the session of a token, and that is so."""
    decoded = decode_token(token)
    assert decoded is not None
    statement = f"SELECT FROM rangeland.web_sessions WHERE id = %s AND {condition}"
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        return connection.execute(statement.encode(), [decoded[0]]).fetchone() is not None


def _warns(log: Path) -> bool:
    """Whether one line names both primaries."""
    return any(
        all(word in line for word in (WARNING, "trusted_node_id=2", "trusted_timeline=2", "other_node_id=1"))
        for line in log.read_text("utf-8").splitlines()
    )

"""Logouts that a dying primary took with it: its nodes remember them, and the next primary has them written again."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from fix_cluster import Api, apis_of, log_in, new_client, running_cluster, wait_until
from fix_engine import wait_for_replay
from fix_lags import stopped_senders
from rangeland.auth.session_token import decode_token
from rangeland.engine.cluster import Cluster
from rangeland.engine.server import PostgresServer


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Of this module alone; the tests follow one another: after the first its second server is the primary."""
    with running_cluster(3) as made:
        yield made


@pytest.fixture(scope="module")
def apis(cluster: Cluster) -> list[Api]:
    return apis_of(cluster)


def test_logouts_that_were_never_replicated_are_written_to_the_promoted_standby(
    cluster: Cluster, apis: list[Api]
) -> None:
    """Ended at each node right before; then all nodes are killed at once, so that nothing but the table is left."""
    old, new, other = cluster.servers
    _execute(new, f"SELECT pg_create_physical_replication_slot('{other.name}')")
    ended = [log_in(cluster, api, cluster.username) for api in apis]
    live = log_in(cluster, apis[0], cluster.username)
    for standby in (new, other):
        wait_for_replay(old, standby)
    with stopped_senders(old):
        for api, token in zip(apis, ended, strict=True):
            assert api.log_out(token).status == 200
        lost = log_in(cluster, apis[1], cluster.username)
        old.kill()
    assert [_is_written(new, token) for token in ended] == [False] * 3
    assert [_statuses(apis, token) for token in ended] == [[401] * 3] * 3
    new.promote()
    assert [_statuses(apis, token) for token in ended] == [[401] * 3] * 3
    other.stop(immediately=True)
    other.follow(new)
    other.start()
    wait_until(lambda: all(_is_written(new, token) for token in ended), "they are written again", timeout_s=20)
    for node in cluster.nodes:
        node.kill()
    for node in cluster.nodes:
        node.start()
    for node in cluster.nodes[1:]:
        node.wait_until_ready()
    cluster.nodes[0].wait_until_serving()
    wait_until(lambda: _statuses(apis, live) == [200] * 3, "the other token works", timeout_s=20)
    assert [_statuses(apis, token) for token in ended] == [[401] * 3] * 3
    assert _statuses(apis, lost) == [401] * 3


def test_an_old_primary_that_comes_back_recognises_nobody_on_its_own(cluster: Cluster, apis: list[Api]) -> None:
    """What was made, ended or taken away since its day isn't in its tables."""
    old, new, _ = cluster.servers
    _create_reader(cluster, "promoted")
    ended, live = (_log_in(apis[2], "promoted", cluster.servers[1].password_by_user["promoted"]) for _ in range(2))
    old.start()
    cluster.nodes[0].wait_until_ready()
    wait_until(lambda: _statuses(apis, live) == [200] * 3, "recognised everywhere", timeout_s=10)
    assert apis[1].log_out(ended).status == 200
    cluster.nodes[0].kill()
    cluster.nodes[0].start()
    cluster.nodes[0].wait_until_ready()
    assert _statuses(apis, ended) == [401] * 3
    assert _statuses(apis, live) == [200] * 3
    _execute(new, "REVOKE admin FROM promoted")
    wait_until(lambda: _statuses(apis, live) == [403] * 3, "403 everywhere")


def _create_reader(cluster: Cluster, name: str) -> None:
    """On the promoted server, and known to who follows it."""
    _, new, other = cluster.servers
    new.create_role(name, "LOGIN IN ROLE admin")
    wait_for_replay(new, other)


def _log_in(api: Api, username: str, password: str) -> str:
    token: str = api.log_in(username, password, client=new_client()).json["session"]
    return token


def _is_written(server: PostgresServer, token: str) -> bool:
    decoded = decode_token(token)
    assert decoded is not None
    query = f"SELECT revoked_at IS NOT NULL FROM rangeland.web_sessions WHERE id = {decoded[0]}"
    return _execute(server, query) is True


def _statuses(apis: list[Api], token: str) -> list[int]:
    return [api.get("users/?limit=1", token).status for api in apis]


def _execute(server: PostgresServer, statement: str) -> object:
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
    return row[0] if row else None

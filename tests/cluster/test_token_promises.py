"""A token works on every node from login to logout and on none afterwards, whatever lags or is broken meanwhile."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from typing import Any

import psycopg
import pytest

from fix_cluster import Api, add_user, apis_of, log_in, new_client, running_cluster, wait_until
from fix_engine import wait_for_replay
from fix_lags import LAGS, Lag, delayed_replay, stopped_receiver
from rangeland.auth.session_token import decode_token, encode_token
from rangeland.cli.asking import ask_node
from rangeland.cluster.peer_token import derived
from rangeland.cluster.questions import LOG_USER_OUT, REVOKE
from rangeland.engine.cluster import Cluster
from rangeland.engine.node import NodeProcess
from rangeland.tls import read_cluster_keys
from rangeland.wire.members import Revocation, UserParams

MANY = 2_500  # ids of more than 2,100 don't fit into one question
FORGOTTEN_S = 3.0  # a node cleans up each second


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Of this module alone."""
    with running_cluster(3) as made:
        yield made


@pytest.fixture(scope="module")
def apis(cluster: Cluster) -> list[Api]:
    return apis_of(cluster)


@pytest.fixture
def token(cluster: Cluster, apis: list[Api]) -> str:
    """Of a login that every server knows."""
    return _known_everywhere(cluster, apis)


# lag


@pytest.mark.parametrize("lag", LAGS, ids=lambda lag: lag.__name__)
def test_lag_neither_delays_a_token_nor_prolongs_it(cluster: Cluster, apis: list[Api], token: str, lag: Lag) -> None:
    """Both standbys lag: those that were made before and during the lag, ended at each node."""
    with ExitStack() as stack:
        for standby in cluster.servers[1:]:
            stack.enter_context(lag(standby))
        for ender in apis:
            made = log_in(cluster, apis[2], cluster.username)
            assert _statuses(apis, made) == [200, 200, 200]
            assert ender.log_out(made).status == 200
            assert _statuses(apis, made) == [401, 401, 401]
        assert _statuses(apis, token) == [200, 200, 200]
        assert apis[1].log_out(token).status == 200
        assert _statuses(apis, token) == [401, 401, 401]


@pytest.mark.parametrize("lag", LAGS, ids=lambda lag: lag.__name__)
def test_a_node_that_was_down_during_the_logout_refuses_though_its_server_lags(
    cluster: Cluster, apis: list[Api], token: str, lag: Lag
) -> None:
    live = _known_everywhere(cluster, apis)
    with lag(cluster.servers[2]):
        cluster.nodes[2].kill()
        assert apis[1].log_out(token).status == 200
        cluster.nodes[2].start()
        seen = _seen_until_ready(cluster.nodes[2], apis[2], token)
        assert seen <= {None, 401, 500}
        assert _statuses(apis, token) == [401, 401, 401]
        assert _statuses(apis, live) == [200, 200, 200]


def test_a_node_that_has_yet_to_greet_the_others_recognises_nobody(
    cluster: Cluster, apis: list[Api], token: str
) -> None:
    """Its server still has the token as live, and the others, who know better, take their time to answer."""
    others = cluster.nodes[:2]
    with delayed_replay(cluster.servers[2]):
        cluster.nodes[2].kill()
        assert apis[1].log_out(token).status == 200
        for node in others:
            node.pause()
        try:
            cluster.nodes[2].start()
            wait_until(lambda: apis[2].get("health/").status == 200, "it serves", timeout_s=20)
            answer = apis[2].get("nodes/", token)
        finally:
            for node in others:
                node.resume()
        assert (answer.status, answer.elapsed_s > 0.5) == (500, True)
        assert "has yet to ask the others" in answer.text
        cluster.nodes[2].wait_until_ready()
        assert _statuses(apis, token) == [401, 401, 401]


def test_a_right_that_was_taken_away_counts_where_the_receiver_hangs(cluster: Cluster, apis: list[Api]) -> None:
    """A standby that says it streams, and has heard nothing for 10 s, decides on nobody's rights."""
    add_user(cluster, "ending", "LOGIN IN ROLE admin")
    made = log_in(cluster, apis[0], "ending")
    assert _statuses(apis, made) == [200, 200, 200]
    with stopped_receiver(cluster.servers[2]):
        _execute(cluster, 0, "REVOKE admin FROM ending")
        wait_until(lambda: _statuses(apis, made) == [403, 403, 403], "403 everywhere", timeout_s=15, poll_s=0.2)


# one fault


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("ender", [0, 1])
def test_a_node_killed_right_after_a_logout_loses_nothing(
    cluster: Cluster, apis: list[Api], token: str, ender: int, number: int
) -> None:
    """The one that answered, the primary's, another; every standby lags, so that nodes' memory is all there is."""
    with delayed_replay(cluster.servers[1]), delayed_replay(cluster.servers[2]):
        assert apis[ender].log_out(token).status == 200
        cluster.nodes[number].kill()
        others = [api for each, api in enumerate(apis) if each != number]
        assert _statuses(others, token) == [401, 401]
        cluster.nodes[number].start()
        assert _seen_until_ready(cluster.nodes[number], apis[number], token) <= {None, 401, 500}
        assert _statuses(apis, token) == [401, 401, 401]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_node_killed_right_after_a_login_loses_nothing(cluster: Cluster, apis: list[Api], number: int) -> None:
    wait_until(lambda: _logs_in(cluster, apis[number]), "the nodes know the primary's", timeout_s=2)
    made = log_in(cluster, apis[number], cluster.username)
    cluster.nodes[number].kill()
    others = [api for each, api in enumerate(apis) if each != number]
    assert _statuses(others, made) == [200, 200]
    cluster.nodes[number].start()
    cluster.nodes[number].wait_until_ready()
    assert _statuses(apis, made) == [200, 200, 200]


def test_all_nodes_started_again_one_after_another_lose_nothing(
    cluster: Cluster, apis: list[Api], token: str
) -> None:
    with delayed_replay(cluster.servers[1]), delayed_replay(cluster.servers[2]):
        assert apis[2].log_out(token).status == 200
        for node, api in zip(cluster.nodes, apis, strict=True):
            node.stop()
            node.start()
            assert _seen_until_ready(node, api, token) <= {None, 401, 500}
            assert _statuses(apis, token) == [401, 401, 401]


def test_a_stopped_node_refuses_what_was_ended_meanwhile_with_its_first_answer(
    cluster: Cluster, apis: list[Api], token: str
) -> None:
    """Also those who asked while it was stopped."""
    live = _known_everywhere(cluster, apis)
    with delayed_replay(cluster.servers[2]), ThreadPoolExecutor(4) as threads:
        cluster.nodes[2].pause()
        try:
            assert apis[0].log_out(token).status == 200
            waiting = [threads.submit(_status, apis[2], token) for _ in range(4)]
        finally:
            cluster.nodes[2].resume()
        assert {_status(apis[2], token) for _ in range(4)} <= {401, 500}
        assert {each.result() for each in waiting} <= {None, 401, 500}
        wait_until(lambda: _statuses(apis, token) == [401, 401, 401], "refused everywhere")
        wait_until(lambda: _statuses(apis, live) == [200, 200, 200], "the other is recognised everywhere")


def test_a_logout_is_told_to_a_node_that_is_back_and_still_taken_for_silent(
    cluster: Cluster, apis: list[Api], token: str
) -> None:
    """The node of the logout has just missed it, and asks it again in some seconds only."""
    first = _known_everywhere(cluster, apis)
    with delayed_replay(cluster.servers[2]):
        cluster.nodes[2].pause()
        try:
            assert apis[1].log_out(first).status == 200
        finally:
            cluster.nodes[2].resume()
        assert apis[1].log_out(token).status == 200
        assert {_status(apis[2], token) for _ in range(4)} <= {401, 500}
        wait_until(lambda: _statuses(apis, token) == [401, 401, 401], "refused everywhere")


def test_a_logout_while_the_primary_s_node_is_down_is_written_when_it_is_back(
    cluster: Cluster, apis: list[Api], token: str
) -> None:
    """Then all nodes may forget at once."""
    cluster.nodes[0].kill()
    assert apis[1].log_out(token).status == 200
    assert not _is_written(cluster, 0, token)
    cluster.nodes[0].start()
    assert _seen_until_ready(cluster.nodes[0], apis[0], token) <= {None, 401, 500}
    wait_until(lambda: _is_written(cluster, 0, token), "it is written down")
    for node in cluster.nodes:
        node.kill()
    for node in cluster.nodes:
        node.start()
    for node in cluster.nodes:
        node.wait_until_ready()
    assert _statuses(apis, token) == [401, 401, 401]


def test_the_primary_s_node_writes_down_what_it_only_heard_of(cluster: Cluster, apis: list[Api], token: str) -> None:
    """Whoever ended the session took another node for the primary's, or died before it could say."""
    decoded = decode_token(token)
    assert decoded is not None
    expires = int(time.time()) + 3600
    ask_node(_values(cluster, 0), REVOKE, Revocation(expires_by_id={decoded[0]: expires}))
    wait_until(lambda: _is_written(cluster, 0, token), "it is written down")


# many


def test_all_sessions_of_a_user_end_also_where_they_are_many_and_the_server_lags(
    cluster: Cluster, apis: list[Api]
) -> None:
    """More than fit into one question, asked of a node whose server knows none of them."""
    add_user(cluster, "prolific", "LOGIN IN ROLE admin")
    with delayed_replay(cluster.servers[1]):
        tokens = _make_sessions(cluster, "prolific", MANY)
        samples = [tokens[0], tokens[MANY // 2], tokens[-1], log_in(cluster, apis[2], "prolific")]
        assert [_statuses(apis, each) for each in samples] == [[200, 200, 200]] * 4
        with ThreadPoolExecutor(1) as threads:
            ending = threads.submit(ask_node, _values(cluster, 1), LOG_USER_OUT, UserParams(username="prolific"))
            while not ending.done():  # the nodes have just looked them up
                _statuses(apis, samples[-1])
        assert len(ending.result().sessions) == MANY + 1
        refused_until = time.monotonic() + FORGOTTEN_S
        while time.monotonic() < refused_until:  # the nodes forget what their servers know
            assert [_statuses(apis, each) for each in samples] == [[401, 401, 401]] * 4
        left = "SELECT count(*) FROM rangeland.web_sessions WHERE username = 'prolific' AND revoked_at IS NULL"
        assert _execute(cluster, 0, left) == 0


def test_a_silent_node_keeps_no_other_from_hearing_of_all_sessions_that_ended(
    cluster: Cluster, apis: list[Api]
) -> None:
    """A node whose server says that it is up to date, and isn't, knows of the end by being told only.

    That node 3 hangs isn't known yet: waiting for it takes longer than the command has.
    """
    add_user(cluster, "numerous", "LOGIN IN ROLE admin")
    tokens = _make_sessions(cluster, "numerous", MANY)
    samples = [tokens[0], tokens[MANY // 2], tokens[-1]]
    wait_for_replay(cluster.servers[0], cluster.servers[1])
    with stopped_receiver(cluster.servers[1]):
        cluster.nodes[2].pause()
        try:
            ended = ask_node(_values(cluster, 0), LOG_USER_OUT, UserParams(username="numerous"), timeout_s=5.5)
            assert len(ended.sessions) == MANY
            assert [_statuses(apis[:2], each) for each in samples] == [[401, 401]] * 3
        finally:
            cluster.nodes[2].resume()
    wait_until(lambda: _statuses(apis, samples[-1]) == [401, 401, 401], "refused everywhere")


# login under load


def test_the_first_login_after_the_primary_hangs_is_503_and_says_what_helps(
    cluster: Cluster, apis: list[Api], token: str
) -> None:
    """Nobody has noticed yet: the check itself finds no answer. Tokens go on working."""
    with cluster.servers[0].paused(), ThreadPoolExecutor(3) as threads:
        answers = list(
            threads.map(lambda api: api.log_in(cluster.username, cluster.password, client=new_client()), apis)
        )
        assert [answer.status for answer in answers] == [503, 503, 503]
        assert all("rangeland auth-session login" in answer.text for answer in answers)
        assert all(int(answer.headers["retry-after"]) > 0 for answer in answers)
        wait_until(lambda: _statuses(apis, token) == [200, 200, 200], "tokens work", timeout_s=10)
    wait_until(lambda: apis[1].log_in(cluster.username, cluster.password).status == 200, "logins work again")


def test_a_login_without_a_free_connection_is_503_and_not_a_wrong_password(cluster: Cluster, apis: list[Api]) -> None:
    add_user(cluster, "limited")
    _execute(cluster, 0, "ALTER ROLE limited CONNECTION LIMIT 0")
    password = cluster.servers[0].password_by_user["limited"]
    answer = apis[1].log_in("limited", password, client=new_client())
    assert (answer.status, "can't check a password" in answer.text) == (503, True)
    _execute(cluster, 0, "ALTER ROLE limited CONNECTION LIMIT -1")
    assert apis[1].log_in("limited", "wrong", client=new_client()).status == 401
    assert apis[1].log_in("limited", password, client=new_client()).status == 200


def _logs_in(cluster: Cluster, api: Api) -> bool:
    return api.log_in(cluster.username, cluster.password, client=new_client()).status == 200


def _known_everywhere(cluster: Cluster, apis: list[Api]) -> str:
    made = log_in(cluster, apis[0], cluster.username)
    for standby in cluster.servers[1:]:
        wait_for_replay(cluster.servers[0], standby)
    assert _statuses(apis, made) == [200, 200, 200]
    return made


def _status(api: Api, token: str) -> int | None:
    """None where no answer came."""
    with suppress(OSError, HTTPException):
        return api.get("nodes/", token).status
    return None


def _statuses(apis: list[Api], token: str) -> list[int | None]:
    return [_status(api, token) for api in apis]


def _seen_until_ready(node: NodeProcess, api: Api, token: str) -> set[int | None]:
    """What it answers from its first moment until it is ready."""
    seen: set[int | None] = set()
    while node.ask("GET", "health/?ready=true") is None:
        seen.add(_status(api, token))
        assert node.is_running
    return seen | {_status(api, token)}


def _values(cluster: Cluster, number: int) -> dict[str, Any]:
    node = cluster.nodes[number]
    return {"node_url": node.url, "certs_dir": str(node.certs_dir), "insecure": False}


def _is_written(cluster: Cluster, number: int, token: str) -> bool:
    decoded = decode_token(token)
    assert decoded is not None
    query = f"SELECT revoked_at IS NOT NULL FROM rangeland.web_sessions WHERE id = {decoded[0]}"
    return _execute(cluster, number, query) is True


def _execute(cluster: Cluster, number: int, statement: str) -> object:
    """Run it as the superuser; the first value, if there is one."""
    with psycopg.connect(cluster.servers[number].conninfo(), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
    return row[0] if row else None


def _make_sessions(cluster: Cluster, username: str, count: int) -> list[str]:
    """Tokens of rows that are signed as the primary's node signs them."""
    certs_dir = cluster.nodes[0].certs_dir
    assert certs_dir is not None
    key = derived(read_cluster_keys(certs_dir)[0], "web session")
    created = datetime.now(UTC).replace(microsecond=0)
    expires = created + timedelta(days=1)
    secret = bytes(range(16))
    hashed = hashlib.sha256(secret).digest()
    rows = []
    ids = [secrets.randbits(62) for _ in range(count)]
    for session_id in ids:
        moments = f"{int(created.timestamp() * 1e6)}|{int(expires.timestamp())}"
        text = f"{session_id}|{hashed.hex()}|{moments}|{username}".encode()
        mac = hmac.digest(key, text, hashlib.sha256)
        rows.append((session_id, hashed, username, created, expires, created, mac))
    with psycopg.connect(cluster.servers[0].conninfo(), autocommit=True) as connection:
        connection.cursor().executemany(
            "INSERT INTO rangeland.web_sessions "
            "(id, hashed_secret, username, created_at, expires_at, last_used_at, mac) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s)",
            rows,
        )
    return [encode_token(session_id, secret) for session_id in ids]

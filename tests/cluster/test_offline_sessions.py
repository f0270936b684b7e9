"""Sessions that the cluster key makes while there is no primary: what they are for, and what an attacker tries."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from msgspec import structs

from fix_cluster import Api, add_user, apis_of, log_in, new_client, running_cluster, wait_until
from fix_engine import wait_for_replay
from fix_lags import paused_replay, stopped_receiver
from rangeland.auth.grants import OFFLINE_LIFETIME_S
from rangeland.auth.session_token import encode_token
from rangeland.cli.asking import ask_node
from rangeland.cluster.cluster import PREFIX
from rangeland.cluster.peer_token import PeerTokens
from rangeland.cluster.questions import HELLO, KEEP_SESSION, LIST_WEB_SESSIONS, LOG_USER_IN, LOG_USER_OUT
from rangeland.engine.cluster import Cluster
from rangeland.tls import read_cluster_keys
from rangeland.wire.json import encode
from rangeland.wire.members import Hello, LoginResult, OfflineSession, SessionToMake, UserParams

DAY_S = 86_400.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Of this module alone."""
    with running_cluster(3) as made:
        yield made


@pytest.fixture(scope="module")
def apis(cluster: Cluster) -> list[Api]:
    return apis_of(cluster)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_key_makes_a_session_on_any_node_s_host(cluster: Cluster, apis: list[Api], number: int) -> None:
    """Also beside the server that is gone; every node accepts it, and any of them ends it."""
    with _no_primary(cluster, apis):
        made = _make(cluster, number)
        assert 880 < made.expires_at_s - time.time() <= 900
        assert _statuses(apis, made.token) == [200, 200, 200]
        assert apis[2 - number].log_out(made.token).status == 200
        assert _statuses(apis, made.token) == [401, 401, 401]


def test_no_session_is_made_for_a_role_that_does_not_exist(cluster: Cluster, apis: list[Api]) -> None:
    with _no_primary(cluster, apis):
        assert _make(cluster, 0, "nobody at all").refused


def test_it_outlives_the_return_of_the_primary_and_restarts_of_its_node(cluster: Cluster, apis: list[Api]) -> None:
    """Also where the primary's host was off as a whole; and it is ended as any other."""
    with _no_primary(cluster, apis):
        cluster.nodes[0].kill()
        made = _make(cluster, 1)
        cluster.nodes[2].kill()
        cluster.nodes[2].start()
        cluster.nodes[2].wait_until_ready()
        assert _statuses(apis[1:], made.token) == [200, 200]
        cluster.nodes[0].start()
    cluster.nodes[0].wait_until_ready()
    assert _statuses(apis, made.token) == [200, 200, 200]
    assert apis[0].log_out(made.token).status == 200
    cluster.nodes[0].kill()
    cluster.nodes[0].start()
    cluster.nodes[0].wait_until_ready()
    assert _statuses(apis, made.token) == [401, 401, 401]


def test_all_of_a_user_s_are_ended_by_one_command_on_any_host(cluster: Cluster, apis: list[Api]) -> None:
    add_user(cluster, "operator", "LOGIN IN ROLE admin")
    usual = log_in(cluster, apis[0], "operator")
    for standby in cluster.servers[1:]:
        wait_for_replay(cluster.servers[0], standby)
    with _no_primary(cluster, apis):
        made = [_make(cluster, number, "operator").token for number in range(3)]
        assert [_statuses(apis, token) for token in [usual, *made]] == [[200, 200, 200]] * 4
        ask_node(_values(cluster, 0), LOG_USER_OUT, UserParams(username="operator"))
        assert [_statuses(apis, token) for token in [usual, *made]] == [[401, 401, 401]] * 4
    assert [_statuses(apis, token) for token in [usual, *made]] == [[401, 401, 401]] * 4


def test_a_node_that_was_stopped_while_it_was_ended_refuses_it(cluster: Cluster, apis: list[Api]) -> None:
    with _no_primary(cluster, apis):
        made = _make(cluster, 1)
        assert _statuses(apis, made.token) == [200, 200, 200]
        cluster.nodes[2].pause()
        try:
            assert apis[1].log_out(made.token).status == 200
        finally:
            cluster.nodes[2].resume()
        assert {apis[2].get("nodes/", made.token).status for _ in range(4)} <= {401, 500}
        wait_until(lambda: _statuses(apis, made.token) == [401, 401, 401], "refused everywhere")


def test_a_node_that_was_stopped_while_it_was_made_accepts_it_once_it_is_back(
    cluster: Cluster, apis: list[Api]
) -> None:
    with _no_primary(cluster, apis):
        cluster.nodes[2].pause()
        try:
            made = _make(cluster, 1)
        finally:
            cluster.nodes[2].resume()
        wait_until(lambda: _statuses(apis, made.token) == [200, 200, 200], "accepted everywhere")
        assert _count_kept(cluster, 2, made.id) == 1


# attackers


def test_a_session_without_the_key_s_signature_is_kept_nowhere(cluster: Cluster, apis: list[Api]) -> None:
    """Somebody may send a question, with a signature that another was meant for, and can't sign a session."""
    secret = bytes(16)
    forged = OfflineSession(
        id=77,
        hashed_secret=hashlib.sha256(secret).digest(),
        username=cluster.username,
        expires_at_s=time.time() + 600,
    )
    with _no_primary(cluster, apis):
        for mac in (b"", bytes(32)):
            ask_node(_values(cluster, 1), KEEP_SESSION, structs.replace(forged, mac=mac))
            assert _statuses(apis, encode_token(77, secret)) == [401, 401, 401]
            assert _count_kept(cluster, 1, 77) == 0


def test_a_stolen_signature_is_worth_nothing_for_another_question(cluster: Cluster, apis: list[Api]) -> None:
    """Of those that nodes send each other, caught on its way: with its own body it passes, with no other."""
    certs_dir = cluster.nodes[1].certs_dir
    assert certs_dir is not None
    path, body = PREFIX + LIST_WEB_SESSIONS.path, encode(UserParams(username="nobody"))
    stolen = PeerTokens(read_cluster_keys(certs_dir)).sign(path, now_s=time.time(), body=body)
    headers = {"Authorization": f"Bearer {stolen}"}
    assert apis[1].request("POST", path, headers=headers, body=body).status == 200
    answer = apis[1].request("POST", path, headers=headers, body=encode(UserParams(username=cluster.username)))
    assert (answer.status, answer.text) == (403, "signed for another body\n")
    other = apis[1].request("POST", PREFIX + LOG_USER_OUT.path, headers=headers, body=body)
    assert (other.status, other.text) == (403, "signed for another question\n")


@pytest.mark.parametrize("change", [{"expires_at_s": 880.0}, {"username": "postgres"}, {"id": 78}])
def test_a_session_that_was_changed_on_its_way_is_kept_nowhere(
    cluster: Cluster, apis: list[Api], change: dict[str, Any]
) -> None:
    """Longer, somebody else's, or under an id that nobody has ended: that isn't what was signed."""
    with _no_primary(cluster, apis):
        made = _make(cluster, 1, lifetime_s=60)
        kept = next(each for each in _hello(cluster, 1).offline if each.id == made.id)
        if "expires_at_s" in change:
            change = {"expires_at_s": time.time() + 880.0}
        changed = structs.replace(kept, **change)
        cluster.nodes[2].kill()
        cluster.nodes[2].start()
        cluster.nodes[2].wait_until_ready()
        ask_node(_values(cluster, 2), KEEP_SESSION, changed)
        assert all(each == kept for each in _hello(cluster, 2).offline if each.id in (made.id, 78))


def test_a_session_sent_once_more_after_its_end_is_still_over(cluster: Cluster, apis: list[Api]) -> None:
    """Replayed as it was, signature and all; also to a node that was started again."""
    with _no_primary(cluster, apis):
        made = _make(cluster, 1)
        kept = next(each for each in _hello(cluster, 1).offline if each.id == made.id)
        assert apis[1].log_out(made.token).status == 200
        cluster.nodes[2].kill()
        cluster.nodes[2].start()
        cluster.nodes[2].wait_until_ready()
        for number in range(3):
            ask_node(_values(cluster, number), KEEP_SESSION, kept)
        assert _statuses(apis, made.token) == [401, 401, 401]


def test_no_session_lives_longer_than_a_quarter_of_an_hour(cluster: Cluster, apis: list[Api]) -> None:
    with _no_primary(cluster, apis):
        asked = ask_node(_values(cluster, 1), LOG_USER_IN, SessionToMake(username=cluster.username, lifetime_s=DAY_S))
        short = _make(cluster, 1, lifetime_s=1.5)
        assert asked.expires_at_s - time.time() <= OFFLINE_LIFETIME_S
        assert _statuses(apis, short.token) == [200, 200, 200]
        wait_until(lambda: _statuses(apis, short.token) == [401, 401, 401], "it is over", timeout_s=4)
        assert _count_kept(cluster, 1, short.id) == 0


# rights


def test_a_right_taken_before_the_primary_went_gives_none(cluster: Cluster, apis: list[Api]) -> None:
    """Though one standby's replay is paused and still has it: its word doesn't count."""
    add_user(cluster, "former", "LOGIN IN ROLE admin")
    with paused_replay(cluster.servers[2]):
        _execute(cluster, "REVOKE admin FROM former")
        wait_for_replay(cluster.servers[0], cluster.servers[1])
        with _no_primary(cluster, apis):
            made = _make(cluster, 1, "former")
            assert _statuses(apis, made.token) == [403, 403, 403]


def test_of_two_standbys_the_later_one_decides_on_rights(cluster: Cluster, apis: list[Api]) -> None:
    """The other's receiver hung when the right was taken, and neither is fresh."""
    add_user(cluster, "formerly", "LOGIN IN ROLE admin")
    with stopped_receiver(cluster.servers[2]):
        _execute(cluster, "REVOKE admin FROM formerly")
        wait_for_replay(cluster.servers[0], cluster.servers[1])
        with _no_primary(cluster, apis):
            made = _make(cluster, 1, "formerly")
            wait_until(lambda: _statuses(apis, made.token) == [403, 403, 403], "403", timeout_s=20, poll_s=0.2)


def test_a_dropped_role_s_session_opens_nothing_once_the_primary_is_back(cluster: Cluster, apis: list[Api]) -> None:
    add_user(cluster, "fired", "LOGIN IN ROLE admin")
    with _no_primary(cluster, apis):
        made = _make(cluster, 1, "fired")
        assert _statuses(apis, made.token) == [200, 200, 200]
    _execute(cluster, "DROP ROLE fired")
    wait_until(lambda: _statuses(apis, made.token) == [403, 403, 403], "403 everywhere")


def test_a_redacted_reader_s_session_shows_no_constants(cluster: Cluster, apis: list[Api]) -> None:
    add_user(cluster, "redacted", "LOGIN IN ROLE rangeland_redacted")
    with psycopg.connect(cluster.servers[1].conninfo(), autocommit=True) as client:
        client.execute("SELECT 31415926")
        with _no_primary(cluster, apis):
            redacted, whole = _make(cluster, 1, "redacted"), _make(cluster, 1)
            assert all("31415926" not in api.get("sessions/", redacted.token).text for api in apis)
            assert all("31415926" in api.get("sessions/", whole.token).text for api in apis)


# last: there is one node more afterwards


def test_a_node_that_joins_later_accepts_it_and_ends_it(cluster: Cluster, apis: list[Api]) -> None:
    with _no_primary(cluster, apis):
        made, ended = _make(cluster, 1), _make(cluster, 1)
        assert apis[2].log_out(ended.token).status == 200
    cluster.add_node()
    everybody = apis_of(cluster)
    assert _statuses(everybody, made.token) == [200] * 4
    assert _statuses(everybody, ended.token) == [401] * 4
    assert everybody[3].log_out(made.token).status == 200
    assert _statuses(everybody, made.token) == [401] * 4


@contextmanager
def _no_primary(cluster: Cluster, apis: list[Api]) -> Iterator[None]:
    """Its server is killed inside the block; afterwards logins go again."""
    cluster.servers[0].kill()
    try:
        yield
    finally:
        cluster.servers[0].start()
        wait_until(lambda: _logs_in(cluster, apis[1]), "logins work again", timeout_s=20)


def _logs_in(cluster: Cluster, api: Api) -> bool:
    return api.log_in(cluster.username, cluster.password, client=new_client()).status == 200


def _make(cluster: Cluster, number: int, username: str = "demo", lifetime_s: float = 3600.0) -> LoginResult:
    """As `rangeland auth-session login` on that node's host."""
    return ask_node(_values(cluster, number), LOG_USER_IN, SessionToMake(username=username, lifetime_s=lifetime_s))


def _values(cluster: Cluster, number: int) -> dict[str, Any]:
    node = cluster.nodes[number]
    return {"node_url": node.url, "certs_dir": str(node.certs_dir), "insecure": False}


def _hello(cluster: Cluster, number: int) -> Any:
    return ask_node(_values(cluster, number), HELLO, Hello())


def _count_kept(cluster: Cluster, number: int, session_id: int) -> int:
    """In that node's memory."""
    return [each.id for each in _hello(cluster, number).offline].count(session_id)


def _statuses(apis: list[Api], token: str) -> list[int]:
    return [api.get("users/?limit=1", token).status for api in apis]


def _execute(cluster: Cluster, statement: str) -> None:
    with psycopg.connect(cluster.servers[0].conninfo(), autocommit=True) as connection:
        connection.execute(statement.encode())

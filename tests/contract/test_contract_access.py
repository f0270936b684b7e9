"""Who may ask: the matrix of tokens, cookies and roles. Source: Cluster API v2.0, authentication."""

from __future__ import annotations

import base64

import pytest

from fix_cluster import Api, Reply, log_in, wait_until
from fix_commands import run_command
from rangeland.engine.cluster import Cluster

PROTECTED = (
    "nodes/",
    "nodes/local/ranges/?limit=1",
    "ranges/hot/",
    "ranges/1/",
    "problems/",
    "sessions/",
    "users/",
    "databases/",
    "databases/pgbench/",
    "whoami/",
)
REFERENCE_TOKEN = "CIGAiPis4fj3CBIQ3u0rRQJ3tD8yIqee4hipow=="  # well formed, and of nobody here
NOT_VALIDATED = "the provided authentication session could not be validated\n"
NO_HEADER = "invalid session header\n"

each_protected_path = pytest.mark.parametrize("path", PROTECTED)


@each_protected_path
def test_without_a_token_it_is_401(apis: list[Api], path: str) -> None:
    for token in (None, ""):
        require(apis[0].get(path, token), 401, NO_HEADER)


@each_protected_path
def test_a_cookie_alone_counts_for_nothing(apis: list[Api], token: str, path: str) -> None:
    """Else another site could ask in a visitor's name."""
    require(apis[0].get(path, headers={"Cookie": f"session={token}"}), 401, NO_HEADER)


@each_protected_path
@pytest.mark.parametrize("token", ["yes", "====", "not base64 at all", "ünicode".encode().decode("latin-1")])
def test_what_is_no_base64_is_400(apis: list[Api], token: str, path: str) -> None:
    answer = apis[0].get(path, token)
    assert answer.status == 400
    assert answer.text.startswith("illegal base64 data")
    assert answer.text.count("\n") == 1


@each_protected_path
@pytest.mark.parametrize(
    "message",
    [
        b"\x00\x00\x00",
        b"\x08",
        b"\x08\x01",
        b"\x08\x01\x12\x10short",
        b"\x08\x01\x12\x11" + bytes(17),
        b"\x08\x01\x12\x10" + bytes(17),
        b"\x08" + b"\xff" * 20 + b"\x12\x10" + bytes(16),
        b"\x12\x10" + bytes(16),
        bytes(6000),
    ],
)
def test_base64_of_anything_else_is_401(apis: list[Api], message: bytes, path: str) -> None:
    require(apis[0].get(path, base64.b64encode(message).decode()), 401, NOT_VALIDATED)


@each_protected_path
def test_an_unknown_token_is_401(apis: list[Api], path: str) -> None:
    for api in apis:
        require(api.get(path, REFERENCE_TOKEN), 401, NOT_VALIDATED)


@each_protected_path
def test_a_token_with_another_secret_is_401(apis: list[Api], token: str, path: str) -> None:
    message = base64.b64decode(token)
    forged = base64.b64encode(message[:-1] + bytes([message[-1] ^ 1])).decode()
    require(apis[0].get(path, forged), 401, NOT_VALIDATED)


@each_protected_path
def test_a_stranger_is_403_before_parameters_are_looked_at(cluster: Cluster, apis: list[Api], path: str) -> None:
    token = log_in(cluster, apis[0], "stranger")
    for api in apis:
        require(api.get(path, token), 403, "user not allowed to access this endpoint\n")
    require(apis[0].get("nodes/0/ranges/", token), 403, "user not allowed to access this endpoint\n")
    assert apis[0].log_out(token).status == 200


@each_protected_path
def test_a_member_of_pg_monitor_may_read(cluster: Cluster, apis: list[Api], path: str) -> None:
    token = log_in(cluster, apis[1], "reader")
    assert [api.get(path, token).status for api in apis] == [200, 200, 200]
    assert apis[2].log_out(token).status == 200


@each_protected_path
def test_the_word_cookie_takes_the_token_from_the_cookie(apis: list[Api], token: str, path: str) -> None:
    for cookie in (f"session={token}", f'a=b; session="{token}"; c=d', f"session=AAAA; session={token}"):
        assert apis[0].get(path, "cookie", headers={"Cookie": cookie}).status == 200


@each_protected_path
@pytest.mark.parametrize("cookie", ["", "session=", "session=yes", "session=AAAA", "other=x"])
def test_a_missing_or_undecodable_cookie_is_400(apis: list[Api], cookie: str, path: str) -> None:
    require(apis[0].get(path, "cookie", headers={"Cookie": cookie} if cookie else {}), 400, NO_HEADER)


def test_an_unknown_token_in_the_cookie_is_401(apis: list[Api]) -> None:
    answer = apis[0].get("nodes/", "cookie", headers={"Cookie": f"session={REFERENCE_TOKEN}"})
    require(answer, 401, NOT_VALIDATED)


@pytest.fixture(scope="module")
def ended(cluster: Cluster, apis: list[Api], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A token that was revoked and one whose time is over, by what happened to it."""
    revoked = log_in(cluster, apis[0], "reader")
    assert apis[1].get("users/", revoked).status == 200
    assert apis[2].log_out(revoked).status == 200
    settings = ("--url", apis[0].url, "--certs-dir", cluster.nodes[0].certs_dir, "--expire-after", "2s")
    made = run_command(
        "auth-session", "login", "reader", "--only-cookie", *settings, home=tmp_path_factory.mktemp("ended")
    )
    expired = made.stdout.partition(";")[0].removeprefix("session=")
    assert apis[1].get("users/", expired).status == 200
    wait_until(lambda: apis[1].get("users/", expired).status == 401, "its time is over")
    return {"revoked": revoked, "expired": expired}


@each_protected_path
@pytest.mark.parametrize("how", ["revoked", "expired"])
@pytest.mark.parametrize("is_cookie", [False, True])
def test_a_token_that_has_ended_is_401_on_every_node(
    apis: list[Api], ended: dict[str, str], how: str, is_cookie: bool, path: str
) -> None:
    token = ended[how]
    headers = {"Cookie": f"session={token}"} if is_cookie else {}
    for api in apis:
        require(api.get(path, "cookie" if is_cookie else token, headers=headers), 401, NOT_VALIDATED)


@pytest.mark.parametrize("how", ["revoked", "expired"])
def test_a_token_that_has_ended_can_t_be_logged_out(apis: list[Api], ended: dict[str, str], how: str) -> None:
    require(apis[0].log_out(ended[how]), 401, NOT_VALIDATED)


def test_a_bearer_token_is_not_taken(apis: list[Api], token: str) -> None:
    require(apis[0].get("nodes/", headers={"Authorization": f"Bearer {token}"}), 401, NO_HEADER)


@pytest.mark.parametrize("authorization", [None, "Bearer x", "Bearer {token}", "Basic eDp5"])
def test_a_question_of_a_peer_needs_the_cluster_key(apis: list[Api], token: str, authorization: str | None) -> None:
    headers = {"Authorization": authorization.format(token=token)} if authorization else {}
    for question in ("sessions", "make_session", "log_user_in", "nonsense"):
        answer = apis[0].request("POST", f"/_peer/v1/{question}", headers=headers, body=b"{}", token=token)
        require(answer, 403, "not signed with this cluster's key\n")


def require(answer: Reply, status: int, text: str) -> None:
    assert (answer.status, answer.text) == (status, text)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-cache"

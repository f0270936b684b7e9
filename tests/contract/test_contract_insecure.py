"""--insecure: no TLS, and nobody is asked who they are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fix_cluster import Api, add_user, apis_of, running_cluster
from rangeland.api.sessions import NOBODY
from rangeland.engine.cluster import Cluster

PROTECTED = (
    "nodes/",
    "nodes/local/ranges/?limit=1",
    "ranges/hot/",
    "ranges/1/",
    "sessions/",
    "users/",
    "databases/",
    "databases/postgres/tables/",
    "whoami/",
)


@pytest.fixture(scope="module")
def insecure() -> Iterator[Cluster]:
    with running_cluster(2, insecure=True) as made:
        yield made


@pytest.fixture(scope="module")
def apis(insecure: Cluster) -> list[Api]:
    return apis_of(insecure)


@pytest.fixture(scope="module")
def strangers_token(insecure: Cluster, apis: list[Api]) -> str:
    """Of a role that is in nothing."""
    token: str = apis[0].log_in("stranger", add_user(insecure, "stranger")).json["session"]
    return token


@pytest.mark.parametrize("path", PROTECTED)
@pytest.mark.parametrize("header", [None, "", "x", "cookie", "CIGAiPis4fj3CBIQ3u0rRQJ3tD8yIqee4hipow=="])
def test_no_header_an_empty_one_and_any_other_pass(apis: list[Api], header: str | None, path: str) -> None:
    assert [api.get(path, header).status for api in apis] == [200, 200]


@pytest.mark.parametrize("path", PROTECTED)
def test_a_token_of_somebody_without_rights_passes_too(apis: list[Api], strangers_token: str, path: str) -> None:
    """Everybody is root here, whoever the token is of."""
    assert [api.get(path, strangers_token).status for api in apis] == [200, 200]


def test_every_node_answers_for_all(apis: list[Api]) -> None:
    assert [len(api.get("nodes/").json["nodes"]) for api in apis] == [2, 2]


def test_parameters_are_checked_all_the_same(apis: list[Api]) -> None:
    assert apis[0].get("nodes/0/ranges/").text == "invalid node ID\n"
    assert apis[0].get("ranges/abc/").status == 404


def test_everybody_is_root_without_an_end(apis: list[Api]) -> None:
    answer = apis[1].get("whoami/").json
    assert (answer["username"], answer["is_admin"], answer["node_id"]) == ("root", True, 2)
    assert (answer["may_cancel"], "expires_at" in answer) == (False, False)


def test_the_console_is_served_too_and_a_cookie_needs_no_tls(insecure: Cluster, apis: list[Api]) -> None:
    """A browser would throw a cookie away that demands TLS."""
    assert apis[0].get("/").headers["content-security-policy"].startswith("default-src 'none'; ")
    form = f"username={insecure.username}&password={insecure.password}"
    answer = apis[0].request("POST", "login/", token="cookie", body=form)
    assert "; HttpOnly; SameSite=Strict; Max-Age=" in answer.headers["set-cookie"]


def test_login_still_wants_a_password(insecure: Cluster, apis: list[Api]) -> None:
    """Scripts that log in first go on working; the token then counts for nothing more."""
    answer = apis[1].log_in(insecure.username, insecure.password)
    assert answer.status == 200
    assert apis[0].get("nodes/", answer.json["session"]).status == 200
    assert apis[0].log_in(insecure.username, "wrong").status == 401


@pytest.mark.parametrize("what", ["cancel", "terminate"])
def test_nobody_ends_sessions_as_nobody_is_known(apis: list[Api], strangers_token: str, what: str) -> None:
    for token in (None, strangers_token):
        for api in apis:
            answer = api.request("POST", f"sessions/{'A' * 22}/{what}/", token=token)
            assert (answer.status, answer.text) == (403, f"{NOBODY}\n")

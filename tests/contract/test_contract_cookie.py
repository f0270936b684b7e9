"""The console's session: a cookie that no script reads, and a link that logs in once."""

from __future__ import annotations

import base64
import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import psycopg
import pytest

from contract.committed import departures
from fix_cluster import FORM, Api, Reply, log_in, new_client, running_cluster, wait_until
from fix_commands import run_command
from rangeland.engine.cluster import Cluster

COOKIE = re.compile(
    r"session=(?P<token>[A-Za-z0-9+/]+=*); Path=/; HttpOnly; SameSite=Strict; Secure; Max-Age=(?P<s>\d+)"
)
REMOVED = "session=; Path=/; HttpOnly; SameSite=Strict; Secure; Max-Age=0"
NOT_VALIDATED = "the provided authentication session could not be validated\n"
WEEK_S = 7 * 86400


def ask_login(api: Api, *, header: str | None = "cookie", **form: str) -> Reply:
    return api.request("POST", "login/", token=header, headers={"Content-Type": FORM}, body=urlencode(form))


def credentials(cluster: Cluster) -> dict[str, str]:
    return {"username": cluster.username, "password": cluster.password}


def token_of(answer: Reply) -> str:
    """The cookie's token."""
    found = COOKIE.fullmatch(answer.headers["set-cookie"])
    assert found, answer.headers["set-cookie"]
    return found["token"]


def expires_at(api: Api, token: str) -> datetime:
    return datetime.fromisoformat(api.get("whoami/", token).json["expires_at"])


def test_the_header_moves_the_token_from_the_body_into_a_cookie(cluster: Cluster, apis: list[Api]) -> None:
    answer = ask_login(apis[1], **credentials(cluster))
    assert answer.text == '{"session":"cookie"}'
    assert departures(answer.json, "LoginAnswer") == []
    token = token_of(answer)
    found = COOKIE.fullmatch(answer.headers["set-cookie"])
    assert found
    assert WEEK_S - 60 < int(found["s"]) <= WEEK_S
    for api in apis:
        assert api.get("nodes/", "cookie", headers={"Cookie": f"session={token}"}).status == 200
        assert api.get("nodes/", headers={"Cookie": f"session={token}"}).status == 401


@pytest.mark.parametrize("header", [None, "", "Cookie", "COOKIE", "yes"])
def test_any_other_header_changes_nothing(cluster: Cluster, apis: list[Api], header: str | None) -> None:
    answer = ask_login(apis[0], header=header, **credentials(cluster))
    assert re.fullmatch(r'\{"session":"[A-Za-z0-9+/]+=*"\}', answer.text)
    assert "set-cookie" not in answer.headers


def test_a_refused_login_sets_no_cookie(apis: list[Api]) -> None:
    form = urlencode({"username": "demo", "password": "wrong"})
    answer = apis[0].request("POST", "login/", token="cookie", body=form, client=new_client())
    assert answer.status == 401
    assert "set-cookie" not in answer.headers


def test_logout_with_the_cookie_removes_it(cluster: Cluster, apis: list[Api]) -> None:
    token = token_of(ask_login(apis[0], **credentials(cluster)))
    answer = apis[2].request("POST", "logout/", token="cookie", headers={"Cookie": f"session={token}"})
    assert (answer.status, answer.text) == (200, '{"logged_out":true}')
    assert answer.headers["set-cookie"] == REMOVED
    assert [api.get("nodes/", token).status for api in apis] == [401, 401, 401]


def test_logout_with_the_token_sets_none(cluster: Cluster, apis: list[Api]) -> None:
    assert "set-cookie" not in apis[0].log_out(log_in(cluster, apis[0], cluster.username)).headers


# exchanging


@pytest.mark.parametrize("number", [0, 2])
def test_a_session_is_exchanged_for_another_one_of_the_same_user(
    cluster: Cluster, apis: list[Api], number: int
) -> None:
    """On any node; afterwards the first one is worth nothing on any."""
    first = log_in(cluster, apis[1], "reader")
    ends = expires_at(apis[0], first)
    second = token_of(ask_login(apis[number], session=first))
    assert second != first
    assert [api.get("nodes/", first).status for api in apis] == [401, 401, 401]
    assert [api.get("whoami/", second).json["username"] for api in apis] == ["reader"] * 3
    assert expires_at(apis[0], second) == ends
    again = ask_login(apis[number], session=first)
    assert (again.status, again.text) == (401, NOT_VALIDATED)
    assert "set-cookie" not in again.headers
    assert apis[0].log_out(second).status == 200


def test_the_exchanged_token_comes_in_the_body_without_the_header(cluster: Cluster, apis: list[Api]) -> None:
    first = log_in(cluster, apis[0], "reader")
    answer = ask_login(apis[0], header=None, session=first)
    assert "set-cookie" not in answer.headers
    assert apis[0].log_out(answer.json["session"]).status == 200


def test_exchanging_again_and_again_lengthens_nothing(cluster: Cluster, apis: list[Api], tmp_path: Path) -> None:
    """A session of an hour stays one; the cookie ends with it."""
    made = auth_session(cluster, tmp_path, "reader", "1h")
    ends = expires_at(apis[0], made)
    assert ends < datetime.now(UTC) + timedelta(hours=1, seconds=1)
    token = made
    for api in apis:
        answer = ask_login(api, session=token)
        found = COOKIE.fullmatch(answer.headers["set-cookie"])
        assert found
        assert int(found["s"]) <= 3600
        token = found["token"]
    assert expires_at(apis[0], token) == ends
    assert apis[0].log_out(token).status == 200


@pytest.mark.parametrize("attempt", range(5))
def test_of_those_who_use_a_link_at_once_one_wins(cluster: Cluster, apis: list[Api], attempt: int) -> None:
    first = log_in(cluster, apis[0], "reader")
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda api: ask_login(api, session=first), [*apis, *apis]))
    assert sorted(answer.status for answer in answers) == [200, *[401] * 5]
    [won] = [answer for answer in answers if answer.status == 200]
    assert {answer.text for answer in answers if answer is not won} == {NOT_VALIDATED}
    assert apis[attempt % 3].log_out(token_of(won)).status == 200


@pytest.mark.parametrize(
    ("token", "status", "text"),
    [
        ("CIGAiPis4fj3CBIQ3u0rRQJ3tD8yIqee4hipow==", 401, NOT_VALIDATED),
        ("AAAA", 401, NOT_VALIDATED),
        ("yes", 400, "illegal base64 data at input byte 0\n"),
        ("", 400, "username not specified\n"),
    ],
)
def test_a_token_of_nobody_is_exchanged_for_nothing(apis: list[Api], token: str, status: int, text: str) -> None:
    answer = ask_login(apis[1], session=token)
    assert (answer.status, answer.text) == (status, text)
    assert "set-cookie" not in answer.headers


def test_a_token_with_another_secret_ends_nothing(cluster: Cluster, apis: list[Api]) -> None:
    token = log_in(cluster, apis[0], "reader")
    message = base64.b64decode(token)
    forged = base64.b64encode(message[:-1] + bytes([message[-1] ^ 1])).decode()
    assert ask_login(apis[0], session=forged).status == 401
    assert apis[0].log_out(token).status == 200


def test_a_session_that_was_ended_or_is_over_is_exchanged_for_nothing(
    cluster: Cluster, apis: list[Api], tmp_path: Path
) -> None:
    ended = log_in(cluster, apis[0], "reader")
    assert apis[0].log_out(ended).status == 200
    over = auth_session(cluster, tmp_path, "reader", "1s")
    wait_until(lambda: apis[0].get("nodes/", over).status == 401, "its second is over")
    for token in (ended, over):
        answer = ask_login(apis[2], session=token)
        assert (answer.status, answer.text) == (401, NOT_VALIDATED)


def test_a_row_that_no_key_signed_is_exchanged_for_nothing(cluster: Cluster, apis: list[Api]) -> None:
    """Else who can write the table could have it signed."""
    token = log_in(cluster, apis[0], "reader")
    with psycopg.connect(cluster.servers[0].conninfo(), autocommit=True) as connection:
        changed = connection.execute(
            "UPDATE rangeland.web_sessions SET username = 'demo' WHERE id = "
            "(SELECT id FROM rangeland.web_sessions WHERE username = 'reader' ORDER BY created_at DESC LIMIT 1)"
        )
        assert changed.rowcount == 1
    assert ask_login(apis[0], session=token).status == 401


def test_a_name_beside_a_token_is_a_login_with_that_name(cluster: Cluster, apis: list[Api]) -> None:
    token = log_in(cluster, apis[0], "reader")
    made = token_of(ask_login(apis[0], session=token, **credentials(cluster)))
    assert apis[0].get("whoami/", made).json["username"] == cluster.username
    assert apis[0].log_out(token).status == 200


def test_a_token_in_the_address_is_not_looked_at(cluster: Cluster, apis: list[Api]) -> None:
    """Addresses end up in logs."""
    token = log_in(cluster, apis[0], "reader")
    answer = apis[0].request("POST", f"login/?{urlencode({'session': token})}")
    assert (answer.status, answer.text) == (400, "username not specified\n")
    assert apis[0].log_out(token).status == 200


def test_the_event_log_tells_of_a_link(cluster: Cluster, apis: list[Api], token: str) -> None:
    made = token_of(ask_login(apis[2], session=log_in(cluster, apis[0], "reader")))

    fields = ("User", "Method", "RemoteAddress")

    def told() -> bool:
        events = apis[0].get("events/?type=user_login&limit=20", token).json["events"]
        infos = [json.loads(event["info"]) for event in events]
        return ["reader", "link", "127.0.0.1"] in [[each.get(name) for name in fields] for each in infos]

    wait_until(told, "the exchange is in the event log")
    assert apis[0].log_out(made).status == 200


# without a primary


def test_without_a_primary_nothing_is_exchanged_and_nothing_is_lost(tmp_path: Path) -> None:
    with running_cluster(2) as cluster:
        apis = [Api(node.url, cluster.ca_cert) for node in cluster.nodes]
        token = log_in(cluster, apis[0], cluster.username)
        wait_until(lambda: apis[1].get("whoami/", token).status == 200, "the standby's node knows it")
        cluster.servers[0].kill()
        wait_until(lambda: ask_login(apis[1], session=token).status == 503, "no primary is known")
        answer = ask_login(apis[1], session=token)
        assert answer.headers["retry-after"] == "5"
        assert answer.text.startswith("no session can be exchanged now")
        assert apis[1].get("whoami/", token).status == 200
        offline = auth_session(cluster, tmp_path, cluster.username, "5m", node=1)
        cluster.servers[1].promote()
        wait_until(lambda: ask_login(apis[1], session=token).status == 200, "the promoted one's node exchanges")
        answer = ask_login(apis[1], session=offline)
        assert (answer.status, answer.text) == (401, NOT_VALIDATED)
        assert apis[1].get("whoami/", offline).status == 200


def auth_session(cluster: Cluster, home: Path, username: str, lifetime: str, *, node: int = 0) -> str:
    """A token that a node's host makes with the cluster key."""
    asked = cluster.nodes[node]
    where = (f"--url={asked.url}", f"--certs-dir={asked.certs_dir}")
    login = ("auth-session", "login", username, "--only-cookie", f"--expire-after={lifetime}")
    done = run_command(*login, *where, home=home)
    assert done.returncode == 0, done.stderr
    found = re.match(r"session=([^;]+);", done.stdout)
    assert found
    return found[1]

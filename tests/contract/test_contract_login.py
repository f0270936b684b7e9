"""POST /login/ and /logout/: every way to send a name and a password, and every way to be refused."""

from __future__ import annotations

import base64
import re
from urllib.parse import quote, urlencode

import psycopg
import pytest

from contract.committed import departures
from fix_cluster import FORM, Api, log_in, new_client
from rangeland.engine.cluster import Cluster

NO_ACCOUNT = "the provided credentials did not match any account on the server\n"
NOT_VALIDATED = "the provided authentication session could not be validated\n"


@pytest.fixture(scope="module")
def form(cluster: Cluster) -> str:
    """The credentials as a form."""
    return urlencode({"username": cluster.username, "password": cluster.password})


@pytest.mark.parametrize("content_type", [FORM, f"{FORM}; charset=UTF-8", "text/plain", "", None])
def test_takes_a_form_body_whatever_its_content_type(apis: list[Api], form: str, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = apis[1].request("POST", "login/", headers=headers, body=form)
    assert departures(answer.json, "LoginAnswer") == []


@pytest.mark.parametrize("content_type", [FORM, "application/json", None])
def test_takes_the_query_string_with_an_empty_body(apis: list[Api], form: str, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    assert apis[2].request("POST", f"login/?{form}", headers=headers, body=b"").status == 200


def test_takes_two_content_types(apis: list[Api], form: str) -> None:
    connection = apis[0].connect()
    connection.putrequest("POST", f"/api/v2/login/?{form}")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Type", FORM)
    connection.putheader("Content-Length", "0")
    connection.endheaders()
    assert connection.getresponse().status == 200
    connection.close()


def test_the_body_wins_over_the_query(apis: list[Api], form: str) -> None:
    wrong = "username=stranger&password=wrong"
    assert apis[0].request("POST", f"login/?{wrong}", headers={"Content-Type": FORM}, body=form).status == 200
    password = form.partition("&")[2]
    assert apis[0].request("POST", f"login/?{password}", body=form.partition("&")[0]).status == 200


def test_the_answer_can_be_cut_out_by_a_script(apis: list[Api], form: str) -> None:
    answer = apis[0].request("POST", "login/", body=form)
    assert re.fullmatch(r'\{"session":"[A-Za-z0-9+/]+=*"\}', answer.text)
    assert answer.headers["content-type"] == "application/json"
    assert "set-cookie" not in answer.headers


def test_a_token_is_an_id_and_a_secret_of_16_bytes(apis: list[Api], form: str) -> None:
    tokens = [apis[0].request("POST", "login/", body=form).json["session"] for _ in range(2)]
    messages = [base64.b64decode(token, validate=True) for token in tokens]
    assert all(re.fullmatch(rb"\x08[\x80-\xff]{1,8}[\x00-\x7f]\x12\x10.{16}", each, re.DOTALL) for each in messages)
    assert messages[0][-16:] != messages[1][-16:]


@pytest.mark.parametrize("body", ["", "username=&password=x", "password=x", "username", "&&=&"])
def test_a_missing_name_is_400(apis: list[Api], body: str) -> None:
    answer = apis[0].request("POST", "login/", headers={"Content-Type": FORM}, body=body)
    assert (answer.status, answer.text) == (400, "username not specified\n")


def test_a_json_body_is_400(cluster: Cluster, apis: list[Api]) -> None:
    body = f'{{"username":"{cluster.username}","password":"{cluster.password}"}}'
    answer = apis[0].request("POST", "login/", headers={"Content-Type": "application/json"}, body=body)
    assert (answer.status, answer.text) == (400, "username not specified\n")


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("demo", ""),
        ("demo", "wrong"),
        ("Demo", "{right}"),
        ("demo ", "{right}"),
        ("demo", "{right} "),
        ("demo", "{right}\0"),
        ("demo\0", "{right}"),
        ("admin", "x"),
        ("rangeland", "x"),
        ("nobody-of-that-name", "x"),
        ("x" * 64, "x"),
        ("demo", "x" * 1025),
        ("d" * 60_000, "x"),
        ("demo' OR 1=1 --", "x"),
        ("demo dbname=postgres", "x"),
        ("host=localhost user=demo", "{right}"),
    ],
)
def test_wrong_credentials_are_one_text(cluster: Cluster, apis: list[Api], username: str, password: str) -> None:
    answer = apis[1].log_in(username, password.format(right=cluster.password), client=new_client())
    assert (answer.status, answer.text) == (401, NO_ACCOUNT)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert apis[1].log_in(cluster.username, cluster.password).status == 200


def test_a_role_without_a_password_gets_no_token(cluster: Cluster, apis: list[Api]) -> None:
    with psycopg.connect(cluster.servers[0].conninfo(), autocommit=True) as connection:
        connection.execute("CREATE ROLE passwordless LOGIN")
    for password in ("", "x"):
        answer = apis[0].log_in("passwordless", password, client=new_client())
        assert (answer.status, answer.text) == (401, NO_ACCOUNT)
    with psycopg.connect(cluster.servers[0].conninfo(), autocommit=True) as connection:
        connection.execute("ALTER ROLE passwordless PASSWORD 'now it has one'")
    assert apis[0].log_in("passwordless", "now it has one", client=new_client()).status == 200


def test_bytes_that_are_no_utf_8_are_wrong_credentials(apis: list[Api]) -> None:
    answer = apis[0].request("POST", "login/", body=b"username=demo&password=%ff", client=new_client())
    assert (answer.status, answer.text) == (401, NO_ACCOUNT)
    answer = apis[0].request("POST", "login/", body=b"username=\xc3\x28&password=x", client=new_client())
    assert (answer.status, answer.text) == (401, NO_ACCOUNT)


@pytest.mark.parametrize("body", ["username=demo&password=%zz", "username=%&password=x", "username=demo&password=%4"])
def test_percent_garbage_is_500_and_says_what_to_write(apis: list[Api], body: str) -> None:
    answer = apis[0].request("POST", "login/", headers={"Content-Type": FORM}, body=body)
    assert answer.status == 500
    assert answer.text.startswith("An internal server error has occurred.")
    assert "%25" in answer.text


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_over_64_kb_is_413(apis: list[Api], is_chunked: bool) -> None:
    body = b"username=demo&password=" + b"x" * 65_536
    connection = apis[0].connect()
    chunks = iter([body[:40_000], body[40_000:]])
    connection.request("POST", "/api/v2/login/", body=chunks if is_chunked else body, encode_chunked=is_chunked)
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (413, b"the body is larger than 65536 bytes\n")
    connection.close()


def test_a_body_of_64_kb_is_read(cluster: Cluster, apis: list[Api], form: str) -> None:
    body = f"{form}&pad=".ljust(65_536, "x")
    assert apis[0].request("POST", "login/", body=body).status == 200


@pytest.mark.parametrize("secret", ["a+b c&d=e%25f", "пароль ✓", "'\"\\;:@/?#[]", " leading and trailing "])
def test_a_password_may_hold_any_character(cluster: Cluster, apis: list[Api], secret: str) -> None:
    name = f"tëst user {len(secret)}{ord(secret[1])}"
    cluster.servers[0].create_role(name, "LOGIN", password=secret)
    assert apis[0].log_in(name, secret).status == 200
    query = f"login/?username={quote(name)}&password={quote(secret, safe='')}"
    assert apis[0].request("POST", query).status == 200


# logging out


def test_logout_ends_the_session(cluster: Cluster, apis: list[Api]) -> None:
    token = log_in(cluster, apis[0], "demo")
    answer = apis[0].log_out(token)
    assert (answer.status, answer.text) == (200, '{"logged_out":true}')
    assert departures(answer.json, "LogoutAnswer") == []
    again = apis[0].log_out(token)
    assert (again.status, again.text) == (401, NOT_VALIDATED)


@pytest.mark.parametrize("role", ["stranger", "reader"])
def test_everybody_may_log_out(cluster: Cluster, apis: list[Api], role: str) -> None:
    assert apis[0].log_out(log_in(cluster, apis[2], role)).status == 200


@pytest.mark.parametrize("token", [None, ""])
def test_logout_without_a_token_is_400(apis: list[Api], token: str | None) -> None:
    answer = apis[0].log_out(token)
    assert (answer.status, answer.text) == (400, "invalid or unspecified session\n")


def test_logout_with_no_base64_is_400(apis: list[Api]) -> None:
    answer = apis[0].log_out("yes")
    assert answer.status == 400
    assert answer.text.startswith("illegal base64 data")


@pytest.mark.parametrize("message", [b"\x08", b"\x08\x01", b"\x12\x10" + bytes(16), b"\xff" * 30])
def test_logout_with_base64_of_anything_else_is_401(apis: list[Api], message: bytes) -> None:
    answer = apis[0].log_out(base64.b64encode(message).decode())
    assert (answer.status, answer.text) == (401, NOT_VALIDATED)


def test_logout_takes_the_token_from_the_cookie_where_the_header_says_so(cluster: Cluster, apis: list[Api]) -> None:
    token = log_in(cluster, apis[0], "demo")
    cookie = {"Cookie": f"session={token}"}
    assert apis[0].request("POST", "logout/", headers=cookie).status == 400
    assert apis[0].get("nodes/", token).status == 200
    assert apis[0].request("POST", "logout/", token="cookie", headers=cookie).text == '{"logged_out":true}'
    assert apis[0].get("nodes/", token).status == 401


def test_an_id_with_another_secret_ends_nothing(cluster: Cluster, apis: list[Api]) -> None:
    """Whoever only knows or guesses an id must not end other people's sessions."""
    token = log_in(cluster, apis[0], "demo")
    forged = base64.b64encode(base64.b64decode(token)[:-16] + bytes(16)).decode()
    assert apis[0].log_out(forged).status == 401
    assert apis[0].get("nodes/", token).status == 200
    assert apis[0].log_out(token).status == 200

"""What is refused without bothering the server, and what a login connects with."""

import pytest

from rangeland.auth.password import is_plausible, login_params


@pytest.mark.parametrize(
    ("username", "password"),
    [("", "x"), ("x", ""), ("a\0b", "x"), ("x", "a\0b"), ("n" * 64, "x"), ("é" * 32, "x"), ("x", "p" * 1025)],
)
def test_a_name_or_password_that_no_server_has_is_not_tried(username: str, password: str) -> None:
    assert not is_plausible(username, password)


@pytest.mark.parametrize(("username", "password"), [("n" * 63, "x"), ("x", "p" * 1024), ("Ünï cødé", "päss word")])
def test_every_other_is(username: str, password: str) -> None:
    assert is_plausible(username, password)


def params(**url: str) -> dict[str, str]:
    return login_params(url, username="ann", password="pw", database="postgres")


def test_nothing_comes_from_files_or_from_the_nodes_own_credentials() -> None:
    made = params(host="db", user="rangeland", password="node's own", sslcert="c", sslkey="k", service="s")
    assert (made["user"], made["password"], made["dbname"]) == ("ann", "pw", "postgres")
    assert not {"sslcert", "sslkey", "service"} & set(made)
    assert made["passfile"] == "/nonexistent/pgpass"


@pytest.mark.parametrize("sslmode", ["prefer", "allow"])
def test_a_mode_that_may_fall_back_to_clear_text_is_never_used(sslmode: str) -> None:
    assert params(host="db", sslmode=sslmode)["sslmode"] == "require"


def test_clear_text_methods_need_tls_or_this_machine() -> None:
    assert "password" not in params(host="db", sslmode="disable")["require_auth"].split(",")
    assert "password" in params(host="db", sslmode="verify-full")["require_auth"].split(",")
    assert "password" in params(host="127.0.0.1")["require_auth"].split(",")
    assert "password" in params(host="/run/postgresql")["require_auth"].split(",")

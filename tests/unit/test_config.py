"""Settings: where each comes from, and what is said of a wrong one."""

from typing import Any

import pytest

from rangeland.config import SETTINGS, host_port, parse_locality, resolve_settings
from rangeland.errors import SettingError


def resolved(
    flags: dict[str, Any] | None = None, environ: dict[str, str] | None = None, file: dict[str, Any] | None = None
) -> dict[str, Any]:
    return resolve_settings("start", flags or {}, environ or {}, file or {})


def test_a_flag_wins_over_the_environment_and_that_over_the_file() -> None:
    environ, file = {"RANGELAND_HTTP_ADDR": "env:1"}, {"http_addr": "file:2"}
    assert resolved({"http_addr": "flag:3"}, environ, file)["http_addr"] == "flag:3"
    assert resolved({"http_addr": None}, environ, file)["http_addr"] == "env:1"
    assert resolved({}, {}, file)["http_addr"] == "file:2"
    assert resolved()["http_addr"] == ":8080"


def test_an_empty_variable_counts_as_absent() -> None:
    assert resolved(environ={"RANGELAND_HTTP_ADDR": ""})["http_addr"] == ":8080"


@pytest.mark.parametrize(("text", "value"), [("1", True), ("true", True), ("off", False), ("No", False)])
def test_a_flag_in_the_environment_is_a_word_for_true_or_false(text: str, value: bool) -> None:
    assert resolved(environ={"RANGELAND_INSECURE": text})["insecure"] is value


def test_a_duration_is_in_seconds_also_as_a_default() -> None:
    assert resolved()["web_session_timeout"] == 7 * 24 * 3600
    assert resolved({"web_session_timeout": "1h30m"})["web_session_timeout"] == 5400


@pytest.mark.parametrize("text", ["", "0s", "7", "1 h", "-1h", "99999999999999h"])
def test_a_wrong_duration_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="--web-session-timeout must be a duration above zero"):
        resolved({"web_session_timeout": text})


def test_a_list_is_split_at_commas() -> None:
    assert resolved({"join": "a:1, b:2,"})["join"] == ("a:1", "b:2")
    assert resolved(file={"join": ["a:1", "b:2"]})["join"] == ("a:1", "b:2")


@pytest.mark.parametrize(
    ("environ", "file", "said"),
    [
        ({"RANGELAND_INSECURE": "maybe"}, {}, "RANGELAND_INSECURE must be true or false, not 'maybe'"),
        ({}, {"http_addr": 8080}, "http_addr in the configuration file must be a text, not 8080"),
        ({}, {"htpp_addr": "x"}, "unknown setting: htpp_addr"),
    ],
)
def test_a_wrong_setting_is_named_with_its_place(environ: dict[str, str], file: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        resolved(environ=environ, file=file)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("host:1", ("host", 1)),
        ("host", ("host", 8080)),
        (":9", ("", 9)),
        ("[::1]:9", ("::1", 9)),
        ("[::1]", ("::1", 8080)),
    ],
)
def test_an_address_is_host_and_port(text: str, expected: tuple[str, int]) -> None:
    assert host_port(text, setting="--http-addr", default_port=8080) == expected


@pytest.mark.parametrize("text", ["host:", "host:0", "host:65536", "host:x", "::1", "[::1]9", "host:" + "9" * 5000])
def test_a_wrong_address_is_refused_with_the_settings_name(text: str) -> None:
    with pytest.raises(SettingError, match="--http-addr"):
        host_port(text, setting="--http-addr", default_port=8080)


def test_a_locality_keeps_its_order() -> None:
    assert parse_locality("region=eu,zone=a") == (("region", "eu"), ("zone", "a"))
    assert parse_locality("") == ()


@pytest.mark.parametrize("text", ["region", "region=", "=eu", "a=1,a=2"])
def test_a_wrong_locality_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="locality"):
        parse_locality(text)


def test_no_setting_stands_twice_in_the_table() -> None:
    names = [setting.name for setting in SETTINGS]
    assert len(names) == len(set(names))

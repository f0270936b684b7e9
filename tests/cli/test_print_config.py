"""`rangeland start --print-config`: which settings hold, from where, and no password."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from fix_commands import complaint, run_command
from rangeland.config import settings_of
from rangeland.pg.connection import masked_url

NOWHERE = "postgresql://db.invalid:5433/postgres"  # RFC 2606: this name never has an address
ADVERTISED = {"RANGELAND_ADVERTISE_HTTP_ADDR": "n1:8080", "RANGELAND_ADVERTISE_SQL_ADDR": "n1"}


def printed(home: Path, *words: object, **variables: object) -> str:
    done = run_command("start", "--print-config", *words, home=home, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_every_setting_is_printed_with_where_it_is_from(tmp_path: Path) -> None:
    (tmp_path / "file.toml").write_text('http_addr = ":1"\nlocality = "region=eu"\njoin = ["a:1", "b"]\n')
    text = printed(
        tmp_path,
        *("--config", "file.toml", "--http-addr", ":3", "--insecure", "--web-session-timeout", "336h"),
        RANGELAND_SERVER_URL=NOWHERE,
        RANGELAND_HTTP_ADDR=":2",
        RANGELAND_ADVERTISE_HTTP_ADDR="n1:4",
    )
    assert text.splitlines() == [
        f'server_url = "{NOWHERE}"  # RANGELAND_SERVER_URL',
        "# login_url is not set",
        'http_addr = ":3"  # --http-addr',
        'advertise_http_addr = "n1:4"  # RANGELAND_ADVERTISE_HTTP_ADDR',
        'advertise_sql_addr = "db.invalid:5433"  # from server_url',
        'certs_dir = "~/.rangeland-certs"  # default',
        "unencrypted_localhost_http = false  # default",
        "insecure = true  # --insecure",
        "# trusted_proxy is not set",
        'locality = "region=eu"  # locality in the configuration file',
        'attrs = ""  # default',
        'cluster_name = ""  # default',
        'join = ["a:1", "b"]  # join in the configuration file',
        'web_session_timeout = "1209600s"  # --web-session-timeout',
        "limits = []  # default",
        "# patroni_url is not set",
        "check_cpu_percent = 1  # default",
        'history = "21600s"  # default',
        'log_format = "text"  # default',
    ]


def test_a_history_that_is_off_is_printed_as_such(tmp_path: Path) -> None:
    text = printed(tmp_path, "--server-url", NOWHERE, "--history", "off", **ADVERTISED)
    assert 'history = "off"  # --history' in text.splitlines()


def test_what_is_printed_is_a_configuration_file_with_the_same_settings(tmp_path: Path) -> None:
    odd = 'a"b\\c\n\x7f # é😀'
    text = printed(tmp_path, "--server-url", NOWHERE, "--cluster-name", odd, **ADVERTISED)
    (tmp_path / "again.toml").write_text(text, encoding="utf-8")
    assert tomllib.loads(text)["cluster_name"] == odd
    again = printed(tmp_path, "--config", "again.toml")
    assert tomllib.loads(again) == tomllib.loads(text)
    assert {line.split()[0 if "=" in line else 1] for line in text.splitlines()} == {
        setting.name for setting in settings_of("start")
    }


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:geheim@a/x",
        "postgresql://a/x?password=geheim",
        "postgresql://u@a/x?user=v&passwor%64=geheim",
        "postgresql://u:first@a/x?password=geheim",
        "host=a password = 'geheim'",
        "host=a sslpassword=geheim",
    ],
)
@pytest.mark.parametrize("setting", ["server_url", "login_url"])
def test_a_password_is_never_printed(url: str, setting: str, tmp_path: Path) -> None:
    (tmp_path / "file.toml").write_text("".join(f'{name} = "{url}"\n' for name in ("server_url", "login_url")))
    by_file = printed(tmp_path, "--config", "file.toml", **ADVERTISED)
    flag = "--" + setting.replace("_", "-")
    by_flag = printed(tmp_path, "--config", "file.toml", flag, url, **ADVERTISED)
    for text in (by_file, by_flag):
        assert "geheim" not in text
        assert "first" not in text
        assert "*****" in tomllib.loads(text)[setting]
    assert f"  # {flag}\n" in by_flag


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:geheim@[a/x",
        "postgresql://u:geheim%zz@a/x",
        "postgresql://u:geheim@[a]b/x",
        "postgresql://a/x?password=a&geheim",
        "host=a password=x geheim y",
        "password='geheim",
    ],
)
def test_a_password_is_in_no_complaint_about_a_url(url: str, tmp_path: Path) -> None:
    done = run_command("start", "--print-config", "--server-url", url, home=tmp_path)
    assert complaint(done).startswith("--server-url is not a PostgreSQL URL: ")
    assert "geheim" not in done.stderr


def test_the_name_of_an_unknown_parameter_is_in_the_complaint(tmp_path: Path) -> None:
    done = run_command("start", "--print-config", "--server-url", "postgresql://a/x?nonsense=1", home=tmp_path)
    assert complaint(done).endswith('invalid URI query parameter: "nonsense"')


def test_a_url_keeps_its_shape() -> None:
    assert masked_url("postgresql://u:p@a:1/x?sslmode=require") == "postgresql://u:*****@a:1/x?sslmode=require"
    assert masked_url("postgresql://u@a/x") == "postgresql://u@a/x"
    assert masked_url("host=a user=u") == "host=a user=u"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "--server-url is missing"),
        (["--server-url", NOWHERE, "--locality", "eu"], "--locality must be key=value"),
        (["--server-url", NOWHERE, "--config", "nowhere.toml"], "can't read the configuration file"),
    ],
)
def test_settings_with_which_a_node_would_not_start_are_refused(words: list[str], text: str, tmp_path: Path) -> None:
    assert text in complaint(run_command("start", "--print-config", *words, home=tmp_path))

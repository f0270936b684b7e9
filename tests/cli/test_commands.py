"""What every command has in common: its help, its settings, and one line for what is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from fix_commands import complaint, run_command
from rangeland.cli.main import COMMANDS, cli
from rangeland.engine.ports import free_port


def all_commands() -> list[tuple[str, ...]]:
    """The words of every command, groups before their commands."""
    found: list[tuple[str, ...]] = [()]
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        found.append((name,))
        if isinstance(command, click.Group):
            found.extend((name, sub) for sub in command.commands)
    return found


def flags_of(words: tuple[str, ...]) -> list[str]:
    command: click.Command = cli
    for word in words:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), word)
        assert found is not None
        command = found
    return [flag for param in command.params for flag in param.opts if flag.startswith("--")]


@pytest.mark.parametrize("words", all_commands(), ids=" ".join)
def test_help_names_every_flag(words: tuple[str, ...], tmp_path: Path) -> None:
    done = run_command(*words, "--help", home=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: " + " ".join(("rangeland", *words)))
    assert [flag for flag in flags_of(words) if flag not in done.stdout] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_help_loads_nothing_that_is_slow(name: str) -> None:
    """It has to appear at once; a server's and a terminal's libraries take half a second."""
    program = (
        "import click, sys; from rangeland.cli.main import cli\n"
        f"cli.get_command(click.Context(cli), {name!r})\n"
        "print(*sorted({'aiohttp', 'cryptography', 'granian', 'psycopg', 'rich', 'structlog'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["start", "--foo"], "No such option '--foo'. See 'rangeland start --help'."),
        (["node", "ls", "--fromat=csv"], "Did you mean '--format'?"),
        (["nonsense"], "No such command 'nonsense'. See 'rangeland --help'."),
        (["auth-session", "login"], "Missing argument 'USERNAME'."),
        (["node", "status", "x"], "'x' is not a valid integer"),
        (
            ["node", "ls", "--format", "xml"],
            "'xml' is not one of 'table', 'tsv', 'csv', 'json', 'ndjson', 'records', 'raw'.",
        ),
    ],
)
def test_a_wrong_command_line_is_one_line_and_status_2(words: list[str], text: str, tmp_path: Path) -> None:
    done = run_command(*words, home=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("ERROR: ")
    assert text in line


def test_no_command_at_all_shows_the_list(tmp_path: Path) -> None:
    done = run_command(home=tmp_path)
    assert done.returncode == 2
    assert all(name in done.stderr for name in COMMANDS)


def test_the_version_is_told(tmp_path: Path) -> None:
    assert run_command("--version", home=tmp_path).stdout == "rangeland, version 0.1.0\n"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["start"], "--server-url is missing"),
        (["auth-session", "login", "u", "--expire-after", "soon"], "--expire-after must be a duration above zero"),
        (["auth-session", "login", "u", "--expire-after", "0s"], "--expire-after must be a duration above zero"),
        (["start", "--server-url", "postgresql://a,b/x"], "--server-url must name one server"),
        (["start", "--server-url", "postgresql://a/x?nonsense=1"], "--server-url is not a PostgreSQL URL"),
        (["start", "--server-url", "postgresql://a/x", "--http-addr", "a:b"], "--http-addr must end in a port"),
        (["start", "--server-url", "postgresql://a/x", "--locality", "eu"], "--locality must be key=value"),
        (["start", "--server-url", "postgresql://a/x", "--log-format", "xml"], "--log-format must be text or json"),
        (["start", "--server-url", "postgresql://a/x"], "does not exist: make it with"),
        (["start", "--config", "nowhere.toml"], "can't read the configuration file nowhere.toml"),
        (["init"], "--url is missing"),
        (["uninstall"], "--url is missing"),
        (["node", "ls"], "cluster.key does not exist: make it with"),
        (["node", "ls", "--url", "localhost:8080"], "--url must be https://HOST:PORT, not localhost:8080"),
    ],
)
def test_bad_settings_are_one_line_and_status_1(words: list[str], text: str, tmp_path: Path) -> None:
    assert text in complaint(run_command(*words, home=tmp_path))


def test_a_flag_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    """The complaint about a node that is not there names the address that won."""
    by_flag, by_variable, by_file = (f"http://localhost:{free_port()}" for _ in range(3))
    (tmp_path / "file.toml").write_text(f'node_url = "{by_file}"\ninsecure = true\n')
    words = ("node", "ls", "--config", "file.toml")
    assert complaint(run_command(*words, home=tmp_path)).startswith(f"{by_file}: ")
    in_between = {"RANGELAND_NODE_URL": by_variable}
    assert complaint(run_command(*words, home=tmp_path, **in_between)).startswith(f"{by_variable}: ")
    done = run_command(*words, "--url", by_flag, home=tmp_path, **in_between)
    assert complaint(done).startswith(f"{by_flag}: ")
    assert complaint(run_command(*words, home=tmp_path, RANGELAND_NODE_URL="")).startswith(f"{by_file}: ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("node_ulr = 1", "the configuration file has an unknown setting: node_ulr"),
        ("node_url = 1", "node_url in the configuration file must be a text, not 1"),
        ('insecure = "perhaps"', "insecure in the configuration file must be true or false, not 'perhaps'"),
        ("node_url", "file.toml is not valid TOML"),
    ],
)
def test_a_wrong_line_in_the_file_is_named(text: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "file.toml").write_text(text)
    assert expected in complaint(run_command("node", "ls", "--config", "file.toml", home=tmp_path))


def test_a_settings_file_may_hold_those_of_other_commands(tmp_path: Path) -> None:
    (tmp_path / "file.toml").write_text('server_url = "postgresql://a/x"\nhttp_port = 1\n')
    assert "cluster.key does not exist" in complaint(
        run_command("node", "ls", "--config", "file.toml", home=tmp_path)
    )

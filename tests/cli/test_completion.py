"""`rangeland completion`: scripts for shells, and what the program answers them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fix_commands import run_command
from rangeland.cli.completion import SHELLS
from rangeland.cli.main import COMMANDS


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_asks_the_program_for_words(shell: str, tmp_path: Path) -> None:
    done = run_command("completion", shell, home=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"_RANGELAND_COMPLETE={shell}_complete" in done.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_takes_its_script(shell: str, tmp_path: Path) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not on this machine")
    (tmp_path / "script").write_text(run_command("completion", shell, home=tmp_path).stdout)
    done = subprocess.run([program, "-n", "script"], cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_unknown_shell_is_refused_with_those_that_are_known(tmp_path: Path) -> None:
    done = run_command("completion", "tcsh", home=tmp_path)
    assert done.returncode == 2
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'." in done.stderr


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("rangeland ", set(COMMANDS)),
        ("rangeland no", {"node"}),
        ("rangeland node ", {"ls", "status", "decommission", "recommission", "drain"}),
        ("rangeland node status --dec", {"--decommission"}),
        ("rangeland node ls --format n", {"ndjson"}),
        ("rangeland completion ", set(SHELLS)),
    ],
)
def test_commands_flags_and_their_values_are_completed(line: str, words: set[str], tmp_path: Path) -> None:
    request = {"COMP_WORDS": line, "COMP_CWORD": line.count(" "), "_RANGELAND_COMPLETE": "bash_complete"}
    done = run_command(home=tmp_path, **request)
    assert (done.returncode, done.stderr) == (0, "")
    assert {offer.removeprefix("plain,") for offer in done.stdout.splitlines()} == words


def test_bash_completes_on_its_own(tmp_path: Path) -> None:
    """The script in a real bash, with the function called as a TAB does."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not on this machine")
    program = (
        'eval "$(rangeland completion bash)"; COMP_WORDS=(rangeland cert create-cl); COMP_CWORD=2; '
        '"$(complete -p rangeland | sed "s/.*-F \\([^ ]*\\) .*/\\1/")" rangeland; echo "${COMPREPLY[@]}"'
    )
    places = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environ = {"PATH": places, "HOME": str(tmp_path)}
    done = subprocess.run([bash, "-c", program], env=environ, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["create-client", "create-cluster-key"]

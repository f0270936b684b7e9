"""Commands as a user runs them: as processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

Completed = subprocess.CompletedProcess[str]


def run_command(*args: object, home: Path, **variables: object) -> Completed:
    """Run `rangeland` in `home`; `variables` are all of its environment beside PATH and HOME."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(home)}
    environ |= {name: str(text) for name, text in variables.items()}
    argv = [sys.executable, "-m", "rangeland", *map(str, args)]
    return subprocess.run(argv, cwd=home, env=environ, capture_output=True, text=True, timeout=30, check=False)


def complaint(done: Completed) -> str:
    """The one line of a command that failed, without its ERROR."""
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("ERROR: ")
    return line.removeprefix("ERROR: ")

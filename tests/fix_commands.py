"""Commands as processes, and one node of a throw-away cluster for those that ask a node."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rangeland.engine.cluster import Cluster, Plan
from rangeland.engine.ports import free_port
from rangeland.engine.workplace import Workplace

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


@pytest.fixture(scope="module")
def small_cluster(workplace: Workplace) -> Iterator[Cluster]:
    """One secure node beside one server, for the tests of a module."""
    with Workplace(kind="test") as own:
        plan = Plan(nodes=1, http_port=free_port(), sql_port=free_port(), load_tps=0)
        cluster = Cluster(own, plan)
        cluster.open()
        yield cluster
        cluster.stop()

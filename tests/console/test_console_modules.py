"""What the console decides without a page: its pure functions, tested by node, a file of tests each."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

TESTS = Path(__file__).parent / "js"

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None, reason="node is not installed (Debian: apt-get install nodejs)"
)


@pytest.mark.parametrize("name", sorted(path.name for path in TESTS.glob("*.test.mjs")))
def test_a_module_of_the_console_keeps_its_promises(name: str) -> None:
    argv = ["node", "--import", "./setup.mjs", "--test", name]
    done = subprocess.run(argv, cwd=TESTS, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

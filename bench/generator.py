"""Many clients at once over TLS: `wrk`, which needs a tenth of the CPU that a client in Python would."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass

WRK = shutil.which("wrk")
NEEDS_WRK = "wrk is not installed (Debian: apt-get install wrk)"
CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Load:
    """What came of a stretch of load: whole answers with status 200."""

    answers: int
    answers_per_s: float


def run_load(
    url: str,
    *,
    seconds: int,
    token: str | None = None,
    connections: int = CONNECTIONS,
    script: str | None = None,
    closes: bool = False,
) -> Load:
    """Ask for the URL as fast as it answers, each connection again as soon as it has its answer.

    `script` is the path of one in Lua that makes the requests; `closes` says that each answer ends with its
    connection. Any other status than 2xx fails the measurement.
    """
    assert WRK is not None, NEEDS_WRK
    argv = [WRK, "--threads=1", f"--connections={connections}", f"--duration={seconds}s", "--timeout=30s"]
    argv += ["--header", f"X-Cockroach-API-Session: {token}"] if token else []
    argv += ["--script", script] if script else []
    done = subprocess.run([*argv, url], capture_output=True, text=True, check=True, timeout=seconds + 60)
    return parse_load(done.stdout, closes=closes)


def parse_load(text: str, *, closes: bool = False) -> Load:
    """wrk's report. Fails where a request got no answer, or another than 2xx; an end that is expected is no error."""
    errors = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    counted = [int(count) for count in errors.groups()] if errors else [0]
    assert "Non-2xx" not in text, text
    assert sum(counted) == (counted[1] if closes and errors else 0), text
    answers, per_s = re.search(r"(\d+) requests in", text), re.search(r"Requests/sec:\s*([\d.]+)", text)
    assert answers is not None, text
    assert per_s is not None, text
    return Load(int(answers[1]), float(per_s[1]))

"""Prometheus itself: its checker and a process of it, from Debian's package `prometheus`."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rangeland.engine.ports import free_port

needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason="prometheus is not installed (Debian: apt-get install prometheus)",
)


class Prometheus:
    """A running one, asked over its own API."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, **parameters: str) -> Any:
        """The `data` of an answer of /api/v1/."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.load(answer)["data"]

    def query(self, expr: str) -> list[tuple[dict[str, str], float]]:
        """The labels and value of each series, now."""
        return [(each["metric"], float(each["value"][1])) for each in self.ask("query", query=expr)["result"]]


@contextmanager
def running_prometheus(config: Path, directory: Path) -> Iterator[Prometheus]:
    """Beside its data in `directory`; ended when the block is left."""
    port = free_port()
    argv = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={directory / 'data'}"]
    argv += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    with (
        (directory / "log").open("wb") as log,
        subprocess.Popen(argv, stdout=log, stderr=log, cwd=directory) as process,
    ):
        try:
            yield Prometheus(port)
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()


def promtool(*arguments: str | Path) -> str:
    """What it prints. Fails unless it is content."""
    done = subprocess.run(
        ["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout

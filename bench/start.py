"""How soon is it there, and how much memory does it hold? Commands, nodes, and a whole demo."""

from __future__ import annotations

import subprocess
import sys
import time

import psutil

from bench.line import Findings, Line
from bench.scene import Ready, Scene, kept_client
from bench.timing import in_turn, median, timed
from fix_cluster import free_ports
from rangeland.config import program

NODES = 3
MAX_HELP_S = 0.2
MAX_START_RATIO = 1.5
MAX_DEMO_S = 6.0
MAX_RESIDENT_MB = 80
POLL_S = 0.005
PATIENCE_S = 30.0
PATHS = ("sessions/", "nodes/", "nodes/local/ranges/", "ranges/hot/", "databases/", "users/", "events/", "/metrics")


def measure(scene: Scene) -> Findings:
    """Each as often as the machine needs to be steady."""
    yield _help(scene)
    yield _demo(scene)
    with scene.cluster(scene.pick(NODES, 1), load_tps=10) as ready:
        yield _resident(scene, ready)
        yield _node(scene, ready)


def _help(scene: Scene) -> Line:
    command = [*map(str, program()), "--help"]
    bare = [sys.executable, "-c", "pass"]
    figures = in_turn(timed(lambda: _run(command)), timed(lambda: _run(bare)), rounds=scene.pick(15, 1))
    help_s, python_s = map(median, figures)
    return Line(
        "`rangeland --help`",
        f"≤ {MAX_HELP_S:g} s",
        f"{help_s:.3f} s",
        f"Python doing nothing: {python_s:.3f} s",
        help_s <= MAX_HELP_S,
    )


def _demo(scene: Scene) -> Line:
    ready_s = [_demo_s() for _ in range(scene.pick(3, 1))]
    return Line(
        "Demo, from nothing to ready",
        f"≤ {MAX_DEMO_S:g} s with {NODES} nodes",
        f"{median(ready_s):.1f} s",
        "",
        median(ready_s) <= MAX_DEMO_S,
    )


def _demo_s() -> float:
    """From the command to the line that says that it is ready; then it is ended."""
    ports = free_ports(2 * NODES)
    argv = [*map(str, program()), "demo", f"--http-port={ports}", f"--sql-port={ports + NODES}"]
    begun = time.perf_counter()
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        try:
            assert any(line.startswith("Ready after") for line in demo.stdout), "the demo ended before it was ready"
            return time.perf_counter() - begun
        finally:
            demo.terminate()
            demo.stdout.read()


def _resident(scene: Scene, ready: Ready) -> Line:
    """Each node has answered every kind of question, from three connections in turn."""
    for node in range(1, ready.cluster.plan.nodes + 1):
        for _ in range(scene.pick(30, 1)):
            with ready.kept(node) as client:
                for path in PATHS:
                    client.get(path)
    held_mb = [psutil.Process(node.pid).memory_info().rss / 1e6 for node in ready.cluster.nodes]
    return Line(
        "Memory of a node",
        f"≤ {MAX_RESIDENT_MB} MB resident",
        f"{max(held_mb):.0f} MB, the largest of {len(held_mb)}",
        "",
        max(held_mb) <= MAX_RESIDENT_MB,
        "after answers of every kind",
    )


def _node(scene: Scene, ready: Ready) -> Line:
    """The server is up, and the node's own code is compiled, as after `make install`."""
    libraries = _libraries()
    importing = [sys.executable, "-c", "\n".join(f"import {name}" for name in libraries)]
    figures = in_turn(lambda: _node_s(ready), timed(lambda: _run(importing)), rounds=scene.pick(7, 1))
    node_s, import_s = map(median, figures)
    return Line(
        "Start of a node",
        f"until `health/` answers, ≤ {MAX_START_RATIO:g} × importing its libraries",
        f"{node_s / import_s:.2f} × ({node_s:.2f} s)",
        f"a process that imports the same {len(libraries)} modules: {import_s:.2f} s",
        node_s <= MAX_START_RATIO * import_s,
    )


def _node_s(ready: Ready) -> float:
    """From its start to its first answer; it is stopped first."""
    node = ready.cluster.nodes[-1]
    node.stop()
    begun = time.perf_counter()
    node.start()
    while not _answers(ready):
        assert time.perf_counter() - begun < PATIENCE_S, node.last_words()
        time.sleep(POLL_S)
    return time.perf_counter() - begun


def _answers(ready: Ready) -> bool:
    with kept_client(ready.url("/", ready.cluster.plan.nodes), ready.cluster.ca_cert) as client:
        try:
            return bool(client.get("health/"))
        except ConnectionError:
            return False


def _libraries() -> list[str]:
    """The modules that are not ours in a node's process, in the order in which they are imported."""
    ours = ("rangeland.cli.start", "rangeland.node.run", "rangeland.node.logs")
    listing = ["import sys", *(f"import {name}" for name in ours), "print('\\n'.join(sys.modules))"]
    found = subprocess.run([sys.executable, "-c", "\n".join(listing)], capture_output=True, text=True, check=True)
    return [name for name in found.stdout.split() if not name.startswith(("rangeland", "_", "sys"))]


def _run(argv: list[str]) -> None:
    subprocess.run(argv, stdout=subprocess.DEVNULL, check=True)

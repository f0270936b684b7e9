"""How many answers a second to 64 clients over TLS? Beside the HTTP server alone, postgres_exporter and Patroni."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bench.generator import CONNECTIONS, NEEDS_WRK, WRK, run_load
from bench.line import Findings, Line
from bench.peers import EXPORTER, NEEDS_EXPORTER, constant_server, running_exporter
from bench.scene import Ready, Scene, idle_sessions
from bench.timing import in_turn, median
from fix_patroni import ETCD, Etcd, Raft, patroni_cluster

SESSIONS = 1000
NODES = 3
MIN_SHARE = 0.5
MIN_TIMES_EXPORTER = 20
MIN_TIMES_PATRONI = 3
SILENT = "what stands beside it gave no answer at all while it was measured: the machine is too busy"


def measure(scene: Scene) -> Findings:
    """`sessions/` of one node, `nodes/` of three; without wrk all is left out."""
    if WRK is None:
        for question in ("Throughput of `sessions/`", "Throughput of `nodes/`"):
            yield Line(question, f"≥ {MIN_SHARE:.0%} of constant bytes", "", "", None, NEEDS_WRK)
        return
    count = scene.pick(SESSIONS, 5)
    with scene.cluster(1, connections=count) as ready, idle_sessions(ready.primary, count):
        yield _beside_constant(scene, ready, "sessions/", f"{SESSIONS:,} sessions")
    with scene.cluster(NODES) as ready:
        yield _beside_constant(scene, ready, "nodes/", f"{NODES} nodes")
        yield _beside_exporter(scene, ready)
        yield _beside_patroni(scene, ready)


def _beside_constant(scene: Scene, ready: Ready, path: str, of_what: str) -> Line:
    with ready.kept() as client:
        body = client.get(path)
    with constant_server(ready, "constant", body) as url:
        node, constant = _rates(scene, _asking(ready, path), _loading(url))
    return Line(
        f"Throughput of `{path}`, {of_what}",
        f"≥ {MIN_SHARE:.0%} of constant bytes, {CONNECTIONS} connections",
        f"{node / constant:.0%} ({node:.0f} answers a second of {len(body) / 1000:.1f} kB)",
        f"the same server and framework answering the same bytes: {constant:.0f} a second",
        node >= MIN_SHARE * constant,
    )


def _beside_exporter(scene: Scene, ready: Ready) -> Line:
    question, goal = "Throughput of `nodes/` and of postgres_exporter", f"≥ {MIN_TIMES_EXPORTER} × its `/metrics`"
    if EXPORTER is None:
        return Line(question, goal, "", "", None, NEEDS_EXPORTER)
    with running_exporter(ready) as url:
        node, exporter = _rates(scene, _asking(ready, "nodes/"), _loading(url))
    if not exporter:
        return Line(question, goal, "", "", None, SILENT)
    return Line(
        question,
        goal,
        f"{node / exporter:.1f} × ({node:.0f} a second)",
        f"postgres_exporter, without TLS: {exporter:.0f} a second",
        node >= MIN_TIMES_EXPORTER * exporter,
    )


def _beside_patroni(scene: Scene, ready: Ready) -> Line:
    """Patroni has three members, too."""
    question, goal = "Throughput of `nodes/` and of Patroni", f"≥ {MIN_TIMES_PATRONI} × its `/cluster`"
    with patroni_cluster(Etcd() if ETCD else Raft()) as patroni:
        url = f"http://127.0.0.1:{patroni.members[0].rest_port}/cluster"
        node, other = _rates(scene, _asking(ready, "nodes/"), _loading(url, closes=True))
    if not other:
        return Line(question, goal, "", "", None, SILENT)
    return Line(
        question,
        goal,
        f"{node / other:.1f} × ({node:.0f} a second)",
        f"Patroni, three members, without TLS: {other:.0f} a second",
        node >= MIN_TIMES_PATRONI * other,
    )


def _rates(scene: Scene, *loads: Callable[[int], float]) -> list[float]:
    """Answers a second of each, loaded in turn."""
    seconds = scene.pick(2, 1)
    measures = [partial(load, seconds) for load in loads]
    return [median(figures) for figures in in_turn(*measures, rounds=scene.pick(2, 1))]


def _asking(ready: Ready, path: str) -> Callable[[int], float]:
    return lambda seconds: run_load(ready.url(path), seconds=seconds, token=ready.token).answers_per_s


def _loading(url: str, *, closes: bool = False) -> Callable[[int], float]:
    return lambda seconds: run_load(url, seconds=seconds, closes=closes).answers_per_s

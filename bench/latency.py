"""How long does one client wait? Beside the least that there is to do: the statement, or the HTTP server alone."""

from __future__ import annotations

from contextlib import ExitStack

from bench.constant import PATH
from bench.line import Curve, Findings, Line
from bench.peers import bare_loop, constant_server
from bench.scene import Ready, Scene, idle_sessions, kept_client
from bench.timing import in_turn, median, timed

SESSIONS = 1000
MAX_RATIO = 1.5
COUNTS = (1, 100, 250, 500, 1000, 2000)


def measure(scene: Scene) -> Findings:
    """One node, one connection over TLS that is kept."""
    counts = scene.pick(COUNTS, (1, 5))
    judged = scene.pick(SESSIONS, 5)
    with scene.cluster(1, connections=counts[-1]) as ready, ExitStack() as sessions:
        yield _health(scene, ready)
        ours: list[tuple[float, float]] = []
        bare: list[tuple[float, float]] = []
        for before, count in zip((0, *counts), counts, strict=False):
            sessions.enter_context(idle_sessions(ready.primary, count - before))
            node_s, loop_s, whole = _sessions(scene, ready)
            ours.append((count, node_s * 1000))
            bare.append((count, loop_s * 1000))
            if count == judged:
                yield Line(
                    f"Latency of `sessions/`, {SESSIONS:,} sessions",
                    f"p50 ≤ {MAX_RATIO:g} × the bare loop",
                    f"{node_s / loop_s:.2f} × ({node_s * 1000:.1f} ms, {whole / 1e6:.2f} MB)",
                    f"psycopg and msgspec in a bare loop: {loop_s * 1000:.1f} ms",
                    node_s <= MAX_RATIO * loop_s,
                )
        yield Curve(
            "sessions",
            "GET /api/v2/sessions/, one node, one client over TLS",
            "sessions",
            "p50, ms",
            {"node": ours, "psycopg and msgspec, bare": bare},
        )


def _sessions(scene: Scene, ready: Ready) -> tuple[float, float, int]:
    """p50 of the node and of the bare loop in seconds, and the answer's size in bytes."""
    with ready.kept() as client, bare_loop(ready.primary) as loop:
        size = len(client.get("sessions/"))
        figures = in_turn(
            timed(lambda: client.get("sessions/")),
            timed(loop),
            rounds=scene.pick(100, 2),
        )
        return median(figures[0]), median(figures[1]), size


def _health(scene: Scene, ready: Ready) -> Line:
    with ready.kept() as client, ExitStack() as stack:
        url = stack.enter_context(constant_server(ready, "health", client.get("health/")))
        constant = stack.enter_context(kept_client(url, ready.cluster.ca_cert))
        figures = in_turn(
            timed(lambda: client.get("health/")),
            timed(lambda: constant.get(PATH)),
            rounds=scene.pick(2000, 2),
        )
    node_ms, constant_ms = (median(each) * 1000 for each in figures)
    return Line(
        "Latency of `health/`",
        f"p50 ≤ {MAX_RATIO:g} × constant bytes",
        f"{node_ms / constant_ms:.2f} × ({node_ms:.3f} ms)",
        f"the same server and framework answering the same bytes: {constant_ms:.3f} ms",
        node_ms <= MAX_RATIO * constant_ms,
    )

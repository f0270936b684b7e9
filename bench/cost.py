"""What does an answer cost the server? CPU and statements, beside postgres_exporter on the same server."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from urllib.parse import urlsplit

from bench.generator import CONNECTIONS, NEEDS_WRK, WRK, run_load
from bench.line import Findings, Line
from bench.peers import EXPORTER, EXPORTER_ROLE, NEEDS_EXPORTER, running_exporter
from bench.scene import Ready, Scene, idle_sessions, kept_client
from bench.spending import COUNTING, begin_counting, cpu_of, spending_of
from bench.timing import in_turn, median
from rangeland.auth.web_sessions import CACHE_S
from rangeland.engine.server import PostgresServer
from rangeland.state.init import NODE_ROLE

NODES = 3
SESSIONS = 100
MAX_CPU_MS = 1.0
MAX_STATEMENTS_OF_MANY = 0.05


def measure(scene: Scene) -> Findings:
    """Of three nodes and their servers; the CPU is that of the primary, which has the sessions."""
    sessions = scene.pick(SESSIONS, 5)
    with (
        scene.cluster(NODES, connections=sessions, settings=COUNTING) as ready,
        idle_sessions(ready.primary, sessions),
    ):
        begin_counting(ready.primary)
        yield from _alone(scene, ready)
        yield _together(scene, ready)


def _alone(scene: Scene, ready: Ready) -> Findings:
    """One client, one request after the other."""
    times, rounds = scene.pick(20, 2), scene.pick(15, 1)
    with ExitStack() as stack:
        client = stack.enter_context(ready.kept())
        ask = _repeated(lambda: client.get("sessions/"), times)
        measures, scraped, note = [_cpu_ms(ready.primary, ask, times)], "", NEEDS_EXPORTER
        if EXPORTER is not None:
            scrape = _repeated(_scraping(stack, stack.enter_context(running_exporter(ready))), times)
            measures.append(_cpu_ms(ready.primary, scrape, times))
            scraped, note = f"{_statements(ready.primary, EXPORTER_ROLE, scrape, times):.0f}", ""
        cpu_ms, *others = [median(figures) for figures in in_turn(*measures, rounds=rounds)]
        yield Line(
            "CPU of the server for `sessions/`",
            f"≤ {MAX_CPU_MS:g} ms with {SESSIONS} connections",
            f"{cpu_ms:.2f} ms",
            f"postgres_exporter: {others[0]:.2f} ms a scrape" if others else "",
            cpu_ms <= MAX_CPU_MS,
            note,
        )
        for path in ("sessions/", "nodes/"):
            asked = _repeated(partial(client.get, path), times)
            counts = [_statements(server, NODE_ROLE, asked, times) for server in ready.cluster.servers]
            yield Line(
                f"Statements for `{path}`",
                "1 a node",
                f"{', '.join(f'{count:.2f}' for count in counts)} at nodes 1 to {NODES}",
                f"postgres_exporter: {scraped} a scrape" if scraped else "",
                all(round(count) == 1 for count in counts),
                f"with those that go on beside: node 1 reads the user's rights every {CACHE_S:g} s",
            )


def _together(scene: Scene, ready: Ready) -> Line:
    """As many clients as a load has; the statements of the primary's node."""
    question, goal = "Statements for `sessions/`, asked by many", f"≤ {MAX_STATEMENTS_OF_MANY:g} an answer"
    if WRK is None:
        return Line(question, goal, "", "", None, NEEDS_WRK)
    earlier = spending_of(ready.primary)
    load = run_load(ready.url("sessions/"), seconds=scene.pick(8, 1), token=ready.token)
    statements = (spending_of(ready.primary) - earlier).statements_by_role[NODE_ROLE]
    return Line(
        question,
        f"{goal}, {CONNECTIONS} clients",
        f"{statements / load.answers:.4f} ({statements} statements for {load.answers} answers)",
        "",
        statements / load.answers <= MAX_STATEMENTS_OF_MANY,
        "that nobody gets what was read before they asked is held by tests/unit/test_flights.py",
    )


def _scraping(stack: ExitStack, url: str) -> Callable[[], bytes]:
    client = stack.enter_context(kept_client(url))
    return lambda: client.get(urlsplit(url).path)


def _repeated(work: Callable[[], object], times: int) -> Callable[[], None]:
    def repeat() -> None:
        for _ in range(times):
            work()

    return repeat


def _cpu_ms(server: PostgresServer, work: Callable[[], None], times: int) -> Callable[[], float]:
    """CPU of the server for one of the `times` that the work is."""

    def measure() -> float:
        earlier_s = cpu_of(server)
        work()
        return (cpu_of(server) - earlier_s) * 1000 / times

    return measure


def _statements(server: PostgresServer, role: str, work: Callable[[], None], times: int) -> float:
    """Statements of the role for one of the `times` that the work is, first ones and what goes on beside included."""
    earlier = spending_of(server)
    work()
    return (spending_of(server) - earlier).statements_by_role.get(role, 0) / times

"""What do many nodes cost? Three real ones beside one, and one real node among a thousand endpoints."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg

from bench.line import Curve, Findings, Line
from bench.scene import Kept, Ready, Scene
from bench.timing import in_turn, median, timed
from fix_cluster import wait_until
from rangeland.engine.ports import require_free_port
from rangeland.errors import EngineError
from rangeland.sql import block
from rangeland.wire.nodes import Liveness

ENDPOINTS = 1000
SESSIONS_EACH = 10
SILENT_SHARE = 0.1
COUNTS = (10, 100, 300, 600, 1000)
ROOT = Path(__file__).parents[1]

MAX_RATIO = 2.0
MAX_WARM_S = 1.0
MAX_SILENT_S = 4.5
MAX_GROWTH_RATIO = 1.5  # the time a node at 1,000 nodes by that at 100: what isn't linear shows as 10
MAX_RESIDENT_MB = 250.0  # 80 for a node, and 170 kB for each of 1,000 peers: TLS contexts and their buffers
MAX_CONNECTIONS = 4  # to one peer


def measure(scene: Scene) -> Findings:
    yield from _three_nodes(scene)
    with scene.cluster(1) as ready, _endpoints(scene, ready) as crowd:
        yield from _many_nodes(scene, ready, crowd)


def _three_nodes(scene: Scene) -> Findings:
    with scene.cluster(1) as alone, scene.cluster(3) as three, alone.kept() as one, three.kept() as of_three:
        wait_until(lambda: _live(one) == 1 and _live(of_three) == 3, "every node lists all", timeout_s=30)
        for path in ("nodes/", "sessions/"):
            figures = in_turn(
                timed(lambda path=path: of_three.get(path)),  # type: ignore[misc]
                timed(lambda path=path: one.get(path)),  # type: ignore[misc]
                rounds=scene.pick(300, 2),
            )
            three_ms, one_ms = (median(each) * 1000 for each in figures)
            yield Line(
                f"Fan-out: `{path}` of three nodes",
                f"p50 ≤ {MAX_RATIO:g} × one node's answer",
                f"{three_ms / one_ms:.2f} × ({three_ms:.1f} ms)",
                f"a cluster of one node: {one_ms:.1f} ms",
                three_ms <= MAX_RATIO * one_ms,
            )


@dataclass(frozen=True, slots=True)
class _Crowd:
    """Endpoints in processes of their own, of which the first, that is asked first, can be made silent."""

    first_port: int
    count: int
    silent: int  # how many the first process has
    processes: Sequence[subprocess.Popen[bytes]]

    @contextmanager
    def partly_silent(self) -> Iterator[None]:
        """Connections to the first process are taken by the kernel, and nothing answers on them."""
        process = self.processes[0]
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)


@contextmanager
def _endpoints(scene: Scene, ready: Ready) -> Iterator[_Crowd]:
    count = scene.pick(ENDPOINTS, 20)
    silent = int(count * SILENT_SHARE)
    half = (count - silent) // 2
    first_port = _ports_in_a_row(count)
    certs_dir = ready.cluster.nodes[0].certs_dir
    assert certs_dir is not None
    place = ready.cluster.workplace
    with ready.kept() as client:
        wait_until(lambda: _live(client) == 1, "the node knows its server", timeout_s=30)
        status = json.loads(client.get("nodes/"))["nodes"][0]
    (place.path / "status.json").write_text(json.dumps(status), "utf-8")
    with ExitStack() as stack:
        processes = []
        begun = 0
        for size in (silent, half, count - silent - half):
            argv: list[str | Path] = [sys.executable, "-m", "bench.endpoints", certs_dir]
            argv += map(str, (first_port + begun, begun + 2, size, SESSIONS_EACH))
            env = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
            process = place.start(argv, directory=place.path, env=env)
            stack.callback(process.wait)
            stack.callback(process.kill)
            processes.append(process)
            begun += size
        yield _Crowd(first_port, count, silent, processes)


def _ports_in_a_row(count: int) -> int:
    """The first of so many free ones, above those that tests take and below those that the system gives."""
    first = 20_000
    for port in range(20_000, 32_000):
        try:
            require_free_port(port, setting="")
        except EngineError:
            first = port + 1
        if port - first + 1 == count:
            return first
    raise EngineError(f"there are no {count} free ports in a row from 20000 to 32000")


def _many_nodes(scene: Scene, ready: Ready, crowd: _Crowd) -> Findings:
    points: dict[str, list[tuple[float, float]]] = {"nodes/": [], "sessions/": []}
    counts = [count for count in COUNTS if count < crowd.count] + [crowd.count]
    registered = 0
    for count in counts:
        _register(ready, crowd, registered, count)
        registered = count
        with ready.kept() as client:
            for path, measured in points.items():
                timed(lambda path=path: client.get(path))()  # type: ignore[misc]
                figures = in_turn(timed(lambda path=path: client.get(path)), rounds=scene.pick(10, 2))  # type: ignore[misc]
                measured.append((count, median(figures[0]) * 1000))
    whole_ms = points["nodes/"][-1][1]
    yield Line(
        f"Fan-out: `nodes/` of {ENDPOINTS:,} nodes, warm",
        f"p50 ≤ {MAX_WARM_S:g} s",
        f"{whole_ms / 1000:.2f} s (`sessions/`, 10,000 of them: {points['sessions/'][-1][1] / 1000:.2f} s)",
        "",
        whole_ms <= MAX_WARM_S * 1000,
    )
    yield _linear(points["nodes/"])
    with ready.kept() as client:
        yield from _pages(scene, client)
        yield from _silence(crowd, client)
        yield _bounded(ready)
    title = "One node that asks many, over TLS, warm"
    yield Curve("nodes", title, "nodes", "p50, ms", {name: list(each) for name, each in points.items()})


def _register(ready: Ready, crowd: _Crowd, begin: int, end: int) -> None:
    """Make the first `end` endpoints members (`begin` are), and wait until the node lists all as live."""
    statement = block("state", "add_member", ready.primary.major * 10000).text.encode()
    with psycopg.connect(ready.primary.conninfo(), autocommit=True) as connection:
        for number in range(begin, end):
            address = f"127.0.0.1:{crowd.first_port + number}"
            connection.execute(statement, {"http_addr": address, "sql_addr": address})
    node = ready.cluster.nodes[0]
    node.stop()
    node.start()
    node.wait_until_ready()
    with ready.kept() as client:
        wait_until(lambda: _live(client) == end + 1, f"all {end} endpoints answer", timeout_s=60)


def _live(client: Kept) -> int:
    """How many nodes are listed as live; 0 where nobody can say, as just after a start."""
    try:
        nodes: list[dict[str, Any]] = json.loads(client.get("nodes/"))["nodes"]
    except AssertionError:
        return 0
    return sum(node["liveness_status"] == Liveness.LIVE for node in nodes)


def _linear(points: Sequence[tuple[float, float]]) -> Line:
    each_ms = {count: ms / count for count, ms in points}
    few, many = (100 if 100 in each_ms else min(each_ms)), max(each_ms)
    ratio = each_ms[many] / each_ms[few]
    return Line(
        "Fan-out: linear in nodes",
        f"a node of 1,000 costs ≤ {MAX_GROWTH_RATIO:g} × one of 100",
        f"{ratio:.2f} × ({each_ms[many]:.2f} ms a node)",
        f"{few:.0f} nodes: {each_ms[few]:.2f} ms a node",
        ratio <= MAX_GROWTH_RATIO,
    )


def _pages(scene: Scene, client: Kept) -> Findings:
    """Every page of a walk through all of them."""
    for path, size in (("nodes/", 100), ("sessions/", 1000)):
        slowest_s, entries = _walk(client, path, scene.pick(size, 5))
        yield Line(
            f"Fan-out: pages of `{path}`, {size:,} entries each, {ENDPOINTS:,} nodes, warm",
            f"each page ≤ {MAX_WARM_S:g} s",
            f"the slowest {slowest_s:.2f} s, {entries:,} entries in all",
            "",
            slowest_s <= MAX_WARM_S,
        )


def _walk(client: Kept, path: str, size: int) -> tuple[float, int]:
    """The slowest page in seconds, and how many entries there were."""
    slowest_s, entries, more = 0.0, 0, ""
    while True:
        page: dict[str, Any] = {}
        whole = f"{path}?limit={size}{more}"
        slowest_s = max(slowest_s, timed(lambda whole=whole, page=page: page.update(json.loads(client.get(whole))))())  # type: ignore[misc]
        found = page[path.rstrip("/")]
        entries += len(found)
        if path == "nodes/" and "next" in page:
            more = f"&offset={page['next']}"
        elif path == "sessions/" and len(found) == size:
            more = f"&start={page['next']}"
        else:
            return slowest_s, entries


def _silence(crowd: _Crowd, client: Kept) -> Findings:
    """The first question, which finds out, and those that follow; then one to a node that must find out anew."""
    with crowd.partly_silent():
        for path, who in (
            ("nodes/", "who finds out"),
            ("nodes/", "who comes later"),
            ("sessions/", "who comes later"),
        ):
            live = -1
            seconds = timed(lambda path=path: client.get(path))()  # type: ignore[misc]
            live = _live(client)
            yield Line(
                f"Fan-out: `{path}` with {SILENT_SHARE:.0%} silent peers, for {who}",
                f"≤ {MAX_SILENT_S:g} s, and only they are missing",
                f"{seconds:.2f} s, {live:,} of {crowd.count + 1:,} live",
                "",
                seconds <= MAX_SILENT_S and live == crowd.count + 1 - crowd.silent,
            )
        slowest_s, entries = _walk(client, "sessions/", 1000)
        expected = (crowd.count - crowd.silent) * SESSIONS_EACH
        yield Line(
            f"Fan-out: pages of `sessions/` with {SILENT_SHARE:.0%} silent peers",
            f"each ≤ {MAX_SILENT_S:g} s, nothing else missing",
            f"the slowest {slowest_s:.2f} s, {entries:,} of {expected:,} sessions",
            "",
            slowest_s <= MAX_SILENT_S and entries >= expected,
        )


def _bounded(ready: Ready) -> Line:
    process = psutil.Process(ready.cluster.nodes[0].pid)
    by_peer: dict[Any, int] = {}
    for each in process.net_connections("tcp"):
        if each.raddr and each.status == psutil.CONN_ESTABLISHED:
            by_peer[each.raddr] = by_peer.get(each.raddr, 0) + 1
    with suppress(ValueError):
        most = max(by_peer.values())
    resident_mb = process.memory_info().rss / 1e6
    return Line(
        f"Fan-out: memory and connections, {ENDPOINTS:,} nodes",
        f"≤ {MAX_RESIDENT_MB:g} MB resident, ≤ {MAX_CONNECTIONS} connections to a peer",
        f"{resident_mb:.0f} MB, {sum(by_peer.values()):,} connections, at most {most} to one peer",
        "",
        resident_mb <= MAX_RESIDENT_MB and most <= MAX_CONNECTIONS,
    )

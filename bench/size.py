"""What does a large server cost? 100,000 tables, 2,000 connections, 200 databases."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import psycopg

from bench.line import Curve, Findings, Line
from bench.scene import Kept, Ready, Scene, idle_sessions, make_tables, memory_with_room
from bench.spending import cpu_of, wait_until_at_rest
from bench.timing import in_turn, median, p99, timed
from fix_cluster import wait_until
from rangeland.collect.hot_ranges import COST_FACTOR

TABLES = 100_000
COUNTS = (1000, 10_000, TABLES)
CONNECTIONS = 2000
DATABASES = 200
REST_SHARE = 0.1  # of a core, of a node and its server between two samples

MAX_PAGE_MS = 100.0
MAX_RESIDENT_MB = 150.0
MAX_HEALTH_MS = 20.0
MAX_HOT_MS = 100.0
MAX_SAMPLER_SHARE = 0.01
MAX_SESSIONS_MS = 60.0
MAX_VISITS = 1


# 500,000 files are made, of which none has to outlive a crash; the catalogues are vacuumed when all are there.
UNSAFE = {"fsync": "off", "autovacuum": "off"}
FILES_BYTES = 6 << 30  # with their inodes, the log and some room


def measure(scene: Scene) -> Findings:
    """Of three servers, one after the other: many tables, many databases, many connections.

    To make and remove half a million files on a disk takes longer than all that is measured.
    """
    parent = memory_with_room(FILES_BYTES)
    with scene.cluster(1, settings=UNSAFE, parent=parent) as ready:
        yield from _ranges(scene, ready)
    with scene.cluster(1, settings=UNSAFE, parent=parent) as ready:
        yield _databases(scene, ready)
    with scene.cluster(1, connections=scene.pick(CONNECTIONS, 5)) as ready:
        yield _sessions(scene, ready)


def _ranges(scene: Scene, ready: Ready) -> Findings:
    points: list[tuple[float, float]] = []
    made = 0
    for count in scene.pick(COUNTS, (20, 40)):
        make_tables(ready.primary, count - made, prefix=f"t{count}_")
        _analyze(ready)
        made = count
        points.append((count, _p50_ms(ready, "nodes/local/ranges/?limit=1000", rounds=scene.pick(20, 2))))
    page_ms = points[-1][1]
    yield Line(
        f"Size: a page of 1,000 ranges, {TABLES:,} tables",
        f"p50 ≤ {MAX_PAGE_MS:g} ms",
        f"{page_ms:.1f} ms",
        "",
        page_ms <= MAX_PAGE_MS,
    )
    yield from _whole_list(ready)
    hot_ms = _p50_ms(ready, "ranges/hot/", rounds=scene.pick(30, 2))
    yield Line(
        f"Size: `ranges/hot/`, {TABLES:,} tables",
        f"p50 ≤ {MAX_HOT_MS:g} ms",
        f"{hot_ms:.1f} ms",
        "",
        hot_ms <= MAX_HOT_MS,
    )
    yield _sampler(ready)
    yield Curve(
        "ranges", "GET /api/v2/nodes/local/ranges/?limit=1000, TLS", "tables", "p50, ms", {"a page of 1,000": points}
    )


def _p50_ms(ready: Ready, path: str, *, rounds: int) -> float:
    """Of one client that keeps its connection; the first answers, before the node knows its server, don't count."""
    with ready.kept() as client:
        wait_until(lambda: _answers(client), "the node knows its server", timeout_s=30)
        return median(in_turn(timed(lambda: client.get(path)), rounds=rounds)[0]) * 1000


def _analyze(ready: Ready) -> None:
    """As autovacuum does within a minute: the catalogues have just grown."""
    with psycopg.connect(ready.primary.conninfo(), autocommit=True) as connection:
        for table in ("pg_class", "pg_index", "pg_namespace"):
            connection.execute(f"VACUUM ANALYZE pg_catalog.{table}".encode())


def _whole_list(ready: Ready) -> Findings:
    """The whole list over one connection, and health over another meanwhile."""
    process = psutil.Process(ready.cluster.nodes[0].pid)
    health_s: list[float] = []
    peak_bytes = process.memory_info().rss
    is_done = threading.Event()

    def look_after() -> None:
        nonlocal peak_bytes
        with ready.kept() as other:
            while not is_done.is_set():
                health_s.append(timed(lambda: other.get("health/"))())
                peak_bytes = max(peak_bytes, process.memory_info().rss)
                time.sleep(0.005)

    thread = threading.Thread(target=look_after)
    thread.start()
    try:
        begun = time.perf_counter()
        with ready.kept() as client:
            size = _drained(client, "nodes/local/ranges/")
        seconds = time.perf_counter() - begun
    finally:
        is_done.set()
        thread.join()
    peak_mb, health_ms = peak_bytes / 1e6, p99(health_s) * 1000
    yield Line(
        f"Size: the whole list of {TABLES:,} tables",
        f"≤ {MAX_RESIDENT_MB:g} MB resident",
        f"{peak_mb:.0f} MB ({size / 1e6:.0f} MB in {seconds:.1f} s)",
        "",
        peak_mb <= MAX_RESIDENT_MB,
    )
    yield Line(
        "Size: `health/` while the whole list is sent",
        f"p99 ≤ {MAX_HEALTH_MS:g} ms",
        f"{health_ms:.1f} ms, p50 {median(health_s) * 1000:.1f} ms",
        "",
        health_ms <= MAX_HEALTH_MS,
        f"{len(health_s):,} requests",
    )


def _drained(client: Kept, path: str) -> int:
    """The size of an answer that is read and forgotten: its client shares this machine."""
    client.connection.request("GET", f"/api/v2/{path}", headers=client.headers)
    answer = client.connection.getresponse()
    assert answer.status == 200
    size = 0
    while piece := answer.read(1 << 18):
        size += len(piece)
    return size


def _sampler(ready: Ready) -> Line:
    """What one sample costs node and server, of the time that it takes and the rest that follows.

    A node that has just begun reads the counters at once, and again when it is first asked.
    """
    node = ready.cluster.nodes[0]
    node.stop()
    node.start()
    node.wait_until_ready()
    process = psutil.Process(node.pid)

    def spent_s() -> float:
        times = process.cpu_times()
        return times.user + times.system + cpu_of(ready.primary)

    wait_until_at_rest(spent_s, share=REST_SHARE)  # the counters are read, and nobody looks for problems
    before_s, begun = spent_s(), time.monotonic()
    with ready.kept() as client:
        wait_until(lambda: _window_s(client) > 0, "there was a sample", timeout_s=60)
    took_s, cpu_s = time.monotonic() - begun, spent_s() - before_s
    share = cpu_s / (took_s * (1 + COST_FACTOR))
    return Line(
        f"Size: the sampler, {TABLES:,} tables",
        f"≤ {MAX_SAMPLER_SHARE:.0%} of a core with a question a minute or more",
        f"{share:.2%} of a core: a sample takes {cpu_s:.1f} s of node and server",
        "",
        share <= MAX_SAMPLER_SHARE,
        f"it takes {took_s:.1f} s of time, and rests {COST_FACTOR:g} times as long",
    )


def _window_s(client: Kept) -> float:
    """Over which the rates of the last sample are; 0: there was none yet."""
    ranges = json.loads(client.get("ranges/hot/?limit=1"))["ranges"]
    return float(ranges[0]["window_seconds"]) if ranges else 0.0


def _sessions(scene: Scene, ready: Ready) -> Line:
    count = scene.pick(CONNECTIONS, 5)
    with idle_sessions(ready.primary, count), ready.kept() as client:
        figures = in_turn(timed(lambda: client.get("sessions/")), rounds=scene.pick(40, 2))
    p50_ms = median(figures[0]) * 1000
    return Line(
        f"Size: `sessions/`, {CONNECTIONS:,} connections",
        f"p50 ≤ {MAX_SESSIONS_MS:g} ms",
        f"{p50_ms:.1f} ms",
        "",
        p50_ms <= MAX_SESSIONS_MS,
    )


def _databases(scene: Scene, ready: Ready) -> Line:
    """While every database is listed, again and again, others are dropped, and connections are counted."""
    count = scene.pick(DATABASES, 4)
    with psycopg.connect(ready.primary.conninfo(), autocommit=True) as connection, ready.kept() as client:
        for number in range(count):
            connection.execute(f"CREATE DATABASE visited{number} STRATEGY file_copy".encode())
        listing = "nodes/local/ranges/"
        # The first visit of a new database takes four times as long as the later ones.
        wait_until(lambda: _answers(client, listing), "every database was visited", timeout_s=60)
        with _counting(ready) as most:
            _asked_beside(ready)
            dropped, refused = 0, 0
            for number in range(count // 40 or 1):
                asking = threading.Thread(target=_asked_beside, args=(ready,))
                asking.start()
                try:
                    connection.execute(f"DROP DATABASE visited{number}".encode())
                    dropped += 1
                except psycopg.errors.ObjectInUse:
                    refused += 1
                asking.join()
    return Line(
        f"Size: {DATABASES} databases",
        f"at most {MAX_VISITS} connection to another database at a time, no DROP DATABASE refused",
        f"{max(most)} at a time, {dropped} dropped while all were visited, {refused} refused",
        "",
        max(most) <= MAX_VISITS and refused == 0,
    )


def _asked_beside(ready: Ready) -> None:
    """Whether the list comes in time is another question."""
    with ready.kept() as client, suppress(AssertionError):
        client.get("nodes/local/ranges/")


@contextmanager
def _counting(ready: Ready) -> Iterator[list[int]]:
    """How many connections the node had to other databases than the state's, each time one looked.

    A server's process may still be ending when its connection is closed: so only those count that the node has, too.
    """
    node = psutil.Process(ready.cluster.nodes[0].pid)
    counts = [0]
    is_done = threading.Event()
    statement = (
        "SELECT client_port FROM pg_stat_activity WHERE application_name = 'rangeland' AND datname <> 'postgres'"
    )

    def count() -> None:
        with psycopg.connect(ready.primary.conninfo(), autocommit=True) as connection:
            while not is_done.wait(0.002):
                told = connection.execute(statement.encode()).fetchall()
                open_ports = {each.laddr.port for each in node.net_connections("tcp")}
                counts.append(sum(port in open_ports for (port,) in told))

    thread = threading.Thread(target=count)
    thread.start()
    try:
        yield counts
    finally:
        is_done.set()
        thread.join()


def _answers(client: Kept, path: str = "nodes/") -> bool:
    try:
        return bool(client.get(path))
    except AssertionError:
        return False

"""What does looking for problems cost the server? Every reading of the checks, on many tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Any

import psutil
import psycopg

from bench.line import Findings, Line
from bench.scene import Ready, Scene, make_tables
from bench.spending import cpu_of, cpu_of_process
from bench.timing import median
from rangeland.checks.check import Reading
from rangeland.checks.table import READINGS
from rangeland.collect.problems import CPU_PERCENT, ROWS
from rangeland.engine.server import PostgresServer
from rangeland.pg.connection import READ_OPTIONS
from rangeland.sql import block
from rangeland.state.init import NODE_ROLE

TABLES, MANY_TABLES = 1_000, 10_000
MAX_CPU_MS = 20.0
MAX_CPU_A_SECOND_MS = MAX_CPU_MS + 10.0  # and 1 % of a core for visits
DEAREST = 3  # readings to name


def measure(scene: Scene) -> Findings:
    """Of one node and its server."""
    with scene.cluster(1) as ready:
        make_tables(ready.primary, scene.pick(TABLES, 20))
        _settle(ready.primary)
        yield _all_readings(scene, ready)
        make_tables(ready.primary, scene.pick(MANY_TABLES - TABLES, 20), prefix="more")
        _settle(ready.primary)
        yield _answers(scene, ready)


def _settle(server: PostgresServer) -> None:
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE pg_catalog.pg_class, pg_catalog.pg_index, pg_catalog.pg_attribute")


def _all_readings(scene: Scene, ready: Ready) -> Line:
    """Each once: those of a database over a new connection, as at a visit; the others over a kept one."""
    rounds = [_cpu_ms_by_reading(ready.primary) for _ in range(scene.pick(7, 1))]
    cpu_ms = {name: median([each[name] for each in rounds]) for name in rounds[0]}
    whole_ms = sum(cpu_ms.values())
    of_databases_ms = sum(cpu_ms.get(reading.name, 0.0) for reading in READINGS if reading.in_each_database)
    dearest = sorted(cpu_ms, key=cpu_ms.__getitem__, reverse=True)[:DEAREST]
    named = ", ".join(f"{name} {cpu_ms[name]:.1f}" for name in dearest)
    return Line(
        "CPU of the server for all that `problems/` reads",
        f"≤ {MAX_CPU_MS:g} ms with {TABLES:,} tables",
        f"{whole_ms:.1f} ms, {of_databases_ms:.1f} of it at a visit; {len(cpu_ms)} readings: {named} …",
        "",
        whole_ms <= MAX_CPU_MS,
        f"a database is visited again after {100 // CPU_PERCENT} times as long as it took",
    )


def _cpu_ms_by_reading(server: PostgresServer) -> dict[str, float]:
    of_server = [reading for reading in READINGS if not reading.in_each_database]
    of_databases = [reading for reading in READINGS if reading.in_each_database]
    with closing(psycopg.connect(server.conninfo(), autocommit=True, options=READ_OPTIONS)) as kept:
        _run_all(kept, of_server)
        found = _run_all(kept, of_server)
    with closing(psycopg.connect(server.conninfo(), autocommit=True, options=READ_OPTIONS)) as visit:
        return found | _run_all(visit, of_databases)


def _run_all(connection: psycopg.Connection, readings: Iterable[Reading[Any]]) -> dict[str, float]:
    backend = psutil.Process(connection.info.backend_pid)
    connection.execute(f"SET ROLE {NODE_ROLE}".encode())
    found = {}
    for reading in readings:
        chosen = block("problems", reading.name, connection.info.server_version)
        if chosen.on == "standby":
            continue
        before_s = cpu_of_process(backend)
        connection.cursor(binary=True).execute(chosen.text, {"page_size": ROWS}).fetchall()
        found[reading.name] = (cpu_of_process(backend) - before_s) * 1000
    return found


def _answers(scene: Scene, ready: Ready) -> Line:
    """As somebody who asks every second would have them, visits to the database included where they are due; less
    what the server does meanwhile when nobody asks.
    """
    times = scene.pick(10, 2)
    with ready.kept() as client:
        client.get("problems/")
        idle_s = _cpu_s_of(scene, ready.primary, times, lambda: None)
        asked_s = _cpu_s_of(scene, ready.primary, times, lambda: client.get("problems/"))
    cpu_ms = (asked_s - idle_s) * 1000 / times
    return Line(
        "CPU of the server for `problems/`, asked every second",
        f"≤ {MAX_CPU_A_SECOND_MS:g} ms an answer with {MANY_TABLES:,} tables",
        f"{cpu_ms:.1f} ms",
        "",
        cpu_ms <= MAX_CPU_A_SECOND_MS,
    )


def _cpu_s_of(scene: Scene, server: PostgresServer, times: int, work: Callable[[], object]) -> float:
    """CPU of the server while the work is done so many times, a second apart."""
    before_s = cpu_of(server)
    for _ in range(times):
        work()
        time.sleep(scene.pick(1.0, 0.1))
    return cpu_of(server) - before_s

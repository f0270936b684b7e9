"""What does looking for problems cost the server? Every reading of the checks, on many tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing

import psutil
import psycopg

from bench.line import Findings, Line
from bench.scene import Ready, Scene, make_tables
from bench.spending import cpu_of, cpu_of_process, wait_until_at_rest
from bench.timing import median
from rangeland.checks.table import READINGS
from rangeland.collect.problems import CPU_PERCENT, ROWS
from rangeland.engine.server import PostgresServer
from rangeland.pg.connection import READ_OPTIONS
from rangeland.sql import block
from rangeland.state.init import NODE_ROLE

TABLES, MANY_TABLES = 1_000, 10_000
MAX_CPU_MS = 20.0
MAX_CPU_A_SECOND_MS = MAX_CPU_MS + 10.0  # and 1 % of a core for visits
REST_SHARE = 0.02  # of a core, of a server that nobody asks anything
DEAREST = 3  # readings to name
KEPT_ROUNDS = 12  # the driver prepares at the sixth; the server plans five times more before it keeps a plan
WANTED = [reading for reading in READINGS if reading.is_wanted({}, "")]  # of a healthy server
OF_SERVER = [reading.changes_with or reading.name for reading in WANTED if not reading.in_each_database]
OF_DATABASE = [reading.name for reading in WANTED if reading.in_each_database]
SIGNS = "signs"


def measure(scene: Scene) -> Findings:
    """Of one node and its server."""
    with scene.cluster(1) as ready:
        make_tables(ready.primary, scene.pick(TABLES, 20))
        _settle(ready.primary)
        yield from _all_readings(scene, ready)
        make_tables(ready.primary, scene.pick(MANY_TABLES - TABLES, 20), prefix="more")
        _settle(ready.primary)
        ready.primary.configure(autovacuum_naptime="1d")  # what it does of itself would be taken for ours
        yield _answers(scene, ready)


def _settle(server: PostgresServer) -> None:
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE pg_catalog.pg_class, pg_catalog.pg_index, pg_catalog.pg_attribute")


def _all_readings(scene: Scene, ready: Ready) -> Iterator[Line]:
    """All that a healthy server is asked, once: with the tables in the node's own database, whose connection is
    kept, and in one that it visits, over a new connection, whose caches are empty.
    """
    rounds = scene.pick(7, 1)
    signed = _signed(ready.primary)
    of_server_ms = sum(_cpu_ms(ready.primary, OF_SERVER, scene.pick(KEPT_ROUNDS, 1), rounds).values())
    for where, times in (("its own database", scene.pick(KEPT_ROUNDS, 1)), ("one it visits", 1)):
        signed_ms = _cpu_ms(ready.primary, signed, times, rounds)
        all_ms = _cpu_ms(ready.primary, [SIGNS, *OF_DATABASE], times, rounds)
        whole_ms = of_server_ms + sum(signed_ms.values())
        yield Line(
            f"CPU of the server for all that `problems/` reads of it and {where}",
            f"≤ {MAX_CPU_MS:g} ms with {TABLES:,} tables",
            f"{whole_ms:.1f} ms, {of_server_ms:.1f} of it of the server; of the database {_dearest(signed_ms)}",
            "",
            whole_ms <= MAX_CPU_MS,
            f"were there signs for each reading, {of_server_ms + sum(all_ms.values()):.1f} ms: {_dearest(all_ms)}; "
            f"a database is looked into again after {100 // CPU_PERCENT} times as long as it took",
        )


def _dearest(cpu_ms: Mapping[str, float]) -> str:
    names = sorted(cpu_ms, key=cpu_ms.__getitem__, reverse=True)
    named = ", ".join(f"{name} {cpu_ms[name]:.1f}" for name in names[:DEAREST])
    return named + (" …" if len(names) > DEAREST else "")


def _signed(server: PostgresServer) -> list[str]:
    """What a database is asked: the signs, and of the readings those that they don't rule out."""
    with closing(psycopg.connect(server.conninfo(), autocommit=True)) as connection:
        chosen = block("problems", SIGNS, connection.info.server_version)
        rows = connection.execute(chosen.text.encode()).fetchall()
    could_find = chosen.by_name(rows[0])
    return [SIGNS, *(name for name in OF_DATABASE if could_find.get(name, True))]


def _cpu_ms(server: PostgresServer, names: Sequence[str], times: int, rounds: int) -> dict[str, float]:
    """The median of each at the last of so many times over one connection: after some, the driver has prepared the
    statements. Each round has a connection of its own.
    """
    found = []
    for _ in range(rounds):
        with closing(psycopg.connect(server.conninfo(), autocommit=True, options=READ_OPTIONS)) as connection:
            connection.execute(f"SET ROLE {NODE_ROLE}".encode())
            found.append([_run_all(connection, names) for _ in range(times)][-1])
    return {name: median([each[name] for each in found]) for name in found[0]}


def _run_all(connection: psycopg.Connection, names: Iterable[str]) -> dict[str, float]:
    backend = psutil.Process(connection.info.backend_pid)
    found = {}
    for name in names:
        chosen = block("problems", name, connection.info.server_version)
        if chosen.on == "standby":
            continue
        before_s = cpu_of_process(backend)
        connection.cursor(binary=True).execute(chosen.text, {"page_size": ROWS}).fetchall()
        found[name] = (cpu_of_process(backend) - before_s) * 1000
    return found


def _answers(scene: Scene, ready: Ready) -> Line:
    """As somebody who asks every second has them, looks into the database included where they are due; less what the
    server does when nobody asks.
    """
    times = scene.pick(15, 2)
    with ready.kept() as client:
        wait_until_at_rest(lambda: cpu_of(ready.primary), share=REST_SHARE)  # it has done what making tables left
        idle_s = _cpu_s_of(scene, ready.primary, times, lambda: None)
        for _ in range(scene.pick(KEPT_ROUNDS, 1)):
            client.get("problems/")
        asked_s = _cpu_s_of(scene, ready.primary, times, lambda: client.get("problems/"))
    cpu_ms, idle_ms = (asked_s - idle_s) * 1000 / times, idle_s * 1000 / times
    return Line(
        "CPU of the server for `problems/`, asked every second",
        f"≤ {MAX_CPU_A_SECOND_MS:g} ms an answer with {MANY_TABLES:,} tables",
        f"{cpu_ms:.1f} ms",
        f"the same server asked nothing: {idle_ms:.1f} ms a second",
        cpu_ms <= MAX_CPU_A_SECOND_MS,
    )


def _cpu_s_of(scene: Scene, server: PostgresServer, times: int, work: Callable[[], object]) -> float:
    """CPU of the server while the work is done so many times, a second apart."""
    before_s = cpu_of(server)
    for _ in range(times):
        work()
        time.sleep(scene.pick(1.0, 0.1))
    return cpu_of(server) - before_s

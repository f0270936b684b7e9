"""Does anything grow? Mixed load at full rate on every node: memory, descriptors, tasks, the server's connections."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg

from bench.generator import NEEDS_WRK, WRK, run_load
from bench.line import Curve, Findings, Line
from bench.scene import Ready, Scene, idle_sessions
from bench.timing import median
from fix_cluster import Api, apis_of
from rangeland.engine.server import PostgresServer
from rangeland.state.init import NODE_ROLE

NODES = 3
SESSIONS = 50
CLIENTS = 8  # a node, beside those that come and go
MINUTES = 1.0  # `make soak` takes an hour
SAMPLES = 60
WARM_UP = 0.4  # of the time: caches fill up to their bounds, pools to their sizes
VISIT_S = 0.2  # between two clients that come, log in, break off an answer, log out and go
MIXED = Path(__file__).with_name("mixed.lua")
# What may be more at the end than after the warm-up, where the load is the same: the noise of one sample.
SLACK = {"memory, MB": 5.0, "descriptors": 6.0, "tasks": 6.0, "server's connections": 2.0}

_SAMPLE = re.compile(r"^(\w+)(?:{.*})? (\S+)$", re.MULTILINE)

Held = Mapping[str, float]  # what one node holds at one moment, under the names of SLACK


def measure(scene: Scene, minutes: float = MINUTES) -> Findings:
    """Three nodes under the load for some minutes, looked at 60 times."""
    question, goal = "Nothing grows", "memory, descriptors, tasks and server connections of every node are flat"
    if WRK is None:
        yield Line(question, goal, "", "", None, NEEDS_WRK)
        return
    seconds, samples = scene.pick(round(minutes * 60), 3), scene.pick(SAMPLES, 4)
    with (
        scene.cluster(NODES, connections=SESSIONS, load_tps=10) as ready,
        idle_sessions(ready.primary, scene.pick(SESSIONS, 5)),
        _under_load(ready, seconds) as answers,
    ):
        held = [_held_by_all(ready) for _ in _moments(seconds, samples)]
    for name, slack in SLACK.items():
        by_node = [[each[node][name] for each in held] for node in range(NODES)]
        began, ended = zip(*map(_ends, by_node), strict=True)
        growths = [after - before for before, after in zip(began, ended, strict=True)]
        worst = growths.index(max(growths))
        yield Line(
            f"{question}: {name}",
            f"at most {slack:g} more at the end than after the warm-up",
            f"{growths[worst]:+.1f} at node {worst + 1} (from {began[worst]:.1f} to {ended[worst]:.1f})",
            "",
            growths[worst] <= slack,
            f"{seconds / 60:.1f} minutes, {sum(answers):,} answers",
        )
    minutes_of = [seconds / 60 * number / (samples + 1) for number in range(1, samples + 1)]
    yield Curve(
        "time",
        "Memory of nodes under mixed load",
        "minutes",
        "resident, MB",
        {
            f"node {node + 1}": [(at, each[node]["memory, MB"]) for at, each in zip(minutes_of, held, strict=True)]
            for node in range(NODES)
        },
    )


def _ends(samples: Sequence[float]) -> tuple[float, float]:
    """The medians just after the warm-up and at the end, each of a fifth of the samples."""
    fifth, warm = max(1, len(samples) // 5), int(len(samples) * WARM_UP)
    return median(samples[warm : warm + fifth]), median(samples[-fifth:])


@contextmanager
def _under_load(ready: Ready, seconds: int) -> Iterator[list[int]]:
    """Every node is asked at full rate for so long; how many answers each gave, once the block is left."""
    answers: list[int] = []
    stop = threading.Event()
    with ThreadPoolExecutor(NODES + 1) as threads:
        visiting = threads.submit(_visit, ready, stop)
        loads = [
            threads.submit(
                run_load,
                ready.url("/", node),
                seconds=seconds,
                token=ready.token,
                connections=CLIENTS,
                script=str(MIXED),
            )
            for node in range(1, NODES + 1)
        ]
        try:
            yield answers
            answers += [load.result().answers for load in loads]
        finally:
            stop.set()
        visiting.result()


def _visit(ready: Ready, stop: threading.Event) -> None:
    """Clients that come and go, at each node in turn."""
    apis = apis_of(ready.cluster)
    while True:
        for api in apis:
            token = api.log_in(ready.cluster.username, ready.cluster.password).json["session"]
            _break_off(api, token)
            assert api.log_out(token).status == 200
            if stop.wait(VISIT_S):
                return


def _break_off(api: Api, token: str) -> None:
    """Ask for all sessions and leave without reading them."""
    with closing(api.connect()) as connection:
        connection.request("GET", "/api/v2/sessions/", headers={"X-Cockroach-API-Session": token})


def _moments(seconds: int, samples: int) -> Iterator[int]:
    """The numbers of the samples, each when its time has come; the last before the end."""
    begun = time.monotonic()
    for number in range(1, samples + 1):
        time.sleep(max(0.0, begun + seconds * number / (samples + 1) - time.monotonic()))
        yield number


def _held_by_all(ready: Ready) -> list[Held]:
    return [_held(ready, number) for number in range(1, NODES + 1)]


def _held(ready: Ready, number: int) -> Held:
    """As the node and its server tell."""
    with ready.kept(number) as client:
        text = client.get("/metrics").decode()
    told = {found[1]: found[2] for found in _SAMPLE.finditer(text)}
    return {
        "memory, MB": float(told["sys_rss"]) / 1e6,
        "descriptors": float(told["sys_fd_open"]),
        "tasks": float(told["sys_tasks"]),
        "server's connections": _server_connections(ready.cluster.servers[number - 1]),
    }


def _server_connections(server: PostgresServer) -> int:
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        row = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = %s", (NODE_ROLE,)).fetchone()
    assert row is not None
    return int(row[0])

"""What must be as it was when all is whole again: processes, descriptors, memory, connections, tasks, logs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import psutil

from chaos.scene import CountingNode, Scene
from fix_cluster import wait_until
from fix_fuzz import BUG
from rangeland.engine.processes import family_of, processes_inside

WHOLE_S = 40.0  # for nodes and servers to find each other again; seconds on an idle machine
BACK_S = 25.0  # for connections of a vanished client to be closed
SLACK_FDS = 16  # connections between nodes that are kept, 4 each way at most, and visits of databases
SLACK_TASKS = 10  # likewise
SLACK_THREADS = 24  # pools for compressing and for host names grow to their size and stay
SLACK_RSS = 48 << 20  # caches fill up to their bounds; arenas don't shrink
KEPT_CONNECTIONS = 3  # of a node at its server, as promised; a visit of another database comes and goes


@dataclass(frozen=True)
class Held:
    """What the process of a node holds."""

    fds: int
    threads: int
    rss: int
    tasks: int

    def __str__(self) -> str:
        return f"{self.fds} descriptors, {self.threads} threads, {self.rss >> 20} MB, {self.tasks} tasks"


class Accounts:
    """`first` is what each node held at the first closing; the later ones are compared with it."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._read_to = {node.name: 0 for node in scene.cluster.nodes}
        self.first: list[Held] = []
        self.last: list[Held] = []

    def close(self) -> None:
        """All is whole, and nothing is left over. No request is open. Fails with what isn't so."""
        for number in range(self._scene.count):
            what = f"node {number + 1} sees all whole"
            wait_until(partial(self._is_whole, number), what, timeout_s=WHOLE_S, poll_s=0.2)
        self.require_no_bug()
        self._require_processes()
        for number in range(self._scene.count):
            what = f"node {number + 1} keeps no more than {KEPT_CONNECTIONS} connections"
            wait_until(partial(self._has_closed_connections, number), what, timeout_s=BACK_S, poll_s=0.3)
        if not self.first:
            self.first = [self._held(number) for number in range(self._scene.count)]
        self.last = [self._back(number) for number in range(self._scene.count)]
        for number, held in enumerate(self.last):
            self._scene.knowledge.tell(f"node {number + 1} holds {held}")

    def require_no_bug(self) -> None:
        """No node has logged one since the last look."""
        for node in self._scene.cluster.nodes:
            with node.log.open("rb") as log:
                log.seek(self._read_to[node.name])
                new = log.read()
            self._read_to[node.name] += len(new)
            found = BUG.search(new)
            if found:
                begin = max(0, found.start() - 1500)
                raise AssertionError(
                    f"{node.name} logged: {new[begin : found.end() + 2500].decode(errors='replace')}"
                )

    def _is_whole(self, number: int) -> bool:
        api = self._scene.apis[number]
        token = self._scene.whole_token
        nodes, sessions = api.get("nodes/", token), api.get("sessions/", token)
        if (nodes.status, sessions.status) != (200, 200) or sessions.json["errors"]:
            return False
        roles = [each.get("role") for each in nodes.json["nodes"]]
        expected = ["primary" if each == self._scene.primary else "standby" for each in range(self._scene.count)]
        is_live = [each["liveness_status"] for each in nodes.json["nodes"]] == [3] * self._scene.count
        return is_live and roles == expected and api.get("health/?ready=true").status == 200

    def _back(self, number: int) -> Held:
        first = self.first[number]

        def is_back() -> bool:
            now = self._held(number)
            return now.fds <= first.fds + SLACK_FDS and now.tasks <= first.tasks + SLACK_TASKS

        with contextlib.suppress(AssertionError):
            wait_until(is_back, "back", timeout_s=BACK_S, poll_s=0.3)
        held = self._held(number)
        assert is_back(), f"node {number + 1} holds {held}, held {first}"
        assert held.threads <= first.threads + SLACK_THREADS, f"node {number + 1} holds {held}, held {first}"
        assert held.rss <= first.rss + SLACK_RSS, f"node {number + 1} holds {held}, held {first}"
        return held

    def _held(self, number: int) -> Held:
        node = self._scene.cluster.nodes[number]
        assert isinstance(node, CountingNode)
        process = psutil.Process(node.pid)
        return Held(process.num_fds(), process.num_threads(), process.memory_info().rss, node.count_tasks())

    def _has_closed_connections(self, number: int) -> bool:
        query = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'rangeland'"
        return int(str(self._scene.execute(number, query))) <= KEPT_CONNECTIONS

    def _require_processes(self) -> None:
        """Every process in the cluster's directory descends from a node, a server or the load."""
        wait_until(lambda: not list(self._strangers()), "no process is left over", timeout_s=10, poll_s=0.2)

    def _strangers(self) -> Iterator[psutil.Process]:
        cluster = self._scene.cluster
        known = {process.pid for node in cluster.nodes for process in family_of(node._process)}
        known |= {process.pid for server in cluster.servers for process in family_of(server._process)}
        load = cluster.load._process if cluster.load else None
        known |= {process.pid for process in family_of(load)}
        for process in processes_inside(cluster.workplace.path):
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.pid not in known and not {each.pid for each in process.parents()} & known:
                    yield process

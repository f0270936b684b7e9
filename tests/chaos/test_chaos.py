"""Random faults, one or two at once, under a steady load of requests: no answer is wrong, nothing is left.

`make chaos` does 200 of them, new ones each time; here are the same few each time.
"""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

from chaos.accounts import Accounts
from chaos.faults import End, Part, draw
from chaos.scene import ChaosCluster, Scene
from fix_chaos import Chaos
from fix_cluster import free_ports
from rangeland.engine.cluster import Plan
from rangeland.engine.workplace import Workplace

AT_ONCE = 2
LOAD_TPS = 10
ROUND = 20  # faults, then all is made whole and counted
TOKENS = 6


class Play:
    """One run: faults begin and end in the order that the seed gives."""

    def __init__(self, scene: Scene, chaos: Chaos) -> None:
        self._scene = scene
        self._chaos = chaos
        self._rng = random.Random(chaos.seed)
        self._accounts = Accounts(scene)
        self._active: list[tuple[str, frozenset[Part], End]] = []

    def run(self) -> None:
        self._scene.crowd.go_on()
        time.sleep(self._chaos.warm_up_s)
        self._close()
        self._scene.crowd.go_on()
        for made in range(1, self._chaos.faults + 1):
            self._begin_one()
            while len(self._active) >= AT_ONCE or (self._active and self._rng.random() < 0.3):
                self._wait()
                self._end_one()
            if made % ROUND == 0 or made == self._chaos.faults:
                while self._active:
                    self._wait()
                    self._end_one()
                self._close()
                self._scene.crowd.go_on()
            else:
                self._wait(short=True)

    def _begin_one(self) -> None:
        fault = None
        while fault is None:
            taken = {part for _, parts, _ in self._active for part in parts}
            fault = draw(self._rng, self._scene, taken)
        self._scene.knowledge.tell(f"begin: {fault.name}")
        self._active.append((fault.name, fault.parts, fault.begin()))
        self._scene.knowledge.tell(f"has begun: {fault.name}")
        self._chaos.begun[fault.name.rstrip(" 0123456789")] += 1

    def _end_one(self) -> None:
        name, _, end = self._active.pop(self._rng.randrange(len(self._active)))
        self._scene.knowledge.tell(f"end: {name}")
        end()
        self._scene.knowledge.tell(f"has ended: {name}")

    def _wait(self, *, short: bool = False) -> None:
        time.sleep(self._rng.uniform(0.2, 1.5 if short else self._chaos.longest_s))
        self._accounts.require_no_bug()
        self._require_no_violation()

    def _close(self) -> None:
        self._scene.crowd.rest()
        self._scene.knowledge.tell("all should be whole")
        self._accounts.close()
        self._scene.make_tokens(TOKENS)
        self._require_no_violation()
        self._chaos.held = [
            f"node {number + 1}: {last} (at first {first})"
            for number, (first, last) in enumerate(zip(self._accounts.first, self._accounts.last, strict=True))
        ]

    def _require_no_violation(self) -> None:
        found = self._scene.crowd.figures.violations
        if found and not self._chaos.goes_on:
            raise AssertionError("\n".join(found[:5]))


def _keep_logs(cluster: ChaosCluster, chaos: Chaos) -> None:
    """The nodes', beside the list of events where that is kept."""
    for node in cluster.nodes if chaos.log else ():
        shutil.copy(node.log, f"{chaos.log}.{node.name}")


def test_random_faults_make_no_wrong_answer_and_leave_nothing_over(chaos: Chaos, tmp_path: Path) -> None:
    with Workplace(kind="test") as place:
        plan = Plan(nodes=chaos.nodes, http_port=free_ports(5), sql_port=free_ports(5), load_tps=LOAD_TPS)
        cluster = ChaosCluster(place, plan)
        scene = None
        try:
            cluster.open()
            scene = Scene(cluster, chaos.log or tmp_path / "chaos.log", clients=chaos.clients, seed=chaos.seed)
            try:
                Play(scene, chaos).run()
            except BaseException as exc:
                exc.add_note("the last events:\n" + "\n".join(scene.knowledge.recent))
                raise
            finally:
                chaos.tell(scene)
                scene.close()
                _keep_logs(cluster, chaos)
        finally:
            cluster.stop()
    assert scene.crowd.figures.violations == []

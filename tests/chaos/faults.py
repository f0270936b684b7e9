"""The faults: what each touches, how it begins, how it ends."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from chaos.scene import Hog, Holder, Scene
from rangeland.errors import RangelandError

Part = tuple[str, int]  # ("node", 0), ("server", 2)
End = Callable[[], None]


@dataclass(frozen=True)
class Fault:
    """`parts` are touched by no other fault meanwhile; `begin` returns how it ends."""

    name: str
    parts: frozenset[Part]
    begin: Callable[[], End]


def draw(rng: random.Random, scene: Scene, taken: set[Part]) -> Fault | None:
    """A fault that touches none of the taken parts; None where the one that was drawn would."""
    name = rng.choices(list(WEIGHTS), weights=list(WEIGHTS.values()))[0]
    number = rng.randrange(scene.count)
    fault = _make(name, number, rng, scene)
    return fault if fault and not fault.parts & taken else None


WEIGHTS = {
    "kill node": 4,
    "pause node": 4,
    "stop node": 3,
    "drain node": 2,
    "decommission node": 3,
    "renew certificate": 2,
    "kill server": 4,
    "pause server": 4,
    "stop server": 3,
    "pause replay": 3,
    "lock": 2,
    "fill": 3,
    "fail over": 3,
    "fail over, unfenced": 2,
}


def _make(name: str, number: int, rng: random.Random, scene: Scene) -> Fault | None:  # one line a fault
    node, server = ("node", number), ("server", number)
    primary = scene.primary
    servers = frozenset(("server", each) for each in range(scene.count))
    nth = f"{name} {number + 1}"

    def simple(begin: Callable[[int], None], end: Callable[[int], None], *parts: Part) -> Fault:
        def begun() -> End:
            begin(number)
            return lambda: end(number)

        return Fault(nth, frozenset(parts), begun)

    match name:
        case "kill node":
            return simple(scene.kill_node, scene.start_node, node)
        case "pause node":
            return simple(scene.pause_node, scene.resume_node, node)
        case "stop node":
            return simple(scene.stop_node, scene.start_node, node)
        case "drain node":
            return simple(scene.drain_node, lambda each: _restart(scene, each), node)
        case "decommission node" if number != primary:
            parts = frozenset({node, ("node", primary), ("server", primary)})
            return Fault(nth, parts, lambda: _decommission(scene, number))
        case "renew certificate":
            return simple(scene.renew_certificate, lambda _each: None, node)
        case "kill server":
            return simple(scene.kill_server, scene.start_server, server)
        case "pause server":
            return simple(scene.pause_server, scene.resume_server, server)
        case "stop server":
            return simple(scene.stop_server, scene.start_server, server)
        case "pause replay" if number != primary:
            return simple(scene.pause_replay, scene.resume_replay, server)
        case "lock":
            parts = frozenset({("server", primary)})
            return Fault(f"lock at {primary + 1}", parts, lambda: Holder(scene.server(primary)).leave)
        case "fill":
            return Fault(nth, frozenset({server}), lambda: _fill(scene, number))
        case "fail over":
            after_s = rng.choice((0.0, 1.0, 3.0))
            return Fault(name, servers, lambda: _fail_over(scene, after_s))
        case "fail over, unfenced":
            after_s, both_s = rng.choice((0.0, 1.0, 3.0)), rng.uniform(0.0, 5.0)
            return Fault(name, servers, lambda: _fail_over_unfenced(scene, after_s, both_s))
    return None


def _restart(scene: Scene, number: int) -> None:
    scene.stop_node(number)
    scene.start_node(number)


def _decommission(scene: Scene, number: int) -> End:
    try:
        scene.change_membership(number, is_member=False)
    except RangelandError as exc:
        scene.crowd.complain([f"a node can't be decommissioned: {exc}"], f"node {number + 1}")
        return lambda: None
    return lambda: scene.change_membership(number, is_member=True)


def _fill(scene: Scene, number: int) -> End:
    """Nobody can say what a node can do meanwhile: it goes on with the connections it has."""
    scene.knowledge.doubt("server", number)
    hog = Hog(scene.server(number))

    def end() -> None:
        hog.leave()
        scene.knowledge.learn("server", number, "up", sure_after_s=5.0)

    return end


def _fail_over(scene: Scene, after_s: float) -> End:
    old = scene.fail_over(after_s=after_s)
    return lambda: scene.clone(old)


def _fail_over_unfenced(scene: Scene, after_s: float, both_s: float) -> End:
    """The old primary is back for a while before it is made a standby."""
    old = scene.fail_over(after_s=after_s)

    def end() -> None:
        scene.start_unfenced(old)
        scene.knowledge.tell(f"server {old + 1} is back as a second primary")
        time.sleep(both_s)
        scene.clone(old)

    return end

"""Fixtures for chaos: how many faults, from which seed, and the figures at the end."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from chaos.scene import Scene

FEW = 10
FEW_SEED = 1
FEW_TIMEOUT_S = 400


@dataclass
class Chaos:
    """A run: what was asked for, and then what it showed."""

    seed: int
    faults: int
    nodes: int
    clients: int
    warm_up_s: float
    longest_s: float  # of a wait before a fault ends
    goes_on: bool  # after a violation
    log: Path | None
    begun: Counter[str] = field(default_factory=Counter)
    held: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def tell(self, scene: Scene) -> None:
        """Keep the figures for the summary."""
        figures = scene.crowd.figures
        statuses = ", ".join(f"{status}: {count:,}" for status, count in sorted(figures.statuses.items()))
        kinds = ", ".join(f"{kind}: {count:,}" for kind, count in sorted(figures.requests.items()))
        promoted = max(scene.promotions, default=0.0)
        self.lines = [
            f"seed {self.seed}; {self.begun.total()} faults: "
            + ", ".join(f"{count} {name}" for name, count in sorted(self.begun.items())),
            f"{figures.requests.total():,} requests ({kinds})",
            f"answers by status: {statuses}; {figures.unanswered:,} without one, by nodes that were broken",
            f"the slowest after {figures.worst_s:.2f} s ({figures.worst_allowed_s:.2f} s of these waited to run)",
            f"{figures.refused_ended:,} times an ended token was refused; "
            f"{len(scene.promotions)} promotions, a login after {promoted:.2f} s at most",
            *self.held,
            f"violations: {len(figures.violations)}",
        ]


_CHAOS = pytest.StashKey[Chaos]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaos", "random faults")
    group.addoption("--chaos-faults", type=int, default=0, help="how many; 0: the same few each time")
    group.addoption("--chaos-seed", type=int, default=None, help="as printed by an earlier run")
    group.addoption("--chaos-nodes", type=int, default=3)
    group.addoption("--chaos-go-on", action="store_true", help="collect violations instead of stopping at the first")
    group.addoption(
        "--chaos-log", type=Path, default=None, help="where to write what happened when; beside it the nodes' logs"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The few take 30 s on an idle machine, and minutes where others keep it busy."""
    for item in items:
        if "chaos" in getattr(item, "fixturenames", ()) and not config.getoption("chaos_faults"):
            item.add_marker(pytest.mark.timeout(FEW_TIMEOUT_S))


@pytest.fixture
def chaos(pytestconfig: pytest.Config) -> Chaos:
    faults = int(pytestconfig.getoption("chaos_faults"))
    seed = pytestconfig.getoption("chaos_seed")
    made = Chaos(
        seed=seed if seed is not None else random.randrange(1 << 32) if faults else FEW_SEED,
        faults=faults or FEW,
        nodes=int(pytestconfig.getoption("chaos_nodes")),
        clients=6 if faults else 4,
        warm_up_s=8.0 if faults else 2.0,
        longest_s=4.0 if faults else 1.5,
        goes_on=bool(pytestconfig.getoption("chaos_go_on")),
        log=pytestconfig.getoption("chaos_log"),
    )
    pytestconfig.stash[_CHAOS] = made
    reporter: Any = pytestconfig.pluginmanager.get_plugin("terminalreporter")
    if faults and reporter is not None:
        reporter.write_line(f"{made.faults} faults, seed {made.seed}")  # also for a run that is cut off
    return made


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    made = config.stash.get(_CHAOS, None)
    if made is None or not made.lines:
        return
    terminalreporter.section("chaos")
    for line in made.lines:
        terminalreporter.line(line)

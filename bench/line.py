"""What a measurement yields: lines of the table, and curves that become plots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Line:
    """A goal and what was measured. `met` None: it could not be measured here, and `note` says why."""

    question: str  # unique: docs/benchmarks.md explains a missed goal under this name
    goal: str  # with its number and unit: "≤ 1.5 × the bare loop"
    figure: str  # with its unit, and what is behind a ratio: "1.31 × (7.2 against 5.5 ms)"; "" where met is None
    peer: str  # what was measured beside it, in the same run; "" where the goal is absolute
    met: bool | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Curve:
    """A plot, docs/latency-by-NAME.svg: one line a series, points by ascending x."""

    name: str  # "sessions", "ranges", "nodes"
    title: str
    x_label: str
    y_label: str
    points_by_series: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)


Findings = Iterator[Line | Curve]  # what `measure(scene)` of a module gives

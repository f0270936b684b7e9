"""Every check, and what they find together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rangeland.checks import (
    archiver,
    connections,
    data,
    indexes,
    locks,
    nodes,
    patroni,
    progress,
    rangeland,
    replication,
    sequences,
    settings,
    slots,
    storage,
    transactions,
    upkeep,
    vacuum,
    wraparound,
)
from rangeland.checks.check import Check, Limit, Reading, View
from rangeland.wire.problems import Problem, Progress, Severity

CHECKS: tuple[Check, ...] = (
    archiver.CHECK,
    connections.CHECK,
    data.CHECK,
    indexes.CHECK,
    locks.CHECK,
    nodes.CHECK,
    patroni.CHECK,
    rangeland.CHECK,
    replication.CHECK,
    sequences.CHECK,
    settings.CHECK,
    slots.CHECK,
    storage.CHECK,
    transactions.CHECK,
    upkeep.CHECK,
    vacuum.CHECK,
    wraparound.CHECK,
)

READINGS: tuple[Reading[Any], ...] = (progress.RUNNING, *(reading for check in CHECKS for reading in check.readings))
LIMITS: dict[str, Limit] = {limit.name: limit for check in CHECKS for limit in check.limits}
KINDS: dict[str, str] = {kind: meaning for check in CHECKS for kind, meaning in check.kinds.items()}

_BY_SEVERITY = {severity: place for place, severity in enumerate(Severity)}


def find_problems(view: View) -> list[Problem]:
    """All problems, the worst first: by severity, then by kind, node, database and object."""
    return sorted((problem for check in CHECKS for problem in check.judge(view)), key=_place)


def list_progress(view: View) -> list[Progress]:
    """Long commands that run, by node id and pid."""
    return sorted(progress.list_running(view), key=lambda each: (each.node_id, each.pid))


def _place(problem: Problem) -> tuple[int, str, int, str, str]:
    return _BY_SEVERITY[problem.severity], problem.kind, problem.node_id, problem.database, problem.object


def worst(problems: Iterable[Problem]) -> Severity | None:
    """None where there is none."""
    return min((problem.severity for problem in problems), key=_BY_SEVERITY.__getitem__, default=None)

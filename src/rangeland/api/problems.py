"""/problems/: what is wrong with the cluster, in words."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime

from rangeland.api.asking import Asking
from rangeland.api.ranges import parse_node_id
from rangeland.api.replies import Body, HttpError, encoded
from rangeland.api.services import Services
from rangeland.checks.check import View
from rangeland.checks.table import KINDS, find_problems, list_progress
from rangeland.cluster import questions as q
from rangeland.merge.part import Part, text
from rangeland.wire.parts import Nothing, ProblemsPart
from rangeland.wire.problems import Problem, ProblemsAnswer, Severity
from rangeland.wire.sessions import NodeError

MOST_OF_A_KIND = 100  # nobody reads more at once; who asks for that kind gets all
JUDGED_IN_THREAD_FROM_BYTES = 256 * 1024  # of rows: some 3 ms; megabytes would hold up everybody else's requests


async def list_problems(asking: Asking) -> Body:
    """Every problem, the worst first; `severity`, `node_id` and `kind` pick some.

    Of a kind that is not asked for the first hundred are told, and of the others how many there are.
    """
    services = asking.services
    severity, kind = asking.parameter("severity"), asking.parameter("kind")
    if severity and severity not in list(Severity):
        raise HttpError(400, "invalid severity; should be critical, warning or info")
    if kind and kind not in KINDS:
        raise HttpError(400, f"invalid kind; there are {', '.join(sorted(KINDS))}")
    node_id = _node_id(asking)
    answer = await share_problems(services, deadline=asking.deadline)

    def is_wanted(problem: Problem) -> bool:
        return (
            (not severity or problem.severity == severity)
            and (not kind or problem.kind == kind)
            and (node_id is None or problem.node_id == node_id)
        )

    wanted = ProblemsAnswer(
        problems=[problem for problem in answer.problems if is_wanted(problem)],
        progress=[running for running in answer.progress if node_id in (None, running.node_id)],
        unchecked=answer.unchecked,
        errors=answer.errors + _unknown(services, node_id),
    )
    return encoded(wanted if kind else shortened(wanted))


async def share_problems(services: Services, *, deadline: float) -> ProblemsAnswer:
    """All of them; who asks at the same time shares the work."""

    async def ask() -> ProblemsAnswer:
        return await _collect_problems(services, deadline=deadline)

    return await services.flights.join(("problems",), ask)


def shortened(answer: ProblemsAnswer) -> ProblemsAnswer:
    """With the first hundred of each kind, and the number of the others."""
    told: Counter[str] = Counter()
    problems, omitted = [], Counter[str]()
    for problem in answer.problems:
        told[problem.kind] += 1
        if told[problem.kind] <= MOST_OF_A_KIND:
            problems.append(problem)
        else:
            omitted[problem.kind] += 1
    return ProblemsAnswer(
        problems=problems,
        progress=answer.progress,
        unchecked=answer.unchecked,
        errors=answer.errors,
        omitted=dict(sorted(omitted.items())),
    )


async def _collect_problems(services: Services, *, deadline: float) -> ProblemsAnswer:
    """Ask every node for what it read, and judge it here."""
    cluster = services.cluster
    parts = await cluster.ask_all(q.PROBLEMS, Nothing(), deadline=deadline)
    view = View(
        parts,
        limits=services.limits,
        now=datetime.now(UTC),
        silent_since_ns=cluster.silent_since_ns(),
        clock_offset_s=cluster.clock_offset_s(),
        members=cluster.members,
        last_role=cluster.last_role(),
    )
    if _size_bytes(parts) < JUDGED_IN_THREAD_FROM_BYTES:
        return _judged(view)
    return await asyncio.to_thread(_judged, view)


def _judged(view: View) -> ProblemsAnswer:
    problems = find_problems(view)  # first: what can't be read shows while it is judged
    return ProblemsAnswer(
        problems=problems,
        progress=list_progress(view),
        unchecked=view.unchecked(),
        errors=[
            NodeError(node_id=part.node_id, message=text(part, "problems"))
            for part in view.parts
            if part.error is not None
        ],
    )


def _size_bytes(parts: Iterable[Part[ProblemsPart]]) -> int:
    return sum(memoryview(rows).nbytes for part in parts if part.value for rows in part.value.rows.values())


def _node_id(asking: Asking) -> int | None:
    """None for all nodes. Raises: HttpError 400."""
    given = asking.parameter("node_id")
    return parse_node_id(given, local=asking.services.cluster.node_id) if given else None


def _unknown(services: Services, node_id: int | None) -> list[NodeError]:
    """A node that doesn't exist is not one without problems."""
    if node_id is None or node_id in services.cluster.active_ids():
        return []
    return [NodeError(node_id=node_id, message=f"there is no node {node_id}")]

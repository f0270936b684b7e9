"""/problems/: what is wrong with the cluster, in words."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from rangeland.api.asking import Asking
from rangeland.api.replies import Body, HttpError, encoded
from rangeland.api.services import Services
from rangeland.checks.check import View
from rangeland.checks.table import find_problems, list_progress
from rangeland.cluster import questions as q
from rangeland.merge.part import text
from rangeland.wire.parts import Nothing
from rangeland.wire.problems import Problem, ProblemsAnswer, Severity
from rangeland.wire.sessions import NodeError


async def list_problems(asking: Asking) -> Body:
    """Every problem, the worst first; `severity`, `node_id` and `kind` pick some."""
    services = asking.services
    severity, kind = asking.parameter("severity"), asking.parameter("kind")
    if severity and severity not in list(Severity):
        raise HttpError(400, "invalid severity; should be critical, warning or info")
    node_id = _node_id(asking.parameter("node_id"), local=services.cluster.node_id)

    async def ask() -> ProblemsAnswer:
        return await collect_problems(services, deadline=asking.deadline)

    answer = await services.flights.join(("problems",), ask)

    def is_wanted(problem: Problem) -> bool:
        return (
            (not severity or problem.severity == severity)
            and (not kind or problem.kind == kind)
            and (node_id is None or problem.node_id == node_id)
        )

    return encoded(
        ProblemsAnswer(
            problems=[problem for problem in answer.problems if is_wanted(problem)],
            progress=answer.progress,
            unchecked=answer.unchecked,
            errors=answer.errors,
        )
    )


async def collect_problems(services: Services, *, deadline: float) -> ProblemsAnswer:
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
    return ProblemsAnswer(
        problems=find_problems(view),
        progress=list_progress(view),
        unchecked=view.unchecked(),
        errors=[
            NodeError(node_id=part.node_id, message=text(part, "problems"))
            for part in view.parts
            if part.error is not None
        ],
    )


def _node_id(query_text: str, *, local: int) -> int | None:
    """None for all nodes. Raises: HttpError 400."""
    if not query_text:
        return None
    if query_text == "local":
        return local
    if not re.fullmatch(r"0*[1-9][0-9]{0,9}", query_text, re.ASCII):
        raise HttpError(400, "invalid node ID")
    return int(query_text)

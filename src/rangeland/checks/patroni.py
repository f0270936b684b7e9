"""What Patroni says of itself, where a node was told where its REST API is (--patroni-url)."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from rangeland.checks.check import Check, View
from rangeland.wire.parts import PatroniMember, PatroniPart
from rangeland.wire.problems import Problem, Severity

LEADERS = ("leader", "master", "standby_leader")
READY = ("running", "streaming", "in archive recovery")
SOURCE = "Patroni's REST API, GET /cluster"


def judge(view: View) -> Iterator[Problem]:
    """What one member says of the whole cluster is told once; of two, the lowest node's word counts."""
    parts = {part.node_id: part.value.patroni for part in view.parts if part.value is not None}
    told = {node_id: patroni for node_id, patroni in parts.items() if patroni is not None}
    for node_id, patroni in told.items():
        if patroni.error and view.statuses[node_id].server_up:
            yield _silent(node_id, patroni)
    answered = {node_id: patroni for node_id, patroni in told.items() if not patroni.error}
    for node_id, patroni in answered.items():
        if patroni.is_paused:
            yield _paused(node_id, patroni)
            break
    for node_id, patroni in answered.items():
        barred = _barred(patroni)
        if barred:
            yield _no_candidate(node_id, patroni, barred)
            break


def _silent(node_id: int, patroni: PatroniPart) -> Problem:
    return Problem(
        kind="patroni_silent",
        severity=Severity.WARNING,
        node_id=node_id,
        object=patroni.url,
        summary=f"the Patroni of node {node_id} does not answer ({patroni.error}), while its server is up",
        evidence={"cause": patroni.error},
        source="Patroni's REST API",
        next_step="Start Patroni there, or mend --patroni-url. Without it nobody restarts this server, and if this "
        "is the leader another one may be promoted beside it.",
    )


def _paused(node_id: int, patroni: PatroniPart) -> Problem:
    command = ["curl", "--silent", "--show-error", "--fail", "--request", "PATCH", "--data", '{"pause": null}']
    return Problem(
        kind="patroni_paused",
        severity=Severity.WARNING,
        object=patroni.url,
        summary="Patroni is paused (maintenance mode): if the primary fails, nothing is promoted",
        evidence={"members": len(patroni.members)} | _tags(patroni),
        source=SOURCE,
        next_step="When the maintenance is over, run patronictl resume, which is what the shell command does. Where "
        "the REST API wants a user, use patronictl.",
        shell=shlex.join([*command, f"{patroni.url}/config"]),
        run_on_node_id=node_id,
    )


def _barred(patroni: PatroniPart) -> list[PatroniMember]:
    """The members that follow and are ready, where none of them may be promoted; [] where one may."""
    ready = [each for each in patroni.members if each.role not in LEADERS and each.state in READY]
    return ready if all(_is_barred(each) for each in ready) else []


def _is_barred(member: PatroniMember) -> bool:
    """Source: Patroni, tags: nofailover, and failover_priority, of which 0 and less says the same."""
    priority = member.tags.get("failover_priority", 1)
    return member.tags.get("nofailover") is True or (isinstance(priority, int) and priority <= 0)


def _no_candidate(node_id: int, patroni: PatroniPart, barred: list[PatroniMember]) -> Problem:
    names = ", ".join(each.name for each in barred)
    return Problem(
        kind="patroni_no_candidate",
        severity=Severity.WARNING,
        object=patroni.url,
        summary=f"if the primary fails, nothing is promoted: {names} may not be, by tag",
        evidence={"followers": len(barred)} | _tags(patroni),
        source=SOURCE,
        next_step="Take nofailover (or failover_priority: 0) out of the tags in the settings of a member that may "
        "lead, then let Patroni read them again (patronictl reload).",
        shell=shlex.join(["curl", "--silent", "--show-error", "--fail", f"{patroni.url}/cluster"]),
        run_on_node_id=node_id,
    )


def _tags(patroni: PatroniPart) -> dict[str, str | int | float | bool]:
    """The members' tags as text, by member; members without one are left out."""
    texts = [
        f"{member.name}: " + ", ".join(f"{tag}={value}" for tag, value in sorted(member.tags.items()))
        for member in patroni.members
        if member.tags
    ]
    return {"tags": "; ".join(texts)} if texts else {}


CHECK = Check(
    name="patroni",
    kinds={
        "patroni_silent": "A Patroni does not answer while its server is up.",
        "patroni_paused": "Patroni is in maintenance mode and promotes nothing.",
        "patroni_no_candidate": "No standby may be promoted, by tag.",
    },
    judge=judge,
)

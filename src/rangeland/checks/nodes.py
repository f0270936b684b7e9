"""Nodes that are silent, servers that are down, and a cluster without a primary or with two."""

from __future__ import annotations

from collections.abc import Iterator

from rangeland.checks import standing
from rangeland.checks.check import Check, View
from rangeland.checks.standing import PLACE, STANDBYS, moment, with_waiting_commits
from rangeland.checks.words import known, lsn
from rangeland.wire.problems import Problem, Severity

CLIENTS = (
    "SELECT datname, usename, application_name, client_addr, count(*) AS sessions, max(state_change) AS last_active "
    "FROM pg_stat_activity WHERE backend_type = 'client backend' GROUP BY 1, 2, 3, 4 ORDER BY last_active DESC"
)
POSITION = "SELECT pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn(), pg_last_xact_replay_timestamp()"


def judge(view: View) -> Iterator[Problem]:
    """One problem a node at most; without a primary the nodes that may have had it are told as that."""
    lost = standing.lost_primary_ids(view)
    short = standing.shortage(view)
    if standing.is_leaderless(view):
        yield _no_primary(view, lost)
    if len(view.primary_ids) > 1:
        yield _two_primaries(view)
    for node_id in standing.silent_ids(view):
        if node_id not in lost and not standing.is_leaving(view, node_id):
            yield with_waiting_commits(short, _silent(view, node_id))
    for node_id in standing.down_ids(view):
        if node_id not in lost and not standing.is_leaving(view, node_id):
            yield with_waiting_commits(short, _down(view, node_id))
    for node_id, place in standing.strays(view).items():
        if not standing.is_leaving(view, node_id):
            yield with_waiting_commits(short, _stray(view, node_id, place))


def _silent(view: View, node_id: int) -> Problem:
    cause = _cause(view, node_id)
    role = standing.last_role(view, node_id)
    is_fed = role == "primary" and standing.is_fed(view)
    more = ", and standbys still get WAL from it" if is_fed else ""
    return Problem(
        kind="node_silent",
        severity=Severity.WARNING,
        node_id=node_id,
        object=_address(view, node_id),
        summary=f"node {node_id} does not answer ({cause}); its server was {_role(role)} when last known{more}",
        evidence=known(cause=cause, last_role=role),
        source="a question to that node",
        since=moment(view, 0, view.silent_since_ns[node_id]),
        next_step="Look on its host whether the node runs, and whether the host and its network do. Its server "
        "may well be up: nothing here tells. A node that is gone for good is taken out with rangeland node "
        "decommission.",
    )


def _down(view: View, node_id: int) -> Problem:
    status = view.statuses[node_id]
    role = standing.last_role(view, node_id)
    patroni = next(part.value.patroni for part in view.parts if part.node_id == node_id and part.value is not None)
    also = " Its Patroni does not answer either: start that." if patroni is not None and patroni.error else ""
    return Problem(
        kind="server_down",
        severity=Severity.WARNING,
        node_id=node_id,
        object=_sql_address(view, node_id),
        summary=f"the server beside node {node_id}, {_role(role)} when last known, takes no connection: "
        f"{status.down_reason or 'its node does not say why'}",
        evidence=known(cause=status.down_reason, last_role=role),
        source="a connection of its node",
        since=moment(view, node_id, status.down_since_ns),
        next_step="Read the end of its log before you start it. A server that was the primary while another one "
        f"was promoted has to become a standby first, with pg_rewind or a new copy.{also}",
    )


def _no_primary(view: View, lost: list[int]) -> Problem:
    standbys = standing.standby_places(view)
    best = max(standbys, key=lambda node_id: (standbys[node_id].timeline, standbys[node_id].end_lsn), default=0)
    return Problem(
        kind="no_primary",
        severity=Severity.CRITICAL,
        node_id=lost[0] if len(lost) == 1 else 0,
        summary=f"no server takes writes: {_fates(view, lost)}",
        evidence=known(
            standbys=len(standbys),
            furthest_node_id=best or None,
            furthest_lsn=lsn(standbys[best].end_lsn) if best else None,
        ),
        source="every node; pg_is_in_recovery, pg_stat_wal_receiver",
        since=_since(view, lost),
        next_step=_way_back(best),
        sql=POSITION if best else "",
        run_on_node_id=best,
    )


def _fates(view: View, lost: list[int]) -> str:
    """What became of the nodes of which one had the primary."""
    if not lost:
        return "each that answers is a standby, and none of them gets WAL"
    statuses = view.statuses
    return "; ".join(
        f"the server beside node {node_id} is down ({statuses[node_id].down_reason})"
        if node_id in statuses
        else f"node {node_id} is silent ({_cause(view, node_id)}), and no standby gets WAL from its server"
        for node_id in lost
    )


def _since(view: View, lost: list[int]) -> str:
    """Of the one that had it; "" where that is not known."""
    if len(lost) != 1:
        return ""
    [node_id] = lost
    status = view.statuses.get(node_id)
    if status is None:
        return moment(view, 0, view.silent_since_ns[node_id])
    return moment(view, node_id, status.down_since_ns)


def _way_back(best: int) -> str:
    if not best:
        return "Start its server; the end of its log says why it stopped."
    return (
        "If Patroni or the like runs the servers, let it promote one and look at it. Else start the server that was "
        f"the primary; if that takes too long, make sure that it stays off and promote node {best}, which has the "
        "most WAL (pg_promote)."
    )


def _two_primaries(view: View) -> Problem:
    kept, *others = view.primary_ids
    statuses = view.statuses
    extra = " and ".join(f"node {each} (timeline {statuses[each].timeline})" for each in others)
    low, low_timeline = others[-1], statuses[others[-1]].timeline
    is_tied = low_timeline == statuses[kept].timeline
    why = "the timelines are equal: the lowest node id counts" if is_tied else "its timeline is lower"
    return Problem(
        kind="two_primaries",
        severity=Severity.CRITICAL,
        node_id=low,
        object=_sql_address(view, low),
        summary=f"{len(others) + 1} servers take writes at once: node {kept} (timeline {statuses[kept].timeline}), "
        f"whose data Rangeland goes by, and {extra}",
        evidence={
            "kept_node_id": kept,
            "kept_timeline": statuses[kept].timeline,
            "fence_node_id": low,
            "fence_timeline": low_timeline,
            "primaries": len(others) + 1,
        },
        source="pg_is_in_recovery and the timeline of the WAL, of every server",
        next_step=f"Stop the server beside node {low} now ({why}), or cut its clients off: whatever is written there "
        "is lost when it becomes a standby. Save what its clients wrote since the promotion, then run pg_rewind "
        "against the other one, or copy it anew. The SQL shows who is connected to it.",
        sql=CLIENTS,
        run_on_node_id=low,
    )


def _stray(view: View, node_id: int, place: standing.PlaceRow) -> Problem:
    primary_id = view.primary_id
    primary = view.rows(PLACE)[primary_id][0]
    ahead_bytes = place.end_lsn - primary.end_lsn
    where = "it streams from another server" if place.receiver == "streaming" else "it gets no WAL"
    ahead = " and has WAL that the primary never had" if ahead_bytes > 0 else ""
    return Problem(
        kind="standby_timeline_differs",
        severity=Severity.WARNING,
        node_id=node_id,
        object=_sql_address(view, node_id),
        summary=f"the standby of node {node_id} is on timeline {place.timeline}, the primary of node {primary_id} on "
        f"{primary.timeline}: {where}{ahead}",
        evidence={
            "timeline": place.timeline,
            "lsn": lsn(place.end_lsn),
            "primary_node_id": primary_id,
            "primary_timeline": primary.timeline,
            "primary_lsn": lsn(primary.end_lsn),
            "streams": place.receiver == "streaming",
        },
        source="pg_stat_wal_receiver, pg_control_recovery, pg_walfile_name",
        next_step="See whom its primary_conninfo names, and what its log says. If it asks an old primary, point it "
        "at the present one. If the log says that the timelines forked, it has changes of its own: run pg_rewind "
        "on it, or copy it anew.",
        sql="SELECT setting FROM pg_settings WHERE name = 'primary_slot_name'",
        run_on_node_id=node_id,
    )


def _cause(view: View, node_id: int) -> str:
    error = next(part.error for part in view.parts if part.node_id == node_id)
    return error.cause.partition("; silent since")[0] if error is not None else ""


def _role(role: str) -> str:
    return {"primary": "the primary", "standby": "a standby"}.get(role, "of unknown role")


def _address(view: View, node_id: int) -> str:
    return view.members[node_id].http_addr if node_id in view.members else ""


def _sql_address(view: View, node_id: int) -> str:
    return view.members[node_id].sql_addr if node_id in view.members else ""


CHECK = Check(
    name="nodes",
    kinds={
        "node_silent": "A node does not answer.",
        "server_down": "A node answers and its server does not.",
        "no_primary": "No server takes writes.",
        "two_primaries": "More than one server takes writes.",
        "standby_timeline_differs": "A standby follows another history than the primary's.",
    },
    judge=judge,
    readings=(PLACE, STANDBYS),
)

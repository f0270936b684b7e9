"""Where each node's server stands in replication: what several checks know, so that one cause is told once."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec import Struct, structs

from rangeland.checks.check import Limit, Reading, View, age_s
from rangeland.merge.restart_safety import synchronous_needed
from rangeland.wire.problems import Problem, Severity
from rangeland.wire.times import rfc3339


class PlaceRow(Struct, frozen=True):
    """The place of one server; what it has no meaning for is "" or 0."""

    in_recovery: bool
    receiver: str  # "streaming", …; "hidden": its state is not for the node's role; "": it has no WAL receiver
    slot: str  # by which it follows, or means to
    name: str  # cluster_name, under which a standby without another name follows
    timeline: int
    end_lsn: int  # written (primary) or received (standby) so far
    replay_lag_bytes: int  # received and not replayed
    pause_state: str  # "not paused", "pause requested" or "paused"
    apply_delay_s: float  # that it is behind on purpose
    restores: bool  # it has a restore_command: it may get WAL from an archive
    waits_for: str  # what stops replay now: "relation", "RecoveryConflictSnapshot", …; "": nothing
    synchronous_standby_names: str
    commits_wait: bool  # unless a session asks for less
    waiting_commits: int  # sessions that wait for a synchronous standby now
    started_at: datetime


class StandbyRow(Struct, frozen=True):
    """Who gets WAL from a server, a standby or pg_receivewal; lags are None where it tells none."""

    name: str
    slot: str  # "": none
    client_addr: str
    state: str  # "streaming" or "catchup"
    sync_state: str
    flush_lag_bytes: int | None
    replay_lag_bytes: int | None
    replay_lag_s: float | None  # None also while PostgreSQL hasn't measured it


class Shortage(Struct, frozen=True):
    """Commits wait, or would: fewer synchronous standbys stream than they ask for."""

    node_id: int  # the primary's
    names: str
    needed: int
    streaming: int
    commits_wait: bool
    waiting_commits: int
    absent_ids: list[int]  # nodes whose standbys are told to be away


PLACE = Reading("replication_place", PlaceRow)
STANDBYS = Reading("physical_standbys", StandbyRow)
CONNECT_S = Limit("standby_connect_s", 30.0, "six times wal_retrieve_retry_interval, after a start")


def place_of(view: View, node_id: int) -> PlaceRow | None:
    """None where the server didn't tell."""
    return next(iter(view.rows(PLACE).get(node_id, [])), None)


def is_leaving(view: View, node_id: int) -> bool:
    """Whether somebody is taking the node out of use: what is missing of it is meant to be."""
    member, status = view.members.get(node_id), view.statuses.get(node_id)
    return (member is not None and member.membership != "active") or (status is not None and status.draining)


def silent_ids(view: View) -> list[int]:
    """Nodes that don't answer at all; one that answers with an error is in the answer's errors."""
    return [part.node_id for part in view.parts if part.error is not None and part.node_id in view.silent_since_ns]


def down_ids(view: View) -> list[int]:
    """Nodes that answer and whose server does not."""
    return [node_id for node_id, status in view.statuses.items() if not status.server_up]


def standby_places(view: View) -> dict[int, PlaceRow]:
    """Of the standbys that answer, by node id."""
    places = {node_id: place_of(view, node_id) for node_id, status in view.statuses.items() if status.server_up}
    return {node_id: place for node_id, place in places.items() if place is not None and place.in_recovery}


def last_role(view: View, node_id: int) -> str:
    """What the server was when it last told; "" where the asked node never knew."""
    status = view.statuses.get(node_id)
    told = status.role if status is not None else "unknown"
    return view.last_role.get(node_id, "") if told == "unknown" else told


def is_fed(view: View) -> bool:
    """Whether a standby gets WAL from a server that no answering standby is: some primary lives."""
    places, followers = standby_places(view), view.rows(STANDBYS)
    receiving = sum(place.receiver == "streaming" for place in places.values())
    return receiving > sum(len(followers.get(node_id, [])) for node_id in places)


def is_leaderless(view: View) -> bool:
    """Whether no server takes writes: none that answers, and none that may be beside a node that can't tell."""
    untold = [
        part.node_id
        for part in view.parts
        if part.error is not None
        and part.node_id not in view.silent_since_ns
        and last_role(view, part.node_id) != "standby"
    ]
    return not view.primary_ids and not untold and not is_fed(view)


def lost_primary_ids(view: View) -> list[int]:
    """Where there is no primary: the nodes, silent or with a server that is down, whose server may have been it."""
    if not is_leaderless(view):
        return []
    away = sorted(silent_ids(view) + down_ids(view))
    were = [node_id for node_id in away if last_role(view, node_id) == "primary"]
    return were or [node_id for node_id in away if last_role(view, node_id) != "standby"]


def strays(view: View) -> dict[int, PlaceRow]:
    """Standbys on another timeline than the primary, by node id; with two primaries that is what is told.

    One that restores from an archive and doesn't stream has an old timeline in its control file: it isn't judged.
    """
    primary = place_of(view, view.primary_id)
    if primary is None or len(view.primary_ids) > 1:
        return {}
    return {
        node_id: place
        for node_id, place in standby_places(view).items()
        if 0 < place.timeline != primary.timeline and (place.receiver or not place.restores)
    }


def unfed(view: View) -> dict[int, PlaceRow]:
    """Standbys that get no WAL while there is a primary, by node id, strays left out."""
    primary = place_of(view, view.primary_id)
    if primary is None or len(view.primary_ids) > 1 or _is_young(view, primary):
        return {}
    away = strays(view)
    return {
        node_id: place
        for node_id, place in standby_places(view).items()
        if node_id not in away
        and place.receiver not in ("streaming", "hidden")
        and not place.restores
        and not _is_young(view, place)
    }


def _is_young(view: View, place: PlaceRow) -> bool:
    return age_s(view, place.started_at) < view.limit(CONNECT_S)


def shortage(view: View) -> Shortage | None:
    """None while enough synchronous standbys stream. pg_receivewal may be one."""
    node_id = view.primary_id
    primary = place_of(view, node_id)
    if primary is None or node_id not in view.rows(STANDBYS):
        return None
    needed = synchronous_needed(primary.synchronous_standby_names)
    streaming = [each for each in view.rows(STANDBYS)[node_id] if each.state == "streaming"]
    synchronous = [each for each in streaming if each.sync_state != "async"]
    if len(synchronous) >= needed:
        return None
    known = sorted(set(down_ids(view)) | strays(view).keys() | unfed(view).keys())
    # The server beside a silent node may stream: it is away where fewer stream than there should be.
    silent = silent_ids(view) if len(streaming) < len(view.parts) - 1 - len(known) else []
    return Shortage(
        node_id=node_id,
        names=primary.synchronous_standby_names,
        needed=needed,
        streaming=len(synchronous),
        commits_wait=primary.commits_wait,
        waiting_commits=primary.waiting_commits,
        absent_ids=[each for each in sorted({*known, *silent}) if not is_leaving(view, each)],
    )


def with_waiting_commits(short: Shortage | None, problem: Problem) -> Problem:
    """The same, and that commits wait for it, where they do: who is away is the cause."""
    if short is None or problem.node_id not in short.absent_ids:
        return problem
    return structs.replace(
        problem,
        severity=severity_of(short),
        summary=f"{problem.summary}; {commits(short)}",
        evidence=problem.evidence | evidence_of(short),
        next_step=f"{problem.next_step} Where that takes long, take it out of synchronous_standby_names on node "
        f"{short.node_id}, so that commits go on.",
    )


def severity_of(short: Shortage) -> Severity:
    return Severity.CRITICAL if short.commits_wait else Severity.WARNING


def commits(short: Shortage) -> str:
    """That commits wait, and why."""
    who = "commits wait" if short.commits_wait else "commits that ask for it wait"
    return f"{who}: synchronous_standby_names asks for {short.needed}, and {short.streaming} of these stream"


def evidence_of(short: Shortage) -> dict[str, str | int | float | bool]:
    return {
        "synchronous_standby_names": short.names,
        "synchronous_needed": short.needed,
        "synchronous_streaming": short.streaming,
        "waiting_commits": short.waiting_commits,
    }


def moment(view: View, node_id: int, since_ns: int) -> str:
    """A time by that node's clock as RFC 3339 by the asked node's; "" where it is not known."""
    if not since_ns:
        return ""
    seconds = since_ns / 1e9 - view.clock_offset_s.get(node_id, 0.0)
    return rfc3339(datetime.fromtimestamp(min(seconds, view.now.timestamp()), UTC).replace(microsecond=0))

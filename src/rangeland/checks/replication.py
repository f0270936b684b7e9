"""Standbys that fall behind, that stand still, or that get nothing; commits that wait for them."""

from __future__ import annotations

from collections.abc import Iterator

from rangeland.checks import slots, standing
from rangeland.checks.check import Check, Limit, View
from rangeland.checks.standing import CONNECT_S, STANDBYS, PlaceRow, Shortage, StandbyRow, with_waiting_commits
from rangeland.checks.words import duration, known, size
from rangeland.wire.problems import Problem, Severity

LAG_BYTES = Limit("replication_lag_bytes", 1e9, "max_wal_size, replayed after a crash, as the alert ReplicationLag")
LAG_S = Limit("replication_lag_s", 300.0, "as long as a silent node takes to count as dead, as ReplicationDelay")

SENDERS = (
    "SELECT application_name, client_addr, state, sync_state, "
    "pg_wal_lsn_diff(sent_lsn, flush_lsn) AS not_flushed_bytes, "
    "pg_wal_lsn_diff(flush_lsn, replay_lsn) AS not_replayed_bytes, replay_lag FROM pg_stat_replication"
)
HOLDERS = (
    "SELECT pid, usename, datname, application_name, state, now() - xact_start AS since, left(query, 200) AS query "
    "FROM pg_stat_activity WHERE xact_start IS NOT NULL AND backend_type = 'client backend' "
    "AND pid <> pg_backend_pid() ORDER BY xact_start"
)
SLOTS = "SELECT slot_name, active, wal_status, restart_lsn FROM pg_replication_slots WHERE slot_type = 'physical'"


def judge(view: View) -> Iterator[Problem]:
    """What one standby suffers from is told once: away, stopped, or behind."""
    lost = slots.lost_names(view, view.primary_id)
    short = standing.shortage(view)
    for node_id, place in standing.unfed(view).items():
        if not standing.is_leaving(view, node_id) and place.slot not in lost:
            yield with_waiting_commits(short, _unfed(view, node_id, place))
    for node_id, place in standing.standby_places(view).items():
        if place.pause_state in ("paused", "pause requested"):
            yield _paused(node_id, place)
    yield from _behind(view)
    if short is not None and not short.absent_ids:
        yield _short(short)


def _unfed(view: View, node_id: int, place: PlaceRow) -> Problem:
    primary_id = view.primary_id
    behind_bytes = max(0, view.statuses[primary_id].lsn - place.end_lsn)
    return Problem(
        kind="standby_not_streaming",
        severity=Severity.WARNING,
        node_id=node_id,
        object=place.slot or place.name,
        summary=f"the standby of node {node_id} gets no WAL and is {size(behind_bytes)} behind the primary of node "
        f"{primary_id}",
        evidence={"behind_bytes": behind_bytes, "primary_node_id": primary_id, "receiver": place.receiver or "none"},
        source="pg_stat_wal_receiver",
        next_step="Its log says why: the primary refuses or can't be reached, the slot is missing or used by "
        "another, or the WAL that it needs is gone; then copy it anew. The SQL shows the primary's slots.",
        sql=SLOTS,
        run_on_node_id=primary_id,
    )


def _paused(node_id: int, place: PlaceRow) -> Problem:
    return Problem(
        kind="replay_paused",
        severity=Severity.WARNING,
        node_id=node_id,
        object=place.slot or place.name,
        summary=f"replay is paused on the standby of node {node_id}, with {size(place.replay_lag_bytes)} of WAL to "
        "replay: its readers see old rows, and a promotion would wait",
        evidence={"pause_state": place.pause_state, "replay_lag_bytes": place.replay_lag_bytes},
        source="pg_get_wal_replay_pause_state",
        next_step="Ask who paused it and why (pg_wal_replay_pause; or max_connections and the like are lower here "
        "than on the primary: its log says so, and then it needs a restart). Else let it go on.",
        sql="SELECT pg_wal_replay_resume()",
        run_on_node_id=node_id,
    )


def _behind(view: View) -> Iterator[Problem]:
    """Standbys that stream and lag, and those that get WAL from a server of the cluster and have no node."""
    strays = standing.strays(view)
    fed = _fed_by_name(view)
    has_unnamed = False
    for node_id, place in standing.standby_places(view).items():
        if place.receiver == "streaming" and node_id not in strays:
            found = fed.get(_name(place.slot, place.name), [])
            is_known = len(found) == 1
            has_unnamed = has_unnamed or not is_known
            yield from _lagging(view, node_id, place, found.pop()[1] if is_known else None)
        elif place.restores and node_id not in strays:
            yield from _restoring(view, node_id, place)
    rest = [each for rows in fed.values() for each in rows]
    away = len(standing.down_ids(view)) + len(standing.silent_ids(view))
    if not has_unnamed and len(rest) > away:  # else these are theirs: a sender notices after wal_sender_timeout
        for sender_id, row in rest:
            yield from _lagging_stranger(view, sender_id, row)


def _fed_by_name(view: View) -> dict[tuple[str, str], list[tuple[int, StandbyRow]]]:
    """Who gets WAL from which node's server. A name that two have tells nothing."""
    fed: dict[tuple[str, str], list[tuple[int, StandbyRow]]] = {}
    for sender_id, rows in view.rows(STANDBYS).items():
        for row in rows:
            fed.setdefault(_name(row.slot, row.name), []).append((sender_id, row))
    return fed


def _name(slot: str, name: str) -> tuple[str, str]:
    """What a standby is known by where it follows: its slot, else its name."""
    return (slot, "") if slot else ("", name)


def _lagging(view: View, node_id: int, place: PlaceRow, row: StandbyRow | None) -> Iterator[Problem]:
    """What is behind on purpose is left out: of such a standby only what it hasn't received counts."""
    if place.pause_state != "not paused":
        return
    lag_bytes = (
        row.replay_lag_bytes if row is not None and row.replay_lag_bytes is not None else place.replay_lag_bytes
    )
    if place.apply_delay_s:
        lag_bytes = (row.flush_lag_bytes or 0) if row is not None else 0
    lag_s = row.replay_lag_s if row is not None else None
    if _is_over(view, lag_bytes, (lag_s or 0.0) - place.apply_delay_s):
        holds = place.replay_lag_bytes * 2 > lag_bytes  # most of it has arrived
        yield Problem(
            kind="replication_lag",
            severity=Severity.WARNING,
            node_id=node_id,
            object=place.slot or place.name,
            summary=f"the standby of node {node_id} is {_lag(lag_bytes, lag_s)} behind: "
            + (_held(place) if holds else "the WAL does not reach it fast enough"),
            evidence=known(
                lag_bytes=lag_bytes,
                lag_s=lag_s,
                not_replayed_bytes=place.replay_lag_bytes,
                waits_for=place.waits_for,
            ),
            source="pg_stat_replication, pg_stat_wal_receiver, pg_stat_activity",
            next_step="Look at who holds replay up on the standby, and end what need not run there; else compare "
            "disk and CPU of both servers."
            if holds
            else "Look at the network between the servers, and at the standby's disk.",
            sql=HOLDERS if holds else SENDERS,
            run_on_node_id=node_id if holds else view.primary_id,
        )


def _held(place: PlaceRow) -> str:
    if place.waits_for:
        return f"replay waits for a session there ({place.waits_for})"
    return "most of that has arrived and is not replayed"


def _restoring(view: View, node_id: int, place: PlaceRow) -> Iterator[Problem]:
    """One that restores from an archive has no sender, and it is always a segment or so behind."""
    primary = view.statuses.get(view.primary_id)
    behind_bytes = max(0, primary.lsn - place.end_lsn) if primary is not None else 0
    if place.pause_state == "not paused" and not place.apply_delay_s and _is_over(view, behind_bytes, 0.0):
        yield Problem(
            kind="replication_lag",
            severity=Severity.WARNING,
            node_id=node_id,
            object=place.name,
            summary=f"the standby of node {node_id}, which does not stream, is {size(behind_bytes)} behind",
            evidence={"lag_bytes": behind_bytes, "receiver": place.receiver or "none"},
            source="pg_last_wal_replay_lsn and the primary's pg_current_wal_lsn",
            next_step="See in its log what restore_command gets, and on the primary whether the archiver is behind.",
            sql="SELECT * FROM pg_stat_archiver",
            run_on_node_id=view.primary_id,
        )


def _lagging_stranger(view: View, sender_id: int, row: StandbyRow) -> Iterator[Problem]:
    if row.replay_lag_bytes is not None and _is_over(view, row.replay_lag_bytes, row.replay_lag_s or 0.0):
        yield Problem(
            kind="replication_lag",
            severity=Severity.WARNING,
            node_id=sender_id,
            object=row.slot or row.name,
            summary=f"standby {row.name}, which has no node and follows the server of node {sender_id}, is "
            f"{_lag(row.replay_lag_bytes, row.replay_lag_s)} behind",
            evidence=known(
                lag_bytes=row.replay_lag_bytes,
                lag_s=row.replay_lag_s,
                not_flushed_bytes=row.flush_lag_bytes,
                client_addr=row.client_addr,
            ),
            source="pg_stat_replication",
            next_step="Look on that standby for a paused replay, a long query, its disk and its network.",
            sql=SENDERS,
            run_on_node_id=sender_id,
        )


def _is_over(view: View, lag_bytes: int, lag_s: float) -> bool:
    return lag_bytes > view.limit(LAG_BYTES) or lag_s > view.limit(LAG_S)


def _lag(lag_bytes: int, lag_s: float | None) -> str:
    return size(lag_bytes) + (f" and {duration(lag_s)}" if lag_s is not None and lag_s >= 1 else "")


def _short(short: Shortage) -> Problem:
    return Problem(
        kind="synchronous_standbys_missing",
        severity=standing.severity_of(short),
        node_id=short.node_id,
        object="synchronous_standby_names",
        summary=f"{standing.commits(short)}, though no standby is known to be away",
        evidence=standing.evidence_of(short),
        source="pg_stat_replication, synchronous_standby_names",
        next_step="Compare the names in synchronous_standby_names with the application_name of each standby that "
        "streams. Until these are right, a shorter list (ALTER SYSTEM, then pg_reload_conf) lets commits go on.",
        sql=SENDERS,
        run_on_node_id=short.node_id,
    )


CHECK = Check(
    name="replication",
    kinds={
        "standby_not_streaming": "A standby gets no WAL from a primary that is up.",
        "replay_paused": "A standby gets WAL and does not replay it, because somebody said so.",
        "replication_lag": "A standby is far behind.",
        "synchronous_standbys_missing": "Fewer synchronous standbys stream than commits wait for.",
    },
    judge=judge,
    limits=(CONNECT_S, LAG_BYTES, LAG_S),
)

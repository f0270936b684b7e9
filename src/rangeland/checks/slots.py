"""Replication slots that hold WAL for nobody, and those that lost it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from msgspec import Struct

from rangeland.checks import standing
from rangeland.checks.ages import threat_by
from rangeland.checks.check import Check, Limit, Reading, View, age_s
from rangeland.checks.words import literal, size
from rangeland.wire.problems import Problem, Severity
from rangeland.wire.times import rfc3339


class SlotRow(Struct, frozen=True):
    """A row of pg_replication_slots, of a slot that was made here."""

    name: str
    slot_type: str  # "physical" or "logical"
    database: str  # "" of a physical one
    active: bool
    wal_status: str  # "reserved", "extended", "unreserved", "lost", "" while it holds none
    retained_bytes: int | None  # WAL that it holds; None: none
    safe_bytes: int | None  # WAL that can still be written before it may be lost; None: no limit is set
    inactive_since: datetime | None  # None: it is active, or the server is older than 17
    xmin: int | None = None  # the oldest transaction that its follower may still look at; None: it holds back none
    xmin_age: int | None = None  # in transactions
    catalog_xmin_age: int | None = None  # the same, of the system catalogues
    walsender_pid: int | None = None  # that serves its follower

    @property
    def held_age(self) -> int:
        """Transactions since the oldest that it keeps vacuum from cleaning up after; 0: none."""
        return 0 if self.wal_status == "lost" else max(self.xmin_age or 0, self.catalog_xmin_age or 0)


SOURCE = "pg_replication_slots"
SLOTS = Reading("slots", SlotRow)
INACTIVE_S = Limit("slot_inactive_s", 600.0, "longer than a standby takes to restart, or a subscriber to reconnect")
RETAINED_BYTES = Limit("slot_retained_bytes", 10 * 2**30, "ten times the default of max_wal_size")


def judge(view: View) -> Iterator[Problem]:
    """One problem a slot, the worst that it has. That a standby is away is told, not its slot's rest."""
    for node_id, rows in view.rows(SLOTS).items():
        awaited = _awaited_names(view, node_id)
        for row in rows:
            if row.wal_status == "lost":
                yield _lost(node_id, row)
            elif _is_told_inactive(view, node_id, row, awaited):
                yield _inactive(view, node_id, row)
            elif _holds_much(view, row) or row.wal_status == "unreserved":
                yield _retaining(node_id, row)


def inactive_names(view: View, node_id: int) -> set[str]:
    """The slots of a server that are told to be inactive."""
    awaited = _awaited_names(view, node_id)
    rows = view.rows(SLOTS).get(node_id, [])
    return {row.name for row in rows if row.wal_status != "lost" and _is_told_inactive(view, node_id, row, awaited)}


def lost_names(view: View, node_id: int) -> set[str]:
    """The slots of a server that lost WAL: who follows them can't go on."""
    return {row.name for row in view.rows(SLOTS).get(node_id, []) if row.wal_status == "lost"}


def _awaited_names(view: View, node_id: int) -> set[str]:
    """The slots of standbys that are away: that is told, or they have only just started.

    Which slot a server that is down or silent has, nothing tells: where no more slots are inactive than servers are
    away, they are theirs.
    """
    names = {place.slot for place in standing.standby_places(view).values() if place.receiver != "streaming"}
    away = len(standing.down_ids(view)) + len(standing.silent_ids(view))
    rest = {
        row.name
        for row in view.rows(SLOTS).get(node_id, [])
        if row.slot_type == "physical" and not row.active and row.name not in names
    }
    return names | rest if node_id == view.primary_id and len(rest) <= away else names


def _holds_much(view: View, row: SlotRow) -> bool:
    return (row.retained_bytes or 0) > view.limit(RETAINED_BYTES)


def _is_told_inactive(view: View, node_id: int, row: SlotRow, awaited: set[str]) -> bool:
    return _is_forgotten(view, node_id, row) and (row.name not in awaited or _holds_much(view, row))


def _is_forgotten(view: View, node_id: int, row: SlotRow) -> bool:
    """Where nothing tells since when it is inactive, it counts at once.

    On a standby it may be kept for a failover, as by Patroni, which moves it on itself: it counts once it holds back
    too much. Source: Patroni, member_slots_ttl.
    """
    if row.active:
        return False
    if view.statuses[node_id].role == "standby":
        return _holds_much(view, row)
    return row.inactive_since is None or age_s(view, row.inactive_since) > view.limit(INACTIVE_S)


def _lost(node_id: int, row: SlotRow) -> Problem:
    return Problem(
        kind="slot_lost",
        severity=Severity.CRITICAL,
        node_id=node_id,
        database=row.database,
        object=row.name,
        summary=f"slot {row.name} lost WAL that its follower needs: max_slot_wal_keep_size was exceeded",
        evidence=_evidence(row),
        source=SOURCE,
        since=_since(row),
        next_step="Its follower can't go on: make the standby or the subscription anew, then drop the slot.",
        sql=_drop(row),
        run_on_node_id=node_id,
    )


def _inactive(view: View, node_id: int, row: SlotRow) -> Problem:
    threat = threat_by(view, row.held_age) if node_id == view.primary_id else None
    return Problem(
        kind="slot_inactive",
        severity=threat.severity if threat else Severity.WARNING,
        node_id=node_id,
        database=row.database,
        object=row.name,
        summary=f"nobody follows slot {row.name}, and it holds back {size(row.retained_bytes or 0)} of WAL"
        + (f" and vacuum, {threat.text}" if threat else ""),
        evidence=_evidence(row) | (threat.evidence if threat else {}),
        source=SOURCE,
        since=_since(row),
        next_step="Bring its standby or subscriber back; if that is gone for good, drop the slot before the "
        "disk is full.",
        sql=_drop(row),
        run_on_node_id=node_id,
    )


def _retaining(node_id: int, row: SlotRow) -> Problem:
    return Problem(
        kind="slot_retains_wal",
        severity=Severity.CRITICAL if row.wal_status == "unreserved" else Severity.WARNING,
        node_id=node_id,
        database=row.database,
        object=row.name,
        summary=f"slot {row.name} holds back {size(row.retained_bytes or 0)} of WAL: its follower is "
        + ("too slow" if row.active else "away"),
        evidence=_evidence(row),
        source=SOURCE,
        next_step="Look at what the follower waits for: its network, its disk, a long query or a paused "
        "replay there.",
        sql="SELECT * FROM pg_stat_replication",
        run_on_node_id=node_id,
    )


def _drop(row: SlotRow) -> str:
    return f"SELECT pg_drop_replication_slot({literal(row.name)})"


def _since(row: SlotRow) -> str:
    return rfc3339(row.inactive_since) if row.inactive_since else ""


def _evidence(row: SlotRow) -> dict[str, str | int | float | bool]:
    known: dict[str, str | int | None] = {
        "slot_type": row.slot_type,
        "active": row.active,
        "wal_status": row.wal_status,
        "retained_bytes": row.retained_bytes,
        "safe_wal_size_bytes": row.safe_bytes,
        "xmin_age_transactions": row.xmin_age,
        "catalog_xmin_age_transactions": row.catalog_xmin_age,
    }
    return {name: value for name, value in known.items() if value is not None and value != ""}


CHECK = Check(
    name="slots",
    kinds={
        "slot_lost": "A replication slot lost WAL that its follower needs.",
        "slot_inactive": "A replication slot that nobody uses holds back WAL, and maybe vacuum.",
        "slot_retains_wal": "A replication slot in use holds back much WAL, or is about to lose some.",
    },
    judge=judge,
    readings=(SLOTS,),
    limits=(INACTIVE_S, RETAINED_BYTES),
)

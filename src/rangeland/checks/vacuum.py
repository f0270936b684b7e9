"""Who keeps vacuum from cleaning up, on whichever node: the oldest of each sort, and what it leads to.

A session that holds up others is told by `locks`, a slot that nobody follows by `slots`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rangeland.checks.ages import AGES, Evidence, Threat, threat_by
from rangeland.checks.check import Check, Limit, View
from rangeland.checks.locks import PREPARED, TRANSACTIONS, PreparedRow, Root, TransactionRow, told_pids, told_roots
from rangeland.checks.slots import SLOTS, SlotRow, inactive_names
from rangeland.checks.words import call, counted, duration, literal
from rangeland.wire.problems import Problem, Severity
from rangeland.wire.times import rfc3339

HELD_S = Limit("vacuum_held_s", 3600.0, "as the alert OldTransaction")
HELD_TRANSACTIONS = Limit(
    "vacuum_held_transactions",
    1e6,
    "as many dead rows are 100 MB and more that every scan reads; in fewer there is nothing to gain",
)
HELD_BY_UNKNOWN_TRANSACTIONS = Limit(
    "vacuum_held_since_unknown_transactions",
    1e7,
    "what vacuum_held_s is for those of which nothing tells since when: an hour with 3,000 transactions a second",
)
PREPARED_S = Limit("prepared_transaction_s", 3600.0, "as the alert PreparedTransactionForgotten")


@dataclass(frozen=True, slots=True)
class Held:
    """A session that holds back vacuum: of the primary, or of a standby that says so to the primary."""

    node_id: int
    row: TransactionRow
    age: int  # in transactions, as the primary counts


@dataclass(frozen=True, slots=True)
class Sender:
    """What the primary knows of a standby that holds back vacuum."""

    name: str  # its slot, or else its application_name
    slot: str  # "": it follows without one
    xmin: int
    age: int


def judge(view: View) -> Iterator[Problem]:
    """The oldest session of each database, standby, slot; each prepared transaction that is old."""
    node_id = view.primary_id
    if not node_id:
        return
    told = told_pids(view)
    for held in _sessions(view, node_id):
        is_told = (held.node_id, held.row.pid) in told or _is_echo(view, held.row.xmin, held.row)
        if not is_told and _is_long(view, held):
            yield _by_session(view, held)
    yield from _standby(view, node_id, told)
    yield from _slot(view, node_id)
    yield from _prepared(view, node_id)


def told_sessions(view: View) -> set[tuple[int, int]]:
    """Node and pid of the sessions that hold back vacuum for too long."""
    return {
        (problem.node_id, int(problem.evidence["pid"]))
        for problem in judge(view)
        if problem.kind in ("vacuum_held_by_transaction", "vacuum_held_by_standby") and "pid" in problem.evidence
    }


def _sessions(view: View, node_id: int) -> list[Held]:
    """Of the primary, the oldest of each database: they hold back vacuum in their own only."""
    oldest: dict[str, TransactionRow] = {}
    for row in view.rows(TRANSACTIONS).get(node_id, []):
        if row.xmin_age is not None and not _is_sender(row):
            other = oldest.get(row.database)
            if other is None or (row.xmin_age, row.open_s) > (other.xmin_age or 0, other.open_s):
                oldest[row.database] = row
    return [Held(node_id, row, row.xmin_age or 0) for row in oldest.values()]


def _is_sender(row: TransactionRow) -> bool:
    """It has the xmin of a standby's sessions, and no transaction; one that copies a table has one."""
    return row.backend_type == "walsender" and row.xact_start is None


def _is_echo(view: View, xmin: int | None, row: TransactionRow | None) -> bool:
    """Whether it is old only because a transaction of the primary is, which has written and runs for longer.

    Every snapshot on any server, and what a standby reports even with no session, begins with the oldest transaction
    that has a number and runs, in whichever database: so all of them look as old as that one.
    """
    open_s = row.open_s if row else 0.0
    writers = view.rows(TRANSACTIONS).get(view.primary_id, [])
    prepared = view.rows(PREPARED).get(view.primary_id, [])
    return any(each.has_xid and each.xmin == xmin and each.open_s > open_s for each in writers) or any(
        each.xid == xmin and each.open_s > open_s for each in prepared
    )


def _is_long(view: View, held: Held) -> bool:
    is_old = held.age > view.limit(HELD_TRANSACTIONS) and held.row.open_s > view.limit(HELD_S)
    return is_old or threat_by(view, held.age) is not None


def _by_session(view: View, held: Held) -> Problem:
    row = held.row
    threat = threat_by(view, held.age)
    return Problem(
        kind="vacuum_held_by_transaction",
        severity=_severity(threat),
        node_id=held.node_id,
        database=row.database,
        object=f"pid {row.pid}",
        summary=f"{row.called} has had a transaction open for {duration(row.open_s)}: vacuum may not remove what was "
        f"deleted in the {counted(held.age, 'transaction')} since{_threatens(threat)}",
        evidence=row.about | {"age_transactions": held.age} | _evidence(threat),
        source="pg_stat_activity, backend_xmin and backend_xid",
        since=rfc3339(row.xact_start) if row.xact_start else "",
        next_step="See at /api/v2/sessions/ (pg_backend_pid) what it does. If it is forgotten, end it: its "
        "transaction is rolled back, and the next vacuum cleans up.",
        sql=call("pg_terminate_backend", [row.pid]),
        run_on_node_id=held.node_id,
    )


def _standby(view: View, node_id: int, told: set[tuple[int, int]]) -> Iterator[Problem]:
    """The oldest, by hot_standby_feedback; where a node stands beside it, with the session that it is."""
    senders = sorted(_senders(view, node_id), key=lambda sender: (-sender.age, sender.name))
    if not senders:
        return
    sender = senders[0]
    held = _session_of(view, node_id, sender)
    if _is_echo(view, sender.xmin, held.row if held else None):
        return
    if held is None:
        is_old = sender.age > view.limit(HELD_BY_UNKNOWN_TRANSACTIONS)
        if is_old or threat_by(view, sender.age):
            yield _by_unknown_standby(view, node_id, sender)
    elif (held.node_id, held.row.pid) not in told and _is_long(view, held):
        yield _by_standby(view, held, sender)


def _senders(view: View, node_id: int) -> Iterator[Sender]:
    """With a slot the standby's oldest transaction is the slot's, else that of the process that sends to it."""
    for slot in view.rows(SLOTS).get(node_id, []):
        if slot.slot_type == "physical" and slot.active and slot.xmin is not None:
            yield Sender(slot.name, slot.name, slot.xmin, slot.xmin_age or 0)
    for row in view.rows(TRANSACTIONS).get(node_id, []):
        if _is_sender(row) and row.xmin is not None:
            yield Sender(row.application_name, "", row.xmin, row.xmin_age or 0)


def _session_of(view: View, node_id: int, sender: Sender) -> Held | None:
    """The standby's session that has just this transaction: its number is the same on all servers.

    It may be a standby of that standby's: so it is looked for on all of them.
    """
    found = [
        Held(other_id, row, sender.age)
        for other_id, rows in view.rows(TRANSACTIONS).items()
        for row in rows
        if other_id != node_id and row.xmin == sender.xmin and not _is_sender(row)
    ]
    return max(found, key=lambda held: (held.row.open_s, -held.node_id), default=None)


def _by_standby(view: View, held: Held, sender: Sender) -> Problem:
    row = held.row
    threat = threat_by(view, held.age)
    return Problem(
        kind="vacuum_held_by_standby",
        severity=_severity(threat),
        node_id=held.node_id,
        database=row.database,
        object=f"pid {row.pid}",
        summary=f"{row.called} on a standby has had a transaction open for {duration(row.open_s)}: by "
        f"hot_standby_feedback vacuum on the primary may not remove what was deleted in the "
        f"{counted(held.age, 'transaction')} since{_threatens(threat)}",
        evidence=row.about | {"age_transactions": held.age, "standby": sender.name} | _evidence(threat),
        source="pg_replication_slots or pg_stat_replication of the primary, xmin; pg_stat_activity of the standby",
        since=rfc3339(row.xact_start) if row.xact_start else "",
        next_step="See at /api/v2/sessions/ (pg_backend_pid) what it does. If it is forgotten, end it on that "
        "standby; the primary knows of it after wal_receiver_status_interval, 10 s by default.",
        sql=call("pg_terminate_backend", [row.pid]),
        run_on_node_id=held.node_id,
    )


def _by_unknown_standby(view: View, node_id: int, sender: Sender) -> Problem:
    threat = threat_by(view, sender.age)
    return Problem(
        kind="vacuum_held_by_standby",
        severity=_severity(threat),
        node_id=node_id,
        object=sender.name,
        summary=f"a session on standby {sender.name} keeps vacuum on the primary from removing what was deleted in "
        f"the last {counted(sender.age, 'transaction')}{_threatens(threat)}",
        evidence=_evidence(threat) | {"age_transactions": sender.age, "standby": sender.name},
        source="pg_replication_slots" if sender.slot else "pg_stat_replication",
        next_step="No node that answers has that session: look on the standby itself, and end the oldest. If there "
        "is none, it ended less than wal_receiver_status_interval ago.",
        sql="SELECT pid, usename, application_name, state, xact_start, backend_xmin FROM pg_stat_activity "
        "WHERE backend_xmin IS NOT NULL ORDER BY age(backend_xmin) DESC",
    )


def _slot(view: View, node_id: int) -> Iterator[Problem]:
    """The one with the oldest, of those that hold for no standby; who is forgotten is told by `slots`."""
    rows = [
        row
        for row in view.rows(SLOTS).get(node_id, [])
        if row.held_age and not (row.slot_type == "physical" and row.active)
    ]
    oldest = max(rows, key=lambda row: (row.held_age, row.name), default=None)
    if oldest is None or oldest.name in inactive_names(view, node_id):
        return
    threat = threat_by(view, oldest.held_age)
    if oldest.held_age > view.limit(HELD_BY_UNKNOWN_TRANSACTIONS) or threat:
        yield _by_slot(node_id, oldest, threat)


def _by_slot(node_id: int, row: SlotRow, threat: Threat | None) -> Problem:
    what = "in the system catalogues " if (row.catalog_xmin_age or 0) > (row.xmin_age or 0) else ""
    return Problem(
        kind="vacuum_held_by_slot",
        severity=_severity(threat),
        node_id=node_id,
        database=row.database,
        object=row.name,
        summary=f"slot {row.name} keeps vacuum from removing what was deleted {what}in the last "
        f"{counted(row.held_age, 'transaction')}{_threatens(threat)}",
        evidence=_evidence(threat)
        | {
            "slot_type": row.slot_type,
            "active": row.active,
            "xmin_age_transactions": row.xmin_age or 0,
            "catalog_xmin_age_transactions": row.catalog_xmin_age or 0,
        },
        source="pg_replication_slots, xmin and catalog_xmin",
        next_step="Its follower doesn't confirm what it got: see whether it runs, and what it waits for. If it is "
        "gone for good, drop the slot; one in use can't be dropped.",
        sql=f"SELECT pg_drop_replication_slot({literal(row.name)})",
        run_on_node_id=node_id,
    )


def _prepared(view: View, node_id: int) -> Iterator[Problem]:
    rows = view.rows(PREPARED).get(node_id, [])
    roots = [root for root in told_roots(view) if root.node_id == node_id]
    for row in rows:
        # Where the server doesn't tell which of them is waited for, the oldest of the database is the likeliest.
        is_first = row is next(each for each in rows if each.database == row.database)
        waited = [root for root in roots if ("xid", row.xid) in root.blockers or (is_first and _is_for(root, row))]
        threat = threat_by(view, row.xid_age)
        if waited or threat or row.open_s > view.limit(PREPARED_S):
            yield _by_prepared(view, node_id, row, waited[0] if waited else None, threat)


def _is_for(root: Root, row: PreparedRow) -> bool:
    return ("xid", 0) in root.blockers and root.longest.database == row.database


def _by_prepared(view: View, node_id: int, row: PreparedRow, root: Root | None, threat: Threat | None) -> Problem:
    held_up = f"; {counted(len(root.waiters), 'session')} wait for it" if root else ""
    severities = {_severity(threat), root.severity(view) if root else Severity.WARNING}
    return Problem(
        kind="prepared_transaction_old",
        severity=Severity.CRITICAL if Severity.CRITICAL in severities else Severity.WARNING,
        node_id=node_id,
        database=row.database,
        object=row.gid,
        summary=f"prepared transaction {row.gid} has been left for {duration(row.open_s)}: it keeps its locks, and "
        f"vacuum from removing what was deleted in the {counted(row.xid_age, 'transaction')} since"
        f"{held_up}{_threatens(threat)}",
        evidence=_evidence(threat)
        | {
            "owner": row.owner,
            "prepared_seconds": round(row.open_s, 1),
            "age_transactions": row.xid_age,
        }
        | (root.evidence(view) if root else {}),
        source="pg_prepared_xacts",
        since=rfc3339(row.prepared_at),
        next_step="Ask the transaction manager that prepared it whether to commit or to roll back: the other servers "
        f"of that transaction must get the same. Then, as {row.owner} or a superuser, COMMIT or "
        "ROLLBACK PREPARED.",
        sql=f"ROLLBACK PREPARED {literal(row.gid)}",
        run_on_node_id=node_id,
    )


def _severity(threat: Threat | None) -> Severity:
    return threat.severity if threat else Severity.WARNING


def _threatens(threat: Threat | None) -> str:
    return f", {threat.text}" if threat else ""


def _evidence(threat: Threat | None) -> Evidence:
    return threat.evidence if threat else {}


def longest_held(view: View) -> int:
    """How old the oldest transaction is that anybody keeps vacuum from cleaning up after; 0: nobody does."""
    node_id = view.primary_id
    ages = [
        *(held.age for held in _sessions(view, node_id)),
        *(sender.age for sender in _senders(view, node_id)),
        *(row.held_age for row in view.rows(SLOTS).get(node_id, [])),
        *(row.xid_age for row in view.rows(PREPARED).get(node_id, [])),
    ]
    return max(ages, default=0)


CHECK = Check(
    name="vacuum",
    kinds={
        "vacuum_held_by_transaction": "A session's long transaction keeps vacuum from cleaning up.",
        "vacuum_held_by_standby": "A session on a standby keeps vacuum on the primary from cleaning up.",
        "vacuum_held_by_slot": "A replication slot in use keeps vacuum from cleaning up.",
        "prepared_transaction_old": "A prepared transaction is neither committed nor rolled back.",
    },
    judge=judge,
    readings=(PREPARED, AGES),
    limits=(HELD_S, HELD_TRANSACTIONS, HELD_BY_UNKNOWN_TRANSACTIONS, PREPARED_S),
)

"""Sessions that wait for locks, and the ones at the root of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from weakref import WeakKeyDictionary

from msgspec import Struct

from rangeland.checks.ages import Evidence, Threat, threat_by
from rangeland.checks.check import Check, Limit, Reading, View
from rangeland.checks.words import call, counted, duration
from rangeland.wire.problems import Problem, Severity
from rangeland.wire.times import rfc3339


class TransactionRow(Struct, frozen=True):
    """A session in a transaction, or one that waits for a lock, or is waited for, or sends to a standby."""

    read_at: datetime
    pid: int
    backend_type: str
    database: str  # "" of what belongs to none
    username: str
    application_name: str
    client_address: str  # "": a Unix socket, or no client
    state: str
    state_change: datetime | None
    xact_start: datetime | None
    has_xid: bool  # it has written, or locked a table against all others
    xmin: int | None  # the oldest transaction that it keeps vacuum from cleaning up after; None: it holds back none
    xmin_age: int | None  # in transactions
    waits_since: datetime | None  # for a lock; None: it doesn't
    waits_for: str  # such as "relation" or "transactionid"
    mode: str
    relation: int | None  # the oid of the table that it waits for, or for a row of it; None: not known
    lock: str  # the same of two sessions that wait for the same lock
    blocking_pids: list[int] | None  # None: not asked
    prepared_xids: list[int] | None

    @property
    def is_idle_in_transaction(self) -> bool:
        return self.state.startswith("idle in transaction")

    @property
    def open_s(self) -> float:
        """How long its transaction has been open."""
        return (self.read_at - self.xact_start).total_seconds() if self.xact_start else 0.0

    @property
    def waited_s(self) -> float:
        return (self.read_at - self.waits_since).total_seconds() if self.waits_since else 0.0

    @property
    def unchanged_s(self) -> float:
        """How long its state is what it is."""
        return (self.read_at - self.state_change).total_seconds() if self.state_change else 0.0

    @property
    def about(self) -> Evidence:
        """Who it is, as evidence."""
        known: dict[str, str | int | float] = {
            "pid": self.pid,
            "username": self.username,
            "application_name": self.application_name,
            "client_address": self.client_address,
            "backend_type": "" if self.backend_type == "client backend" else self.backend_type,
            "state": self.state,
        }
        if self.xact_start:
            known["transaction_open_seconds"] = round(self.open_s, 1)
        return {name: each for name, each in known.items() if each != ""}

    @property
    def called(self) -> str:
        """The session in a sentence."""
        application = f" of {self.application_name}" if self.application_name else ""
        return f"session {self.pid}{application}"


class PreparedRow(Struct, frozen=True):
    """A row of pg_prepared_xacts."""

    read_at: datetime
    gid: str
    xid: int
    xid_age: int  # in transactions
    prepared_at: datetime
    owner: str
    database: str

    @property
    def open_s(self) -> float:
        """How long it has been prepared."""
        return (self.read_at - self.prepared_at).total_seconds()


class TableRow(Struct, frozen=True):
    """The name of a table that somebody waits for."""

    database: str
    oid: int
    schema: str
    table: str


TRANSACTIONS = Reading("transactions", TransactionRow)
PREPARED = Reading("prepared_transactions", PreparedRow)
TABLES = Reading(
    "awaited_tables",
    TableRow,
    in_each_database=True,
    is_wanted=lambda rows, database: any(
        row.waits_since and row.database == database for row in rows.get(TRANSACTIONS.name, ())
    ),
)
BLOCKED_S = Limit("blocked_s", 60.0, "people and clients of HTTP have given up by then")
BLOCKED_SESSIONS = Limit(
    "blocked_sessions", 10.0, "as the alert SessionsWaitForLocks: a queue behind one holder; from there on critical"
)
SOURCE = "pg_stat_activity, pg_blocking_pids(), pg_locks"

Blocker = tuple[str, int]  # "pid" and a process id, or "xid" and a prepared transaction's; sorts
_PREPARED_UNKNOWN: Blocker = ("xid", 0)


@dataclass(frozen=True, slots=True)
class Root:
    """Who waits for nobody, and others for them: more than one where each holds up the same sessions."""

    node_id: int
    blockers: tuple[Blocker, ...]  # ascending
    direct: int  # sessions that wait for them
    waiters: tuple[TransactionRow, ...]  # all that wait for them or for others that do, the longest first

    @property
    def longest(self) -> TransactionRow:
        return self.waiters[0]

    def is_told(self, view: View) -> bool:
        return self.longest.waited_s > view.limit(BLOCKED_S)

    def severity(self, view: View) -> Severity:
        return Severity.CRITICAL if len(self.waiters) >= view.limit(BLOCKED_SESSIONS) else Severity.WARNING

    def evidence(self, view: View) -> Evidence:
        wait = self.longest
        evidence: Evidence = {
            "waiting_sessions": len(self.waiters),
            "waiting_directly": self.direct,
            "longest_wait_seconds": round(wait.waited_s, 1),
            "longest_waiting_pid": wait.pid,
            "waits_for": wait.waits_for,
            "waits_for_mode": wait.mode,
        }
        if wait.relation:
            evidence["table"] = table_name(view, self.node_id, wait)
        return {name: each for name, each in evidence.items() if each != ""}


_roots_by_view: WeakKeyDictionary[View, list[Root]] = WeakKeyDictionary()  # several checks ask


def find_roots(view: View) -> list[Root]:
    """By node id; those that hold up the longest first."""
    if view not in _roots_by_view:
        _roots_by_view[view] = [
            root for node_id, rows in view.rows(TRANSACTIONS).items() for root in roots_of(node_id, rows)
        ]
    return _roots_by_view[view]


def roots_of(node_id: int, rows: list[TransactionRow]) -> list[Root]:
    """The roots of what waits on one server."""
    waiting = {row.pid: row for row in rows if row.waits_since}
    blockers = {pid: _blockers(row) for pid, row in waiting.items()}
    asked = {row.lock: blockers[pid] for pid, row in waiting.items() if row.lock and blockers[pid]}
    for pid, row in waiting.items():
        if row.blocking_pids is None:  # one of too many to ask for: who waits for the same lock waits for the same
            blockers[pid] = asked.get(row.lock, frozenset())
    # In a queue each waits for all before it, and who was not asked for the same as another: so few sets differ.
    above = {each: _roots_above(each, blockers) for each in set(blockers.values())}
    reached = {pid: above[blockers[pid]] for pid in waiting}
    by_victims: dict[frozenset[int], list[Blocker]] = {}
    for blocker in sorted({root for roots in reached.values() for root in roots}):
        victims = frozenset(pid for pid, roots in reached.items() if blocker in roots)
        by_victims.setdefault(victims, []).append(blocker)
    found = [
        Root(
            node_id,
            tuple(group),
            direct=sum(not blockers[pid].isdisjoint(group) for pid in victims),
            waiters=tuple(sorted((waiting[pid] for pid in victims), key=lambda row: (-row.waited_s, row.pid))),
        )
        for victims, group in by_victims.items()
    ]
    return sorted(found, key=lambda root: (-root.longest.waited_s, root.blockers))


def _blockers(row: TransactionRow) -> frozenset[Blocker]:
    """A prepared transaction is pid 0 to PostgreSQL."""
    pids = {("pid", pid) for pid in row.blocking_pids or () if pid not in (0, row.pid)}
    prepared = {("xid", xid) for xid in row.prepared_xids or ()}
    if 0 in (row.blocking_pids or ()) and not prepared:
        prepared = {_PREPARED_UNKNOWN}
    return frozenset(pids | prepared)


def _roots_above(waited_for: frozenset[Blocker], blockers: Mapping[int, frozenset[Blocker]]) -> set[Blocker]:
    """Those at the end of every way up; none where it leads in a circle, which PostgreSQL cuts by itself."""
    roots: set[Blocker] = set()
    seen: set[Blocker] = set()
    left = list(waited_for)
    while left:
        blocker = left.pop()
        if blocker in seen:
            continue
        seen.add(blocker)
        kind, number = blocker
        above = blockers.get(number) if kind == "pid" else None
        if above:
            left += above
        elif above is None:  # a waiter for whom nobody could be named is no root
            roots.add(blocker)
    return roots


def table_name(view: View, node_id: int, row: TransactionRow) -> str:
    """The table that it waits for; by its oid where the name isn't known yet."""
    for table in view.rows(TABLES).get(node_id, []):
        if (table.database, table.oid) == (row.database, row.relation):
            return f"{table.schema}.{table.table}"
    return f"oid {row.relation}"


def judge(view: View) -> Iterator[Problem]:
    """One problem a root; a prepared transaction is told as one (`vacuum`)."""
    for root in told_roots(view):
        pids = [number for kind, number in root.blockers if kind == "pid"]
        if not pids:
            continue
        rows = {row.pid: row for row in view.rows(TRANSACTIONS)[root.node_id]}
        blocking = sorted((rows[pid] for pid in pids if pid in rows), key=lambda row: (-row.open_s, row.pid))
        if blocking:
            yield _blocked(view, root, blocking)


def told_roots(view: View) -> list[Root]:
    return [root for root in find_roots(view) if root.is_told(view)]


def told_pids(view: View) -> set[tuple[int, int]]:
    """Node and pid of all that are roots, or wait for one: nothing else is to be said of them."""
    roots = told_roots(view)
    pids = {(root.node_id, number) for root in roots for kind, number in root.blockers if kind == "pid"}
    return pids | {(root.node_id, row.pid) for root in roots for row in root.waiters}


def _blocked(view: View, root: Root, blocking: list[TransactionRow]) -> Problem:
    first = blocking[0]
    if first.backend_type == "startup":
        return _blocked_by_replay(view, root, first)
    threat = max(
        (found for row in blocking if (found := _threat(view, root.node_id, row))),
        key=lambda found: found.severity is Severity.CRITICAL,
        default=None,
    )
    is_critical = threat is not None and threat.severity is Severity.CRITICAL
    others = f" and {counted(len(blocking) - 1, 'more session')}" if len(blocking) > 1 else ""
    state = f", {first.state}," if first.is_idle_in_transaction else ""
    held = f" (also holds back vacuum, {threat.text})" if threat else ""
    return Problem(
        kind="sessions_blocked",
        severity=Severity.CRITICAL if is_critical else root.severity(view),
        node_id=root.node_id,
        database=root.longest.database or first.database,
        object=f"pid {first.pid}",
        summary=f"{first.called}{others}{state} holds up {counted(len(root.waiters), 'session')}, the longest for "
        f"{duration(root.longest.waited_s)}{held}",
        evidence=first.about
        | ({"blocking_sessions": len(blocking)} if len(blocking) > 1 else {})
        | root.evidence(view)
        | (threat.evidence if threat else {}),
        source=SOURCE,
        since=rfc3339(root.longest.waits_since) if root.longest.waits_since else "",
        next_step=_step(blocking),
        sql=call(_ending(blocking), [row.pid for row in blocking]),
        run_on_node_id=root.node_id,
    )


def _threat(view: View, node_id: int, row: TransactionRow) -> Threat | None:
    return threat_by(view, row.xmin_age or 0) if node_id == view.primary_id else None


def _ending(blocking: list[TransactionRow]) -> str:
    """A cancelled statement's transaction gives back its locks; where no statement runs, there is none to cancel."""
    return "pg_cancel_backend" if all(_can_be_cancelled(row) for row in blocking) else "pg_terminate_backend"


def _can_be_cancelled(row: TransactionRow) -> bool:
    return row.state == "active" or row.backend_type == "autovacuum worker"


def _step(blocking: list[TransactionRow]) -> str:
    if any(row.backend_type == "autovacuum worker" for row in blocking):
        return (
            "An autovacuum that has to prevent wraparound doesn't give way: best let it finish, and cancel who "
            "waits. If it is cancelled, it begins anew at once."
        )
    if _ending(blocking) == "pg_cancel_backend":
        return (
            "Look at its statement in /api/v2/sessions/ (pg_backend_pid), then cancel it; if it goes on to hold its "
            "locks, end the session with pg_terminate_backend. Where a waiting ALTER, DROP or LOCK makes all the "
            "others queue, cancelling that one helps, too."
        )
    return (
        "It runs no statement, so there is nothing to cancel: end the session; what it did in its transaction is "
        "rolled back. Then see why the application leaves transactions open; "
        "idle_in_transaction_session_timeout ends them."
    )


def _blocked_by_replay(view: View, root: Root, first: TransactionRow) -> Problem:
    relation = root.longest.relation
    where = f" AND relation = {relation}" if relation else ""
    return Problem(
        kind="sessions_blocked",
        severity=root.severity(view),
        node_id=root.node_id,
        database=root.longest.database,
        object=f"pid {first.pid}",
        summary=f"{counted(len(root.waiters), 'session')} of a standby wait, the longest for "
        f"{duration(root.longest.waited_s)}, for a table that a transaction on the primary has locked",
        evidence=first.about | root.evidence(view),
        source=SOURCE,
        since=rfc3339(root.longest.waits_since) if root.longest.waits_since else "",
        next_step="The replay holds the lock for a transaction on the primary: find that there, and end it if it "
        "is forgotten. Never end the replay.",
        sql=f"SELECT pid, relation::regclass FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted{where}",  # noqa: S608 (a number)
        run_on_node_id=view.primary_id,
    )


CHECK = Check(
    name="locks",
    kinds={"sessions_blocked": "A session, or some, hold up others that wait for their locks."},
    judge=judge,
    readings=(TRANSACTIONS, TABLES),
    limits=(BLOCKED_S, BLOCKED_SESSIONS),
)

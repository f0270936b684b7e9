"""Sessions that began a transaction, and do nothing in it.

One that others wait for is told by `locks`, one that holds back vacuum by `vacuum`.
"""

from __future__ import annotations

from collections.abc import Iterator

from rangeland.checks.check import Check, Limit, View
from rangeland.checks.locks import TRANSACTIONS, TransactionRow, told_pids
from rangeland.checks.vacuum import told_sessions
from rangeland.checks.words import call, duration
from rangeland.wire.problems import Problem, Severity
from rangeland.wire.times import rfc3339

IDLE_S = Limit("idle_in_transaction_s", 600.0, "no application thinks for ten minutes in the midst of a transaction")


def judge(view: View) -> Iterator[Problem]:
    """One problem a session."""
    told = told_pids(view) | told_sessions(view)
    for node_id, rows in view.rows(TRANSACTIONS).items():
        for row in rows:
            is_long = row.is_idle_in_transaction and row.unchanged_s > view.limit(IDLE_S)
            if is_long and (node_id, row.pid) not in told:
                yield _idle(node_id, row)


def _idle(node_id: int, row: TransactionRow) -> Problem:
    does = (
        "it keeps the rows that it wrote locked" if row.has_xid else "it keeps tables from being altered or dropped"
    )
    return Problem(
        kind="idle_in_transaction",
        severity=Severity.WARNING if row.has_xid else Severity.INFO,
        node_id=node_id,
        database=row.database,
        object=f"pid {row.pid}",
        summary=f"{row.called} has done nothing in its transaction for {duration(row.unchanged_s)}: {does}",
        evidence=row.about | {"idle_seconds": round(row.unchanged_s, 1), "has_written": row.has_xid},
        source="pg_stat_activity",
        since=rfc3339(row.state_change) if row.state_change else "",
        next_step="Ask whose it is, or end it: what it did in its transaction is rolled back. To have the server do "
        "that, set idle_in_transaction_session_timeout for its role.",
        sql=call("pg_terminate_backend", [row.pid]),
        run_on_node_id=node_id,
    )


CHECK = Check(
    name="transactions",
    kinds={"idle_in_transaction": "A session leaves its transaction open, and does nothing."},
    judge=judge,
    limits=(IDLE_S,),
)

"""Databases that run out of transaction ids or multixacts because vacuum doesn't get there.

Where somebody keeps it from getting there, that is told instead (`vacuum`, `slots`, `locks`), with what it leads to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from rangeland.checks.ages import AGE_RATIO, AGES, Age, ages, is_explained
from rangeland.checks.check import Check, Reading, ServerRows, View
from rangeland.checks.vacuum import longest_held
from rangeland.checks.words import quoted
from rangeland.wire.problems import Problem, Severity


class OldTableRow(Struct, frozen=True):
    """One of the tables that make their database old."""

    database: str
    counted: str  # "transactions" or "multixacts"
    schema: str
    table: str
    is_temporary: bool
    age: int
    size_bytes: int


def _is_due(rows: ServerRows, database: str) -> bool:
    """Whether autovacuum is forced to come to it: before that nobody asks which tables are old."""
    return any(
        row.xid_age >= row.xid_freeze_age or row.multixact_age >= row.multixact_freeze_age
        for row in rows.get(AGES.name, ())
        if row.database == database
    )


OLDEST_TABLES = Reading("oldest_tables", OldTableRow, in_each_database=True, is_wanted=_is_due)
MOST_TABLES = 5  # to name in one VACUUM; where more are that old, the whole database is due

_KINDS = {"transactions": "xid_wraparound", "multixacts": "multixact_wraparound"}
_SOURCES = {
    "transactions": "pg_database.datfrozenxid, pg_class.relfrozenxid",
    "multixacts": "pg_database.datminmxid, pg_class.relminmxid",
}


def judge(view: View) -> Iterator[Problem]:
    """At most one of each kind a database."""
    held_age = longest_held(view)
    tables = view.of_cluster(OLDEST_TABLES)
    for both in ages(view):
        for age in both:
            severity = age.severity
            if severity and not is_explained(age, held_age):
                yield _problem(view, age, severity, [row for row in tables if _is_of(row, age)])


def _is_of(row: OldTableRow, age: Age) -> bool:
    return row.database == age.row.database and row.counted == age.unit


def _problem(view: View, age: Age, severity: Severity, tables: Sequence[OldTableRow]) -> Problem:
    database = age.row.database
    evidence = age.evidence
    if tables:
        evidence = evidence | {
            "oldest_table": f"{tables[0].schema}.{tables[0].table}",
            "oldest_table_size_bytes": tables[0].size_bytes,
        }
    step, sql = _mend(age, tables)
    return Problem(
        kind=_KINDS[age.unit],
        severity=severity,
        node_id=view.primary_id,
        database=database,
        object=database,
        summary=f"database {database} has {age.age:,} {age.unit} that are not frozen; in {age.left:,} more nobody "
        "can write any longer, and vacuum doesn't get there",
        evidence=evidence,
        source=_SOURCES[age.unit],
        next_step=step,
        sql=sql,
        run_on_node_id=view.primary_id,
    )


def _mend(age: Age, tables: Sequence[OldTableRow]) -> tuple[str, str]:
    """What to do, in words and in SQL."""
    if not age.row.may_be_visited:
        return (
            "Nobody may connect to it, and autovacuum, which may, doesn't get there: see that autovacuum is on and "
            "has workers to spare. To vacuum it by hand, let connections in, and after that refuse them again.",
            f"ALTER DATABASE {quoted(age.row.database)} ALLOW_CONNECTIONS true",
        )
    if tables and tables[0].is_temporary:
        number = re.sub(r"\D", "", tables[0].schema)
        return (
            "Its oldest table is a temporary one, which only its own session can vacuum or drop: end that session. "
            "If there is none, drop the table as a superuser.",
            f"SELECT pg_stat_get_backend_pid({number})",
        )
    old = [row for row in tables if row.age > age.worrying_age]
    names = ", ".join(dict.fromkeys(f"{quoted(row.schema)}.{quoted(row.table)}" for row in old))
    target = f"VACUUM {names}" if old and len(old) <= MOST_TABLES else "VACUUM"
    return (
        "Vacuum it as a superuser, without FULL or FREEZE: they take longer than is needed. See at `progress` "
        "whether autovacuum is there already, and in its log what stopped it: locks, or an error in one table.",
        target,
    )


CHECK = Check(
    name="wraparound",
    kinds={
        "xid_wraparound": "A database runs out of transaction ids: nobody freezes them.",
        "multixact_wraparound": "A database runs out of multixacts: nobody freezes them.",
    },
    judge=judge,
    readings=(OLDEST_TABLES,),
    limits=(AGE_RATIO,),
)

"""Tables that autovacuum should have been at, and wasn't.

Where it comes and can't clean up, somebody holds it back (`vacuum`). Where it is off altogether, that is a setting.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from msgspec import Struct

from rangeland.checks.check import Check, Limit, Reading, View, age_s
from rangeland.checks.words import quoted
from rangeland.wire.problems import Problem, Severity
from rangeland.wire.times import rfc3339


class TableRow(Struct, frozen=True):
    """A table with more to do for VACUUM or ANALYZE than autovacuum waits for."""

    database: str
    schema: str
    table: str
    live_rows: int  # an estimate
    dead_rows: int
    changed_rows: int  # since the last ANALYZE, or since the counters began
    vacuum_threshold: float  # of dead rows
    analyze_threshold: float  # of changed rows
    autovacuum_on: bool  # by the table's own settings
    vacuumed_at: datetime | None  # None: never since the counters began
    analyzed_at: datetime | None
    size_bytes: int

    @property
    def name(self) -> str:
        return f"{self.schema}.{self.table}"


NEGLECTED = Reading("neglected_tables", TableRow, in_each_database=True)
RATIO = Limit("table_overdue_ratio", 5.0, "with autovacuum's default, as many dead rows as live ones")
ROWS = Limit("table_overdue_rows", 100_000.0, "fewer cost a scan some milliseconds")
OVERDUE_S = Limit("table_overdue_s", 3600.0, "autovacuum looks every minute (autovacuum_naptime): sixty times")
SINGLE = 5  # tables of a database and kind that are told one by one; more have one cause
NAMED = 20  # tables in one command


def judge(view: View) -> Iterator[Problem]:
    """One problem a table, or, of many alike, one a database and kind."""
    found: dict[tuple[str, str], list[TableRow]] = {}
    for row in view.of_cluster(NEGLECTED):
        if kind := _kind(view, row):
            found.setdefault((row.database, kind), []).append(row)
    for (_, kind), rows in sorted(found.items()):
        if len(rows) <= SINGLE:
            yield from (_one(view, kind, row) for row in rows)
        else:
            yield _many(view, kind, rows)


def _kind(view: View, row: TableRow) -> str:
    """The worst of it; "": nothing."""
    if _is_beyond(view, row.dead_rows, row.vacuum_threshold) and _is_long_ago(view, row.vacuumed_at):
        return "table_vacuum_overdue"
    if _is_beyond(view, row.changed_rows, row.analyze_threshold) and _is_long_ago(view, row.analyzed_at):
        return "table_analyze_overdue" if row.analyzed_at else "table_never_analyzed"
    return ""


def _is_beyond(view: View, rows: int, threshold: float) -> bool:
    return rows > view.limit(RATIO) * threshold and rows > view.limit(ROWS)


def _is_long_ago(view: View, at: datetime | None) -> bool:
    return at is None or age_s(view, at) > view.limit(OVERDUE_S)


def _one(view: View, kind: str, row: TableRow) -> Problem:
    off = "" if row.autovacuum_on else "; autovacuum is off for it (autovacuum_enabled)"
    at = row.vacuumed_at if kind == "table_vacuum_overdue" else row.analyzed_at
    return Problem(
        kind=kind,
        severity=_severity(row),
        database=row.database,
        object=row.name,
        summary=_SUMMARIES[kind].format(row=row) + off,
        evidence={
            "live_rows": row.live_rows,
            "dead_rows": row.dead_rows,
            "vacuum_threshold_rows": round(row.vacuum_threshold),
            "changed_rows": row.changed_rows,
            "analyze_threshold_rows": round(row.analyze_threshold),
            "autovacuum_enabled": row.autovacuum_on,
            "size_bytes": row.size_bytes,
        },
        source="pg_stat_all_tables, pg_class.reloptions",
        since=rfc3339(at) if at else "",
        next_step=_step(row),
        sql=_command(kind, [row]),
        run_on_node_id=view.primary_id,
    )


def _severity(row: TableRow) -> Severity:
    """Nothing tells how long a table has been waiting that was never done: autovacuum may be on its way."""
    is_on_its_way = row.autovacuum_on and (row.vacuumed_at is None or row.analyzed_at is None)
    return Severity.INFO if is_on_its_way else Severity.WARNING


def _many(view: View, kind: str, rows: Sequence[TableRow]) -> Problem:
    return Problem(
        kind=kind,
        severity=min((_severity(row) for row in rows), key=list(Severity).index),
        database=rows[0].database,
        object=rows[0].database,
        summary=f"{len(rows):,} tables of database {rows[0].database} wait for {_WORK[kind]}: autovacuum doesn't get "
        "to them",
        evidence={
            "tables": len(rows),
            "worst_table": rows[0].name,
            "worst_table_dead_rows": rows[0].dead_rows,
            "worst_table_changed_rows": rows[0].changed_rows,
            "tables_with_autovacuum_off": sum(not row.autovacuum_on for row in rows),
        },
        source="pg_stat_all_tables, pg_class.reloptions",
        next_step="See at `progress` what its workers do: too few (autovacuum_max_workers), too slow "
        "(autovacuum_vacuum_cost_limit), or busy with one large table. The worst of the tables may be done by hand.",
        sql=_command(kind, rows[:NAMED]),
        run_on_node_id=view.primary_id,
    )


_SUMMARIES = {
    "table_vacuum_overdue": "table {row.name} has {row.dead_rows:,} dead rows beside {row.live_rows:,} live ones; "
    "autovacuum should have come at {row.vacuum_threshold:,.0f}",
    "table_analyze_overdue": "of table {row.name} {row.changed_rows:,} rows were changed since its last ANALYZE, "
    "which was due at {row.analyze_threshold:,.0f}: queries are planned for what it was",
    "table_never_analyzed": "table {row.name} with some {row.live_rows:,} rows was never analyzed: queries on it are "
    "planned blindly",
}
_WORK = {
    "table_vacuum_overdue": "VACUUM",
    "table_analyze_overdue": "ANALYZE",
    "table_never_analyzed": "their first ANALYZE",
}


def _step(row: TableRow) -> str:
    if not row.autovacuum_on:
        return (
            f"Do it now, then let autovacuum do it: ALTER TABLE {_quoted(row)} RESET (autovacuum_enabled). Nothing "
            "but a job that vacuums the table itself is a reason to have it off."
        )
    return (
        "Do it now; it disturbs nobody's queries, only reads a lot. Then see why autovacuum didn't come: at "
        "`progress` whether its workers are busy elsewhere, and in the server's log if it is cancelled each time."
    )


def _command(kind: str, rows: Sequence[TableRow]) -> str:
    command = "VACUUM (ANALYZE)" if kind == "table_vacuum_overdue" else "ANALYZE"
    return f"{command} {', '.join(_quoted(row) for row in rows)}"


def _quoted(row: TableRow) -> str:
    return f"{quoted(row.schema)}.{quoted(row.table)}"


CHECK = Check(
    name="upkeep",
    kinds={
        "table_vacuum_overdue": "A table has many dead rows, and autovacuum doesn't come.",
        "table_analyze_overdue": "A table has changed much since its last ANALYZE, and autovacuum doesn't come.",
        "table_never_analyzed": "A table has many rows, and the planner knows nothing of them.",
    },
    judge=judge,
    readings=(NEGLECTED,),
    limits=(RATIO, ROWS, OVERDUE_S),
)

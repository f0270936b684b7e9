"""Tables that are mostly empty space, and those that a failover would empty."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from rangeland.checks.check import Check, Limit, Reading, View
from rangeland.checks.words import literal, size
from rangeland.wire.problems import Problem, Severity


class UnloggedRow(Struct, frozen=True):
    """What is unlogged in a database; `schema` and `table` name the largest."""

    database: str
    tables: int
    sequences: int
    size_bytes: int
    schema: str
    table: str


class EmptyRow(Struct, frozen=True):
    """A table whose rows fit into fewer pages than it has; all of it is an estimate."""

    database: str
    schema: str
    table: str
    size_bytes: int
    free_bytes: int  # at least
    rows: int  # live and dead
    row_bytes: int  # the longest that a row can be, with its header


UNLOGGED = Reading("unlogged_tables", UnloggedRow, in_each_database=True)
EMPTY = Reading("empty_space", EmptyRow, in_each_database=True)
EMPTY_RATIO = Limit("table_empty_ratio", 0.5, "a table that lives by updates often keeps a third free, and uses it")
EMPTY_BYTES = Limit("table_empty_bytes", float(2**30), "1 GB: winning back less is not worth a lock")
SHOW = (
    "SELECT s.n_live_tup, s.n_dead_tup, s.last_vacuum, s.last_autovacuum, c.relpages, c.reltuples "
    "FROM pg_stat_all_tables AS s JOIN pg_class AS c ON c.oid = s.relid "
    "WHERE s.schemaname = {schema} AND s.relname = {table}"
)
UNLOGGED_NAMES = (
    "SELECT oid::regclass, relkind, pg_size_pretty(relpages * current_setting('block_size')::bigint) FROM pg_class "
    "WHERE relpersistence = 'u' AND relkind IN ('r', 'm', 'S') ORDER BY relpages DESC, oid"
)


def judge(view: View) -> Iterator[Problem]:
    """As the primary tells. Unlogged tables count only where a standby could take over."""
    if any(status.role == "standby" for status in view.statuses.values()):
        for unlogged in view.of_cluster(UNLOGGED):
            yield _unlogged(view, unlogged)
    for row in view.of_cluster(EMPTY):
        ratio = row.free_bytes / row.size_bytes
        if ratio >= view.limit(EMPTY_RATIO) and row.free_bytes >= view.limit(EMPTY_BYTES):
            yield _empty(view, row, ratio)


def _unlogged(view: View, row: UnloggedRow) -> Problem:
    what = " and ".join(filter(None, (_count(row.tables, "table"), _count(row.sequences, "sequence"))))
    name = f"{row.schema}.{row.table}"
    return Problem(
        kind="table_unlogged",
        severity=Severity.INFO,
        database=row.database,
        object=name,
        summary=f"unlogged: {what} ({size(row.size_bytes)}), the largest is {row.table}; after a failover or a crash "
        "they are empty",
        evidence={"tables": row.tables, "sequences": row.sequences, "size_bytes": row.size_bytes, "largest": name},
        source="pg_class, relpersistence",
        next_step="If their rows would be missed, let them be logged: ALTER TABLE … SET LOGGED writes the table "
        "anew and locks it meanwhile. If not, all is well, and nothing has to be done.",
        sql=UNLOGGED_NAMES,
        run_on_node_id=view.primary_id,
    )


def _empty(view: View, row: EmptyRow, ratio: float) -> Problem:
    return Problem(
        kind="table_mostly_empty",
        severity=Severity.INFO,
        database=row.database,
        object=f"{row.schema}.{row.table}",
        summary=f"an estimate: at least {size(row.free_bytes)} of the {size(row.size_bytes)} of table {row.table} "
        "are free space",
        evidence={
            "size_bytes": row.size_bytes,
            "free_bytes_at_least": row.free_bytes,
            "free_ratio_at_least": round(ratio, 4),
            "rows": row.rows,
            "longest_row_bytes": row.row_bytes,
        },
        source="pg_class, relpages and reltuples; pg_stat_all_tables; the types in pg_attribute",
        next_step="If the table won't grow again, give the space back: pg_repack does it without a long lock; "
        "VACUUM (FULL, ANALYZE) locks readers and writers out meanwhile and needs room for a second copy. Ask first "
        "what emptied it: a transaction that was open for long, or a large DELETE.",
        sql=SHOW.format(schema=literal(row.schema).strip(), table=literal(row.table).strip()),
        run_on_node_id=view.primary_id,
    )


def _count(number: int, noun: str) -> str:
    """ "" of none."""
    return f"{number} {noun}{'s' if number != 1 else ''}" if number else ""


CHECK = Check(
    name="storage",
    kinds={
        "table_unlogged": "Tables that a failover would empty.",
        "table_mostly_empty": "A large table of which at least half is free space.",
    },
    judge=judge,
    readings=(UNLOGGED, EMPTY),
    limits=(EMPTY_RATIO, EMPTY_BYTES),
)

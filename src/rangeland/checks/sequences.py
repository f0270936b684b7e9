"""Sequences that are about to run out of numbers."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from rangeland.checks.check import Check, Limit, Reading, View
from rangeland.checks.words import literal, quoted
from rangeland.wire.problems import Problem, Severity


class SequenceRow(Struct, frozen=True):
    """A sequence past half of its numbers. `table` and `column` own it, "" where none does."""

    database: str
    schema: str
    sequence: str
    table: str
    column: str
    column_type: str
    sequence_type: str
    is_read: bool  # False: `used` is how many rows there are or were, at least
    used: int  # the last number given
    sequence_limit: int
    column_limit: int | None  # None: no column owns it, or one without such a limit
    increment: int

    @property
    def limit(self) -> int:
        """What is reached first, going up or down."""
        if self.column_limit is None:
            return self.sequence_limit
        if self.increment > 0:
            return min(self.sequence_limit, self.column_limit)
        return max(self.sequence_limit, -1 - self.column_limit)

    @property
    def is_own_limit(self) -> bool:
        """Whether its column could hold more than the sequence gives."""
        return self.column_limit is not None and self.limit == self.sequence_limit != self._column_end

    @property
    def _column_end(self) -> int | None:
        return self.column_limit if self.increment > 0 or self.column_limit is None else -1 - self.column_limit


SEQUENCES = Reading("sequences", SequenceRow, in_each_database=True)
USED_RATIO = Limit("sequence_used_ratio", 0.8, "a fifth is left: months, at a rate that took years; at least 0.5")
FULL_RATIO = 0.95
SHOW = "SELECT * FROM pg_sequences WHERE schemaname = {schema} AND sequencename = {sequence}"


def judge(view: View) -> Iterator[Problem]:
    """Those that have used most of their numbers."""
    for row in view.of_cluster(SEQUENCES):
        ratio = row.used / row.limit
        if ratio >= view.limit(USED_RATIO):
            yield _near_end(view, row, ratio)


def _near_end(view: View, row: SequenceRow, ratio: float) -> Problem:
    name = f"{row.schema}.{row.sequence}"
    owner = f", of column {row.column} of table {row.table}," if row.column else ""
    evidence: dict[str, str | int | float | bool] = {
        "used_ratio": round(ratio, 4),
        "limit": row.limit,
        "last_value" if row.is_read else "rows_at_least": row.used,
        "sequence_type": row.sequence_type,
    }
    if row.column:
        evidence |= {"table": f"{row.schema}.{row.table}", "column": row.column, "column_type": row.column_type}
    told = (
        f"sequence {row.sequence}{owner} has given {row.used} of its numbers up to {row.limit}"
        if row.is_read
        else f"sequence {row.sequence}{owner} must be near its end, {row.limit}: there are or were {row.used} rows"
    )
    return Problem(
        kind="sequence_near_end",
        severity=Severity.CRITICAL if row.is_read and ratio >= FULL_RATIO else Severity.WARNING,
        database=row.database,
        object=name,
        summary=f"{told}; after the last one every insert that needs a number fails",
        evidence=evidence,
        source="pg_sequence_last_value, pg_sequence" if row.is_read else "pg_class, pg_stat_all_tables, pg_sequence",
        next_step=_next_step(row),
        sql=_sql(row),
        run_on_node_id=view.primary_id,
    )


def _next_step(row: SequenceRow) -> str:
    if not row.is_read:
        return (
            "Look at the sequence as its owner or a superuser: the node's role may not read it, so the rows were "
            "counted. GRANT SELECT ON it to the node's role makes this exact."
        )
    if row.is_own_limit:
        return (
            f"Its column is of type {row.column_type} and holds more: let the sequence give all that fits, unless "
            "its end was meant."
        )
    if row.column:
        return (
            f"Column {row.column} must become wider, and whatever refers to it. ALTER TABLE … TYPE bigint writes the "
            "table anew and locks it meanwhile; for a large one add a bigint column, fill it bit by bit, and change "
            "the names. Negative numbers may win time: let the sequence begin again from its type's minimum."
        )
    return (
        "No column owns it: find what uses it, see that it holds larger numbers, and give the sequence a larger "
        "type or end."
    )


def _sql(row: SequenceRow) -> str:
    if row.is_read and row.is_own_limit:
        end = "NO MAXVALUE" if row.increment > 0 else "NO MINVALUE"
        return f"ALTER SEQUENCE {quoted(row.schema)}.{quoted(row.sequence)} AS {row.column_type} {end}"
    return SHOW.format(schema=literal(row.schema).strip(), sequence=literal(row.sequence).strip())


CHECK = Check(
    name="sequences",
    kinds={"sequence_near_end": "A sequence has used most of the numbers that it, or its column, can hold."},
    judge=judge,
    readings=(SEQUENCES,),
    limits=(USED_RATIO,),
)

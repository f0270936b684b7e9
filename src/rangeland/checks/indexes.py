"""Indexes that cost writes and disk and help nobody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from msgspec import Struct

from rangeland.checks.check import Check, Limit, Reading, View, age_s
from rangeland.checks.words import duration, quoted, size
from rangeland.wire.problems import Problem, Severity
from rangeland.wire.times import rfc3339


class InvalidRow(Struct, frozen=True):
    """An index that is kept up to date, or was meant to be, and that no query may use."""

    database: str
    schema: str
    table: str
    index: str
    is_being_built: bool
    size_bytes: int


class DuplicateRow(Struct, frozen=True):
    """An index of the same columns, in the same way, as an older or a unique one of its table."""

    database: str
    schema: str
    table: str
    index: str
    kept: str  # the one that does its work
    size_bytes: int


class UnusedRow(Struct, frozen=True):
    """An index that enforces nothing and was never scanned on this server since `counted_since`."""

    database: str
    schema: str
    table: str
    index: str
    oid: int
    size_bytes: int
    counted_since: datetime


INVALID = Reading("invalid_indexes", InvalidRow, in_each_database=True)
DUPLICATE = Reading("duplicate_indexes", DuplicateRow, in_each_database=True)
UNUSED = Reading("unused_indexes", UnusedRow, in_each_database=True)
UNUSED_S = Limit("index_unused_s", 30 * 86400.0, "a month: what runs at its end has run")
UNUSED_BYTES = Limit("index_unused_bytes", 10 * 2**20, "smaller ones cost less than thinking about them")


def judge(view: View) -> Iterator[Problem]:
    """Invalid and duplicate ones as the primary tells; unused ones only where every server tells."""
    for row in view.of_cluster(INVALID):
        if not row.is_being_built:
            yield _invalid(view, row)
    for duplicate in view.of_cluster(DUPLICATE):
        yield _duplicate(view, duplicate)
    if view.is_whole(UNUSED):
        yield from _unused_anywhere(view)


def _invalid(view: View, row: InvalidRow) -> Problem:
    return Problem(
        kind="index_invalid",
        severity=Severity.WARNING,
        database=row.database,
        object=_name(row.schema, row.index),
        summary=f"index {row.index} of table {row.table} is invalid: it costs writes, and no query may use it",
        evidence={"table": _name(row.schema, row.table), "size_bytes": row.size_bytes},
        source="pg_index, indisvalid and indisready",
        next_step="A CREATE INDEX CONCURRENTLY or a REINDEX failed. Drop it if it is a left-over of REINDEX (its "
        "name ends in _ccnew or _ccold), else build it again.",
        sql=f"REINDEX INDEX CONCURRENTLY {_quoted_name(row.schema, row.index)}",
        run_on_node_id=view.primary_id,
    )


def _duplicate(view: View, row: DuplicateRow) -> Problem:
    return Problem(
        kind="index_duplicate",
        severity=Severity.INFO,
        database=row.database,
        object=_name(row.schema, row.index),
        summary=f"index {row.index} of table {row.table} does the same as {row.kept}",
        evidence={"table": _name(row.schema, row.table), "same_as": row.kept, "size_bytes": row.size_bytes},
        source="pg_index",
        next_step="Drop it; the other one serves the same queries.",
        sql=f"DROP INDEX CONCURRENTLY {_quoted_name(row.schema, row.index)}",
        run_on_node_id=view.primary_id,
    )


def _unused_anywhere(view: View) -> Iterator[Problem]:
    rows_by_node = view.rows(UNUSED)
    by_index = [{(row.database, row.oid): row for row in rows} for rows in rows_by_node.values()]
    for key in sorted(set.intersection(*map(set, by_index))) if by_index else ():
        rows = [rows[key] for rows in by_index]
        since = max(row.counted_since for row in rows)
        if age_s(view, since) >= view.limit(UNUSED_S) and rows[0].size_bytes >= view.limit(UNUSED_BYTES):
            yield _unused(view, rows, since)


def _unused(view: View, rows: Sequence[UnusedRow], since: datetime) -> Problem:
    row = rows[0]
    return Problem(
        kind="index_unused",
        severity=Severity.INFO,
        database=row.database,
        object=_name(row.schema, row.index),
        summary=f"index {row.index} of table {row.table} ({size(row.size_bytes)}) was used on no server "
        f"for {duration(age_s(view, since))}",
        evidence={
            "table": _name(row.schema, row.table),
            "size_bytes": row.size_bytes,
            "scans": 0,
            "servers": len(rows),
        },
        source="pg_stat_all_indexes, idx_scan, of every server",
        since=rfc3339(since),
        next_step="If no query of a rare task needs it (a yearly report, a new release), drop it.",
        sql=f"DROP INDEX CONCURRENTLY {_quoted_name(row.schema, row.index)}",
        run_on_node_id=view.primary_id,
    )


def _name(schema: str, name: str) -> str:
    return f"{schema}.{name}"


def _quoted_name(schema: str, name: str) -> str:
    return f"{quoted(schema)}.{quoted(name)}"


CHECK = Check(
    name="indexes",
    kinds={
        "index_invalid": "An index that no query may use, left over from a build that failed.",
        "index_duplicate": "Two indexes of one table that do the same.",
        "index_unused": "An index that no server of the cluster has used since its statistics began.",
    },
    judge=judge,
    readings=(INVALID, DUPLICATE, UNUSED),
    limits=(UNUSED_S, UNUSED_BYTES),
)

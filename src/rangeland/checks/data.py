"""Data that is damaged, or that is sorted by rules that have changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from msgspec import Struct

from rangeland.checks.check import Check, Reading, View
from rangeland.checks.words import literal, quoted
from rangeland.wire.problems import Problem, Severity
from rangeland.wire.times import rfc3339


class DatabaseRow(Struct, frozen=True):
    """A database's wrong checksums and its collation; of what all databases share `database` is ""."""

    database: str
    checksum_failures: int
    failed_at: datetime | None  # the last one
    locale: str
    made_with: str  # version of the collation's library; "" where it has none, such as C
    read_with: str  # of the one that this server has now


class CollationRow(Struct, frozen=True):
    """A collation in use that has versions."""

    database: str
    schema: str
    collation: str
    oid: int
    made_with: str
    read_with: str  # "" where the server doesn't have it any more
    indexes: int


STATES = Reading("database_states", DatabaseRow)
FAILURES = "SELECT checksum_failures, checksum_last_failure FROM pg_stat_database WHERE {which}"
COLLATIONS = Reading("collations", CollationRow, in_each_database=True)
DEFAULT_OID = 100  # of the collation that stands for the database's. Source: pg_collation.dat

# The statements that build anew what sorts by a collation, as far as it is an index, and then the one for the end.
REBUILD = """SELECT statement FROM (
    SELECT 1 AS step, format('REINDEX INDEX %s%I.%I', CASE WHEN x.indisexclusion THEN '' ELSE 'CONCURRENTLY ' END,
                             n.nspname, c.relname) AS statement
      FROM pg_index AS x JOIN pg_class AS c ON c.oid = x.indexrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
     WHERE c.relkind = 'i' AND c.oid >= 16384 AND {oid} = ANY (x.indcollation::oid[])
     UNION ALL SELECT 2, {refresh}) AS steps ORDER BY step, statement"""


@dataclass(frozen=True, slots=True)
class _Sorting:
    """A collation as every server has it; `name` is "" for the database's own."""

    database: str
    name: str
    oid: int
    quoted: str
    made_with: str
    indexes: int | None  # None: not counted
    read_with: Mapping[int, str]  # by node id


def judge(view: View) -> Iterator[Problem]:
    """Damage of each server; collations that the servers' libraries sort differently, else those that changed."""
    for node_id, rows in view.rows(STATES).items():
        for row in rows:
            if row.checksum_failures:
                yield _damaged(node_id, row)
    differing: dict[tuple[tuple[int, str], ...], list[_Sorting]] = {}
    for sorting in _sortings(view):
        if len(set(sorting.read_with.values())) > 1:
            differing.setdefault(tuple(sorted(sorting.read_with.items())), []).append(sorting)
        elif sorting.made_with not in sorting.read_with.values():
            yield _changed(view, sorting)
    for same_versions in differing.values():
        yield _differing(view, same_versions)


def _damaged(node_id: int, row: DatabaseRow) -> Problem:
    evidence: dict[str, str | int | float | bool] = {"checksum_failures": row.checksum_failures}
    if row.failed_at:
        evidence["last_failure"] = rfc3339(row.failed_at)
    which = f"datname = {literal(row.database).strip()}" if row.database else "datid = 0"
    return Problem(
        kind="checksum_failures",
        severity=Severity.CRITICAL,
        node_id=node_id,
        database=row.database,
        summary=f"{row.checksum_failures} times a page "
        f"{'of the shared catalogues ' if not row.database else ''}was read whose checksum is wrong: it is damaged",
        evidence=evidence,
        source="pg_stat_database, checksum_failures",
        next_step="The server's log names the file and the block. Keep a copy of the data directory, look at the "
        "disk and the memory, and see whether the other servers can read the table: if so, fail over to one of them "
        "and make this server anew; else restore. When it is mended, SELECT pg_stat_reset() in that database.",
        sql=FAILURES.format(which=which),
        run_on_node_id=node_id,
    )


def _sortings(view: View) -> list[_Sorting]:
    """What has a version, first databases, then collations of their own."""
    found: dict[tuple[str, str], dict[int, DatabaseRow | CollationRow]] = {}
    for node_id, states in view.rows(STATES).items():
        for state in states:
            if state.made_with:
                found.setdefault((state.database, ""), {})[node_id] = state
    for node_id, collations in view.rows(COLLATIONS).items():
        for each in collations:
            found.setdefault((each.database, f"{each.schema}.{each.collation}"), {})[node_id] = each
    return [_sorting(view, name, rows) for (_, name), rows in sorted(found.items())]


def _sorting(view: View, name: str, rows: Mapping[int, DatabaseRow | CollationRow]) -> _Sorting:
    row = rows.get(view.primary_id) or rows[min(rows)]
    read_with = {node_id: each.read_with for node_id, each in rows.items()}
    if isinstance(row, DatabaseRow):
        return _Sorting(row.database, name, DEFAULT_OID, quoted(row.database), row.made_with, None, read_with)
    place = f"{quoted(row.schema)}.{quoted(row.collation)}"
    return _Sorting(row.database, name, row.oid, place, row.made_with, row.indexes, read_with)


def _changed(view: View, sorting: _Sorting) -> Problem:
    now = next(iter(sorting.read_with.values()))
    what = f"collation {sorting.name}" if sorting.name else "the database's collation"
    refresh = f"ALTER {'COLLATION' if sorting.name else 'DATABASE'} {sorting.quoted} REFRESH " + (
        "VERSION" if sorting.name else "COLLATION VERSION"
    )
    evidence: dict[str, str | int | float | bool] = {"made_with": sorting.made_with, "read_with": now}
    if sorting.indexes is not None:
        evidence["indexes"] = sorting.indexes
    return Problem(
        kind="collation_changed",
        severity=Severity.WARNING,
        database=sorting.database,
        object=sorting.name,
        summary=f"{what} was version {sorting.made_with} of its library when things were sorted by it, and is "
        f"{now or 'unknown'} now: indexes on text may miss rows",
        evidence=evidence,
        source="pg_collation_actual_version" if sorting.name else "pg_database_collation_actual_version",
        next_step="Build the indexes anew that sort by it, then tell PostgreSQL that the new version holds: the "
        "query lists the statements in their order. Also look at CHECK constraints, range-partitioned tables and "
        "materialised views that compare such text.",
        sql=REBUILD.format(oid=sorting.oid, refresh=literal(refresh).strip()),
        run_on_node_id=view.primary_id,
    )


def _differing(view: View, sortings: list[_Sorting]) -> Problem:
    """Of all that are read with the same versions on the same nodes: it is one library."""
    first = sortings[0]
    reference_id = view.primary_id if view.primary_id in first.read_with else min(first.read_with)
    other_ids = [
        each for each, version in sorted(first.read_with.items()) if version != first.read_with[reference_id]
    ]
    told = ", ".join(f"{version or 'none'} on node {each}" for each, version in sorted(first.read_with.items()))
    return Problem(
        kind="collation_differs",
        severity=Severity.WARNING,
        node_id=other_ids[0] if len(other_ids) == 1 else 0,
        database=first.database,
        object=first.name,
        summary=f"text is sorted by different versions of the library that collations come from: {told}; indexes "
        "that one of the servers wrote may miss rows on another",
        evidence={
            **{f"node_{each}": version for each, version in sorted(first.read_with.items())},
            "made_with": first.made_with,
            "collations": len(sortings),
        },
        source="pg_collation_actual_version, pg_database_collation_actual_version, of every server",
        next_step="Let the servers run the same version of the operating system's C library and of ICU before one "
        "takes the other's place. Until then read nothing from those that differ.",
    )


CHECK = Check(
    name="data",
    kinds={
        "checksum_failures": "Pages were read whose checksum is wrong.",
        "collation_changed": "Text was sorted by another version of a collation than there is now.",
        "collation_differs": "The servers sort text by different versions of a library.",
    },
    judge=judge,
    readings=(STATES, COLLATIONS),
)

"""Connections that run out: of the server, of a role, of a database."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from rangeland.checks.check import Check, Limit, Reading, View
from rangeland.checks.words import quoted
from rangeland.wire.problems import Problem, Severity


class CountRow(Struct, frozen=True):
    """A limit of connections and how many are taken; `name` is "" for the server's own."""

    scope: str  # "server", "role" or "database"
    name: str
    used: int
    allowed: int
    top_application: str  # that has the most of them
    top_used: int


COUNTS = Reading("connection_counts", CountRow)
USED_RATIO = Limit("connections_used_ratio", 0.8, "a fifth is left for a burst")
FULL_RATIO = 0.95

_LIMITED_BY = {
    "server": ("max_connections of the server", "SHOW max_connections"),
    "role": ("the connection limit of role {name}", "ALTER ROLE {quoted} CONNECTION LIMIT {more}"),
    "database": ("the connection limit of database {name}", "ALTER DATABASE {quoted} CONNECTION LIMIT {more}"),
}


def judge(view: View) -> Iterator[Problem]:
    """Where fewer than a fifth are left."""
    for node_id, rows in view.rows(COUNTS).items():
        for row in rows:
            ratio = row.used / row.allowed if row.allowed else 1.0
            if ratio <= view.limit(USED_RATIO):
                continue
            what, command = _LIMITED_BY[row.scope]
            yield Problem(
                kind="connections_near_limit",
                severity=Severity.CRITICAL if ratio >= FULL_RATIO else Severity.WARNING,
                node_id=node_id,
                database=row.name if row.scope == "database" else "",
                object=row.name or "max_connections",
                summary=f"{row.used} of {row.allowed} connections are taken: {what.format(name=row.name)}",
                evidence={
                    "used": row.used,
                    "allowed": row.allowed,
                    "top_application": row.top_application,
                    "top_application_used": row.top_used,
                },
                source="pg_stat_activity, pg_settings, pg_roles, pg_database",
                next_step="See at /api/v2/sessions/ who holds them, and end what nobody needs; then let applications "
                "use a pooler, or raise the limit.",
                sql=command.format(quoted=quoted(row.name), more=row.allowed * 2),
                run_on_node_id=node_id if row.scope == "server" else view.primary_id,
            )


CHECK = Check(
    name="connections",
    kinds={"connections_near_limit": "The server, a role or a database has few connections left."},
    judge=judge,
    readings=(COUNTS,),
    limits=(USED_RATIO,),
)

"""Long commands that run: no problem, and often the answer to why something waits."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from rangeland.checks.check import Reading, View
from rangeland.wire.problems import Progress


class RunningRow(Struct, frozen=True):
    """A row of one of the pg_stat_progress_… views; 0 and "" where the view doesn't tell."""

    command: str
    pid: int
    database: str
    object: str
    phase: str
    done: int
    total: int
    unit: str


RUNNING = Reading("running_commands", RunningRow)


def list_running(view: View) -> Iterator[Progress]:
    for node_id, rows in view.rows(RUNNING).items():
        for row in rows:
            yield Progress(
                command=row.command,
                node_id=node_id,
                pid=row.pid,
                database=row.database,
                object=row.object,
                phase=row.phase,
                done=row.done,
                total=row.total,
                unit=row.unit,
            )

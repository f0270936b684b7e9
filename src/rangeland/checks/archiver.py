"""WAL that is not archived, and backups that are old."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from msgspec import Struct

from rangeland.checks.check import Check, Limit, Reading, View, age_s
from rangeland.checks.words import duration, known, size
from rangeland.wire.problems import Problem, Severity
from rangeland.wire.times import rfc3339


class ArchiverRow(Struct, frozen=True):
    """What the archiver of a server that archives did; None where it did not, or where nothing tells."""

    is_configured: bool  # it has archive_command or archive_library
    last_archived: str | None  # a file of WAL, of history, or of a backup
    last_archived_at: datetime | None
    last_failed: str | None
    last_failed_at: datetime | None
    failed: int  # since the statistics were reset
    counted_since: datetime  # at the earliest: the server's start, or a reset
    waiting_bytes: int | None  # whole segments after the last archived one
    segment_bytes: int
    waiting_files: int | None  # None: there may be too many to count
    last_backup_at: datetime | None  # the end of the last base backup that was made here


ARCHIVER = Reading("archiver", ArchiverRow)
SOURCE = "pg_stat_archiver"
FAILING_S = Limit("archiver_failing_s", 120.0, "two of the archiver's minutes: it tries again each minute")
STALE_S = Limit("archiver_stale_s", 600.0, "twice the archive_timeout that most people set")
WAITING_BYTES = Limit("archive_waiting_bytes", 1e9, "max_wal_size: as much as a lost disk would take along")
BACKUP_S = Limit("backup_age_s", 8 * 86400.0, "a week, and a day in which the next one runs")
STALE_SEGMENTS = 3  # of an archiver that works, one or two wait now and then


def judge(view: View) -> Iterator[Problem]:
    """One problem of the archiver a server; the age of the base backup beside it."""
    for node_id, rows in view.rows(ARCHIVER).items():
        for row in rows:
            if not row.is_configured:
                yield _unconfigured(node_id, row)
            elif _is_failing(view, row):
                yield _failing(view, node_id, row)
            elif _is_stuck(view, row):
                yield _stuck(view, node_id, row)
            elif row.last_backup_at is not None and age_s(view, row.last_backup_at) > view.limit(BACKUP_S):
                yield _old_backup(view, node_id, row, row.last_backup_at)


def _is_failing(view: View, row: ArchiverRow) -> bool:
    """Whether the last try failed, and none has worked for a while."""
    if row.last_failed_at is None or (row.last_archived_at or row.last_failed_at) > row.last_failed_at:
        return False
    if row.last_failed_at < row.counted_since:
        return False  # before the server's start: nothing has been tried since
    return age_s(view, row.last_archived_at or row.counted_since) > view.limit(FAILING_S)


def _is_stuck(view: View, row: ArchiverRow) -> bool:
    waiting_bytes = _waiting(row)
    if waiting_bytes > view.limit(WAITING_BYTES):
        return True
    quiet_s = age_s(view, max(row.last_archived_at or row.counted_since, row.counted_since))
    return waiting_bytes >= STALE_SEGMENTS * row.segment_bytes and quiet_s > view.limit(STALE_S)


def _waiting(row: ArchiverRow) -> int:
    """Bytes of WAL that could be archived and were not, as far as anything tells."""
    if row.waiting_files is not None:
        return row.waiting_files * row.segment_bytes
    return row.waiting_bytes or 0


def _failing(view: View, node_id: int, row: ArchiverRow) -> Problem:
    waiting_bytes = _waiting(row)
    success = (
        f"the last success was {_ago(view, row.last_archived_at)}" if row.last_archived_at else "none has worked"
    )
    return Problem(
        kind="archiver_failing",
        severity=Severity.CRITICAL if waiting_bytes > view.limit(WAITING_BYTES) else Severity.WARNING,
        node_id=node_id,
        object=row.last_failed or "",
        summary=f"archiving WAL fails ({row.last_failed}); {success}, and {size(waiting_bytes)} wait",
        evidence=_evidence(row),
        source=SOURCE,
        since=rfc3339(row.last_archived_at) if row.last_archived_at else "",
        next_step="The server's log has what archive_command, or the library, says. Until it works no backup can be "
        "rolled forward past the last success, and pg_wal grows: mind its disk. Never delete files of pg_wal by "
        "hand.",
        sql="SELECT name, setting FROM pg_settings WHERE name ~ '^archive_(command|library|mode)$'",
        run_on_node_id=node_id,
    )


def _stuck(view: View, node_id: int, row: ArchiverRow) -> Problem:
    waiting_bytes = _waiting(row)
    last = f"{row.last_archived}, {_ago(view, row.last_archived_at)}" if row.last_archived_at else "none yet"
    return Problem(
        kind="archiver_behind",
        severity=Severity.WARNING,
        node_id=node_id,
        object=row.last_archived or "",
        summary=f"{size(waiting_bytes)} of WAL wait to be archived, and nothing fails; the last file was {last}",
        evidence=_evidence(row),
        source=SOURCE,
        since=rfc3339(row.last_archived_at) if row.last_archived_at else "",
        next_step="Find out whether archive_command hangs (see the archiver's children among the processes of the "
        "host) or is too slow for this much WAL.",
        sql="SELECT pid, backend_start, wait_event FROM pg_stat_activity WHERE backend_type = 'archiver'",
        run_on_node_id=node_id,
    )


def _unconfigured(node_id: int, row: ArchiverRow) -> Problem:
    return Problem(
        kind="archiver_not_configured",
        severity=Severity.WARNING,
        node_id=node_id,
        object="archive_command",
        summary="archive_mode is on, and neither archive_command nor archive_library is set: all WAL is kept until "
        "one is",
        evidence=_evidence(row),
        source="pg_settings",
        next_step="Set archive_command to what your backup tool wants. If nothing is to be archived, set "
        "archive_mode to off, which needs a restart; archive_command = '/bin/true' lets the WAL go at once.",
        sql="SELECT name, setting, source, sourcefile FROM pg_settings WHERE name LIKE 'archive%'",
        run_on_node_id=node_id,
    )


def _old_backup(view: View, node_id: int, row: ArchiverRow, ended_at: datetime) -> Problem:
    return Problem(
        kind="backup_old",
        severity=Severity.INFO,
        node_id=node_id,
        summary=f"the last base backup that PostgreSQL knows of ended {_ago(view, ended_at)}",
        evidence={"backup_age_s": round(age_s(view, ended_at))},
        source="pg_ls_archive_statusdir, the last backup history file",
        since=rfc3339(ended_at),
        next_step="See whether your backup tool runs. PostgreSQL doesn't know of snapshots, nor of backups of a "
        "standby: where you make those, raise backup_age_s.",
        sql="SELECT name, modification FROM pg_ls_archive_statusdir() WHERE name LIKE '%.backup.%' ORDER BY 2 DESC",
        run_on_node_id=node_id,
    )


def _ago(view: View, then: datetime | None) -> str:
    return f"{duration(age_s(view, then))} ago"


def _evidence(row: ArchiverRow) -> dict[str, str | int | float | bool]:
    return known(
        last_archived=row.last_archived,
        last_failed=row.last_failed,
        failed=row.failed or None,
        waiting_files=row.waiting_files,
        waiting_bytes=_waiting(row) if row.waiting_files is not None else row.waiting_bytes,
    )


CHECK = Check(
    name="archiver",
    kinds={
        "archiver_failing": "WAL can't be archived.",
        "archiver_behind": "WAL waits to be archived, and nothing says why.",
        "archiver_not_configured": "WAL is to be archived, and nothing says how.",
        "backup_old": "The last base backup that PostgreSQL knows of is old.",
    },
    judge=judge,
    readings=(ARCHIVER,),
    limits=(FAILING_S, STALE_S, WAITING_BYTES, BACKUP_S),
)

"""The 56 bytes of shared memory that a PostgreSQL server killed by -9 leaves in the kernel, for ever.

A server that is started again on its directory removes them itself; one whose directory goes can't.
"""

import ctypes
from pathlib import Path

IPC_RMID = 0  # Source: linux/ipc.h
TABLE = Path("/proc/sysvipc/shm")


def remove_dead_segments(directory: Path) -> None:
    """Remove the segments of dead servers whose home is `directory` or in it."""
    if not TABLE.exists():
        return
    for lock_file in [*directory.glob("data/postmaster.pid"), *directory.glob("*/data/postmaster.pid")]:
        for segment_id in dead_segments(lock_file.read_text("utf-8"), TABLE.read_text("ascii")):
            ctypes.CDLL(None).shmctl(segment_id, IPC_RMID, None)


def dead_segments(lock_file: str, table: str) -> list[int]:
    """The ids in the kernel's table of what a postmaster's lock file names, if it made it and nobody uses it.

    Source: PostgreSQL's pidfile.h, line 1 the pid, line 7 key and id; proc(5) for the columns of the table.
    """
    lines = lock_file.splitlines()
    if len(lines) < 7 or len(lines[6].split()) != 2:
        return []
    named = [*lines[6].split(), lines[0].strip(), "0"]
    rows = [row.split() for row in table.splitlines()[1:]]
    return [int(row[1]) for row in rows if [row[0], row[1], row[4], row[6]] == named]

"""What a server spends: CPU, as the operating system counts it, and statements, as pg_stat_statements does."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from fix_cluster import wait_until
from rangeland.engine.server import PostgresServer

REST_S = 3.0
# For `Scene.cluster(settings=…)`. Utility statements (BEGIN, SET) count, too; those inside of functions don't.
COUNTING: Mapping[str, str | int] = {
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.track": "top",
    "pg_stat_statements.max": 5000,
}


@dataclass(frozen=True, slots=True)
class Spending:
    """CPU of a server and all its processes, and statements by role, since its start; subtract an earlier one."""

    cpu_s: float
    statements_by_role: Mapping[str, int]

    def __sub__(self, earlier: Spending) -> Spending:
        roles = {
            role: count - earlier.statements_by_role.get(role, 0) for role, count in self.statements_by_role.items()
        }
        return Spending(self.cpu_s - earlier.cpu_s, roles)


def begin_counting(server: PostgresServer) -> None:
    """Make pg_stat_statements' view in the server, which was started with COUNTING."""
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")


def spending_of(server: PostgresServer) -> Spending:
    """What it has spent up to now, our asking for it left out of the CPU as far as that is one connection's."""
    statement = (
        "SELECT r.rolname, sum(s.calls)::int8 FROM pg_stat_statements AS s JOIN pg_roles AS r ON r.oid = s.userid "
        "GROUP BY r.rolname"
    )
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        counted: dict[str, int] = dict(connection.execute(statement).fetchall())
        cpu_s = cpu_of(server, but=connection.info.backend_pid)
    return Spending(cpu_s, counted)


def cpu_of(server: PostgresServer, *, but: int = 0) -> float:
    """Seconds of CPU of the postmaster, of its children that live, and of those that have ended.

    Of the living ones to the nanosecond where the kernel says so; of ended ones in ticks of 10 ms together.
    """
    postmaster = psutil.Process(server.pid)
    ended = postmaster.cpu_times()
    children = [child for child in postmaster.children() if child.pid != but]
    living_s = sum(map(cpu_of_process, [postmaster, *children]))
    return living_s + ended.children_user + ended.children_system


def cpu_of_process(process: psutil.Process) -> float:
    """Seconds of CPU of one process; 0 where it has just ended."""
    try:
        return int(Path(f"/proc/{process.pid}/schedstat").read_text("ascii").split()[0]) / 1e9
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


def wait_until_at_rest(spent_s: Callable[[], float], *, share: float) -> None:
    """Return once less than this share of a core was spent over three seconds, by a count of all that was spent.

    Of a process that ends, such as a worker of autovacuum, all may count at once then: so no shorter look would do.
    """

    def is_at_rest() -> bool:
        before_s = spent_s()
        time.sleep(REST_S)
        return spent_s() - before_s < REST_S * share

    wait_until(is_at_rest, "nothing is done beside what is measured", timeout_s=120)

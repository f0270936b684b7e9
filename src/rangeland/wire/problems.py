"""What is wrong with the cluster, as /problems/ shows it. All of it is an addition of ours."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from rangeland.wire.sessions import NodeError


class Severity(StrEnum):
    """How soon somebody has to act."""

    CRITICAL = "critical"  # now: data or availability is lost, or soon will be
    WARNING = "warning"  # in working hours
    INFO = "info"  # when there is time


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that is wrong, in words and figures."""

    kind: str  # what it is; the same word in every release, with a section in the reference
    severity: Severity
    node_id: int = 0  # whose server it is about; absent: the cluster's
    database: str = ""  # absent where it is no database's
    object: str = ""  # the name of what is wrong: a slot, a table, a setting; absent where the node is
    summary: str  # a sentence
    evidence: dict[str, str | int | float | bool] = {}  # what the summary rests on; units are in the names
    source: str  # where that was read
    since: str = ""  # RFC 3339, UTC; absent where nothing tells
    next_step: str  # what to do, a sentence or two
    sql: str = ""  # that shows more or mends it, in `database`, or in any where that is absent
    shell: str = ""  # the same for a shell on that node's host
    run_on_node_id: int = 0  # whose server, or host, takes `sql` or `shell`; absent: any


class Progress(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A long command that runs on a server. Source: PostgreSQL, the pg_stat_progress_… views."""

    command: str  # such as "VACUUM" or "CREATE INDEX"
    node_id: int
    pid: int
    database: str = ""  # absent of a base backup
    object: str = ""  # the table; absent where it has none
    phase: str = ""
    done: int = 0  # of `total`, in `unit`
    total: int = 0  # absent where the server doesn't know
    unit: str = ""  # "blocks", "bytes" or "tuples"


class Unchecked(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A check that a node could not make, so that its problems may be missing."""

    node_id: int
    check: str = ""  # what was to be read; absent: everything
    database: str = ""  # absent where it is read once a server, or nothing is
    message: str


class ProblemsAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is wrong, the worst first: by severity, then by kind, node, database and object."""

    problems: list[Problem]
    progress: list[Progress]  # by node id and pid
    unchecked: list[Unchecked]  # what nobody could look at, by node id and check; [] when all was looked at
    errors: list[NodeError]  # nodes that did not answer, by ascending node id
    omitted: dict[str, int] = {}  # by kind: how many more there are where `problems` has only the first hundred

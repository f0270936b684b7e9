"""What each fault test hands over: every endpoint's answer and how long it took, for the table of faults.

A suite of faults is a module with a tuple `FAULTS`, each with a `name`. Its tests ask by `ask_everything` and hand
the answers to the fixture `fault_results`. `make faults` runs the suites and makes docs/explanation/faults.md of it
(faults_page.py); in any other run nothing is kept.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

from fix_cluster import ANSWER_S, Api, Reply
from rangeland.api.routes import ENDPOINTS
from rangeland.wire.nodes import Liveness

SUITES = ("test_cluster_faults", "test_cluster_network", "test_cluster_server_faults")  # in the table's order
FIRST, KNOWN = "at first", "once known"  # nobody knows of the fault yet; every node has asked and been let down

# Every GET endpoint belongs to one column; below it, everything that begins so. The first that fits counts.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "restart_safety": ("/api/v2/health/restart_safety/",),
    "health": ("/api/v2/health/", "/health", "/_admin/v1/health"),
    "its ranges": ("/api/v2/nodes/{broken}/ranges/",),
    "own ranges": ("/api/v2/nodes/local/ranges/",),
    "nodes": ("/api/v2/nodes/",),
    "sessions": ("/api/v2/sessions/", "/api/v2/problems/"),
    "hot ranges": ("/api/v2/ranges/hot/", "/api/v2/history/"),
    "a range": ("/api/v2/ranges/{range_id}/",),
    "databases, users, events": ("/api/v2/databases/", "/api/v2/users/", "/api/v2/events/", "/api/v2/whoami/"),
    "metrics": ("/metrics", "/_status/vars"),
    "rules, docs": ("/api/v2/rules/", "/api/v2/docs/", "/api/v2/openapi.json"),
}
# Of these, other work is done with these parameters.
_ALSO = {
    "/api/v2/health/": "ready=true",
    "/api/v2/health/restart_safety/": "allow_minimum_quorum=true",
    "/api/v2/ranges/hot/": "limit=1000",
    "/api/v2/sessions/": "limit=1000",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """`says` is `whole`, `named` (a 200 that tells which part is missing), or a status, then `named` if it does."""

    fault: str
    moment: str
    endpoint: str  # its path, with placeholders
    says: str
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class Recovery:
    """How long after the end of a fault the cluster was whole again, seen by every node."""

    fault: str
    elapsed_s: float


class FaultResults:
    """Keeps what is handed over in files of a directory, one a time; without a directory nowhere."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    def take_answers(self, fault: str, moment: str, answers: Mapping[str, Reply]) -> None:
        """What `ask_everything` of one node returned, `FIRST` or when it is `KNOWN`."""
        self._keep(Answer(fault, moment, path, said(answer), answer.elapsed_s) for path, answer in answers.items())

    def take_recovery(self, fault: str, elapsed_s: float) -> None:
        self._keep([Recovery(fault, elapsed_s)])

    def _keep(self, items: Iterable[Answer | Recovery]) -> None:
        if self._directory is not None:
            lines = [json.dumps(asdict(item)) for item in items]
            (self._directory / f"{uuid.uuid4()}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")


def read_results(directory: Path) -> tuple[list[Answer], list[Recovery]]:
    """All that was handed over, in no order."""
    rows = [json.loads(line) for file in directory.glob("*.jsonl") for line in file.read_text("utf-8").splitlines()]
    answers = [Answer(**row) for row in rows if "endpoint" in row]
    return answers, [Recovery(**row) for row in rows if "endpoint" not in row]


def every_path(
    *, broken_id: int, range_id: int, database: str = "pgbench", table: str = "public.pgbench_accounts"
) -> dict[str, str]:
    """Every GET endpoint's path, by the same with placeholders; some once more with parameters."""
    values = {"range_id": range_id, "database": database, "table": table}
    paths = {}
    for template in _templates():
        filled = re.sub(r"{(\w+)}", lambda found: str({**values, "broken": broken_id}[found[1]]), template)
        paths[template] = filled
        if template in _ALSO:
            paths[f"{template}?{_ALSO[template]}"] = f"{filled}?{_ALSO[template]}"
    return paths


def ask_everything(api: Api, token: str, paths: Mapping[str, str]) -> dict[str, Reply]:
    """A node's answers by path with placeholders, all asked at the same time; fails where one takes too long."""
    with ThreadPoolExecutor(len(paths)) as threads:
        answers = dict(zip(paths, threads.map(lambda path: api.get(path, token), paths.values()), strict=True))
    slowest = max((answer.elapsed_s, path) for path, answer in answers.items())
    assert slowest[0] < ANSWER_S, slowest
    return answers


def said(answer: Reply) -> str:
    """One word for an answer; see `Answer`."""
    if answer.status != 200:
        return f"{answer.status} named" if re.search(r"\bnode \d+\b", answer.text) else str(answer.status)
    if answer.headers.get("content-type", "") != "application/json":
        return "whole"
    return "named" if _tells_of_failure(answer.json) else "whole"


def _tells_of_failure(told: Mapping[str, object]) -> bool:
    """Errors of the list's nodes, or one that isn't live; of their history nothing tells whether they are."""
    nodes, by_node_id = told.get("nodes"), told.get("responses_by_node_id")
    statuses = [each.get("liveness_status", Liveness.LIVE) for each in nodes] if isinstance(nodes, list) else []
    details = list(by_node_id.values()) if isinstance(by_node_id, dict) else []
    return bool(
        told.get("errors")
        or told.get("response_error")
        or told.get("unchecked")
        or told.get("problems")
        or any("error" in each for each in details)
        or any(status != Liveness.LIVE for status in statuses)
    )


def logged_since(log: Path, begin: int) -> list[str]:
    """The lines of a node's log since that place, without their times and colours."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", log.read_bytes()[begin:].decode(errors="replace"))
    return [re.sub(r"^\d{4}-\S+ ", "", line) for line in text.splitlines()]


def column_of(endpoint: str) -> str:
    """Raises: LookupError where an endpoint has no column."""
    path = endpoint.partition("?")[0]
    for column, beginnings in COLUMNS.items():
        if path.startswith(beginnings):
            return column
    raise LookupError(f"{endpoint} has no column in the table of faults")


def fault_names() -> list[str]:
    """Of every fault of every suite, in the table's order."""
    return [fault.name for suite in SUITES for fault in import_module(f"cluster.{suite}").FAULTS]


def _templates() -> list[str]:
    """The GET endpoints as documents write them; the ranges of a node are asked of the broken and the own one."""
    found = []
    for endpoint in ENDPOINTS:
        if endpoint.method != "GET":
            continue
        path = endpoint.public_path
        if "{node_id}" in path:
            found += [path.replace("{node_id}", "{broken}"), path.replace("{node_id}", "local")]
        else:
            found.append(path)
    return found

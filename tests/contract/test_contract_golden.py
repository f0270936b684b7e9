"""Whole answers of a cluster in a known state, field by field and header by header, against the files in golden/.

`make golden` writes the files anew; what has changed on the wire is then the difference that git shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest

from contract.masked import body_of, written
from fix_cluster import FORM, LOAD_TPS, Api, add_user, apis_of, log_in, new_client, running_cluster, wait_until
from fix_engine import wait_for_replay
from rangeland.engine.cluster import Cluster

GOLDEN = Path(__file__).with_name("golden")
UNKNOWN_TOKEN = "CIGAiPis4fj3CBIQ3u0rRQJ3tD8yIqee4hipow=="
USER = "golden"
SCHEMA = (
    "CREATE SCHEMA golden",
    """
    CREATE TABLE golden.orders (
        id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        customer text NOT NULL DEFAULT 'nobody',
        net numeric(10, 2),
        gross numeric GENERATED ALWAYS AS (net * 1.2) STORED
    )
    """,
    "CREATE INDEX orders_by_customer ON golden.orders (lower(customer), id DESC) INCLUDE (net)",
    "GRANT SELECT ON golden.orders TO PUBLIC",
    'CREATE TABLE golden."Odd name" ()',
    "CREATE TABLE golden.indexed_twice (id int)",
    "CREATE INDEX indexed_once ON golden.indexed_twice (id)",
    "CREATE INDEX indexed_again ON golden.indexed_twice (id)",
)


@dataclass(frozen=True)
class Case:
    """A request; `{…}` in its path stands for what only the running cluster knows."""

    path: str
    method: str = "GET"
    token: str | None = "admin"  # whose; None: no header; any other text: as it is
    form: dict[str, str] | None = None
    choose: Callable[[Any], Any] = lambda body: body  # what of the body has a known state


def _accounts(body: Any) -> Any:
    """Of the hot ranges the table that the load works on; the others come and go."""
    ranges = [each for each in body["ranges"] if each["table_name"] == "pgbench_accounts"]
    ids = {each["range_id"] for each in ranges}
    by_node = {
        node_id: [each for each in part if each["range_id"] in ids]
        for node_id, part in body["ranges_by_node_id"].items()
    }
    return {**body, "ranges": ranges, "ranges_by_node_id": by_node}


def _standing(body: Any) -> Any:
    """Of the problems all; what runs comes and goes."""
    return {**body, "progress": []}


CASES = {
    "health": Case("health/", token=None),
    "health-ready": Case("health/?ready=true", token=None),
    "health-ready-invalid": Case("health/?ready=perhaps", token=None),
    "login": Case("login/", "POST", token=None, form={"username": USER, "password": "{password}"}),
    "login-without-name": Case("login/", "POST", token=None, form={"password": "x"}),
    "login-refused": Case("login/", "POST", token=None, form={"username": USER, "password": "wrong"}),
    "login-by-get": Case("login/", token=None),
    "logout": Case("logout/", "POST", token="to end"),
    "logout-without-token": Case("logout/", "POST", token=None),
    "logout-unknown": Case("logout/", "POST", token=UNKNOWN_TOKEN),
    "nodes": Case("nodes/?limit=1"),
    "nodes-beyond-the-end": Case("nodes/?limit=1&offset=3"),
    "nodes-without-token": Case("nodes/", token=None),
    "nodes-with-no-base64": Case("nodes/", token="yes"),
    "nodes-with-unknown-token": Case("nodes/", token=UNKNOWN_TOKEN),
    "nodes-of-a-stranger": Case("nodes/", token="stranger"),
    "nodes-by-post": Case("nodes/", "POST"),
    "node-ranges": Case("nodes/1/ranges/?ranges={range_id}"),
    "node-ranges-none": Case("nodes/1/ranges/?ranges=1"),
    "node-ranges-invalid-node": Case("nodes/LOCAL/ranges/"),
    "node-ranges-invalid-range": Case("nodes/1/ranges/?ranges=1,"),
    "node-ranges-of-no-node": Case("nodes/99/ranges/"),
    "hot-ranges": Case("ranges/hot/?node_id=1", choose=_accounts),
    "hot-ranges-of-no-node": Case("ranges/hot/?node_id=99&limit=5"),
    "hot-ranges-invalid-node": Case("ranges/hot/?node_id=x"),
    "history-of-no-node": Case("history/?node_id=99"),
    "history-invalid-node": Case("history/?node_id=x"),
    "history-invalid-time": Case("history/?since_s=0"),
    "history-invalid-points": Case("history/?max_points=1"),
    "hot-range-history-none": Case("ranges/hot/history/?range_id=1"),
    "hot-range-history-invalid": Case("ranges/hot/history/?range_id=1,"),
    "problems": Case("problems/?kind=index_duplicate", choose=_standing),
    "problems-none": Case("problems/?severity=critical", choose=_standing),
    "problems-invalid-severity": Case("problems/?severity=fatal"),
    "problems-of-no-node": Case("problems/?node_id=99", choose=_standing),
    "range": Case("ranges/{range_id}/"),
    "range-none": Case("ranges/1/"),
    "range-invalid": Case("ranges/9223372036854775808/"),
    "range-in-letters": Case("ranges/abc/"),
    "sessions": Case(f"sessions/?username={USER}"),
    "sessions-page": Case(f"sessions/?username={USER}&limit=1"),
    "sessions-none": Case("sessions/?username=nobody"),
    "sessions-of-no-node": Case("sessions/?username=nobody&limit=5&start=MSwyLDMsfDk5fDB8"),
    "users": Case("users/"),
    "users-page": Case("users/?limit=2"),
    "databases": Case("databases/"),
    "databases-page": Case("databases/?limit=1"),
    "database": Case("databases/pgbench/"),
    "database-none": Case("databases/nothing/"),
    "database-grants": Case("databases/pgbench/grants/"),
    "database-tables": Case("databases/pgbench/tables/"),
    "table": Case("databases/pgbench/tables/golden.orders/"),
    "table-none": Case("databases/pgbench/tables/nothing/"),
    "whoami": Case("whoami/"),
    "unknown-path": Case("nowhere/"),
}
CASES_WITHOUT_NODE_3 = {
    "silent-node": Case("nodes/?limit=1&offset=2"),
    "silent-node-in-sessions": Case(f"sessions/?username={USER}&limit=1&start=MSwyLHwzfDB8"),
    "silent-node-in-hot-ranges": Case("ranges/hot/?node_id=3"),
    "silent-node-in-history": Case("history/?node_id=3"),
    "silent-node-in-hot-range-history": Case("ranges/hot/history/?range_id=1"),
    "silent-node-in-range": Case("ranges/{range_id}/", choose=lambda body: body["responses_by_node_id"]["3"]),
    "silent-node-ranges": Case("nodes/3/ranges/"),
    "silent-node-in-problems": Case("problems/?kind=index_duplicate", choose=_standing),
}


@dataclass(frozen=True)
class Stage:
    """The cluster in its known state."""

    cluster: Cluster
    apis: list[Api]
    tokens: dict[str, str]  # by what a case calls them
    facts: dict[str, str]  # what a case's `{…}` stand for


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """Three nodes, a light load, a schema of ours, and one user's sessions: idle, at work, in a transaction."""
    with running_cluster(3, load_tps=LOAD_TPS) as cluster, ExitStack() as sessions:
        yield _set(cluster, sessions)


def _set(cluster: Cluster, sessions: ExitStack) -> Stage:
    apis = apis_of(cluster)
    password = add_user(cluster, USER)
    with psycopg.connect(cluster.servers[0].conninfo("pgbench"), autocommit=True) as connection:
        for statement in SCHEMA:
            connection.execute(statement.encode())
    for standby in cluster.servers[1:]:
        wait_for_replay(cluster.servers[0], standby)
    tokens = {
        "admin": log_in(cluster, apis[0], cluster.username),
        "to end": log_in(cluster, apis[0], cluster.username),
        "stranger": log_in(cluster, apis[0], USER),
    }
    ranges = apis[0].get("nodes/1/ranges/", tokens["admin"]).json["ranges"]
    [range_id] = [each["desc"]["range_id"] for each in ranges if each["table"] == "pgbench_accounts"]
    _open_sessions(cluster, sessions)
    stage = Stage(cluster, apis, tokens, {"range_id": range_id, "password": password})
    wait_until(lambda: _is_settled(stage), "every rate, size and wait event is known", timeout_s=40, poll_s=0.5)
    return stage


def _open_sessions(cluster: Cluster, sessions: ExitStack) -> None:
    """One a server, each on another, in the order of the nodes."""
    names = ("idle", "at work", "in a transaction")
    opened = {
        name: sessions.enter_context(
            closing(psycopg.connect(server.conninfo(user=USER), application_name=name, autocommit=name != names[2]))
        )
        for name, server in zip(names, cluster.servers, strict=True)
    }
    opened["idle"].execute("SELECT 'a < b & c'")
    opened["in a transaction"].execute("SELECT 1")
    opened["at work"].pgconn.send_query(b"SELECT pg_sleep(100)")


def _is_settled(stage: Stage) -> bool:
    """Each part that follows by and by is there: it would be absent, not wrong."""
    api, token = stage.apis[0], stage.tokens["admin"]
    hot = _accounts(api.get("ranges/hot/?node_id=1", token).json)["ranges"]
    told = api.get(f"ranges/{stage.facts['range_id']}/", token).json["responses_by_node_id"].values()
    sessions = api.get(f"sessions/?username={USER}", token).json["sessions"]
    stores = [each["store_metrics"][str(each["node_id"])] for each in api.get("nodes/", token).json["nodes"]]
    problems = api.get("problems/?kind=index_duplicate", token).json
    return (
        bool(hot)
        and bool(problems["problems"])
        and not problems["unchecked"]
        and hot[0].get("size_bytes", 0) > 0
        and all(
            value > 0 for name, value in hot[0].items() if name in ("qps", "reads_per_second", "writes_per_second")
        )
        and hot[0]["window_seconds"] > 5
        and [len(each["range_info"]["stats"]) for each in told] == [4, 0, 0]
        and all("window_seconds" in each["range_info"] for each in told)
        and [each.get("wait_event") for each in sessions] == ["ClientRead", "PgSleep", "ClientRead"]
        and all(
            {"livebytes", "ranges", "pg.replication.lag.seconds", "pg.checkpoints.timed"} <= store.keys()
            for store in stores
        )
    )


@pytest.fixture(scope="module")
def stage_without_node_3(stage: Stage) -> Stage:
    """Killed, for good: only tests that come after it ask for this stage."""
    api, token = stage.apis[0], stage.tokens["admin"]
    stage.cluster.nodes[2].kill()
    wait_until(lambda: api.get("sessions/", token).json["errors"], "node 3 is known to be silent")
    return stage


@pytest.mark.parametrize("name", CASES)
def test_an_answer_is_the_golden_one(stage: Stage, name: str, request: pytest.FixtureRequest) -> None:
    _require_golden(name, _asked(stage, CASES[name]), request)


@pytest.mark.parametrize("name", CASES_WITHOUT_NODE_3)
def test_an_answer_about_a_silent_node_is_the_golden_one(
    stage_without_node_3: Stage, name: str, request: pytest.FixtureRequest
) -> None:
    _require_golden(name, _asked(stage_without_node_3, CASES_WITHOUT_NODE_3[name]), request)


def _require_golden(name: str, found: str, request: pytest.FixtureRequest) -> None:
    file = GOLDEN / f"{name}.json"
    if request.config.getoption("--write-golden"):
        file.write_text(found, encoding="utf-8")
    golden = file.read_text(encoding="utf-8")
    difference = "\n".join(
        unified_diff(golden.splitlines(), found.splitlines(), file.name, "this answer", lineterm="")
    )
    assert not difference, difference


def _asked(stage: Stage, case: Case) -> str:
    token = None if case.token is None else stage.tokens.get(case.token, case.token)
    form = urlencode({name: text.format(**stage.facts) for name, text in case.form.items()}) if case.form else None
    answer = stage.apis[0].request(
        case.method,
        case.path.format(**stage.facts),
        token=token,
        headers={"Content-Type": FORM} if form else {},
        body=form,
        client=new_client() if form else "127.0.0.1",
    )
    body = body_of(answer)
    return written(f"{case.method} /api/v2/{case.path}", answer, case.choose(body) if answer.status == 200 else body)


def test_every_golden_file_has_its_case() -> None:
    assert sorted(file.stem for file in GOLDEN.iterdir()) == sorted([*CASES, *CASES_WITHOUT_NODE_3])

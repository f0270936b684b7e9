"""`make openapi-examples`: the document's examples, recorded on a cluster of three nodes that has something to show.

Lists and maps are shortened and tokens replaced; ports become the demo's. Nothing else is touched.
"""

from __future__ import annotations

import json
from contextlib import closing
from itertools import islice
from typing import Any

import psycopg

from fix_cluster import LOAD_TPS, Api, apis_of, running_cluster, wait_until
from fix_scene import APP, path_of, range_id_of, scene
from rangeland.engine.cluster import Cluster
from rangeland.engine.load import NAME as DATABASE
from rangeland.openapi.document import EXAMPLES, Json, openapi_document

TOKEN = "not-a-token"
ENTRIES = 2  # of a list
NAMES = 8  # of a map
LINES = 12  # of a text
HTTP_PORT, SQL_PORT = 8080, 26257  # of the demo

QUERIES: dict[str, dict[str, object]] = {
    "list_hot_ranges": {"limit": 2},
    "list_sessions": {"username": APP},
    "show_health": {"ready": True},
    "show_root_health": {"ready": True},
}


TWICE = (
    "CREATE INDEX customers_by_name ON sales.customers (name)",
    "CREATE INDEX customers_of_name ON sales.customers (name)",
)
OF_A_STANDBY = {"show_restart_safety"}  # the primary is never safe to stop


def record(cluster: Cluster, api: Api, standby: Api) -> None:
    """Write one file for each operation that answers JSON of a type of ours."""
    login = api.log_in(cluster.username, cluster.password)
    token = login.json["session"]
    with scene(cluster, api, token):
        known = {"range_id": range_id_of(api, token)}
        some = {
            "list_node_ranges": {"ranges": [known["range_id"], range_id_of(api, token, "public.pgbench_accounts")]}
        }
        for path, operation in operations(openapi_document(), "get"):
            if operation["operationId"] == "list_problems":
                _keep_problems(cluster, api, token)
                continue
            query = (QUERIES | some).get(operation["operationId"], {})
            asked = standby if operation["operationId"] in OF_A_STANDBY else api
            answer = asked.get(path_of(path, operation, known, **query), token)
            keep(operation, shortened(plain_ports(answer.json, cluster)))
        for path, operation in text_operations(openapi_document()):
            lines = api.get(path, token).text.splitlines(keepends=True)
            (EXAMPLES / f"{operation['operationId']}.txt").write_text("".join(lines[:LINES]), encoding="utf-8")
    _keep_signals(cluster, api, token)
    _keep("log_in", {"session": TOKEN})
    _keep("log_out", api.log_out(token).json)


def _keep_signals(cluster: Cluster, api: Api, token: str) -> None:
    """Of a session that runs a statement: that is cancelled, then the session ended."""
    name = "signalled"
    with closing(psycopg.connect(cluster.servers[0].conninfo(user=cluster.username), application_name=name)) as app:
        for operation, what in (("cancel_session", "cancel"), ("terminate_session", "terminate")):
            app.pgconn.send_query(b"SELECT pg_sleep(60)")
            found: list[str] = []

            def is_active(found: list[str] = found) -> bool:
                sessions = api.get("sessions/?exclude_closed_sessions=true", token).json["sessions"]
                found[:] = [
                    each["id"] for each in sessions if each.get("application_name") == name and each["active_queries"]
                ]
                return bool(found)

            wait_until(is_active, "the statement runs")
            session_id = found[0].replace("+", "-").replace("/", "_")
            _keep(operation, api.request("POST", f"sessions/{session_id}/{what}/", token=token).json)
            while app.pgconn.get_result() is not None:
                pass


def _keep_problems(cluster: Cluster, api: Api, token: str) -> None:
    """Of a table with two indexes that do the same."""
    found: list[Json] = []

    def is_told() -> bool:
        answer = api.get("problems/?kind=index_duplicate", token).json
        found[:] = [answer] if answer["problems"] and not answer["unchecked"] else []
        return bool(found)

    with psycopg.connect(cluster.servers[0].conninfo(DATABASE), autocommit=True) as connection:
        for statement in TWICE:
            connection.execute(statement.encode())
        wait_until(is_told, "the second index is a problem", timeout_s=60, poll_s=0.5)
        for name in ("customers_by_name", "customers_of_name"):
            connection.execute(f"DROP INDEX sales.{name}".encode())
    _keep("list_problems", {**found[0], "progress": []})


def operations(document: Json, method: str) -> list[tuple[str, Json]]:
    """Path and operation, where the answer is of a type of ours."""
    found = [(path, methods[method]) for path, methods in document["paths"].items() if method in methods]
    return [(path, operation) for path, operation in found if answer_type(operation)]


def text_operations(document: Json) -> list[tuple[str, Json]]:
    """Path and operation, where the answer is plain text."""
    found = [(path, methods["get"]) for path, methods in document["paths"].items() if "get" in methods]
    return [(path, each) for path, each in found if "text/plain" in each["responses"]["200"]["content"]]


def answer_type(operation: Json) -> str:
    """The name of the type of a 200; "" where it is a text or a file."""
    schema = operation["responses"]["200"]["content"].get("application/json", {}).get("schema", {})
    return str(schema.get("$ref", "")).rpartition("/")[2]


def shortened(value: Any) -> Any:
    """The first entries of each list, and of each map with many names."""
    if isinstance(value, list):
        return [shortened(each) for each in value[:ENTRIES]]
    if isinstance(value, dict):
        count = NAMES if all(isinstance(each, int | float) for each in value.values()) else len(value)
        return {name: shortened(each) for name, each in islice(value.items(), count)}
    return value


def plain_ports(value: Any, cluster: Cluster) -> Any:
    """With the ports of the demo in place of those that happened to be free."""
    text = json.dumps(value)
    for number, (node, server) in enumerate(zip(cluster.nodes, cluster.servers, strict=True)):
        text = text.replace(f"localhost:{node.http_port}", f"localhost:{HTTP_PORT + number}")
        text = text.replace(f"localhost:{server.port}", f"localhost:{SQL_PORT + number}")
    return json.loads(text)


def keep(operation: Json, answer: Any) -> None:
    _keep(operation["operationId"], answer)


def _keep(name: str, answer: Any) -> None:
    text = json.dumps(answer, indent=1, ensure_ascii=False)
    (EXAMPLES / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    with running_cluster(3, load_tps=LOAD_TPS) as made:
        record(made, *apis_of(made)[:2])

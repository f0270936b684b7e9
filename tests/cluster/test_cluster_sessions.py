"""A client of any server shows on every node, with the next request and at the cost of one statement a node."""

from __future__ import annotations

import re
from contextlib import closing
from typing import Any

import psutil
import psycopg
import pytest

from fix_cluster import Api, count_statements, log_in, logging_statements, wait_until
from rangeland.engine.cluster import Cluster

SECRET = "do-not-show-me"
MAX_RSS = 120 << 20


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_client_of_any_server_shows_on_every_node_and_is_gone_afterwards(
    cluster: Cluster, apis: list[Api], token: str, number: int
) -> None:
    name = f"a client of server {number}"
    server, node = cluster.servers[number], cluster.nodes[number]
    with closing(psycopg.connect(server.conninfo(user="stranger"), application_name=name, autocommit=True)) as client:
        client.execute("SELECT 'last words'")
        for api in apis:
            [session] = _named(api, token, name)
            assert (session["node_id"], session["username"]) == (node.node_id, "stranger")
            assert re.fullmatch(r"127\.0\.0\.1:\d+", session["client_address"])
            assert session["pg_backend_pid"] == client.info.backend_pid
            assert (session["last_active_query"], session["active_queries"]) == ("SELECT 'last words'", [])
            assert (session["status"], session["state"]) == (2, "idle")
            assert "active_txn" not in session
    wait_until(lambda: _server_forgot(server.conninfo(), name), "the server has noticed the end", timeout_s=5)
    for api in apis:
        assert _named(api, token, name) == []


def test_a_running_statement_shows_while_it_runs(cluster: Cluster, apis: list[Api], token: str) -> None:
    conninfo = cluster.servers[2].conninfo(user="stranger")
    with closing(psycopg.connect(conninfo, application_name="a busy client")) as client:
        client.execute("SELECT 1")
        client.pgconn.send_query(b"SELECT pg_sleep(60)")
        [session] = _named(apis[1], token, "a busy client")
        [query] = session["active_queries"]
        assert (query["sql"], query["phase"]) == ("SELECT pg_sleep(60)", 1)
        assert query["txn_id"] == session["active_txn"]["id"]
        assert query["elapsed_time"] >= 0
        assert ("status" in session, session["state"]) == (False, "active")
        client.cancel_safe()


def test_username_chooses_one_user_on_every_node(cluster: Cluster, apis: list[Api], token: str) -> None:
    with closing(psycopg.connect(cluster.servers[1].conninfo(user="reader"))):
        for api in apis:
            answer = api.get("sessions/?username=reader&exclude_closed_sessions=true", token).json
            assert {each["username"] for each in answer["sessions"]} == {"reader"}
            assert {each["node_id"] for each in answer["sessions"]} == {cluster.nodes[1].node_id}


def test_a_reader_sees_everybody_s_statements(cluster: Cluster, apis: list[Api]) -> None:
    token = log_in(cluster, apis[0], "reader")
    with closing(psycopg.connect(cluster.servers[0].conninfo(user="stranger"), application_name="seen")) as client:
        client.execute("SELECT 'not mine'")
        [session] = _named(apis[2], token, "seen")
        assert session["last_active_query"] == "SELECT 'not mine'"
        assert "active_txn" in session


@pytest.mark.parametrize(
    "statement",
    [
        f"ALTER ROLE stranger PASSWORD '{SECRET}'",
        f"CREATE ROLE passing LOGIN PASSWORD '{SECRET}'",
        f"ALTER USER stranger WITH ENCRYPTED PASSWORD '{SECRET}' VALID UNTIL 'infinity'",
        f"DO $$ BEGIN EXECUTE 'ALTER ROLE stranger PASSWORD ''{SECRET}'''; END $$",
    ],
)
def test_passwords_in_statements_are_masked(cluster: Cluster, apis: list[Api], token: str, statement: str) -> None:
    with closing(psycopg.connect(cluster.servers[0].conninfo(), application_name="a DBA")) as client:
        client.execute(statement.encode())
        [session] = _named(apis[1], token, "a DBA")
        assert session["last_active_query"].startswith(statement.partition("'")[0])
        assert SECRET not in apis[1].get("sessions/", token).text
        client.rollback()


def test_the_nodes_own_connections_are_not_shown(cluster: Cluster, apis: list[Api], token: str) -> None:
    for api in apis:
        answer = api.get("sessions/", token).json
        assert answer["internal_app_name_prefix"] == "rangeland"
        assert [each for each in answer["sessions"] if each.get("username") == "rangeland"] == []


def test_a_sessions_request_costs_one_statement_a_node(cluster: Cluster, apis: list[Api], token: str) -> None:
    """Asked right after another one, as the token's rights are then known for a second.

    The sampler of hot ranges may step in at any moment: one of some attempts has to be undisturbed.
    """
    counted = []
    with logging_statements(cluster):
        for attempt in range(5):
            api = apis[attempt % 3]
            api.get("sessions/", token)
            begins = [server.log.stat().st_size for server in cluster.servers]
            api.get("sessions/", token)
            counted.append([count_statements(cluster, number, begins[number]) for number in range(3)])
    assert [1, 1, 1] in counted, counted


def test_a_node_keeps_at_most_three_connections(cluster: Cluster, apis: list[Api], token: str) -> None:
    for api in apis:
        for path in ("sessions/", "nodes/", "ranges/hot/", "nodes/local/ranges/"):
            api.get(path, token)
    for server in cluster.servers:
        with psycopg.connect(server.conninfo()) as connection:
            query = (
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE application_name = 'rangeland' AND datname = 'postgres' AND state <> 'active'"
            )
            row = connection.execute(query.encode()).fetchone()
            assert row is not None
            assert 1 <= row[0] <= 3


def test_a_node_takes_at_most_120_mb(cluster: Cluster, apis: list[Api], token: str) -> None:
    for _ in range(20):
        for api in apis:
            for path in ("sessions/", "nodes/", "ranges/hot/", "nodes/1/ranges/"):
                assert api.get(path, token).status == 200
    sizes = [psutil.Process(node.pid).memory_info().rss for node in cluster.nodes]
    assert max(sizes) < MAX_RSS, sizes


def test_no_password_is_in_a_process_title_or_a_log(cluster: Cluster) -> None:
    titles = []
    for process in psutil.process_iter(["cmdline"]):
        titles.append(" ".join(process.info["cmdline"] or ()))
    files = [*(node.log for node in cluster.nodes), *(server.log for server in cluster.servers)]
    logs = [file.read_text("utf-8", errors="replace") for file in files]
    secrets = {secret for secret in cluster.servers[0].password_by_user.values() if len(secret) > 8}
    urls = [re.findall(r"://rangeland:([^@]+)@", node.config.read_text("utf-8")) for node in cluster.nodes]
    secrets |= {secret for found in urls for secret in found}
    assert len(secrets) > 4
    assert [text for text in (*titles, *logs) if any(secret in text for secret in secrets)] == []


def _named(api: Api, token: str, application_name: str) -> list[dict[str, Any]]:
    """Those that are open."""
    answer = api.get("sessions/?exclude_closed_sessions=true", token).json
    assert answer["errors"] == []
    return [each for each in answer["sessions"] if each.get("application_name") == application_name]


def _server_forgot(conninfo: str, application_name: str) -> bool:
    query = "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = %s"
    with psycopg.connect(conninfo) as connection:
        return connection.execute(query.encode(), [application_name]).fetchone() == (True,)

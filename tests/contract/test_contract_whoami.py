"""GET /whoami/: who is asking, until when, and of which node."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from contract.committed import departures
from fix_cluster import Api, log_in, wait_until
from rangeland.api.whoami import answer_of
from rangeland.auth import Caller
from rangeland.engine.cluster import Cluster
from rangeland.wire.json import encode


def test_every_node_says_who_asks_and_which_node_it_is(cluster: Cluster, apis: list[Api], token: str) -> None:
    answers = [api.get("whoami/", token).json for api in apis]
    for answer, node in zip(answers, cluster.nodes, strict=True):
        assert departures(answer, "WhoamiAnswer") == []
        assert answer["node_id"] == node.node_id
        assert (answer["username"], answer["is_admin"]) == (cluster.username, True)
    assert len({answer["cluster_id"] for answer in answers}) == 1
    assert len({answer["expires_at"] for answer in answers}) == 1
    left = datetime.fromisoformat(answers[0]["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=6) < left <= timedelta(days=7)


def test_a_reader_is_no_admin(cluster: Cluster, apis: list[Api]) -> None:
    token = log_in(cluster, apis[0], "reader")
    answer = apis[0].get("whoami/", token).json
    assert (answer["username"], answer["is_admin"], "is_redacted" in answer) == ("reader", False, False)
    assert apis[0].log_out(token).status == 200


def test_who_is_redacted_is_told(cluster: Cluster, apis: list[Api]) -> None:
    cluster.servers[0].create_role("redacted", "LOGIN IN ROLE rangeland_redacted")
    token = log_in(cluster, apis[0], "redacted")
    assert apis[0].get("whoami/", token).json["is_redacted"] is True
    assert apis[0].log_out(token).status == 200


def test_whether_the_nodes_may_end_sessions_is_a_fact_of_the_cluster(
    cluster: Cluster, apis: list[Api], token: str
) -> None:
    """The same for everybody, on every node, as soon as the nodes' role has the right or loses it."""
    reader = log_in(cluster, apis[0], "reader")
    asked = [(api, each) for api in apis for each in (token, reader)]

    def told(expected: bool) -> bool:
        return all(api.get("whoami/", each).json["may_cancel"] is expected for api, each in asked)

    with granted(cluster, "REVOKE pg_signal_backend FROM rangeland"):
        wait_until(lambda: told(False), "nobody may")
    with granted(cluster, "GRANT pg_signal_backend TO rangeland"):
        wait_until(lambda: told(True), "the nodes may")
        assert apis[0].log_out(reader).status == 200


@contextmanager
def granted(cluster: Cluster, statement: str) -> Iterator[None]:
    """Afterwards the nodes' role has the right or hasn't, as before."""
    with psycopg.connect(cluster.servers[0].conninfo(), autocommit=True) as connection:
        found = connection.execute("SELECT pg_has_role('rangeland', 'pg_signal_backend', 'USAGE')").fetchone()
        connection.execute(statement.encode())
        try:
            yield
        finally:
            again = "GRANT pg_signal_backend TO" if found == (True,) else "REVOKE pg_signal_backend FROM"
            connection.execute(f"{again} rangeland".encode())


@pytest.mark.parametrize("may_signal", [False, True])
def test_where_nobody_logs_in_there_is_no_end(may_signal: bool) -> None:
    """Of --insecure: the word for everybody has no session."""
    caller = Caller("root", is_admin=True, is_monitor=True, may_signal=may_signal)
    answer = answer_of(caller, node_id=2, cluster_id="c")
    assert json.loads(encode(answer)) == {
        "username": "root",
        "is_admin": True,
        "node_id": 2,
        "cluster_id": "c",
        "may_cancel": may_signal,
    }

"""GET /databases/ and the paths below it: fields, names and pages."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from contract.committed import departures
from fix_cluster import Api, session_url
from rangeland.engine.cluster import Cluster


def value(cluster: Cluster, statement: str, dbname: str = "pgbench") -> Any:
    with psycopg.connect(cluster.servers[0].conninfo(dbname)) as connection:
        row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return row[0]


def test_every_node_tells_the_databases_and_no_template(apis: list[Api], token: str) -> None:
    for api in apis:
        answer = api.get("databases/", token).json
        assert departures(answer, "DatabasesAnswer") == []
        assert answer["databases"] == ["pgbench", "postgres"]


def test_a_page_of_databases_has_the_next_offset_unless_it_is_the_last(apis: list[Api], token: str) -> None:
    assert apis[0].get("databases/?limit=1", token).json == {"databases": ["pgbench"], "next": 1}
    assert apis[0].get("databases/?limit=1&offset=1", token).json == {"databases": ["postgres"]}
    assert apis[0].get("databases/?limit=2&offset=0", token).json == {"databases": ["pgbench", "postgres"]}
    assert apis[0].get("databases/?limit=1&offset=2", token).body == b"{}"
    assert apis[0].get("databases/?limit=0&offset=1", token).json == {"databases": ["pgbench", "postgres"]}


def test_a_database_is_described_by_every_node(cluster: Cluster, apis: list[Api], token: str) -> None:
    oid = value(cluster, "SELECT oid::int8 FROM pg_database WHERE datname = 'pgbench'")
    for api in apis:
        answer = api.get("databases/pgbench/", token).json
        assert departures(answer, "DatabaseAnswer") == []
        assert (answer["descriptor_id"], answer["encoding"]) == (oid, "UTF8")
        assert answer["size_bytes"] > 1_000_000


def test_grants_on_a_database_are_paged_by_user(cluster: Cluster, apis: list[Api], token: str) -> None:
    owner = value(cluster, "SELECT datdba::regrole::text FROM pg_database WHERE datname = 'pgbench'")
    answer = apis[1].get("databases/pgbench/grants/", token).json
    assert departures(answer, "GrantsAnswer") == []
    privileges = {grant["user"]: grant["privileges"] for grant in answer["grants"]}
    assert privileges[owner] == ["CONNECT", "CREATE", "TEMPORARY"]
    assert privileges["public"] == ["CONNECT", "TEMPORARY"]
    assert list(privileges) == sorted(privileges)
    paged = [
        apis[2].get(session_url("databases/pgbench/grants/", limit=1, offset=offset), token).json
        for offset in range(len(privileges))
    ]
    assert [page["grants"][0] for page in paged] == answer["grants"]
    assert [page.get("next") for page in paged] == [*range(1, len(privileges)), None]


DATABASE_PATHS = ["", "grants/"]


@pytest.mark.parametrize("path", DATABASE_PATHS)
@pytest.mark.parametrize("name", ["nothing", "template1", "template0", "PGBENCH", "pgbench.", "9" * 100])
def test_a_database_that_is_not_there_for_us_is_404(apis: list[Api], token: str, name: str, path: str) -> None:
    answer = apis[0].get(f"databases/{name}/{path}", token)
    assert (answer.status, answer.text) == (404, "database not found\n")


@pytest.mark.parametrize("path", DATABASE_PATHS)
@pytest.mark.parametrize("name", ["a-b", "a%20b", "%22pgbench%22", "gr%C3%BCn", "pg%00", "a%2Fb", "a'b"])
def test_a_name_of_other_letters_is_no_path(apis: list[Api], token: str, name: str, path: str) -> None:
    answer = apis[0].get(f"databases/{name}/{path}", token)
    assert (answer.status, answer.text) == (404, "404 page not found\n")


def test_a_name_counts_as_it_is_decoded(apis: list[Api], token: str) -> None:
    assert apis[0].get("databases/%70gbench", token).json == apis[0].get("databases/pgbench/", token).json

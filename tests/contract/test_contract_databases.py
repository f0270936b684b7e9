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


DATABASE_PATHS = ["", "grants/", "tables/"]


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


# tables

TABLES = ["public.pgbench_accounts", "public.pgbench_branches", "public.pgbench_history", "public.pgbench_tellers"]


def test_every_node_tells_a_database_s_tables(apis: list[Api], token: str) -> None:
    for api in apis:
        answer = api.get("databases/pgbench/tables/", token).json
        assert departures(answer, "TablesAnswer") == []
        assert answer["table_names"] == TABLES


def test_tables_are_paged_and_next_is_exact(apis: list[Api], token: str) -> None:
    path = "databases/pgbench/tables/"
    assert apis[0].get(f"{path}?limit=3", token).json == {"table_names": TABLES[:3], "next": 3}
    assert apis[0].get(f"{path}?limit=3&offset=3", token).json == {"table_names": TABLES[3:]}
    assert apis[0].get(f"{path}?limit=4", token).json == {"table_names": TABLES}
    assert apis[0].get(f"{path}?limit={2**63 - 1}&offset=9", token).body == b"{}"


def test_a_table_is_told_by_every_node(cluster: Cluster, apis: list[Api], token: str) -> None:
    oid = value(cluster, "SELECT 'pgbench_branches'::regclass::oid::int8")
    for api in apis:
        answer = api.get("databases/pgbench/tables/pgbench_branches/", token).json
        assert departures(answer, "TableAnswer") == []
        assert (answer["descriptor_id"], answer["range_count"], answer["zone_config"]) == (oid, 1, {})
        assert answer["columns"][0] == {"name": "bid", "type": "integer"}
        assert answer["columns"][1] == {"name": "bbalance", "type": "integer", "nullable": True}
        assert answer["indexes"] == [
            {"name": "pgbench_branches_pkey", "unique": True, "seq": 1, "column": "bid", "direction": "ASC"}
        ]
        assert answer["create_table_statement"].startswith("CREATE TABLE public.pgbench_branches (\n    bid integer")
        assert answer["data_total_bytes"] == answer["sizes"]["total_bytes"] > 0
        assert "zone_config_level" not in answer


def test_a_table_may_be_named_with_its_schema(apis: list[Api], token: str) -> None:
    short, long = (
        apis[0].get(f"databases/pgbench/tables/{name}/", token).json["descriptor_id"]
        for name in ("pgbench_tellers", "public.pgbench_tellers")
    )
    assert short == long


@pytest.mark.parametrize(
    "path", ["pgbench/tables/nothing", "pgbench/tables/x.pgbench_tellers", "nothing/tables/pgbench_tellers"]
)
def test_a_table_that_does_not_exist_is_404(apis: list[Api], token: str, path: str) -> None:
    answer = apis[0].get(f"databases/{path}/", token)
    assert (answer.status, answer.text) == (404, "database or table not found\n")


@pytest.mark.parametrize("name", ["a-b", "%22t%22", "public%2Ft", "t%20"])
def test_a_table_of_other_letters_is_no_path(apis: list[Api], token: str, name: str) -> None:
    answer = apis[0].get(f"databases/pgbench/tables/{name}/", token)
    assert (answer.status, answer.text) == (404, "404 page not found\n")

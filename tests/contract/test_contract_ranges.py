"""GET /nodes/{node_id}/ranges/ and /ranges/{range_id}/: fields, parameters and pages."""

from __future__ import annotations

import base64
from typing import Any

import psycopg
import pytest

from contract.committed import departures
from fix_cluster import Api, session_url
from fix_engine import wait_for_replay
from rangeland.engine.cluster import Cluster

GENERIC = "An internal server error has occurred. Please check your Rangeland logs for more details.\n"
SIZES = """
    SELECT pg_relation_size(t.oid) + pg_relation_size(i.indexrelid) + pg_relation_size(t.reltoastrelid)
               + pg_relation_size(ti.indexrelid),
           pg_relation_size(t.oid),
           pg_relation_size(i.indexrelid),
           pg_relation_size(t.reltoastrelid) + pg_relation_size(ti.indexrelid)
      FROM pg_class t
      JOIN pg_index i ON i.indrelid = t.oid
      JOIN pg_index ti ON ti.indrelid = t.reltoastrelid
     WHERE t.relname = 'wide'
"""


@pytest.fixture(scope="module")
def ranges(apis: list[Api], token: str) -> list[dict[str, Any]]:
    """All ranges of node 1, in its order."""
    found: list[dict[str, Any]] = apis[0].get("nodes/1/ranges/", token).json["ranges"]
    return found


@pytest.fixture(scope="module")
def accounts_id(apis: list[Api], token: str) -> int:
    """The range id of pgbench_accounts."""
    return _range_id(apis, token, "pgbench_accounts")


def test_every_node_s_ranges_keep_the_committed_contract(apis: list[Api], token: str) -> None:
    for node_id in (1, 2, 3):
        answer = apis[0].get(f"nodes/{node_id}/ranges/", token).json
        assert departures(answer, "NodeRangesAnswer") == []
        assert {each["source_node_id"] for each in answer["ranges"]} == {node_id}


def test_local_is_the_node_that_is_asked(cluster: Cluster, apis: list[Api], token: str) -> None:
    for api, node in zip(apis, cluster.nodes, strict=True):
        [found] = api.get("nodes/local/ranges/?limit=1", token).json["ranges"]
        assert found["source_node_id"] == found["source_store_id"] == node.node_id


def test_ranges_are_the_same_on_every_node_and_by_ascending_id(
    apis: list[Api], token: str, ranges: list[dict[str, Any]]
) -> None:
    ids = [each["desc"]["range_id"] for each in ranges]
    assert ids == sorted(set(ids))
    assert max(ids) < 2**53
    for node_id in (2, 3):
        answer = apis[1].get(f"nodes/{node_id}/ranges/", token).json
        assert [each["desc"]["range_id"] for each in answer["ranges"]] == ids


def test_keys_are_pretty_and_the_same_in_base64(ranges: list[dict[str, Any]], accounts_id: int) -> None:
    [accounts] = [each for each in ranges if each["desc"]["range_id"] == accounts_id]
    assert accounts["span"]["start_key"].startswith("/Table/pgbench/public.pgbench_accounts/")
    for key in ("start_key", "end_key"):
        assert base64.b64decode(accounts["desc"][key]).decode() == accounts["span"][key]


@pytest.mark.parametrize(
    "node_id", ["0", "-1", "LOCAL", "Local", "n1", "1.0", "2147483648", "9" * 40, "+1", "0x1", " 1"]
)
def test_an_ill_formed_node_is_400(apis: list[Api], token: str, node_id: str) -> None:
    answer = apis[0].get(f"nodes/{node_id.replace(' ', '%20')}/ranges/", token)
    assert (answer.status, answer.text) == (400, "invalid node ID\n")


@pytest.mark.parametrize("node_id", [4, 99, 2147483647])
def test_a_node_that_never_was_is_500_and_a_second_line(apis: list[Api], token: str, node_id: int) -> None:
    answer = apis[0].get(f"nodes/{node_id}/ranges/", token)
    assert answer.status == 500
    assert answer.text.startswith(f"{GENERIC}failed to dial into node {node_id} (NODE_STATUS_UNKNOWN): ")


@pytest.mark.parametrize("text", ["x", "1,", ",1", "1,,2", "1.5", str(2**63), "1 2", "%00", "0x1", "9" * 5000])
def test_an_ill_formed_range_is_400(apis: list[Api], token: str, text: str) -> None:
    answer = apis[0].get(session_url("nodes/2/ranges/", ranges=text), token)
    assert (answer.status, answer.text) == (400, "invalid range ID\n")


def test_some_ranges_can_be_asked_for(
    apis: list[Api], token: str, ranges: list[dict[str, Any]], accounts_id: int
) -> None:
    """In the order of their ids; unknown ones are passed over."""
    first = ranges[0]["desc"]["range_id"]
    query = session_url("nodes/3/ranges/", ranges=f"{accounts_id},-5,0,{2**62},{first}")
    assert [each["desc"]["range_id"] for each in apis[0].get(query, token).json["ranges"]] == [first, accounts_id]
    assert apis[0].get(f"nodes/3/ranges/?ranges={2**62}", token).json == {"ranges": []}
    repeated = apis[0].get(f"nodes/3/ranges/?ranges={first}&ranges={accounts_id}", token).json["ranges"]
    assert [each["desc"]["range_id"] for each in repeated] == [first]


def test_limit_and_offset_cut_the_ranges_asked_for_too(
    apis: list[Api], token: str, ranges: list[dict[str, Any]]
) -> None:
    ids = [each["desc"]["range_id"] for each in ranges[:3]]
    chosen = ",".join(map(str, [*reversed(ids), 2**62]))
    first = apis[0].get(session_url("nodes/1/ranges/", ranges=chosen, limit=2), token).json
    assert ([each["desc"]["range_id"] for each in first["ranges"]], first["next"]) == (ids[:2], 2)
    last = apis[0].get(session_url("nodes/1/ranges/", ranges=chosen, limit=2, offset=2), token).json
    assert ([each["desc"]["range_id"] for each in last["ranges"]], "next" in last) == (ids[2:], False)


def test_pages_by_limit_and_offset_show_every_range_once(
    apis: list[Api], token: str, ranges: list[dict[str, Any]]
) -> None:
    ids: list[int] = []
    offset: int | None = 0
    while offset is not None:
        answer = apis[2].get(session_url("nodes/1/ranges/", limit=4, offset=offset), token).json
        ids += [each["desc"]["range_id"] for each in answer["ranges"]]
        assert answer.get("next") in (None, offset + 4)
        offset = answer.get("next")
    assert ids == [each["desc"]["range_id"] for each in ranges]


@pytest.mark.parametrize(("limit", "offset"), [(0, 3), (-2, 1), ("x", 1), (2**63, 1)])
def test_a_limit_that_is_none_means_all(
    apis: list[Api], token: str, ranges: list[dict[str, Any]], limit: object, offset: int
) -> None:
    answer = apis[0].get(session_url("nodes/1/ranges/", limit=limit, offset=offset), token).json
    assert (len(answer["ranges"]), "next" in answer) == (len(ranges), False)


def test_an_offset_behind_the_end_is_an_empty_page(apis: list[Api], token: str) -> None:
    assert apis[0].get("nodes/1/ranges/?limit=15&offset=100000", token).json == {"ranges": []}
    assert apis[0].get(f"nodes/1/ranges/?limit={2**63 - 1}&offset=100000", token).json == {"ranges": []}


# one range


def test_a_range_is_told_by_every_node_that_holds_it(apis: list[Api], token: str, accounts_id: int) -> None:
    for api in apis:
        answer = api.get(f"ranges/{accounts_id}/", token).json
        assert departures(answer, "RangeAnswer") == []
        assert sorted(answer["responses_by_node_id"]) == ["1", "2", "3"]
        for node_id, detail in answer["responses_by_node_id"].items():
            info = detail["range_info"]
            assert (info["source_node_id"], info["desc"]["range_id"]) == (int(node_id), accounts_id)
            assert [lease["replica"]["node_id"] for lease in info["lease_history"]] == [1]
            assert "error" not in detail


def test_sizes_are_each_server_s_own_of_table_indexes_and_toast(
    cluster: Cluster, apis: list[Api], token: str
) -> None:
    """And of the moment: a table that has grown shows so with the next request."""
    with psycopg.connect(cluster.servers[0].conninfo("pgbench"), autocommit=True) as connection:
        connection.execute("CREATE TABLE wide (id int PRIMARY KEY, text text)")
        connection.execute("ALTER TABLE wide ALTER text SET STORAGE external")
        for count in (10, 500):
            connection.execute(
                f"INSERT INTO wide SELECT {count} + n, repeat('x', 9000) FROM generate_series(1, {count}) n"
            )
            for standby in cluster.servers[1:]:
                wait_for_replay(cluster.servers[0], standby)
            told = apis[1].get(f"ranges/{_range_id(apis, token, 'wide')}/", token).json["responses_by_node_id"]
            for node in cluster.nodes:
                sizes = told[str(node.node_id)]["range_info"]["sizes"]
                assert tuple(sizes.values()) == _sizes(node.server.conninfo("pgbench"))
                assert min(sizes.values()) > 0
        connection.execute("DROP TABLE wide")


def test_the_oid_of_an_index_answers_with_its_table(
    cluster: Cluster, apis: list[Api], token: str, accounts_id: int
) -> None:
    with psycopg.connect(cluster.servers[0].conninfo("pgbench")) as connection:
        row = connection.execute("SELECT 'pgbench_accounts_pkey'::regclass::oid::int8").fetchone()
    assert row is not None
    index_id = (accounts_id >> 32 << 32) | row[0]
    answer = apis[0].get(f"ranges/{index_id}/", token).json["responses_by_node_id"]
    assert [each["range_info"]["desc"]["range_id"] for each in answer.values()] == [accounts_id] * 3


@pytest.mark.parametrize("range_id", [0, 1, 2**53, 2**62, 2**63 - 1, "000", (99 << 32) | 1259])
def test_a_range_that_does_not_exist_has_no_answers(apis: list[Api], token: str, range_id: object) -> None:
    assert apis[0].get(f"ranges/{range_id}/", token).body == b'{"responses_by_node_id":{}}'


@pytest.mark.parametrize("range_id", [2**63, 2**64, "9" * 5000])
def test_a_range_beyond_64_bits_is_400(apis: list[Api], token: str, range_id: object) -> None:
    answer = apis[0].get(f"ranges/{range_id}/", token)
    assert (answer.status, answer.text) == (400, "invalid range ID\n")


def _range_id(apis: list[Api], token: str, table: str) -> int:
    found = apis[0].get("nodes/1/ranges/", token).json["ranges"]
    [range_id] = [each["desc"]["range_id"] for each in found if each["table"] == table]
    return int(range_id)


def _sizes(conninfo: str) -> tuple[int, ...] | None:
    with psycopg.connect(conninfo) as connection:
        return connection.execute(SIZES.encode()).fetchone()

"""GET /ranges/hot/: both shapes, which nodes, and pages."""

from __future__ import annotations

from typing import Any

import pytest

from contract.committed import departures
from fix_cluster import Api, session_url, wait_until
from rangeland.engine.cluster import Cluster

FROM_THE_START = "fDB8MHw="
THE_END = "MSwyLDMsfDB8MHw="  # of 1,2,3,|0|0|


@pytest.fixture(scope="module")
def hot(apis: list[Api], token: str) -> dict[str, Any]:
    """An answer for all nodes, with the load's table in it."""

    def has_load() -> bool:
        found.clear()
        found.update(apis[1].get("ranges/hot/", token).json)
        return any(each["table_name"] == "pgbench_accounts" for each in found["ranges"])

    found: dict[str, Any] = {}
    wait_until(has_load, "pgbench_accounts is hot", timeout_s=20, poll_s=0.5)
    return found


@pytest.mark.parametrize("query", ["", "?limit=3", "?limit=1000", "?node_id=2", "?node_id=99"])
def test_keeps_the_committed_contract(hot: dict[str, Any], apis: list[Api], token: str, query: str) -> None:
    assert [departures(api.get(f"ranges/hot/{query}", token).json, "HotRangesAnswer") for api in apis] == [[], [], []]


def test_the_table_that_does_the_work_leads_its_database(hot: dict[str, Any], cluster: Cluster) -> None:
    """The catalogues are hot, too, while so many tests ask so much."""
    first = next(each for each in hot["ranges"] if each["database_name"] == "pgbench")
    assert (first["schema_name"], first["table_name"]) == ("public", "pgbench_accounts")
    assert (first["databases"], first["tables"]) == (["pgbench"], ["pgbench_accounts"])
    assert first["node_id"] == first["store_id"] == first["leaseholder_node_id"] == cluster.nodes[0].node_id
    assert first["replica_node_ids"] == [1, 2, 3]
    assert first["qps"] > 0
    assert first["writes_per_second"] > 0


def test_hottest_come_first_over_all_nodes(hot: dict[str, Any]) -> None:
    rates = [each["buffers_per_second"] for each in hot["ranges"]]
    assert rates == sorted(rates, reverse=True)
    assert hot["next"] == FROM_THE_START


def test_the_old_shape_holds_the_same_ranges(hot: dict[str, Any]) -> None:
    new = {(each["node_id"], each["range_id"]) for each in hot["ranges"]}
    old = {(int(node_id), each["range_id"]) for node_id, part in hot["ranges_by_node_id"].items() for each in part}
    assert old == new
    for node_id, part in hot["ranges_by_node_id"].items():
        assert [each["range_id"] for each in part] == sorted(each["range_id"] for each in part)
        assert {each["store_id"] for each in part} <= {int(node_id)}


@pytest.mark.parametrize("limit", ["", "&limit=100"])
@pytest.mark.parametrize(
    ("text", "index"), [("1", 0), ("3", 2), ("local", 1), ("Local", 1), ("localhost", 1), ("+1", 0)]
)
def test_one_node_can_be_chosen(
    hot: dict[str, Any], cluster: Cluster, apis: list[Api], token: str, text: str, index: int, limit: str
) -> None:
    """Also without a limit, which the reference forgets."""
    expected = int(text) if text.lstrip("+").isdigit() else cluster.nodes[index].node_id
    answer = apis[1].get(f"ranges/hot/?node_id={text.replace('+', '%2B')}{limit}", token).json
    assert {each["node_id"] for each in answer["ranges"]} <= {expected}
    assert set(answer["ranges_by_node_id"]) <= {str(expected)}
    assert "response_error" not in answer


@pytest.mark.parametrize("text", ["x", "1.5", "1,2", "2147483648", "9" * 5000, "%00", "-", "1 ", "0x"])
def test_an_ill_formed_node_is_400(apis: list[Api], token: str, text: str) -> None:
    answer = apis[0].get(session_url("ranges/hot/", node_id=text), token)
    assert (answer.status, answer.text) == (400, "invalid node ID\n")


@pytest.mark.parametrize("limit", ["", "&limit=5"])
@pytest.mark.parametrize("node_id", [99, 0, -1])
def test_a_node_that_never_was_is_an_error_in_the_answer(
    apis: list[Api], token: str, node_id: int, limit: str
) -> None:
    answer = apis[0].get(f"ranges/hot/?node_id={node_id}{limit}", token).json
    assert (answer["ranges"], answer["ranges_by_node_id"]) == ([], {})
    [error] = answer["response_error"]
    assert error.get("node_id", 0) == node_id
    assert error["error_message"].startswith(f"failed to dial into node {node_id} (NODE_STATUS_UNKNOWN): ")


@pytest.mark.parametrize("start", ["", "x", "%00", "fDB8MHw", "MXwyfDM=", "🦬"])
def test_a_start_that_is_no_token_begins_at_the_beginning(
    hot: dict[str, Any], apis: list[Api], token: str, start: str
) -> None:
    """With the limit all the same."""
    answer = apis[0].get(session_url("ranges/hot/", limit=1, start=start), token).json
    assert [each["node_id"] for each in answer["ranges"]] == [1]
    assert answer["next"] == apis[0].get("ranges/hot/?limit=1", token).json["next"] != FROM_THE_START


@pytest.mark.parametrize("limit", ["0", "-1", "x", "", str(2**63)])
def test_a_limit_that_is_none_means_all_whatever_the_start(
    hot: dict[str, Any], apis: list[Api], token: str, limit: str
) -> None:
    answer = apis[0].get(session_url("ranges/hot/", limit=limit, start=THE_END), token).json
    assert len(answer["ranges"]) > 1
    assert answer["next"] == FROM_THE_START


def test_reusing_the_last_token_shows_nothing_more(hot: dict[str, Any], apis: list[Api], token: str) -> None:
    answer = apis[1].get(session_url("ranges/hot/", limit=9, start=THE_END), token).json
    assert (answer["ranges"], answer["ranges_by_node_id"], answer["next"]) == ([], {}, THE_END)


@pytest.mark.parametrize("limit", [1, 2, 1000])
def test_pages_go_on_from_node_to_node(hot: dict[str, Any], apis: list[Api], token: str, limit: int) -> None:
    """Each node's own ranges come once; samples may change between two pages, nodes don't come back."""
    node_ids: list[int] = []
    start = FROM_THE_START
    for number in range(200):
        answer = apis[number % 3].get(session_url("ranges/hot/", limit=limit, start=start), token).json
        assert len(answer["ranges"]) <= limit
        node_ids += sorted({each["node_id"] for each in answer["ranges"]})
        start = answer["next"]
        if len(answer["ranges"]) < limit:
            break
    assert node_ids == sorted(node_ids)
    assert 1 in node_ids

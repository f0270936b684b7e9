"""GET /history/ and /ranges/hot/history/ of a live cluster: what is told, of whom, and what is refused."""

from __future__ import annotations

import time
from typing import Any

import pytest

from contract.committed import departures
from fix_cluster import Api, session_url, wait_until
from rangeland.api.history import CHARTED
from rangeland.engine.cluster import Cluster


@pytest.fixture(scope="module")
def hot_history(apis: list[Api], token: str) -> dict[str, Any]:
    """With the load's table in it."""

    def has_load() -> bool:
        hot = apis[1].get("ranges/hot/", token).json["ranges"]
        ids = {each["range_id"] for each in hot if each["table_name"] == "pgbench_accounts"}
        found.update(apis[1].get("ranges/hot/history/", token).json)
        return bool(ids & {each["range_id"] for each in found["ranges"]})

    found: dict[str, Any] = {}
    wait_until(has_load, "pgbench_accounts has a history", timeout_s=60, poll_s=0.5)
    return found


@pytest.mark.parametrize("query", ["", "?metrics=sys.rss&max_points=2", "?node_id=2&since_s=172800", "?node_id=99"])
def test_keeps_the_committed_contract(apis: list[Api], token: str, query: str) -> None:
    assert [departures(api.get(f"history/{query}", token).json, "HistoryAnswer") for api in apis] == [[], [], []]


@pytest.mark.parametrize("query", ["", "?range_id=1", "?range_id=1,2"])
def test_hot_ranges_keep_the_committed_contract(
    hot_history: dict[str, Any], apis: list[Api], token: str, query: str
) -> None:
    answers = [api.get(f"ranges/hot/history/{query}", token).json for api in apis]
    assert [departures(answer, "HotRangeHistoryAnswer") for answer in answers] == [[], [], []]


def test_every_node_has_a_reading_at_once(apis: list[Api], token: str) -> None:
    """Somebody read its status when it registered, or does so now."""
    apis[2].get("nodes/", token)
    for api in apis:
        answer = api.get("history/?metrics=sys.rss,sql.conns,nothing", token).json
        assert answer["errors"] == []
        assert [each["node_id"] for each in answer["nodes"]] == [1, 2, 3]
        for each in answer["nodes"]:
            assert (each["step_seconds"], each["kept_seconds"]) == (60, 6 * 3600)
            assert 1 <= len(each["times"]) == len(each["metrics"]["sys.rss"]) == len(each["metrics"]["sql.conns"])
            assert each["times"] == sorted(set(each["times"]))
            assert time.time() - 3600 < each["times"][-1] <= time.time()
            assert "nothing" not in each["metrics"]


def test_without_names_the_metrics_of_the_charts_are_told(apis: list[Api], token: str) -> None:
    [node] = apis[0].get("history/?node_id=1", token).json["nodes"]
    assert set(node["metrics"]) <= set(CHARTED)
    assert {"sql.conns", "pg.wal.bytes"} <= set(node["metrics"])


@pytest.mark.parametrize(("text", "index"), [("1", 0), ("3", 2), ("local", 1)])
def test_one_node_can_be_chosen(cluster: Cluster, apis: list[Api], token: str, text: str, index: int) -> None:
    answer = apis[1].get(f"history/?node_id={text}", token).json
    assert [each["node_id"] for each in answer["nodes"]] == [cluster.nodes[index].node_id]


def test_a_node_that_never_was_is_an_error_in_the_answer(apis: list[Api], token: str) -> None:
    answer = apis[0].get("history/?node_id=99", token).json
    assert answer["nodes"] == []
    [error] = answer["errors"]
    assert error == {
        "node_id": 99,
        "message": "failed to dial into node 99 (NODE_STATUS_UNKNOWN): there is no node 99",
    }


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("node_id", "x", "invalid node ID"),
        ("node_id", "0", "invalid node ID"),
        ("since_s", "0", "invalid since_s; should be a number from 1 to 172800"),
        ("since_s", "172801", "invalid since_s; should be a number from 1 to 172800"),
        ("since_s", "1h", "invalid since_s; should be a number from 1 to 172800"),
        ("max_points", "1", "invalid max_points; should be a number from 2 to 2880"),
        ("max_points", "9" * 5000, "invalid max_points; should be a number from 2 to 2880"),
        ("metrics", ",".join(f"m{number}" for number in range(51)), "too many metrics; at most 50 at a time"),
    ],
)
def test_what_can_not_be_read_is_400(apis: list[Api], token: str, name: str, text: str, said: str) -> None:
    answer = apis[0].get(session_url("history/", **{name: text}), token)
    assert (answer.status, answer.text) == (400, f"{said}\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x", "invalid range ID"),
        ("1,", "invalid range ID"),
        (",".join(map(str, range(101))), "too many range IDs; at most 100 at a time"),
    ],
)
def test_ranges_that_can_not_be_read_are_400(apis: list[Api], token: str, text: str, said: str) -> None:
    answer = apis[0].get(session_url("ranges/hot/history/", range_id=text), token)
    assert (answer.status, answer.text) == (400, f"{said}\n")
    assert apis[0].get(session_url("ranges/hot/history/", range_id=",".join("7" * 100)), token).status == 200


def test_a_hot_range_has_a_point_for_each_minute(hot_history: dict[str, Any]) -> None:
    assert hot_history["errors"] == []
    order = [(each["range_id"], each["node_id"]) for each in hot_history["ranges"]]
    assert order == sorted(order)
    for each in hot_history["ranges"]:
        assert each["step_seconds"] == 60
        assert each["times"] == list(range(each["times"][0], each["times"][-1] + 1, 60))
        for name in ("buffers", "queries", "reads", "writes"):
            values = each[f"{name}_per_second"]
            assert len(values) == len(each["times"]) <= 60
            assert all(value is None or value >= 0 for value in values)


def test_some_ranges_can_be_chosen(hot_history: dict[str, Any], apis: list[Api], token: str) -> None:
    range_id = hot_history["ranges"][0]["range_id"]
    answer = apis[0].get(f"ranges/hot/history/?range_id={range_id},1", token).json
    assert {each["range_id"] for each in answer["ranges"]} == {range_id}


@pytest.mark.parametrize("path", ["history/", "ranges/hot/history/"])
def test_only_readers_may_ask(apis: list[Api], path: str) -> None:
    assert apis[0].get(path).status == 401

"""GET /nodes/: what is told of a node, and pages by limit and offset."""

from __future__ import annotations

import os
import time

import psutil
import pytest

from contract.committed import departures
from fix_cluster import Api, session_url, wait_until
from rangeland import __version__
from rangeland.engine.cluster import Cluster

READ_BY_DASHBOARDS = {
    "sql.conns",
    "sys.cpu.user.percent",
    "sys.cpu.sys.percent",
    "sys.cpu.combined.percent-normalized",
    "sys.rss",
    "sys.uptime",
}
OF_A_STORE = {"capacity", "capacity.available", "capacity.used", "replicas", "ranges", "livebytes"}
TOO_LARGE = 2**63


def test_keeps_the_committed_contract(apis: list[Api], token: str) -> None:
    assert [departures(api.get("nodes/", token).json, "NodesAnswer") for api in apis] == [[], [], []]


def test_every_node_lists_all_nodes_by_id(apis: list[Api], token: str) -> None:
    for api in apis:
        answer = api.get("nodes/", token).json
        assert [node["node_id"] for node in answer["nodes"]] == [1, 2, 3]
        assert "next" not in answer


def test_tells_addresses_place_and_hardware(cluster: Cluster, apis: list[Api], token: str) -> None:
    by_id = {node["node_id"]: node for node in apis[2].get("nodes/", token).json["nodes"]}
    for process, zone in zip(cluster.nodes, "abc", strict=True):
        node = by_id[process.node_id]
        assert node["address"] == {"network_field": "tcp", "address_field": f"localhost:{process.http_port}"}
        assert node["sql_address"] == {"network_field": "tcp", "address_field": f"localhost:{process.server.port}"}
        assert node["locality"]["tiers"] == [{"key": "region", "value": "demo"}, {"key": "zone", "value": zone}]
        assert node["attrs"] == {}
        assert node["cluster_name"] == "demo"
        assert node["build_tag"] == f"v{__version__}"
        assert (node["num_cpus"], node["total_system_memory"]) == (os.cpu_count(), psutil.virtual_memory().total)
        assert (node["liveness_status"], node["membership"]) == (3, "active")


def test_tells_when_a_node_began_and_when_it_was_read(cluster: Cluster, apis: list[Api], token: str) -> None:
    for node, process in zip(apis[0].get("nodes/", token).json["nodes"], _by_id(cluster), strict=True):
        assert 0 <= node["started_at"] / 1e9 - psutil.Process(process).create_time() < 10
        assert abs(node["updated_at"] / 1e9 - time.time()) < 5


def test_the_server_version_has_both_spellings(cluster: Cluster, apis: list[Api], token: str) -> None:
    for node in apis[0].get("nodes/", token).json["nodes"]:
        version = node["ServerVersion"]
        assert version["major"] == version["major_val"] == cluster.servers[0].major
        assert version["minor"] == version["minor_val"]
        assert (version["patch"], version["internal"]) == (0, 0)


def test_metrics_are_those_that_dashboards_read(cluster: Cluster, apis: list[Api], token: str) -> None:
    def is_counted() -> bool:
        stores = [node["store_metrics"] for node in apis[1].get("nodes/", token).json["nodes"]]
        return all("ranges" in metrics for store in stores for metrics in store.values())

    wait_until(is_counted, "every node's first reading has counted its ranges")
    for node, process in zip(apis[1].get("nodes/", token).json["nodes"], _by_id(cluster), strict=True):
        assert node["metrics"].keys() >= READ_BY_DASHBOARDS
        [store] = node["store_metrics"].items()
        assert store[0] == str(node["node_id"])
        assert store[1].keys() >= OF_A_STORE
        assert store[1]["capacity"] > store[1]["capacity.available"] > 0
        assert abs(node["metrics"]["sys.rss"] / psutil.Process(process).memory_info().rss - 1) < 0.2


@pytest.mark.parametrize(
    ("query", "ids", "following"),
    [
        ({"limit": 1}, [1], 1),
        ({"limit": 2}, [1, 2], 2),
        ({"limit": 2, "offset": 2}, [3], None),
        ({"limit": 1, "offset": 1}, [2], 2),
        ({"limit": 3}, [1, 2, 3], None),
        ({"limit": 5, "offset": 0}, [1, 2, 3], None),
        ({"limit": 5, "offset": -1}, [1, 2, 3], None),
        ({"limit": 5, "offset": "x"}, [1, 2, 3], None),
        ({"limit": 15, "offset": 15}, [], None),
        ({"limit": TOO_LARGE - 1, "offset": 1}, [2, 3], None),
        ({"limit": TOO_LARGE - 1, "offset": TOO_LARGE - 1}, [], None),
        ({"limit": "+2"}, [1, 2], 2),
        ({"offset": 2}, [1, 2, 3], None),
        ({"limit": 0, "offset": 2}, [1, 2, 3], None),
        ({"limit": -1, "offset": 2}, [1, 2, 3], None),
        ({"limit": "two", "offset": 2}, [1, 2, 3], None),
        ({"limit": " 2"}, [1, 2, 3], None),
        ({"limit": "2\0"}, [1, 2, 3], None),
        ({"limit": "٢"}, [1, 2, 3], None),
        ({"limit": TOO_LARGE}, [1, 2, 3], None),
        ({"limit": "9" * 5000}, [1, 2, 3], None),
        ({"limit": ""}, [1, 2, 3], None),
    ],
)
def test_a_page_is_cut_by_limit_and_offset(
    apis: list[Api], token: str, query: dict[str, object], ids: list[int], following: int | None
) -> None:
    answer = apis[1].get(session_url("nodes/", **query), token).json
    assert ([node["node_id"] for node in answer["nodes"]], answer.get("next")) == (ids, following)


def test_a_plus_in_a_url_is_a_blank_and_so_no_sign(apis: list[Api], token: str) -> None:
    assert len(apis[0].get("nodes/?limit=+2", token).json["nodes"]) == 3
    assert len(apis[0].get("nodes/?limit=%2B2", token).json["nodes"]) == 2


def test_of_a_repeated_parameter_the_first_counts(apis: list[Api], token: str) -> None:
    assert len(apis[0].get("nodes/?limit=1&limit=2", token).json["nodes"]) == 1


def _by_id(cluster: Cluster) -> list[int]:
    """The nodes' process ids, by ascending node id."""
    return [node.pid for node in sorted(cluster.nodes, key=lambda node: node.node_id)]

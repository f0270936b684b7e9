"""The table of metrics: every name once, and its Prometheus name by one rule."""

from __future__ import annotations

import re

from prometheus_client import CollectorRegistry

from rangeland.api.traffic import Traffic, endpoint_name
from rangeland.collect.metrics import METRICS, Kind, Metric
from rangeland.collect.nodes import Checkpoints, StatusRow, sql_metrics, store_metrics


def test_every_name_is_there_once() -> None:
    for names in ([each.name for each in METRICS], [each.family for each in METRICS]):
        assert len(names) == len(set(names))


def test_names_are_derived_by_one_rule() -> None:
    gauge = Metric("sys.cpu.combined.percent-normalized", Kind.GAUGE, "", "", "")
    counter = Metric("pg.deadlocks", Kind.COUNTER, "", "", "")
    assert gauge.exposed_name == "sys_cpu_combined_percent_normalized"
    assert counter.exposed_name == "pg_deadlocks_total"
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", each.exposed_name) for each in METRICS)


def test_the_table_has_every_figure_of_a_server_and_no_other() -> None:
    row = StatusRow._make([1] * len(StatusRow._fields))
    told = {**sql_metrics(row, 1), **store_metrics(row, Checkpoints(1, 1, 1, 1, 1), None, is_primary=True)}
    others = {each.name for each in METRICS if each.name.startswith("sys.")} | {"replicas", "ranges"}
    assert {each.name for each in METRICS} == told.keys() | others


def test_a_path_is_named_as_the_reference_names_it() -> None:
    assert endpoint_name("/api/v2/ranges/{range_id:digits}") == "/api/v2/ranges/{range_id}/"
    assert endpoint_name("/api/v2/nodes/") == "/api/v2/nodes/"
    assert endpoint_name("/metrics/") == "/metrics"


def test_paths_that_there_are_not_are_one_line() -> None:
    traffic = Traffic()
    for number in range(100):
        traffic.count({"type": "http", "path": f"/{number}"}, {"status": 404}, 0.0)
    registry = CollectorRegistry()
    registry.register(traffic)
    [requests] = [family for family in registry.collect() if family.name == "rangeland_http_requests"]
    assert [(each.labels, each.value) for each in requests.samples] == [({"endpoint": "other", "status": "404"}, 100)]

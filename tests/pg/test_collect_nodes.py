"""A node's account of itself, beside a primary, a standby, and a server that is down."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest

from fix_collect import WATCHER, ask, execute, soon, value
from fix_engine import MakeServers, wait_for_replay
from rangeland.collect.nodes import NodeFacts, StatusCollector
from rangeland.engine.server import PostgresServer
from rangeland.pg import Server
from rangeland.wire.parts import StatusPart

FACTS = NodeFacts(
    build_tag="v9.9.9",
    http_address="a.example:8080",
    sql_address="a.example:26257",
    started_at_ns=123,
    cluster_name="shop",
    tiers=(("region", "eu"), ("zone", "a")),
    attrs=("ssd",),
)
NODE_ID = 7


def collect(pg: PostgresServer, *, ranges: int | None = None) -> StatusPart:
    async def work(server: Server) -> StatusPart:
        collector = StatusCollector(server, FACTS, count_ranges=lambda: ranges)
        try:
            return await collector.collect(node_id=NODE_ID, deadline=soon())
        finally:
            await collector.close()

    return ask(pg, work)


def test_a_node_tells_what_it_was_started_with(pg_primary: PostgresServer) -> None:
    status = collect(pg_primary).status
    assert status.node_id == NODE_ID
    assert status.build_tag == "v9.9.9"
    assert status.started_at == 123
    assert status.cluster_name == "shop"
    assert [(tier.key, tier.value) for tier in status.locality.tiers] == [("region", "eu"), ("zone", "a")]
    assert status.attrs.attrs == ["ssd"]
    assert (status.address.network_field, status.address.address_field) == ("tcp", "a.example:8080")
    assert status.sql_address.address_field == "a.example:26257"
    assert time.time_ns() - status.updated_at < 60e9


def test_the_version_is_the_servers(pg_primary: PostgresServer) -> None:
    version = collect(pg_primary).status.ServerVersion
    assert version.major == version.major_val == pg_primary.major
    assert version.minor == version.minor_val > 0


def test_the_machine_is_told(pg_primary: PostgresServer) -> None:
    status = collect(pg_primary).status
    assert status.num_cpus > 0
    assert status.total_system_memory > 100e6
    assert status.metrics["sys.rss"] > 10e6
    assert status.metrics["sys.uptime"] > 0
    for name in ("sys.cpu.user.percent", "sys.cpu.sys.percent", "sys.cpu.combined.percent-normalized"):
        assert 0 <= status.metrics[name] <= status.num_cpus


def test_the_names_that_dashboards_read_are_there(pg_primary: PostgresServer) -> None:
    status = collect(pg_primary, ranges=42).status
    store = status.store_metrics[NODE_ID]
    assert status.metrics["sql.conns"] >= 1
    assert store["capacity"] > store["capacity.available"] > 0
    assert store["capacity.used"] > store["livebytes"] > 1e6
    assert (store["replicas"], store["ranges"]) == (42, 42)


def test_every_metric_is_a_finite_number(pg_primary: PostgresServer, pg_standby: PostgresServer) -> None:
    for pg in (pg_primary, pg_standby):
        status = collect(pg).status
        for metrics in (status.metrics, *status.store_metrics.values()):
            assert all(math.isfinite(number) for number in metrics.values())
            assert all(name == name.lower() for name in metrics)


def test_databases_are_measured_as_the_server_does(pg_primary: PostgresServer) -> None:
    store = collect(pg_primary).status.store_metrics[NODE_ID]
    measured = value(pg_primary, "postgres", "SELECT sum(pg_database_size(oid))::int8 FROM pg_database")
    assert store["livebytes"] == pytest.approx(measured, rel=0.05)


def test_a_primary_counts_its_standbys_and_a_standby_its_delay(
    pg_primary: PostgresServer, pg_standby: PostgresServer
) -> None:
    wait_for_replay(pg_primary, pg_standby)
    primary, standby = collect(pg_primary, ranges=5), collect(pg_standby, ranges=5)
    of_primary, of_standby = (part.status.store_metrics[NODE_ID] for part in (primary, standby))
    assert (primary.role, standby.role) == ("primary", "standby")
    assert primary.server_up
    assert standby.server_up
    assert primary.timeline == standby.timeline == 1
    assert primary.lsn >= standby.lsn > 0
    assert of_primary["pg.replication.standbys"] == 1
    assert 0 <= of_primary["pg.replication.lag.bytes"] < 1e6
    assert "pg.replication.delay.seconds" not in of_primary
    assert of_standby["pg.replication.lag.bytes"] == 0
    assert of_standby["pg.replication.delay.seconds"] == 0
    assert (of_standby["replicas"], of_standby["ranges"]) == (5, 0)


def test_counters_grow_with_what_the_server_does(pg_primary: PostgresServer, database: str) -> None:
    before = collect(pg_primary).status.store_metrics[NODE_ID]
    execute(pg_primary, database, "CREATE TABLE t AS SELECT generate_series(1, 1000) AS n", "CHECKPOINT")
    execute(pg_primary, database, "SELECT pg_stat_force_next_flush()")
    after = collect(pg_primary).status.store_metrics[NODE_ID]
    for name in ("pg.transactions.committed", "pg.tuples.written", "pg.wal.bytes", "pg.checkpoints.requested"):
        assert after[name] > before[name], name


def test_one_status_is_one_statement_and_what_changes_slowly_is_read_seldom(
    pg_primary: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    fetch = Server.fetch

    async def counted(self: Server, resource: str, name: str, *, deadline: float, **params: Any) -> Any:
        asked.append(name)
        return await fetch(self, resource, name, deadline=deadline, **params)

    monkeypatch.setattr(Server, "fetch", counted)

    async def work(server: Server) -> None:
        collector = StatusCollector(server, FACTS)
        for _ in range(3):
            await collector.collect(node_id=1, deadline=soon())
        await collector.close()

    ask(pg_primary, work)
    assert asked == [
        "read_status",
        "read_checkpoints",
        "count_statements",
        "read_sizes",
        "read_status",
        "read_status",
    ]


def test_of_a_server_that_is_down_only_the_machine_is_told(make_servers: MakeServers) -> None:
    (pg,) = make_servers(1)
    pg.create_role(WATCHER, "LOGIN IN ROLE pg_monitor")

    async def work(server: Server) -> tuple[StatusPart, StatusPart]:
        collector = StatusCollector(server, FACTS)
        before = await collector.collect(node_id=NODE_ID, deadline=soon())
        pg.kill()
        return before, await collector.collect(node_id=NODE_ID, deadline=soon())

    before, after = ask(pg, work)
    assert before.server_up
    assert not after.server_up
    assert after.down_since_ns > 0
    assert after.status.store_metrics == {}
    assert after.status.num_cpus == before.status.num_cpus
    assert after.status.ServerVersion == before.status.ServerVersion
    assert "sys.rss" in after.status.metrics
    assert "sql.conns" not in after.status.metrics

"""What a minute of history costs a server, and what its sampler leaves behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, cast

import pytest

from fix_collect import WATCHER, ask, execute, number_databases, soon
from fix_engine import MakeServers
from rangeland.cluster import Cluster, EventLog
from rangeland.collect import history, hot_ranges
from rangeland.collect.databases import Databases
from rangeland.collect.hot_range_history import HotHistoryBook
from rangeland.collect.hot_ranges import Sample, Sampler
from rangeland.collect.nodes import NodeFacts
from rangeland.collect.sizes import SizeBook
from rangeland.engine.server import PostgresServer
from rangeland.node.collectors import Collectors
from rangeland.pg import Server
from rangeland.wire.history import NodeHistory
from rangeland.wire.hot_range_history import HotRangeHistory
from rangeland.wire.json import decode
from rangeland.wire.parts import HistoryParams, Nothing

FACTS = NodeFacts(build_tag="v9.9.9", http_address="a:1", sql_address="a:2", started_at_ns=1)
SOME = HistoryParams(
    metrics=["sys.rss", "sql.conns", "pg.wal.bytes", "pg.checkpoints.timed"], since_s=3600, max_points=60
)


class Asked:
    """Names of the statements that a node has run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        fetch = Server.fetch

        async def counted(server: Server, resource: str, name: str, *, deadline: float, **params: Any) -> Any:
            self.names.append(name)
            return await fetch(server, resource, name, deadline=deadline, **params)

        monkeypatch.setattr(Server, "fetch", counted)

    def taken(self) -> list[str]:
        names, self.names = self.names, []
        return names


class Clock:
    """The wall clock of the node's history."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead_s = 0.0
        self._real_ns = time.time_ns
        monkeypatch.setattr(time, "time_ns", lambda: self._real_ns() + int(self.ahead_s * 1e9))
        monkeypatch.setattr(time, "time", lambda: time.time_ns() / 1e9)

    def go_on(self, seconds: float) -> None:
        self.ahead_s += seconds


class Alone:
    """Stands for the other nodes: there are none."""

    node_id = 7


@asynccontextmanager
async def collecting(server: Server, *, history_s: float = 3600) -> AsyncIterator[Collectors]:
    async def no_account() -> Any:
        raise AssertionError("nobody asks for problems here")

    made = Collectors(
        server=server,
        cluster=cast(Cluster, Alone()),
        events=EventLog(cast(Cluster, Alone())),
        facts=FACTS,
        draining=lambda: False,
        account=no_account,
        patroni_url=None,
        history_s=history_s,
        check_cpu_percent=1,
    )
    try:
        yield made
    finally:
        await made.close()


async def told(node: Collectors, params: HistoryParams = SOME) -> NodeHistory:
    return decode(NodeHistory, (await node.history(params, soon())).history)


def test_a_reading_that_somebody_makes_is_the_minutes(
    pg_primary: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)

    async def work(server: Server) -> NodeHistory:
        async with collecting(server) as node:
            for _ in range(3):
                await node.status(Nothing(), soon())
                clock.go_on(60)
            return await told(node)

    found = ask(pg_primary, work)
    assert [after - before for before, after in pairwise(found.times)] == [pytest.approx(60, abs=5)] * 2
    assert set(found.metrics) == set(SOME.metrics)
    assert all(None not in values for values in found.metrics.values())


def test_the_counters_of_a_reading_that_is_kept_are_read_with_it(
    pg_primary: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older one would look as if there had been no checkpoint in that minute."""
    clock, asked = Clock(monkeypatch), Asked(monkeypatch)

    async def work(server: Server) -> list[list[str]]:
        async with collecting(server) as node:
            await node.status(Nothing(), soon())
            first = asked.taken()
            await node.status(Nothing(), soon())
            same_minute = asked.taken()
            clock.go_on(60)
            await node.status(Nothing(), soon())
            return [first, same_minute, asked.taken()]

    assert ask(pg_primary, work) == [
        ["read_status", "read_checkpoints", "count_statements", "read_sizes"],
        ["read_status"],
        ["read_status", "read_checkpoints", "count_statements"],
    ]


def test_in_a_minute_in_which_nobody_asks_the_node_reads_once(
    pg_primary: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(monkeypatch)
    monkeypatch.setattr(history.HistoryBook, "wait_s", lambda _book, _now_s: 0.01)

    async def work(server: Server) -> list[str]:
        async with collecting(server) as node:
            running = asyncio.create_task(node.run_history())
            while not (await told(node)).times:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.3)  # some thirty looks whether one is due
            running.cancel()
            return asked.taken()

    assert 1 <= ask(pg_primary, work).count("read_status") <= 2  # the minute may end meanwhile


def test_a_history_that_is_off_asks_nothing(pg_primary: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(monkeypatch)
    monkeypatch.setattr(history.HistoryBook, "wait_s", lambda _book, _now_s: 0.01)

    async def work(server: Server) -> NodeHistory:
        async with collecting(server, history_s=0) as node:
            running = asyncio.create_task(node.run_history())
            await asyncio.sleep(0.1)
            running.cancel()
            return await told(node)

    assert ask(pg_primary, work).times == []
    assert asked.names == []


def test_a_server_that_is_down_leaves_a_gap_in_its_metrics_only(
    make_servers: MakeServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    (pg,) = make_servers(1)
    pg.create_role(WATCHER, "LOGIN IN ROLE pg_monitor")

    async def work(server: Server) -> NodeHistory:
        async with collecting(server) as node:
            await node.own_status(soon())
            pg.kill()
            clock.go_on(60)
            await node.own_status(soon())
            pg.start()
            await server.wait_until_up(deadline=soon(10))
            clock.go_on(60)
            await node.own_status(soon())
            return await told(node)

    found = ask(pg, work).metrics
    for name in ("sql.conns", "pg.wal.bytes", "pg.checkpoints.timed"):
        assert [value is None for value in found[name]] == [False, True, False], name
    assert None not in found["sys.rss"]


def test_samples_become_the_history_of_a_range(
    pg_primary: PostgresServer, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hot_ranges, "INTERVAL_S", 0.2)
    monkeypatch.setattr(hot_ranges, "SHORTEST_WINDOW_S", 0.1)
    monkeypatch.setattr(hot_ranges, "COST_FACTOR", 1.0)
    book, samples = HotHistoryBook(), list[Sample]()

    def keep(sample: Sample) -> None:
        samples.append(sample)
        book.take(sample, now_s=time.time())

    async def work(server: Server) -> list[HotRangeHistory]:
        databases = Databases(server, number_databases, allowed=frozenset({database}))
        sampler = Sampler(server, databases, SizeBook(), on_sample=keep)
        running = asyncio.create_task(sampler.run())
        try:
            while len(sampler._readings) < 3:
                await asyncio.sleep(0.01)
            made = "CREATE TABLE t AS SELECT generate_series(1, 999) AS n"
            await asyncio.to_thread(execute, pg_primary, database, made, "SELECT pg_stat_force_next_flush()")
            sampler.keep_on()
            while not any(hot.row.table_name == b"t" for sample in samples for hot in sample.hot):
                await asyncio.sleep(0.01)
            written = next(hot for sample in samples for hot in sample.hot if hot.row.table_name == b"t")
            count = len(samples)
            while len(samples) < count + 2:
                await asyncio.sleep(0.01)
            return list(book.told([written.range_id], node_id=7, now_s=time.time()))
        finally:
            running.cancel()
            await asyncio.wait({running})

    [found] = ask(pg_primary, work)
    assert len(found.times) == len(found.writes_per_second) >= 1
    assert all(at % history.STEP_S == 0 for at in found.times)
    assert max(value for value in found.writes_per_second if value is not None) > 0

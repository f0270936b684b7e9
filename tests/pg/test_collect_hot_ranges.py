"""The sampler on real servers: what leads, what it costs, and when it rests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import psycopg
import pytest

from fix_collect import WATCHER, ask, execute, number_databases, soon, value
from fix_engine import MakeServers, wait_for_replay
from rangeland.collect import hot_ranges
from rangeland.collect.databases import Databases
from rangeland.collect.hot_ranges import Sampler
from rangeland.collect.sizes import SizeBook
from rangeland.engine.server import SUPERUSER, PostgresServer
from rangeland.pg import Server
from rangeland.wire.hot_ranges import HotRange
from rangeland.wire.parts import HotParams, HotPart

T = TypeVar("T")
NODE_ID = 7


def with_sampler(pg: PostgresServer, work: Callable[[Sampler], Awaitable[T]], *databases: str) -> T:
    """Do the work while the sampler runs, after its first reading."""

    async def run(server: Server) -> T:
        allowed = Databases(server, number_databases, allowed=frozenset(databases))
        sampler = Sampler(server, allowed, SizeBook())
        running = asyncio.create_task(sampler.run())
        try:
            while len(sampler._readings) < 2 + len(databases):  # the shared catalogues, postgres, these
                await asyncio.sleep(0.01)
            return await work(sampler)
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    return ask(pg, run)


async def top(sampler: Sampler, **params: Any) -> HotPart:
    return await sampler.top(HotParams(**params), node_id=NODE_ID, deadline=soon())


def flushed(pg: PostgresServer, database: str, *statements: str) -> None:
    """Run the statements and let the server count them at once."""
    execute(pg, database, *statements, "SELECT pg_stat_force_next_flush()", "SELECT 1")


def of(database: str, ranges: list[HotRange]) -> list[str]:
    return [range_.table_name for range_ in ranges if range_.database_name == database]


def test_under_pgbench_the_accounts_lead(pg_primary: PostgresServer, database: str) -> None:
    home = pg_primary.workplace.make_directory(f"bench-{database}", for_server=True)
    passfile = pg_primary.make_passfile(home / "passfile", SUPERUSER)
    environment = {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(pg_primary.port),
        "PGUSER": SUPERUSER,
        "PGPASSFILE": str(passfile),
    }
    pgbench = pg_primary.binaries.tool("pgbench")

    def bench(*arguments: str) -> None:
        pg_primary.workplace.run([pgbench, *arguments, database], directory=home, env=environment)

    bench("--initialize", "--quiet", "--scale=2")

    async def work(sampler: Sampler) -> HotPart:
        load = ["--no-vacuum", "--rate=100", "--time=2", "--client=2"]
        await asyncio.to_thread(bench, *load)
        return await top(sampler)

    hot = with_sampler(pg_primary, work, database).ranges
    leader = hot[0]
    assert (leader.database_name, leader.table_name) == (database, "pgbench_accounts")
    assert (leader.schema_name, leader.indexes) == ("public", ["pgbench_accounts_pkey"])
    assert leader.qps == pytest.approx(2 * leader.writes_per_second, rel=0.2)  # one UPDATE, one SELECT
    assert leader.reads_per_second == pytest.approx(leader.qps, rel=0.2)
    assert leader.read_bytes_per_second == leader.buffers_per_second * 8192
    assert leader.size_bytes == value(
        pg_primary,
        database,
        "SELECT pg_relation_size('pgbench_accounts') + pg_relation_size('pgbench_accounts_pkey')",
    )
    assert [r.buffers_per_second for r in hot] == sorted((r.buffers_per_second for r in hot), reverse=True)
    assert leader.node_id == leader.store_id == NODE_ID


def test_indexes_and_toast_count_for_their_table(pg_primary: PostgresServer, database: str) -> None:
    wide = "(SELECT string_agg(md5(n::text), '') FROM generate_series(1, 2000) n)"
    flushed(
        pg_primary,
        database,
        "CREATE TABLE wide (id int PRIMARY KEY, note text)",
        f"INSERT INTO wide VALUES (1, {wide})",
        "CREATE TABLE narrow (id int PRIMARY KEY, note text)",
        "INSERT INTO narrow VALUES (1, 'a')",
        "VACUUM wide, narrow",
    )

    async def work(sampler: Sampler) -> HotPart:
        reads = [f"SELECT length(note || id) FROM {name} WHERE id = 1" for name in ("wide", "narrow")]
        await asyncio.to_thread(flushed, pg_primary, database, *(reads * 50))
        return await top(sampler)

    by_name = {r.table_name: r for r in with_sampler(pg_primary, work, database).ranges}
    assert by_name["wide"].buffers_per_second > 4 * by_name["narrow"].buffers_per_second
    assert by_name["wide"].qps == pytest.approx(by_name["narrow"].qps)
    assert by_name["narrow"].qps * 0.999 <= 50 / float(str(by_name["narrow"].window_seconds))


def test_a_standby_measures_its_own_readers(
    pg_primary: PostgresServer, pg_standby: PostgresServer, database: str
) -> None:
    execute(pg_primary, database, "CREATE TABLE read AS SELECT generate_series(1, 10000) AS n")
    execute(pg_primary, database, "CREATE TABLE unread AS SELECT generate_series(1, 10000) AS n")
    wait_for_replay(pg_primary, pg_standby)

    async def work(sampler: Sampler) -> HotPart:
        await asyncio.to_thread(flushed, pg_standby, database, *["SELECT count(*) FROM read"] * 10)
        return await top(sampler)

    assert of(database, with_sampler(pg_standby, work, database).ranges) == ["read"]


def test_counters_that_were_reset_are_no_rate(pg_primary: PostgresServer, database: str) -> None:
    flushed(pg_primary, database, "CREATE TABLE t AS SELECT generate_series(1, 50000) AS n")

    async def work(sampler: Sampler) -> HotPart:
        await asyncio.to_thread(flushed, pg_primary, database, "SELECT pg_stat_reset()", "SELECT count(*) FROM t")
        return await top(sampler)

    hot = with_sampler(pg_primary, work, database).ranges
    assert "t" not in of(database, hot)
    assert all(r.buffers_per_second > 0 and r.qps >= 0 and r.writes_per_second >= 0 for r in hot)


def test_pages_are_of_one_sample(pg_primary: PostgresServer, database: str) -> None:
    tables = [f"t{n}" for n in range(6)]
    flushed(pg_primary, database, *(f"CREATE TABLE {t} AS SELECT generate_series(1, 999) AS n" for t in tables))

    async def work(sampler: Sampler) -> tuple[HotPart, list[HotRange]]:
        reads = [f"SELECT count(*) FROM {t}" for n, t in enumerate(tables) for _ in range(n + 1)]
        await asyncio.to_thread(flushed, pg_primary, database, *reads)
        whole = await top(sampler)
        part = await top(sampler, limit=2)
        paged = part.ranges
        while part.next_index:
            part = await top(sampler, limit=2, index=part.next_index)
            paged = paged + part.ranges
        return whole, paged

    whole, paged = with_sampler(pg_primary, work, database)
    assert paged == whole.ranges
    assert of(database, paged) == tables[::-1]
    assert set(whole.spans) == {range_.range_id for range_ in whole.ranges}


def test_only_the_hottest_are_tracked(
    pg_primary: PostgresServer, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hot_ranges, "MAX_HOT", 3)
    names = [f"t{n}" for n in range(6)]

    async def work(sampler: Sampler) -> HotPart:
        made = [f"CREATE TABLE {t} AS SELECT generate_series(1, {999 * n + 1}) AS n" for n, t in enumerate(names)]
        await asyncio.to_thread(flushed, pg_primary, database, *made)
        return await top(sampler)

    part = with_sampler(pg_primary, work, database)
    assert len(part.ranges) == 3
    assert part.next_index == 0


def test_an_unlogged_range_is_named_as_such(pg_primary: PostgresServer, database: str) -> None:
    async def work(sampler: Sampler) -> HotPart:
        made = "CREATE UNLOGGED TABLE draft AS SELECT generate_series(1, 999) AS n"
        await asyncio.to_thread(flushed, pg_primary, database, made)
        return await top(sampler)

    part = with_sampler(pg_primary, work, database)
    names = {range_.range_id: range_.table_name for range_ in part.ranges}
    assert [names[range_id] for range_id in part.unlogged_range_ids] == ["draft"]


def test_a_range_tells_its_rates(pg_primary: PostgresServer, database: str) -> None:
    async def work(sampler: Sampler) -> tuple[float, float]:
        await asyncio.to_thread(flushed, pg_primary, database, "CREATE TABLE t AS SELECT generate_series(1, 100) n")
        (hot,) = [r for r in (await top(sampler)).ranges if r.database_name == database]
        sample = await sampler.latest(deadline=soon())
        assert sample is not None
        rates = sample.rates(hot.range_id)
        assert rates is not None
        return rates.tuples_written * rates.window_s, hot.writes_per_second * rates.window_s

    assert with_sampler(pg_primary, work, database) == pytest.approx((100, 100))


def test_nothing_is_read_while_nobody_asks(
    pg_primary: PostgresServer, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hot_ranges, "INTERVAL_S", 0.05)
    monkeypatch.setattr(hot_ranges, "SHORTEST_WINDOW_S", 0.01)
    monkeypatch.setattr(hot_ranges, "COST_FACTOR", 1.0)
    monkeypatch.setattr(hot_ranges, "WANTED_S", 0.5)

    async def work(sampler: Sampler) -> tuple[int, int, int]:
        samples: list[float] = []
        take = sampler._take_sample

        async def counted() -> Any:
            samples.append(time.monotonic())
            return await take()

        monkeypatch.setattr(sampler, "_take_sample", counted)
        await asyncio.sleep(0.4)
        unasked = len(samples)
        await top(sampler)
        await asyncio.sleep(1.0)
        asked = len(samples)
        await asyncio.sleep(0.5)
        return unasked, asked, len(samples)

    unasked, asked, later = with_sampler(pg_primary, work, database)
    assert unasked == 0
    assert asked > 2
    assert later - asked == 0


def test_who_asks_while_a_sample_is_taken_has_that_one_and_no_other_is_taken(
    pg_primary: PostgresServer, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hot_ranges, "SHORTEST_WINDOW_S", 0.01)

    async def work(sampler: Sampler) -> int:
        samples: list[float] = []
        take, may_go = sampler._take_sample, asyncio.Event()

        async def held() -> Any:
            samples.append(time.monotonic())
            await may_go.wait()
            return await take()

        monkeypatch.setattr(sampler, "_take_sample", held)
        first = asyncio.create_task(top(sampler))
        while not samples:
            await asyncio.sleep(0.01)
        second = asyncio.create_task(top(sampler))
        await asyncio.sleep(0.01)
        may_go.set()
        await asyncio.gather(first, second)
        await asyncio.sleep(0.3)
        return len(samples)

    assert with_sampler(pg_primary, work, database) == 1


def test_it_never_waits_for_a_lock(pg_primary: PostgresServer, database: str) -> None:
    execute(pg_primary, database, "CREATE TABLE t AS SELECT generate_series(1, 999) AS n")

    async def work(sampler: Sampler) -> HotPart:
        await asyncio.to_thread(flushed, pg_primary, database, "SELECT count(*) FROM t")
        with psycopg.connect(pg_primary.conninfo(database)) as connection:
            connection.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
            began = time.monotonic()
            part = await top(sampler)
            assert time.monotonic() - began < 3  # the shortest window, and not much more
        return part

    hot = with_sampler(pg_primary, work, database).ranges
    assert "t" in of(database, hot)


def test_a_server_that_comes_back_is_sampled_again(
    make_servers: MakeServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash makes the counters begin anew: the first window after it shows nothing that isn't true."""
    monkeypatch.setattr(hot_ranges, "INTERVAL_S", 0.2)
    monkeypatch.setattr(hot_ranges, "SHORTEST_WINDOW_S", 0.1)
    (pg,) = make_servers(1)
    pg.create_role(WATCHER, "LOGIN IN ROLE pg_monitor")
    flushed(pg, "postgres", "CREATE TABLE t AS SELECT generate_series(1, 50000) AS n")

    async def work(sampler: Sampler) -> list[str]:
        await asyncio.to_thread(pg.kill)
        await asyncio.to_thread(pg.start)
        give_up = time.monotonic() + 15
        while time.monotonic() < give_up:
            await asyncio.to_thread(flushed, pg, "postgres", "SELECT count(*) FROM t")
            hot = (await top(sampler)).ranges
            assert all(r.reads_per_second >= 0 and r.buffers_per_second >= 0 for r in hot)
            if "t" in of("postgres", hot):
                return of("postgres", hot)
        return []

    assert "t" in with_sampler(pg, work)

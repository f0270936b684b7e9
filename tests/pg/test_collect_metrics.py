"""Each figure of a server is what the server itself says, on a primary and on a standby."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing

import psycopg
import pytest

from fix_cluster import wait_until
from fix_collect import WATCHER, ask, execute, soon, value
from fix_engine import MakeServers, wait_for_replay
from rangeland.collect.metrics import METRIC_BY_NAME, OF_A_NODE, OF_A_STORE
from rangeland.collect.nodes import NodeFacts, StatusCollector
from rangeland.engine.server import PostgresServer
from rangeland.pg import Server

FACTS = NodeFacts(build_tag="v9", http_address="a:1", sql_address="a:2", started_at_ns=1)
PROMISED = 25  # of a node, at least
ONE_SIDED = {"pg.replication.receiving", "pg.replication.delay.seconds"}  # a primary has none
NEEDS_EXTENSION = "sql.query.count"


def metrics_of(pg: PostgresServer, *, readings: int = 1) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Of the node and of its store, as last read."""

    async def work(server: Server) -> tuple[Mapping[str, float], Mapping[str, float]]:
        collector = StatusCollector(server, FACTS, count_ranges=lambda: 3)
        try:
            for _ in range(readings):
                status = (await collector.collect(node_id=1, deadline=soon())).status
            return status.metrics, status.store_metrics[1]
        finally:
            await collector.close()

    return ask(pg, work)


def store_of(pg: PostgresServer) -> Mapping[str, float]:
    return metrics_of(pg)[1]


def test_a_primary_and_a_standby_tell_far_more_than_25_metrics(
    pg_primary: PostgresServer, pg_standby: PostgresServer
) -> None:
    for pg in (pg_primary, pg_standby):
        node, store = metrics_of(pg)
        assert len(node) + len(store) >= 2 * PROMISED
        assert node.keys() <= {each.name for each in OF_A_NODE}
        assert store.keys() <= {each.name for each in OF_A_STORE}


def test_what_is_missing_is_what_has_no_meaning_there(pg_primary: PostgresServer, pg_standby: PostgresServer) -> None:
    wait_for_replay(pg_primary, pg_standby)
    unknown = set()
    if value(pg_primary, "postgres", "SELECT current_setting('data_checksums')") == "off":
        unknown.add("pg.checksum_failures")
    missing = [
        METRIC_BY_NAME.keys() - node.keys() - store.keys()
        for node, store in map(metrics_of, (pg_primary, pg_standby))
    ]
    # The standby feeds no other standby, and nobody has a slot there.
    behind_it = {"pg.wal.retained.bytes"}
    assert missing == [unknown | ONE_SIDED | {NEEDS_EXTENSION}, unknown | behind_it | {NEEDS_EXTENSION}]


def test_settings_ages_and_sums_are_the_server_s(pg_primary: PostgresServer) -> None:
    store = store_of(pg_primary)
    same = {
        "pg.connections.max": "SELECT current_setting('max_connections')::int",
        "pg.xid.freeze_max_age": "SELECT current_setting('autovacuum_freeze_max_age')::int",
        "pg.replication.slots": "SELECT count(*) FROM pg_replication_slots",
        "pg.replication.standbys": "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'",
        "pg.archiver.archived": "SELECT archived_count FROM pg_stat_archiver",
    }
    assert {name: store[name] for name in same} == {
        name: value(pg_primary, "postgres", sql) for name, sql in same.items()
    }
    grown = {
        "pg.xid.age": "SELECT max(age(datfrozenxid)) FROM pg_database",
        "pg.uptime.seconds": "SELECT extract(epoch FROM now() - pg_postmaster_start_time())::float8",
        "pg.sessions": "SELECT sum(sessions)::int8 FROM pg_stat_database",
        "pg.wal.records": "SELECT wal_records FROM pg_stat_wal",
        "pg.cache.hits": "SELECT sum(blks_hit)::int8 FROM pg_stat_database",
    }
    for name, sql in grown.items():
        assert 0 < store[name] <= value(pg_primary, "postgres", sql), name


def test_an_open_transaction_ages_and_its_end_is_seen(pg_primary: PostgresServer) -> None:
    with closing(psycopg.connect(pg_primary.conninfo())) as client:
        client.execute("SELECT 1")
        begun = time.monotonic()
        time.sleep(0.3)  # an age is what is measured
        store = store_of(pg_primary)
        assert 0.3 <= store["pg.transactions.oldest.seconds"] <= time.monotonic() - begun + 0.5
        assert store["pg.connections.idle_in_transaction"] == 1
        client.rollback()
        assert store_of(pg_primary)["pg.transactions.oldest.seconds"] < 0.3


def test_a_waiting_session_is_counted(pg_primary: PostgresServer, database: str) -> None:
    execute(pg_primary, database, "CREATE TABLE t ()")
    with (
        closing(psycopg.connect(pg_primary.conninfo(database))) as holder,
        closing(psycopg.connect(pg_primary.conninfo(database))) as waiter,
    ):
        holder.execute("LOCK TABLE t")
        assert store_of(pg_primary)["pg.connections.waiting_for_lock"] == 0
        waiter.pgconn.send_query(b"BEGIN; LOCK TABLE t")
        wait_until(lambda: store_of(pg_primary)["pg.connections.waiting_for_lock"] == 1, "the lock is waited for")
        waiter.cancel_safe()


def test_a_deadlock_and_temporary_files_are_counted(pg_primary: PostgresServer, database: str) -> None:
    before = store_of(pg_primary)
    execute(
        pg_primary,
        database,
        "SET work_mem = '64kB'; SELECT count(*) FROM (SELECT generate_series(1, 100000) ORDER BY 1)_",
    )
    with (
        closing(psycopg.connect(pg_primary.conninfo(database))) as one,
        closing(psycopg.connect(pg_primary.conninfo(database))) as other,
    ):
        one.execute("SET deadlock_timeout = '10ms'")
        one.execute("SELECT pg_advisory_xact_lock(1)")
        other.execute("SELECT pg_advisory_xact_lock(2)")
        other.pgconn.send_query(b"SELECT pg_advisory_xact_lock(1)")
        wait_until(lambda: store_of(pg_primary)["pg.connections.waiting_for_lock"] == 1, "the first waits")
        with pytest.raises(psycopg.errors.DeadlockDetected):
            one.execute("SELECT pg_advisory_xact_lock(2)")

    def is_counted() -> bool:
        after = store_of(pg_primary)
        names = ("pg.deadlocks", "pg.temp.files", "pg.temp.bytes")
        return all(after[name] > before[name] for name in names)

    wait_until(is_counted, "the server's statistics have both")


def test_lag_grows_in_bytes_and_seconds_while_replay_is_paused(
    pg_primary: PostgresServer, pg_standby: PostgresServer, replayed_database: str
) -> None:
    execute(pg_standby, "postgres", "SELECT pg_wal_replay_pause()")
    try:
        execute(pg_primary, replayed_database, "CREATE TABLE t AS SELECT generate_series(1, 10000) AS n")

        def is_told() -> bool:
            primary, standby = store_of(pg_primary), store_of(pg_standby)
            bytes_behind = [store["pg.replication.lag.bytes"] for store in (primary, standby)]
            return min(bytes_behind) > 100_000 and standby["pg.replication.lag.seconds"] > 0.2

        wait_until(is_told, "both sides tell how far behind it is")
        assert store_of(pg_standby)["pg.replication.receiving"] == 1
    finally:
        execute(pg_standby, "postgres", "SELECT pg_wal_replay_resume()")
    wait_for_replay(pg_primary, pg_standby)

    def has_caught_up() -> bool:
        names = ("pg.replication.lag.bytes", "pg.replication.lag.seconds")
        return [store_of(pg)[name] for pg in (pg_primary, pg_standby) for name in names] == [0, 0, 0, 0]

    wait_until(has_caught_up, "nothing is left to replay")


def test_a_primary_tells_the_seconds_that_its_slowest_standby_takes(
    make_servers: MakeServers, server_version: int
) -> None:
    """The standby holds back each commit for half a second."""
    primary, standby = make_servers(2, server_version)
    primary.create_role(WATCHER, "LOGIN IN ROLE pg_monitor")
    wait_for_replay(primary, standby)
    standby.configure(recovery_min_apply_delay="1s")

    def is_measured() -> bool:
        execute(primary, "postgres", "CREATE TABLE IF NOT EXISTS t (n int)", "INSERT INTO t VALUES (1)")
        return store_of(primary).get("pg.replication.lag.seconds", 0) > 0.4

    wait_until(is_measured, "the primary has measured the delay", timeout_s=20, poll_s=0.2)


def test_prepared_transactions_archiving_and_statements_are_counted(
    make_servers: MakeServers, server_version: int
) -> None:
    (pg,) = make_servers(1, server_version)
    pg.create_role(WATCHER, "LOGIN IN ROLE pg_monitor")
    before, store_before = metrics_of(pg, readings=2)
    assert NEEDS_EXTENSION not in before
    assert (store_before["pg.transactions.prepared"], store_before["pg.transactions.prepared.oldest.seconds"]) == (
        0,
        0,
    )
    pg.configure(
        max_prepared_transactions=2,
        archive_mode="on",
        archive_command="false",
        shared_preload_libraries="pg_stat_statements",
    )
    execute(
        pg, "postgres", 'CREATE SCHEMA "odd \'schema"', 'CREATE EXTENSION pg_stat_statements SCHEMA "odd \'schema"'
    )
    assert NEEDS_EXTENSION not in metrics_of(pg)[0], "it is there, but the server hasn't loaded it"
    pg.stop()
    pg.start()
    execute(pg, "postgres", "BEGIN; CREATE TABLE t (); PREPARE TRANSACTION 'forgotten'", "SELECT pg_switch_wal()")
    wait_until(lambda: store_of(pg)["pg.archiver.failed"] > 0, "archiving has failed")
    node, store = metrics_of(pg)
    assert NEEDS_EXTENSION not in node, "the schema is closed to pg_monitor"
    assert store["pg.checkpoints.requested"] > 0, "which takes nothing else away"
    assert store["pg.transactions.prepared"] == 1
    assert store["pg.transactions.prepared.oldest.seconds"] > 0
    execute(pg, "postgres", 'GRANT USAGE ON SCHEMA "odd \'schema" TO pg_monitor')
    assert metrics_of(pg)[0][NEEDS_EXTENSION] == 0, "counted from the first reading on"
    execute(pg, "postgres", "ROLLBACK PREPARED 'forgotten'")
    assert store_of(pg)["pg.transactions.prepared"] == 0


def test_statements_are_counted_between_two_readings(
    make_servers: MakeServers, server_version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rangeland.collect.nodes.COUNTERS_AGE_S", 0.0)
    (pg,) = make_servers(1, server_version)
    pg.create_role(WATCHER, "LOGIN IN ROLE pg_monitor")
    pg.configure(shared_preload_libraries="pg_stat_statements")
    pg.stop()
    pg.start()
    execute(pg, "postgres", "CREATE EXTENSION pg_stat_statements")

    async def work(server: Server) -> list[float]:
        collector = StatusCollector(server, FACTS)
        counts = []
        for _ in range(2):
            counts.append((await collector.collect(node_id=1, deadline=soon())).status.metrics[NEEDS_EXTENSION])
            execute(pg, "postgres", *["SELECT 1"] * 50)
        counts.append((await collector.collect(node_id=1, deadline=soon())).status.metrics[NEEDS_EXTENSION])
        await collector.close()
        return counts

    first, second, third = ask(pg, work)
    assert first == 0
    assert 50 <= second < 70
    assert 50 <= third - second < 70

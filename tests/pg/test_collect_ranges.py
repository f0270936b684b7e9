"""This server's ranges: which there are, their pages, their sizes, and that no lock makes anybody wait."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import psycopg

from fix_collect import ask, execute, number_databases, soon, value
from fix_engine import wait_for_replay
from rangeland.collect.databases import Databases
from rangeland.collect.hot_ranges import Sampler
from rangeland.collect.ranges import RangeCollector, RangeContext
from rangeland.collect.sizes import SizeBook
from rangeland.engine.server import PostgresServer
from rangeland.pg import Server
from rangeland.wire.json import decode
from rangeland.wire.parts import ListPart, RangeParams, RangesParams
from rangeland.wire.ranges import RangeInfo

T = TypeVar("T")
CONTEXT = RangeContext(node_id=7, leaseholder_node_id=3, timeline=5)
ACCOUNTS = "CREATE TABLE accounts (id int PRIMARY KEY, note text)"


class Quiet(Sampler):
    """A sampler that has measured nothing, and makes nobody wait."""

    async def latest(self, *, deadline: float) -> None:
        return None


def with_collector(pg: PostgresServer, work: Callable[[RangeCollector], Awaitable[T]], *databases: str) -> T:
    async def run(server: Server) -> T:
        book = SizeBook()
        allowed = Databases(server, number_databases, allowed=frozenset(databases))
        return await work(RangeCollector(server, allowed, Quiet(server, allowed, book), book))

    return ask(pg, run)


def collect(pg: PostgresServer, *databases: str, context: RangeContext = CONTEXT, **params: Any) -> list[RangeInfo]:
    """The ranges, without those of the database `postgres` and what all databases share."""

    async def work(collector: RangeCollector) -> ListPart:
        return await collector.collect_ranges(RangesParams(**params), context=context, deadline=soon())

    infos = infos_of(with_collector(pg, work, *databases))
    return [info for info in infos if info.database in databases]


def infos_of(part: ListPart) -> list[RangeInfo]:
    return [decode(RangeInfo, item.body) for item in part.items]


def find(pg: PostgresServer, database: str, name: str) -> RangeInfo | None:
    """The range that the oid of a relation answers with."""
    database_oid = value(pg, "postgres", f"SELECT oid::int8 FROM pg_database WHERE datname = '{database}'")
    oid = value(pg, database, f"SELECT ({name})::oid::int8")
    return _find(pg, database, database_oid << 32 | oid)


def _find(pg: PostgresServer, database: str, range_id: int) -> RangeInfo | None:
    async def work(collector: RangeCollector) -> RangeInfo | None:
        part = await collector.collect_range(RangeParams(range_id=range_id), context=CONTEXT, deadline=soon())
        return part.range_info

    return with_collector(pg, work, database)


def test_a_range_is_a_table_with_its_indexes(pg_primary: PostgresServer, database: str) -> None:
    execute(pg_primary, database, ACCOUNTS, "CREATE INDEX by_note ON accounts (note)")
    (info,) = collect(pg_primary, database)
    assert (info.database, info.schema_name, info.table, info.kind) == (database, "public", "accounts", "table")
    assert [index.name for index in info.indexes] == ["accounts_pkey", "by_note"]
    assert info.span.start_key == f"/Table/{database}/public.accounts/Min"
    assert info.desc.end_key == f"/Table/{database}/public.accounts/Max".encode()
    oid = value(pg_primary, database, "SELECT 'accounts'::regclass::oid::int8")
    assert info.desc.range_id & 0xFFFF_FFFF == oid
    assert (info.source_node_id, info.source_store_id) == (7, 7)


def test_sizes_are_those_of_pg_relation_size(pg_primary: PostgresServer, database: str) -> None:
    fill = "SELECT n, string_agg(md5(n::text || m), '') FROM generate_series(1, 50) n, generate_series(1, 300) m"
    execute(
        pg_primary,
        database,
        ACCOUNTS,
        f"INSERT INTO accounts {fill} GROUP BY n",
        "CREATE INDEX by_half ON accounts ((id / 2))",
        "VACUUM accounts",
    )
    (info,) = collect(pg_primary, database)
    toast = "(SELECT reltoastrelid FROM pg_class WHERE oid = 'accounts'::regclass)"
    size = "SELECT pg_relation_size({})".format
    assert info.sizes is not None
    assert info.sizes.table_bytes == value(pg_primary, database, size("'accounts'")) > 0
    by_name = {index.name: index.size_bytes for index in info.indexes}
    assert by_name == {name: value(pg_primary, database, size(f"'{name}'")) for name in ("accounts_pkey", "by_half")}
    assert info.sizes.indexes_bytes == sum(size for size in by_name.values() if isinstance(size, int))
    toast_bytes = value(pg_primary, database, size(toast))
    toast_index = f"(SELECT indexrelid FROM pg_index WHERE indrelid = {toast})"
    assert toast_bytes > 100_000
    assert info.sizes.toast_bytes == toast_bytes + value(pg_primary, database, size(toast_index))
    sizes = info.sizes
    assert sizes.total_bytes == sizes.table_bytes + sizes.indexes_bytes + sizes.toast_bytes


def test_what_is_a_range_and_what_is_not(pg_primary: PostgresServer, database: str) -> None:
    execute(
        pg_primary,
        database,
        "CREATE TABLE parted (n int) PARTITION BY RANGE (n)",
        "CREATE TABLE low PARTITION OF parted FOR VALUES FROM (1) TO (10)",
        "CREATE TABLE rest PARTITION OF parted DEFAULT",
        "CREATE MATERIALIZED VIEW seen AS SELECT 1 AS one",
        "CREATE VIEW looked AS SELECT 1 AS one",
        "CREATE SEQUENCE counter",
        'CREATE SCHEMA "Odd/one"',
        'CREATE TABLE "Odd/one"."a.b" ()',
    )
    with psycopg.connect(pg_primary.conninfo(database), autocommit=True) as connection:
        connection.execute("CREATE TEMPORARY TABLE passing ()")
        infos = collect(pg_primary, database)
    assert {info.table: info.kind for info in infos} == {
        "low": "partition",
        "rest": "partition",
        "seen": "materialized view",
        "a.b": "table",
    }
    key_by_table = {info.table: (info.span.start_key, info.span.end_key) for info in infos}
    prefix = f"/Table/{database}"
    assert key_by_table["low"] == (f"{prefix}/public.parted/(1)", f"{prefix}/public.parted/(10)")
    assert key_by_table["rest"][0] == f"{prefix}/public.parted/DEFAULT/Min"
    assert key_by_table["a.b"][0] == f'{prefix}/"Odd/one"."a.b"/Min'


def test_shared_catalogues_come_once_and_first_and_a_databases_own_when_asked(
    pg_primary: PostgresServer, database: str
) -> None:
    async def work(collector: RangeCollector) -> tuple[ListPart, ListPart]:
        plain = await collector.collect_ranges(RangesParams(), context=CONTEXT, deadline=soon())
        system = await collector.collect_ranges(RangesParams(system=True), context=CONTEXT, deadline=soon())
        return plain, system

    plain, system = (infos_of(part) for part in with_collector(pg_primary, work, database))
    shared = [info for info in plain if info.desc.range_id >> 32 == 1]
    assert shared == plain[: len(shared)]
    assert "pg_authid" in {info.table for info in shared}
    assert {info.kind for info in shared} == {"catalog"}
    assert "pg_class" not in {info.table for info in plain}
    assert sorted(info.database for info in system if info.table == "pg_class") == sorted([database, "postgres"])
    assert [info.desc.range_id for info in system] == sorted(info.desc.range_id for info in system)


def test_pages_follow_one_another_across_databases(pg_primary: PostgresServer, database: str) -> None:
    execute(pg_primary, database, *(f"CREATE TABLE t{n} ()" for n in range(5)))

    async def work(collector: RangeCollector) -> tuple[list[RangeInfo], list[RangeInfo], list[int]]:
        everything = await collector.collect_ranges(RangesParams(), context=CONTEXT, deadline=soon())
        paged: list[RangeInfo] = []
        nexts = [0]
        while not paged or nexts[-1]:
            params = RangesParams(limit=3, offset=nexts[-1])
            page = await collector.collect_ranges(params, context=CONTEXT, deadline=soon())
            assert len(page.items) <= 3
            paged += infos_of(page)
            nexts.append(page.next_index)
        return infos_of(everything), paged, nexts

    everything, paged, nexts = with_collector(pg_primary, work, database)
    assert [info.desc.range_id for info in paged] == [info.desc.range_id for info in everything]
    assert nexts == [*range(0, len(everything), 3), 0]


def test_the_last_page_says_that_it_is_the_last(pg_primary: PostgresServer, database: str) -> None:
    execute(pg_primary, database, "CREATE TABLE t ()")

    async def work(collector: RangeCollector) -> list[tuple[int, int]]:
        count = len((await collector.collect_ranges(RangesParams(), context=CONTEXT, deadline=soon())).items)
        asked = [RangesParams(limit=count), RangesParams(limit=count - 1), RangesParams(limit=5, offset=count)]
        parts = [await collector.collect_ranges(each, context=CONTEXT, deadline=soon()) for each in asked]
        return [(count - len(part.items), part.next_index and count - part.next_index) for part in parts]

    missing_and_next = with_collector(pg_primary, work, database)
    assert missing_and_next[:2] == [(0, 0), (1, 1)]
    assert missing_and_next[2][1] == 0


def test_given_ids_come_in_order_and_unknown_ones_are_passed_over(pg_primary: PostgresServer, database: str) -> None:
    execute(pg_primary, database, *(f"CREATE TABLE t{n} ()" for n in range(3)), "CREATE VIEW v AS SELECT 1 AS n")
    first, second, third = (info.desc.range_id for info in collect(pg_primary, database))
    view = value(pg_primary, database, "SELECT 'v'::regclass::oid::int8")
    unknown = [first + 100_000, first & ~0xFFFF_FFFF | view, 0, -1, 2**62, first % 2**32 | 1 << 32]
    found = collect(pg_primary, database, range_ids=[third, first, *unknown, first])
    assert [info.desc.range_id for info in found] == [first, third]
    page = collect(pg_primary, database, range_ids=[first, second, third], limit=1, offset=1)
    assert [info.desc.range_id for info in page] == [second]
    assert collect(pg_primary, database, range_ids=[]) == []


def test_an_index_and_toast_answer_with_their_table(pg_primary: PostgresServer, database: str) -> None:
    execute(pg_primary, database, ACCOUNTS)
    toast = "SELECT reltoastrelid FROM pg_class WHERE relname = 'accounts'"
    toast_index = f"SELECT indexrelid FROM pg_index WHERE indrelid = ({toast})"
    found = [
        find(pg_primary, database, name)
        for name in ("'accounts'::regclass", "'accounts_pkey'::regclass", toast, toast_index)
    ]
    assert [info and info.table for info in found] == ["accounts"] * 4
    assert len({info.desc.range_id for info in found if info}) == 1


def test_an_id_that_is_no_range_finds_nothing(pg_primary: PostgresServer, database: str) -> None:
    execute(pg_primary, database, "CREATE VIEW v AS SELECT 1 AS one")
    assert find(pg_primary, database, "'v'::regclass") is None
    assert find(pg_primary, database, "'pg_authid'::regclass") is None  # shared: number 1 only
    for range_id in (0, 1, 999_999 << 32 | 1260, 2**63 - 1):
        assert _find(pg_primary, database, range_id) is None
    shared = _find(pg_primary, database, 1 << 32 | 1260)
    assert shared is not None
    assert shared.table == "pg_authid"


def test_a_standby_has_the_same_ranges_but_no_unlogged_ones(
    pg_primary: PostgresServer, pg_standby: PostgresServer, database: str
) -> None:
    execute(pg_primary, database, ACCOUNTS, "CREATE UNLOGGED TABLE draft ()")
    wait_for_replay(pg_primary, pg_standby)
    on_primary, on_standby = collect(pg_primary, database), collect(pg_standby, database)
    assert [info.table for info in on_primary] == ["accounts", "draft"]
    assert [(info.table, info.desc) for info in on_standby] == [("accounts", on_primary[0].desc)]
    assert on_standby[0].sizes == on_primary[0].sizes


def test_the_lease_is_the_primarys(pg_primary: PostgresServer, database: str) -> None:
    execute(pg_primary, database, ACCOUNTS)
    (info,) = collect(pg_primary, database)
    (lease,) = info.lease_history
    assert (lease.replica.node_id, lease.replica.store_id, lease.epoch, lease.term) == (3, 3, 5, 5)
    without = RangeContext(node_id=7, leaseholder_node_id=0, timeline=0)
    assert collect(pg_primary, database, context=without)[0].lease_history == []


def test_problems_are_those_that_the_primary_knows(pg_primary: PostgresServer, database: str) -> None:
    execute(pg_primary, database, ACCOUNTS, "CREATE UNLOGGED TABLE draft ()")

    def problems(target: int | None, limit: int | None, *, node_id: int = 3) -> list[tuple[bool, bool]]:
        context = RangeContext(node_id, 3, 1, standby_target=target, retained_wal_limit_bytes=limit)
        infos = collect(pg_primary, database, context=context)
        return [(info.problems.underreplicated, info.problems.raft_log_too_large) for info in infos]

    assert problems(1, 2**40) == [(False, False), (False, False)]
    assert problems(2, -1) == [(True, True), (False, False)]  # an unlogged table isn't replicated
    assert problems(None, None) == [(False, False), (False, False)]
    assert problems(2, -1, node_id=4) == [(False, False), (False, False)]


def test_a_locked_table_makes_nobody_wait_and_shows_its_last_known_size(
    pg_primary: PostgresServer, database: str
) -> None:
    execute(pg_primary, database, ACCOUNTS, "CREATE TABLE free (n int)", "INSERT INTO accounts VALUES (1, 'a')")

    async def work(collector: RangeCollector) -> list[list[RangeInfo]]:
        answers: list[list[RangeInfo]] = []

        async def list_ranges() -> None:
            part = await collector.collect_ranges(RangesParams(), context=CONTEXT, deadline=soon())
            answers.append([info for info in infos_of(part) if info.database == database])

        await list_ranges()
        with psycopg.connect(pg_primary.conninfo(database)) as connection:
            connection.execute("LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE")
            began = time.monotonic()
            await list_ranges()
            assert time.monotonic() - began < 2
        return answers

    before, locked = with_collector(pg_primary, work, database)
    assert [info.sizes for info in locked] == [info.sizes for info in before]
    assert isinstance(locked[0].size_age_seconds, float)
    assert locked[0].size_age_seconds > 0
    assert not isinstance(locked[1].size_age_seconds, float)


def test_a_table_that_was_always_locked_has_no_size(pg_primary: PostgresServer, database: str) -> None:
    execute(pg_primary, database, ACCOUNTS)
    with psycopg.connect(pg_primary.conninfo(database)) as connection:
        connection.execute("LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE")
        (info,) = collect(pg_primary, database)
    assert info.sizes is None
    assert [index.name for index in info.indexes] == ["accounts_pkey"]


def test_a_table_whose_lock_is_only_awaited_makes_nobody_wait(pg_primary: PostgresServer, database: str) -> None:
    """Whoever comes behind one who awaits the lock would wait, too."""
    execute(pg_primary, database, ACCOUNTS)
    with (
        psycopg.connect(pg_primary.conninfo(database)) as reader,
        psycopg.connect(pg_primary.conninfo(database), autocommit=True) as waiter,
    ):
        reader.execute("LOCK TABLE accounts IN ACCESS SHARE MODE")
        waiter.pgconn.send_query(b"LOCK TABLE accounts; SELECT 1")
        while not value(pg_primary, database, "SELECT count(*) FROM pg_locks WHERE NOT granted"):
            time.sleep(0.01)
        began = time.monotonic()
        (info,) = collect(pg_primary, database)
        assert time.monotonic() - began < 2
        reader.rollback()
        while waiter.pgconn.get_result() is not None:
            pass
    assert info.sizes is None


def test_a_database_that_is_dropped_meanwhile_is_passed_over(pg_primary: PostgresServer, database: str) -> None:
    execute(pg_primary, database, ACCOUNTS)

    async def work(server: Server) -> tuple[list[str], object]:
        databases = Databases(server, number_databases)
        (found,) = [each for each in await databases.list(deadline=soon()) if each.name == database]
        execute(pg_primary, "postgres", f"DROP DATABASE {database} WITH (FORCE)")

        async def never(fetch: object) -> str:
            return "visited"

        visited = await databases.read(found, never, deadline=soon())
        return [each.name for each in await databases.list(deadline=soon())], visited

    names, visited = ask(pg_primary, work)
    assert database not in names
    assert visited is None


def test_a_visit_leaves_no_connection_behind(pg_primary: PostgresServer, database: str) -> None:
    """An idle connection would make DROP DATABASE fail."""
    execute(pg_primary, database, ACCOUNTS)

    async def work(collector: RangeCollector) -> None:
        await collector.collect_ranges(RangesParams(), context=CONTEXT, deadline=soon())
        give_up = time.monotonic() + 2
        while True:
            try:
                execute(pg_primary, "postgres", f"ALTER DATABASE {database} RENAME TO {database}_renamed")
                break
            except psycopg.errors.ObjectInUse:
                assert time.monotonic() < give_up
        execute(pg_primary, "postgres", f"ALTER DATABASE {database}_renamed RENAME TO {database}")

    with_collector(pg_primary, work, database)


def test_databases_that_refuse_us_are_not_visited(pg_primary: PostgresServer, database: str) -> None:
    execute(pg_primary, "postgres", f"REVOKE CONNECT ON DATABASE {database} FROM PUBLIC")

    async def work(server: Server) -> list[str]:
        return [each.name for each in await Databases(server, number_databases).list(deadline=soon())]

    names = ask(pg_primary, work)
    assert "postgres" in names
    assert not {database, "template0", "template1"} & set(names)


def test_a_database_without_a_number_is_left_out(pg_primary: PostgresServer, database: str) -> None:
    """With no primary, nobody can give it one."""

    async def unnumbered(oids: list[int], *, deadline: float) -> dict[int, int]:
        return {0: 1}

    async def work(server: Server) -> int:
        return len(await Databases(server, unnumbered).list(deadline=soon()))

    assert ask(pg_primary, work) == 0

"""What the checks read: databases one after the other, as often as it costs little, and never more than is kept."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
import psycopg
import pytest

from fix_collect import ask, execute, number_databases, soon
from rangeland.checks.indexes import DUPLICATE, DuplicateRow
from rangeland.checks.settings import SETTINGS, SettingRow
from rangeland.checks.table import READINGS
from rangeland.collect import problems
from rangeland.collect.databases import Databases, Fetch, Place
from rangeland.collect.problems import ProblemCollector
from rangeland.engine.server import PostgresServer
from rangeland.pg import Server
from rangeland.sql import block
from rangeland.wire.nodes import NodeStatus
from rangeland.wire.parts import ProblemsPart, StatusPart

T = TypeVar("T")
TWICE = ("CREATE TABLE twice (a int)", "CREATE INDEX one ON twice (a)", "CREATE INDEX two ON twice (a)")


class Held(Databases):
    """Visits wait until they may go."""

    def __init__(self, server: Server, *databases: str) -> None:
        super().__init__(server, number_databases, allowed=frozenset(databases))
        self.visits: list[str] = []
        self.asked: list[tuple[str, str]] = []  # database and reading, as they were fetched
        self.may_go = asyncio.Event()
        self.may_go.set()

    async def read(self, database: Place, work: Callable[[Fetch], Awaitable[T]], *, deadline: float) -> T | None:
        self.visits.append(database.name)
        await self.may_go.wait()
        return await super().read(database, lambda at: work(Noting(at, database.name, self.asked)), deadline=deadline)


class Noting:
    """A place that writes down what is fetched from it."""

    def __init__(self, place: Fetch, database: str, asked: list[tuple[str, str]]) -> None:
        self._place = place
        self._database = database
        self._asked = asked

    async def fetch(self, resource: str, name: str, /, *, deadline: float, **params: Any) -> list[tuple[Any, ...]]:
        self._asked.append((self._database, name))
        return await self._place.fetch(resource, name, deadline=deadline, **params)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._place, name)


Story = Callable[[ProblemCollector, Held], Awaitable[T]]


def with_collector(pg: PostgresServer, story: Story[T], *databases: str, cpu_percent: float = 1) -> T:
    async def run(server: Server) -> T:
        async def status(_deadline: float) -> StatusPart:
            return StatusPart(status=msgspec.convert(STATUS, NodeStatus), server_up=server.down is None)

        held = Held(server, *databases)
        collector = ProblemCollector(server, held, READINGS, status, cpu_percent=cpu_percent)
        try:
            return await story(collector, held)
        finally:
            await collector.close()

    return ask(pg, run)


STATUS: dict[str, Any] = {
    "node_id": 7,
    "address": {"network_field": "tcp", "address_field": "here:1"},
    "attrs": {},
    "locality": {"tiers": []},
    "ServerVersion": dict.fromkeys(("major", "minor", "patch", "internal", "major_val", "minor_val"), 0),
    "build_tag": "",
    "started_at": 1,
    "cluster_name": "",
    "sql_address": {"network_field": "tcp", "address_field": "here:2"},
    "metrics": {},
    "liveness_status": 3,
}


async def collect(collector: ProblemCollector) -> ProblemsPart:
    return await collector.collect(node_id=7, deadline=soon())


def duplicates(part: ProblemsPart, database: str) -> list[str]:
    rows = msgspec.json.decode(part.rows.get(DUPLICATE.name, b"[]"), type=list[DuplicateRow])
    return [row.index for row in rows if row.database == database]


def test_a_database_s_rows_are_there_with_the_first_answer(pg_primary: PostgresServer, database: str) -> None:
    execute(pg_primary, database, *TWICE)

    async def story(collector: ProblemCollector, _held: Held) -> ProblemsPart:
        return await collect(collector)

    part = with_collector(pg_primary, story, database)
    assert duplicates(part, database) == ["two"]
    assert part.unchecked == []


@pytest.mark.parametrize(
    ("sign", "statements"),
    [
        ("", ("CREATE TABLE plain (a int)", "CREATE INDEX ON plain (a)")),
        ("duplicate_indexes", TWICE),
        ("unlogged_tables", ("CREATE UNLOGGED TABLE fast (a int)",)),
        ("sequences", ("CREATE SEQUENCE numbers",)),
        ("collations", ("CREATE COLLATION own (locale = 'C.utf8')", "CREATE TABLE sorted (a text COLLATE own)")),
        (
            "empty_space",
            ("CREATE TABLE large AS SELECT repeat('-', 1900) FROM generate_series(1, 600)", "ANALYZE large"),
        ),
    ],
)
def test_only_readings_that_could_find_something_are_asked_and_of_the_others_it_is_known(
    pg_primary: PostgresServer, database: str, sign: str, statements: tuple[str, ...]
) -> None:
    execute(pg_primary, database, *statements)

    async def story(collector: ProblemCollector, held: Held) -> tuple[list[str], ProblemsPart]:
        part = await collect(collector)
        return [name for where, name in held.asked if where == database], part

    asked, part = with_collector(pg_primary, story, database)
    assert asked == [each for each in ("signs", sign) if each]
    signs = {column.name for column in block("problems", "signs", 150000).returns}
    assert signs <= part.rows.keys()
    assert signs <= {reading.name for reading in READINGS if reading.in_each_database}
    assert part.unchecked == []


def test_it_is_read_again_when_it_is_due_and_not_before(pg_primary: PostgresServer, database: str) -> None:
    async def story(collector: ProblemCollector, held: Held) -> list[str]:
        for _ in range(3):
            await collect(collector)
        return held.visits

    visits = with_collector(pg_primary, story, database)
    assert visits.count(database) == 1
    visits = with_collector(pg_primary, story, database, cpu_percent=math.inf)
    assert visits.count(database) == 3


def test_settings_are_read_again_when_the_server_has_read_its_configuration_and_not_before(
    pg_primary: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    async def work_mem(collector: ProblemCollector) -> str:
        rows = msgspec.json.decode((await collect(collector)).rows[SETTINGS.name], type=list[SettingRow])
        return next(row.value for row in rows if row.name == "work_mem")

    async def story(collector: ProblemCollector, _held: Held) -> tuple[str, str, str]:
        monkeypatch.setattr(collector, "_server", Noting(collector._server, "server", asked))
        found = await work_mem(collector), await work_mem(collector)
        assert asked.count(("server", SETTINGS.name)) == 1
        pg_primary.configure(work_mem="5MB")
        while (changed := await work_mem(collector)) == found[0]:
            await asyncio.sleep(0)
        return *found, changed

    before = (pg_primary.data_dir / "postgresql.conf").read_text("utf-8")
    try:
        assert with_collector(pg_primary, story) == ("4MB", "4MB", "5MB")
    finally:
        (pg_primary.data_dir / "postgresql.conf").write_text(before, "utf-8")
        pg_primary.configure()


def test_many_databases_are_read_as_often_as_all_of_them_together_allow(
    pg_primary: PostgresServer, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(problems, "ALL_DATABASES", 1e-6)

    async def story(collector: ProblemCollector, held: Held) -> list[str]:
        for _ in range(3):
            await collect(collector)
        return held.visits

    visits = with_collector(pg_primary, story, database, cpu_percent=1e5)  # one is due again at once
    assert visits.count(database) == 1


def test_who_asks_while_it_is_read_takes_what_is_known_and_begins_nothing(
    pg_primary: PostgresServer, database: str
) -> None:
    """Only who began the visit waits, and not for long."""
    execute(pg_primary, database, *TWICE)

    async def story(collector: ProblemCollector, held: Held) -> tuple[float, ProblemsPart, float]:
        now = asyncio.get_running_loop().time
        await collect(collector)
        held.may_go.clear()
        held.visits.clear()
        begun = now()
        first = asyncio.create_task(collect(collector))
        while not held.visits:
            await asyncio.sleep(0)
        asked = now()
        second = await collect(collector)
        second_s = now() - asked
        assert not first.done(), "it waits for its visit"
        await first
        first_s = now() - begun
        assert len(held.visits) == 1
        held.may_go.set()
        return second_s, second, first_s

    second_s, second, first_s = with_collector(pg_primary, story, database, cpu_percent=math.inf)
    assert second_s < problems.PATIENCE_S / 2
    assert first_s < problems.PATIENCE_S + 0.5
    assert duplicates(second, database) == ["two"]
    assert second.unchecked == []


def test_one_that_is_being_read_for_the_first_time_is_unchecked_until_it_is(
    pg_primary: PostgresServer, database: str
) -> None:
    execute(pg_primary, database, *TWICE)

    async def story(collector: ProblemCollector, held: Held) -> tuple[ProblemsPart, ProblemsPart]:
        held.may_go.clear()
        early = await collect(collector)
        held.may_go.set()
        return early, await collect(collector)

    early, late = with_collector(pg_primary, story, database)
    assert database in {each.database for each in early.unchecked}
    assert duplicates(early, database) == []
    assert duplicates(late, database) == ["two"]
    assert late.unchecked == []


def test_only_those_that_may_be_visited_are(pg_primary: PostgresServer, database: str) -> None:
    async def story(collector: ProblemCollector, held: Held) -> list[str]:
        await collect(collector)
        return held.visits

    assert database not in with_collector(pg_primary, story, "another")
    assert database in with_collector(pg_primary, story, database)


def test_what_a_dropped_database_said_is_forgotten(pg_primary: PostgresServer, database: str) -> None:
    gone = f"{database}_gone"
    execute(pg_primary, "postgres", f"CREATE DATABASE {gone}")
    execute(pg_primary, gone, *TWICE)

    async def story(collector: ProblemCollector, _held: Held) -> tuple[ProblemsPart, ProblemsPart]:
        before = await collect(collector)
        await asyncio.to_thread(execute, pg_primary, "postgres", f"DROP DATABASE {gone}")
        return before, await collect(collector)

    before, after = with_collector(pg_primary, story, gone)
    assert duplicates(before, gone) == ["two"]
    assert duplicates(after, gone) == []
    assert after.unchecked == []


def test_of_many_rows_only_the_worst_are_kept(
    pg_primary: PostgresServer, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(pg_primary, database, *TWICE, *(f"CREATE INDEX more_{n} ON twice (a)" for n in range(5)))
    monkeypatch.setattr(problems, "ROWS", 0)
    monkeypatch.setattr(problems, "LEAST_ROWS", 4)

    async def story(collector: ProblemCollector, _held: Held) -> ProblemsPart:
        return await collect(collector)

    assert len(duplicates(with_collector(pg_primary, story, database), database)) == 4


def test_a_locked_catalogue_is_told_and_the_other_databases_read(pg_primary: PostgresServer, database: str) -> None:
    other = f"{database}_locked"
    execute(pg_primary, "postgres", f"CREATE DATABASE {other}")
    execute(pg_primary, database, *TWICE)

    async def story(collector: ProblemCollector, _held: Held) -> ProblemsPart:
        return await collect(collector)

    with psycopg.connect(pg_primary.conninfo(other)) as holder:
        holder.execute("LOCK TABLE pg_catalog.pg_index IN ACCESS EXCLUSIVE MODE")
        part = with_collector(pg_primary, story, database, other)
    execute(pg_primary, "postgres", f"DROP DATABASE {other} WITH (FORCE)")
    assert duplicates(part, database) == ["two"]
    assert {each.database for each in part.unchecked} == {other}

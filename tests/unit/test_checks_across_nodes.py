"""What only a look at all nodes can tell, of rows that no server here would give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Raw

from rangeland.checks import data, rangeland, sequences, settings
from rangeland.checks.check import Check, View
from rangeland.merge.part import Part
from rangeland.wire.json import encode
from rangeland.wire.nodes import Address, Attrs, Liveness, Locality, NodeStatus, ServerVersion
from rangeland.wire.parts import ProblemsPart, StatusPart
from rangeland.wire.problems import Problem

OLD, NEW = "2.31", "2.36"


def judged(
    check: Check,
    rows_by_node: Sequence[Mapping[str, Sequence[Any]]],
    *,
    clock_offset_s: Mapping[int, float] | None = None,
) -> list[Problem]:
    """Of nodes 1, 2, …; the first is the primary's."""
    parts = [
        Part(
            node_id,
            value=ProblemsPart(
                status=status(node_id), rows={name: Raw(encode(list(found))) for name, found in rows.items()}
            ),
        )
        for node_id, rows in enumerate(rows_by_node, 1)
    ]
    view = View(parts, limits={}, now=datetime(2026, 1, 1, tzinfo=UTC), clock_offset_s=clock_offset_s)
    return list(check.judge(view))


def status(node_id: int) -> StatusPart:
    address = Address("tcp", "localhost:1")
    told = NodeStatus(
        node_id=node_id,
        address=address,
        attrs=Attrs(),
        locality=Locality([]),
        ServerVersion=ServerVersion(major=18, minor=6, patch=0, internal=0, major_val=18, minor_val=6),
        build_tag="v1",
        started_at=1,
        cluster_name="",
        sql_address=address,
        liveness_status=Liveness.LIVE,
    )
    return StatusPart(status=told, server_up=True, role="primary" if node_id == 1 else "standby", timeline=1)


def database(read_with: str, *, made_with: str = OLD, name: str = "shop") -> data.DatabaseRow:
    return data.DatabaseRow(name, 0, None, "en_US.UTF-8", made_with, read_with)


def collation(read_with: str) -> data.CollationRow:
    return data.CollationRow("shop", "public", "german", 16400, OLD, read_with, 3)


def test_a_standby_with_another_library_is_one_problem_of_all_that_it_sorts() -> None:
    states = [[database(version), database(version, name="store")] for version in (OLD, NEW, OLD)]
    collations = [[collation(version)] for version in (OLD, NEW, OLD)]
    [problem] = judged(
        data.CHECK,
        [{"database_states": mine, "collations": own} for mine, own in zip(states, collations, strict=True)],
    )
    assert (problem.kind, problem.node_id, problem.database) == ("collation_differs", 2, "shop")
    assert problem.evidence == {"node_1": OLD, "node_2": NEW, "node_3": OLD, "made_with": OLD, "collations": 3}


def test_a_primary_with_another_library_than_its_standby_is_told_to_differ_and_not_to_have_changed() -> None:
    found = judged(data.CHECK, [{"database_states": [database(NEW)]}, {"database_states": [database(OLD)]}])
    assert [each.kind for each in found] == ["collation_differs"]


def test_servers_with_one_new_library_are_told_that_it_changed() -> None:
    found = judged(data.CHECK, [{"database_states": [database(NEW)]}, {"database_states": [database(NEW)]}])
    assert [(each.kind, each.run_on_node_id) for each in found] == [("collation_changed", 1)]


def test_a_database_without_versions_has_none_that_differ() -> None:
    found = judged(data.CHECK, [{"database_states": [database("", made_with="")]}] * 2)
    assert found == []


def setting(value: str, source: str = "command line", name: str = "max_connections") -> settings.SettingRow:
    return settings.SettingRow(name, value, int(value), "postmaster", source, False)


def test_no_statement_is_suggested_where_the_command_line_would_outrank_it() -> None:
    [problem] = judged(settings.CHECK, [{"settings": [setting("100")]}, {"settings": [setting("200")]}])
    assert (problem.kind, problem.sql, problem.evidence["set_by"]) == ("setting_differs", "", "command line")
    assert "Patroni" in problem.next_step


def test_a_standby_with_more_connections_than_the_primary_goes_on_and_one_with_fewer_does_not() -> None:
    for value, severity in (("200", "warning"), ("50", "critical")):
        [problem] = judged(settings.CHECK, [{"settings": [setting("100")]}, {"settings": [setting(value)]}])
        assert problem.severity == severity


def test_of_two_clocks_that_differ_the_one_ahead_is_named_whoever_is_asked() -> None:
    for offsets in ({2: 30.0}, {1: -30.0}):
        [problem] = judged(rangeland.CHECK, [{}, {}], clock_offset_s=offsets)
        assert (problem.node_id, problem.evidence) == (2, {"clock_offset_s": 30.0})


def test_of_three_clocks_the_asked_nodes_own_can_be_the_wrong_one() -> None:
    [problem] = judged(rangeland.CHECK, [{}, {}, {}], clock_offset_s={2: 60.1, 3: 60.0})
    assert (problem.node_id, problem.evidence) == (1, {"clock_offset_s": -60.0})


def test_a_sequence_counts_by_the_end_that_it_reaches_first() -> None:
    row = sequences.SequenceRow("shop", "public", "s", "t", "id", "integer", "bigint", True, 90, 100, 50, 1)
    assert (row.limit, row.is_own_limit) == (50, False)
    down = sequences.SequenceRow("shop", "public", "s", "t", "id", "integer", "bigint", True, -90, -100, 127, -1)
    assert (down.limit, down.is_own_limit) == (-100, True)

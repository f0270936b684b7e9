"""Replication slots that nobody follows, or whose follower lost its way."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fix_problems import Clinic, clinic


@pytest.fixture(scope="module")
def sick() -> Iterator[Clinic]:
    with clinic(2, limits={"slot_inactive_s": 0.5}) as made:
        yield made


@pytest.fixture(autouse=True)
def well_before_and_after(sick: Clinic) -> Iterator[None]:
    sick.require_well()
    yield
    sick.require_well()


@pytest.mark.parametrize("node", [1, 2])
def test_a_slot_that_nobody_follows_is_told_by_every_node_and_dropped(sick: Clinic, node: int) -> None:
    sick.sql("SELECT pg_create_physical_replication_slot('forgotten', true)", node=node)
    [problem, _] = [sick.only("slot_inactive", node=asked) for asked in (1, 2)]
    assert (problem["node_id"], problem["object"], problem["severity"]) == (node, "forgotten", "warning")
    assert problem["evidence"]["active"] is False
    assert problem["evidence"]["retained_bytes"] >= 0
    sick.follow(problem)

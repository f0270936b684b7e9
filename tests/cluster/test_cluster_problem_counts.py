"""rangeland_problems: told by one node of the cluster, the lowest of those that answer."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from fix_cluster import wait_until
from fix_problems import Clinic, clinic

SLOT = 'rangeland_problems{kind="slot_inactive",severity="warning"} 1.0\n'


@pytest.fixture(scope="module")
def sick() -> Iterator[Clinic]:
    with clinic(3, limits={"slot_inactive_s": 0, "slot_retained_bytes": 1e6}) as made:
        made.sql("SELECT pg_create_physical_replication_slot('left_over', true)", node=3)
        made.only("slot_inactive")
        yield made


def scraped(sick: Clinic, node: int) -> str:
    return sick.apis[node - 1].get("/metrics").text


def test_the_lowest_node_counts_and_the_others_say_nothing(sick: Clinic) -> None:
    wait_until(lambda: SLOT in scraped(sick, 1), "node 1 has counted")
    assert 'rangeland_problems{kind="slot_lost",severity="critical"} 0.0\n' in scraped(sick, 1)
    assert re.search(r"^rangeland_problems_unknown \d+\.0$", scraped(sick, 1), re.MULTILINE)
    for node in (2, 3):
        for _ in range(2):
            assert "\nrangeland_problems" not in scraped(sick, node)


def test_it_names_nobody(sick: Clinic) -> None:
    assert "left_over" not in scraped(sick, 1)


def test_the_next_one_counts_while_the_lowest_is_silent(sick: Clinic) -> None:
    node = sick.cluster.nodes[0]
    node.kill()
    try:
        wait_until(lambda: sick.answer(2)["errors"], "node 2 knows it")
        wait_until(lambda: SLOT in scraped(sick, 2), "node 2 has counted")
        wait_until(lambda: sick.answer(3)["errors"], "node 3 knows it")
        assert "\nrangeland_problems" not in scraped(sick, 3)
    finally:
        node.start()
        node.wait_until_ready()
    wait_until(lambda: "\nrangeland_problems" not in scraped(sick, 2), "node 1 counts again", timeout_s=20)
    wait_until(lambda: SLOT in scraped(sick, 1), "node 1 has counted")

"""What a scrape and a look at nodes/ cost the servers, by the servers' own logs."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from fix_cluster import Api, count_statements, logging_statements
from rangeland.engine.cluster import Cluster

SCRAPERS = 16


def statements(cluster: Cluster, ask: Callable[[], object]) -> list[int]:
    """What each server was asked by its node meanwhile."""
    begins = [server.log.stat().st_size for server in cluster.servers]
    ask()
    return [count_statements(cluster, number, begins[number]) for number in range(3)]


def test_a_scrape_costs_its_own_server_one_statement_and_the_others_none(cluster: Cluster, apis: list[Api]) -> None:
    """The sampler of hot ranges, or what is read once a minute, may step in: some attempt has to be undisturbed."""
    with logging_statements(cluster):
        for number, api in enumerate(apis):
            counted = [statements(cluster, lambda api=api: api.get("/metrics")) for _ in range(8)]  # type: ignore[misc]
            assert [int(number == each) for each in range(3)] in counted, counted


def test_nodes_costs_each_server_one_statement(cluster: Cluster, apis: list[Api], token: str) -> None:
    """Asked right after another one, as the token's rights are then known for a second."""
    with logging_statements(cluster):
        counted = []
        for _ in range(8):
            apis[0].get("nodes/", token)
            counted.append(statements(cluster, lambda: apis[0].get("nodes/", token)))
        assert [1, 1, 1] in counted, counted


def test_scrapers_at_the_same_time_share_statements(cluster: Cluster, apis: list[Api]) -> None:
    def all_at_once() -> None:
        with ThreadPoolExecutor(SCRAPERS) as threads:
            answers = list(threads.map(lambda _: apis[1].get("/metrics"), range(SCRAPERS)))
        assert {answer.status for answer in answers} == {200}

    with logging_statements(cluster):
        counted = [statements(cluster, all_at_once)[1] for _ in range(5)]
    assert min(counted) < SCRAPERS / 2, counted

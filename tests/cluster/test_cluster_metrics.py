"""What a scrape and a look at nodes/ cost the servers, by the servers' own logs."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from fix_cluster import Api, count_statements, logging_statements, wait_until
from rangeland.engine.cluster import Cluster

SCRAPERS = 16


def statements(cluster: Cluster, ask: Callable[[], object]) -> list[int]:
    """What each server was asked by its node meanwhile."""
    begins = [server.log.stat().st_size for server in cluster.servers]
    ask()
    return [count_statements(cluster, number, begins[number]) for number in range(3)]


def wait_for_cost(
    cluster: Cluster, ask: Callable[[], object], cost: list[int], *, before: Callable[[], object] = lambda: None
) -> None:
    """The sampler of hot ranges, or what is read once a minute, may step in: some attempt has to be undisturbed."""
    counted: list[list[int]] = []

    def is_so() -> bool:
        before()
        counted.append(statements(cluster, ask))
        return counted[-1] == cost

    wait_until(is_so, f"{cost} statements at some time, of {counted}", timeout_s=30)


def test_a_scrape_costs_its_own_server_one_statement_and_the_others_none(cluster: Cluster, apis: list[Api]) -> None:
    with logging_statements(cluster):
        for number, api in enumerate(apis):
            wait_for_cost(cluster, partial(api.get, "/metrics"), [int(number == each) for each in range(3)])


def test_nodes_costs_each_server_one_statement(cluster: Cluster, apis: list[Api], token: str) -> None:
    """Asked right after another one, as the token's rights are then known for a second."""
    with logging_statements(cluster):
        wait_for_cost(
            cluster, partial(apis[0].get, "nodes/", token), [1, 1, 1], before=partial(apis[0].get, "nodes/", token)
        )


def test_scrapers_at_the_same_time_share_statements(cluster: Cluster, apis: list[Api]) -> None:
    def all_at_once() -> None:
        with ThreadPoolExecutor(SCRAPERS) as threads:
            answers = list(threads.map(lambda _: apis[1].get("/metrics"), range(SCRAPERS)))
        assert {answer.status for answer in answers} == {200}

    with logging_statements(cluster):
        counted = [statements(cluster, all_at_once)[1] for _ in range(5)]
    assert min(counted) < SCRAPERS / 2, counted

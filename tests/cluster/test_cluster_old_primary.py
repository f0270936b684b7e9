"""A failover: logins go on although a node hangs, and the old primary's node answers rightly when it is back."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from fix_cluster import Api, apis_of, log_in, running_cluster, wait_until
from rangeland.engine.cluster import Cluster

LOGIN_S = 2.0  # after a promotion


@pytest.fixture(scope="module")
def failed_over() -> Iterator[tuple[Cluster, float]]:
    """The second server was promoted while the first, the primary, was dead and the third's node hung.

    All run now, and the first two take writes. And after how many seconds somebody could log in.
    """
    with running_cluster(3) as made:
        token = log_in(made, apis_of(made)[0], made.username)
        made.servers[0].kill()
        made.nodes[2].pause()
        made.servers[1].promote()
        begun = time.monotonic()
        wait_until(lambda: apis_of(made)[0].log_in(made.username, made.password).status == 200, "a login")
        took_s = time.monotonic() - begun
        made.nodes[2].resume()
        made.servers[0].start()
        wait_until(lambda: _shown(apis_of(made)[0], token)[:2] == ["primary", "primary"], "both are shown")
        yield made, took_s


@pytest.fixture(scope="module")
def cluster(failed_over: tuple[Cluster, float]) -> Cluster:
    return failed_over[0]


@pytest.fixture
def apis(cluster: Cluster) -> list[Api]:
    return apis_of(cluster)


def test_a_login_right_after_a_promotion_does_not_wait_for_a_node_that_hangs(
    failed_over: tuple[Cluster, float],
) -> None:
    assert failed_over[1] < LOGIN_S


def test_a_token_that_the_new_primary_made_is_good_at_the_old_one_s_node(cluster: Cluster, apis: list[Api]) -> None:
    token = log_in(cluster, apis[1], cluster.username)
    assert [api.get("nodes/", token).status for api in apis[:2]] == [200, 200]


def test_who_logs_in_at_the_old_one_s_node_gets_a_token_of_the_new_primary(cluster: Cluster, apis: list[Api]) -> None:
    token = log_in(cluster, apis[0], cluster.username)
    assert [api.get("nodes/", token).status for api in apis[:2]] == [200, 200]


def _shown(api: Api, token: str) -> list[str]:
    return [each.get("role", "") for each in api.get("nodes/", token).json["nodes"]]

"""Paging through the sessions of a cluster in which sessions come and go, a node falls silent, or one joins."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from fix_cluster import Api, add_user, apis_of, free_ports, log_in, session_url, wait_until
from rangeland.engine.cluster import Cluster, Plan
from rangeland.engine.workplace import Workplace

CLIENTS = 70  # of each server, which takes 100
TURNOVER = 0.05  # of all, between any two pages
LIMIT = 20
_users = itertools.count(1)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Of this module alone: two nodes, and ports for a third."""
    with Workplace(kind="test") as place:
        made = Cluster(place, Plan(nodes=2, http_port=free_ports(3), sql_port=free_ports(3), load_tps=0))
        made.open()
        yield made
        made.stop()


@pytest.fixture(scope="module")
def apis(cluster: Cluster) -> list[Api]:
    return apis_of(cluster)


@pytest.fixture(scope="module")
def token(cluster: Cluster, apis: list[Api]) -> str:
    return log_in(cluster, apis[0], cluster.username)


class Crowd:
    """Clients of a user of their own at every server; a third of the first ones stay until the end."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.user = f"busy{next(_users)}"
        add_user(cluster, self.user)
        self._random = random.Random(7)
        self._made = 0
        self._leavers: list[tuple[int, psycopg.Connection]] = []
        self._stayers: list[psycopg.Connection] = []
        self.staying: set[str] = set()
        for number in range(CLIENTS * len(cluster.servers)):
            self.come(number % len(cluster.servers), stays=number % 3 == 0)

    def come(self, server: int, *, stays: bool = False) -> None:
        self._made += 1
        name = f"busy {self._made}"
        conninfo = self._cluster.servers[server].conninfo(user=self.user)
        client = psycopg.connect(conninfo, application_name=name, autocommit=True)
        if stays:
            self._stayers.append(client)
            self.staying.add(name)
        else:
            self._leavers.append((server, client))

    def turn_over(self) -> None:
        """As many leave each server as come to it."""
        for _ in range(int(TURNOVER * CLIENTS * len(self._cluster.servers))):
            server, client = self._leavers.pop(self._random.randrange(len(self._leavers)))
            client.close()
            self.come(server)

    def close(self) -> None:
        for client in [*(client for _, client in self._leavers), *self._stayers]:
            client.close()


@contextmanager
def crowd_of(cluster: Cluster) -> Iterator[Crowd]:
    crowd = Crowd(cluster)
    try:
        yield crowd
    finally:
        crowd.close()
        wait_until(lambda: not any(_counts(cluster, crowd.user)), "the servers have noticed")


def walk(
    api: Api, token: str, username: str, between: Callable[[int], None], **more: object
) -> tuple[list[dict[str, Any]], list[int]]:
    """Sessions of all pages in their order, and the nodes that were errors, page by page."""
    sessions: list[dict[str, Any]] = []
    errors: list[int] = []
    start, number = "", 0
    while True:
        number += 1
        query = session_url(
            "sessions/", username=username, limit=LIMIT, **more, **({"start": start} if start else {})
        )
        answer = api.get(query, token).json
        sessions += answer["sessions"]
        errors += [error["node_id"] for error in answer["errors"]]
        if len(answer["sessions"]) < LIMIT:
            return sessions, errors
        start = answer["next"]
        between(number)


@pytest.mark.parametrize("exclude", ["false", "true"])
def test_who_lives_from_the_first_page_to_the_last_is_shown_exactly_once(
    cluster: Cluster, apis: list[Api], token: str, exclude: str
) -> None:
    """While between any two pages one in twenty leaves and as many come; also while others read everything."""
    with crowd_of(cluster) as crowd:

        def between(number: int) -> None:
            crowd.turn_over()
            apis[number % 2].get("sessions/", token)

        sessions, errors = walk(apis[0], token, crowd.user, between, exclude_closed_sessions=exclude)
        shown = Counter(each["id"] for each in sessions)
        names = {each["application_name"] for each in sessions}
        assert errors == []
        assert [each for each, count in shown.items() if count > 1] == []
        assert crowd.staying - names == set()
        assert len(sessions) > CLIENTS * 2 - len(crowd.staying)
        assert exclude == "false" or {each.get("status") for each in sessions} <= {None, 2}


def test_a_node_that_falls_silent_on_the_way_is_one_error_and_costs_nobody_else(
    cluster: Cluster, apis: list[Api], token: str
) -> None:
    """The first node to be walked dies when a page of it has been shown; the other's sessions are complete."""
    with crowd_of(cluster) as crowd:
        begun = apis[1].get(session_url("sessions/", username=crowd.user, limit=LIMIT), token).json
        first_id = begun["sessions"][0]["node_id"]
        [dying] = [node for node in cluster.nodes if node.node_id == first_id]
        asked = apis[1 - cluster.nodes.index(dying)]

        def between(number: int) -> None:
            if number == 1:
                dying.kill()

        try:
            sessions, errors = walk(asked, token, crowd.user, between)
        finally:
            dying.start()
            dying.wait_until_ready()
        of_others = [each["application_name"] for each in sessions if each["node_id"] != first_id]
        assert errors == [first_id]
        assert len(sessions) == LIMIT + CLIENTS
        assert len(of_others) == len(set(of_others)) == CLIENTS
        assert {name for name in crowd.staying if name in of_others}
        wait_until(lambda: asked.get("sessions/", token).json["errors"] == [], "nobody remembers")


def test_a_node_that_joins_on_the_way_is_walked_after_the_others(
    cluster: Cluster, apis: list[Api], token: str
) -> None:
    with crowd_of(cluster) as crowd:
        made = len(crowd.staying)

        def between(number: int) -> None:
            if number == 1:
                node = cluster.add_node()
                for _ in range(30):
                    crowd.come(2, stays=True)
                wait_until(lambda: node.node_id in _node_ids(apis[0], token), "the asked node knows the new one")

        sessions, errors = walk(apis[0], token, crowd.user, between)
        names = Counter(each["application_name"] for each in sessions)
        assert errors == []
        assert len(crowd.staying) == made + 30
        assert {name: names[name] for name in crowd.staying} == dict.fromkeys(crowd.staying, 1)
        assert {names[name] for name in names} == {1}
        assert [each["node_id"] for each in sessions][-30:] == [cluster.nodes[2].node_id] * 30


def _node_ids(api: Api, token: str) -> set[int]:
    return {each["node_id"] for each in api.get("nodes/", token).json["nodes"] if each["liveness_status"] == 3}


def _counts(cluster: Cluster, username: str) -> list[int]:
    """How many sessions of the user each server has."""
    found = []
    for server in cluster.servers:
        with psycopg.connect(server.conninfo()) as connection:
            query = b"SELECT count(*) FROM pg_stat_activity WHERE usename = %s"
            found.append(connection.execute(query, [username]).fetchall()[0][0])
    return found

"""Lists of ranges that are too long to be held: written stretch by stretch, of this node and of another alike."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import pytest

from fix_cluster import Api, apis_of, log_in, running_cluster, wait_until
from fix_engine import wait_for_replay
from rangeland.api.ranges import STRETCH_RANGES
from rangeland.engine.cluster import Cluster

TABLES = 2 * STRETCH_RANGES + 500  # in another database than the one that connections are kept to
COPIES = ("large2", "large3")  # more than what is on its way fills the buffers of the sockets
Ranges = list[dict[str, Any]]
each_node = pytest.mark.parametrize("node", ["local", "2"])


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster(2) as made:
        with psycopg.connect(made.servers[0].conninfo(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE large")
        with psycopg.connect(made.servers[0].conninfo("large"), autocommit=True) as connection:
            for first in range(0, TABLES, 500):
                make = "EXECUTE format('CREATE TABLE t%s ()', n)"
                connection.execute(
                    f"DO $$BEGIN FOR n IN {first}..{first + 499} LOOP {make}; END LOOP; END$$".encode()
                )
        with psycopg.connect(made.servers[0].conninfo(), autocommit=True) as connection:
            for name in COPIES:
                connection.execute(f"CREATE DATABASE {name} TEMPLATE large".encode())
        wait_for_replay(*made.servers, timeout_s=60)
        yield made


@pytest.fixture(scope="module")
def apis(cluster: Cluster) -> list[Api]:
    return apis_of(cluster)


@pytest.fixture(scope="module")
def token(cluster: Cluster, apis: list[Api]) -> str:
    return log_in(cluster, apis[0], cluster.username)


def ids(ranges: Ranges) -> list[int]:
    return [each["desc"]["range_id"] for each in ranges]


@each_node
def test_the_whole_list_is_what_its_pages_are(apis: list[Api], token: str, node: str) -> None:
    whole = apis[0].get(f"nodes/{node}/ranges/", token)
    assert whole.headers["transfer-encoding"] == "chunked"
    assert whole.json.keys() == {"ranges"}
    pages: Ranges = []
    page: dict[str, Any] = {"next": 0}
    while "next" in page:
        page = apis[0].get(f"nodes/{node}/ranges/?limit=1500&offset={page['next']}", token).json
        pages += page["ranges"]
    assert ids(whole.json["ranges"]) == ids(pages) == sorted(set(ids(pages)))
    assert len([each for each in pages if each["database"] == "large"]) == TABLES


@each_node
def test_a_long_page_is_written_so_too_and_tells_where_the_next_begins(
    apis: list[Api], token: str, node: str
) -> None:
    whole = ids(apis[0].get(f"nodes/{node}/ranges/", token).json["ranges"])
    limit = STRETCH_RANGES + 700
    page = apis[0].get(f"nodes/{node}/ranges/?limit={limit}&offset=900", token).json
    assert (ids(page["ranges"]), page["next"]) == (whole[900 : 900 + limit], 900 + limit)
    rest = apis[0].get(f"nodes/{node}/ranges/?limit={len(whole)}&offset=900", token).json
    assert (ids(rest["ranges"]), "next" in rest) == (whole[900:], False)


def test_a_page_of_one_stretch_has_a_length(apis: list[Api], token: str) -> None:
    page = apis[0].get(f"nodes/local/ranges/?limit={STRETCH_RANGES}", token)
    assert len(page.body) == int(page.headers["content-length"])


@each_node
def test_ranges_of_a_database_s_catalogues_are_in_it_once(apis: list[Api], token: str, node: str) -> None:
    found = ids(apis[0].get(f"nodes/{node}/ranges/?system=true", token).json["ranges"])
    assert found == sorted(set(found))
    assert len(found) > TABLES + 100


def test_it_is_packed_for_who_takes_gzip(apis: list[Api], token: str) -> None:
    packed = apis[0].get("nodes/local/ranges/", token, headers={"Accept-Encoding": "gzip"})
    plain = apis[0].get("nodes/local/ranges/", token)
    assert packed.headers["content-encoding"] == "gzip"
    assert ids(json.loads(gzip.decompress(packed.body))["ranges"]) == ids(plain.json["ranges"])
    assert len(packed.body) < len(plain.body) / 4


@each_node
def test_a_database_that_is_dropped_while_a_client_reads_ends_the_list_early(
    cluster: Cluster, apis: list[Api], token: str, node: str
) -> None:
    """Nothing of the server is held meanwhile: the DROP succeeds, and what is gone is passed over."""
    server = cluster.servers[0]
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE passing TEMPLATE large")
        wait_for_replay(*cluster.servers, timeout_s=30)
        with reading(apis[0], token, node) as answer:
            begun = answer.read(1000)
            connection.execute("DROP DATABASE passing")
            wait_for_replay(*cluster.servers, timeout_s=30)
            ranges = json.loads(begun + answer.read())["ranges"]
    assert ids(ranges) == sorted(set(ids(ranges)))
    assert len([each for each in ranges if each["database"] == "large"]) == TABLES


@each_node
def test_a_server_that_goes_down_while_a_client_reads_breaks_the_list_off(
    cluster: Cluster, apis: list[Api], token: str, node: str
) -> None:
    """The last test: what came is not whole, and the client sees that."""
    number = 0 if node == "local" else 1
    with reading(apis[0], token, node) as answer:
        answer.read(1000)
        cluster.servers[number].stop(immediately=True)
        try:
            with pytest.raises((http.client.IncompleteRead, ConnectionError)):
                answer.read()
        finally:
            cluster.servers[number].start()
    wait_until(lambda: apis[number].get("health/?ready=true").status == 200, "it serves again")


@contextmanager
def reading(api: Api, token: str, node: str) -> Iterator[http.client.HTTPResponse]:
    """An answer that has begun, to a client with little room: what it hasn't read yet isn't made yet."""
    with closing(api.connect(timeout_s=30)) as connection:
        connection.connect()
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 200_000)
        connection.request("GET", f"/api/v2/nodes/{node}/ranges/", headers={"X-Cockroach-API-Session": token})
        answer = connection.getresponse()
        assert answer.status == 200
        yield answer

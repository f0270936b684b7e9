"""Pages of nodes, where nobody has ever seen some of the nodes."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from fix_cluster import Api, apis_of, free_ports, log_in, running_cluster
from rangeland.engine.cluster import Cluster
from rangeland.sql import block

UNSEEN = 4  # nodes 2 to 5


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One node, in whose cluster others were registered and never started."""
    with running_cluster(1) as made:
        first, server, node = free_ports(UNSEEN), made.servers[0], made.nodes[0]
        statement = block("state", "add_member", server.major * 10000).text.encode()
        with psycopg.connect(server.conninfo(), autocommit=True) as connection:
            for port in range(first, first + UNSEEN):
                address = f"localhost:{port}"
                connection.execute(statement, {"http_addr": address, "sql_addr": address})
        node.stop()
        node.start()
        node.wait_until_ready()
        yield made


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Api:
    return apis_of(cluster)[0]


@pytest.fixture(scope="module")
def token(cluster: Cluster, api: Api) -> str:
    return log_in(cluster, api, cluster.username)


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_walk_passes_by_nodes_that_nobody_has_ever_seen(api: Api, token: str, limit: int) -> None:
    """Twice: before and after it is known that they are silent."""
    for _ in range(2):
        walked: list[int] = []
        query = f"?limit={limit}"
        while query:
            answer = api.get(f"nodes/{query}", token).json
            walked += [node["node_id"] for node in answer["nodes"]]
            query = f"?limit={limit}&offset={answer['next']}" if "next" in answer else ""
        assert walked == [1]

"""Two strict clients, one that knows the first released names only and one that knows the newest only.

Both ignore what they don't know, and both fail where a name that they know is missing or has another type.
Source: Cluster API v2.0, version differences.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import msgspec
import psycopg
import pytest
from msgspec import UNSET, Struct, UnsetType

from fix_cluster import Api, wait_until
from rangeland.engine.cluster import Cluster


class Address(Struct):
    network_field: str
    address_field: str


class Tier(Struct):
    key: str
    value: str


class Locality(Struct):
    tiers: list[Tier]


# 21.1


class OldVersion(Struct):
    major_val: int
    minor_val: int
    patch: int
    internal: int


class OldNode(Struct):
    node_id: int
    address: Address
    attrs: dict[str, list[str]]
    locality: Locality
    ServerVersion: OldVersion
    build_tag: str
    started_at: int
    cluster_name: str
    sql_address: Address
    metrics: dict[str, float]
    total_system_memory: int
    num_cpus: int
    updated_at: int
    liveness_status: int


class OldNodes(Struct):
    nodes: list[OldNode]


class OldRange(Struct):
    range_id: int
    start_key: bytes
    end_key: bytes
    store_id: int
    queries_per_second: float


class OldHot(Struct):
    ranges_by_node_id: dict[str, list[OldRange]]
    next: str


class OldQuery(Struct):
    id: str
    txn_id: str
    sql: str
    start: str
    phase: int
    sql_anon: str | UnsetType = UNSET


class OldTransaction(Struct):
    id: str
    start: str
    deadline: str


class OldSession(Struct):
    node_id: int
    username: str
    client_address: str
    active_queries: list[OldQuery]
    start: str
    id: bytes
    application_name: str = ""
    last_active_query: str = ""
    active_txn: OldTransaction | None = None
    last_active_query_anon: str | UnsetType = UNSET


class Failure(Struct):
    node_id: int
    message: str


class OldSessions(Struct):
    sessions: list[OldSession]
    errors: list[Failure]
    next: str


# the newest


class NewVersion(Struct):
    major: int
    minor: int
    patch: int
    internal: int


class NewNode(Struct):
    node_id: int
    address: Address
    attrs: dict[str, list[str]]
    locality: Locality
    ServerVersion: NewVersion
    build_tag: str
    started_at: int
    cluster_name: str
    sql_address: Address
    metrics: dict[str, float]
    store_metrics: dict[str, dict[str, float]]
    total_system_memory: int
    num_cpus: int
    updated_at: int
    liveness_status: int


class NewNodes(Struct):
    nodes: list[NewNode]


class NewRange(Struct):
    range_id: int
    node_id: int
    qps: float
    writes_per_second: float
    reads_per_second: float
    write_bytes_per_second: float
    read_bytes_per_second: float
    cpu_time_per_second: float
    leaseholder_node_id: int
    databases: list[str]
    tables: list[str]
    indexes: list[str]
    schema_name: str
    replica_node_ids: list[int]
    store_id: int


class NewHot(Struct):
    ranges: list[NewRange]
    next: str


class NewQuery(Struct):
    id: str
    txn_id: str
    sql: str
    start: str
    phase: int
    elapsed_time: int
    sql_no_constants: str | UnsetType = UNSET


class NewTransaction(Struct):
    id: str
    start: str
    deadline: str
    elapsed_time: int


class NewSession(Struct):
    node_id: int
    username: str
    client_address: str
    active_queries: list[NewQuery]
    start: str
    id: bytes
    txn_fingerprint_ids: list[int]
    total_active_time: int
    pg_backend_pid: int
    status: int = 0
    application_name: str = ""
    last_active_query: str = ""
    active_txn: NewTransaction | None = None
    last_active_query_no_constants: str | UnsetType = UNSET


class NewSessions(Struct):
    sessions: list[NewSession]
    errors: list[Failure]
    internal_app_name_prefix: str
    next: str


@pytest.fixture(scope="module")
def bodies(cluster: Cluster, apis: list[Api], token: str) -> Iterator[dict[str, bytes]]:
    """An answer of each kind, while the load runs, one client runs a statement and one is idle in a transaction."""
    with ExitStack() as stack:

        def client(number: int, name: str) -> psycopg.Connection:
            conninfo = cluster.servers[number].conninfo()
            return stack.enter_context(closing(psycopg.connect(conninfo, application_name=name)))

        busy, idle = client(1, "a strict busy client"), client(0, "a strict idle client")
        busy.execute("SELECT 1")
        busy.pgconn.send_query(b"SELECT pg_sleep(60)")
        stack.callback(busy.cancel_safe)
        idle.execute("SELECT 1")
        wait_until(lambda: b"pgbench_" in apis[0].get("ranges/hot/", token).body, "the load shows", timeout_s=30)
        paths = ("nodes/", "ranges/hot/", "sessions/")
        yield {path: apis[2].get(path, token).body for path in paths}


def test_a_client_of_the_first_version_reads_everything(bodies: dict[str, bytes]) -> None:
    nodes = msgspec.json.decode(bodies["nodes/"], type=OldNodes).nodes
    assert [(node.node_id, node.ServerVersion.major_val, node.liveness_status) for node in nodes] == [
        (1, 18, 3),
        (2, 18, 3),
        (3, 18, 3),
    ]
    hot = msgspec.json.decode(bodies["ranges/hot/"], type=OldHot).ranges_by_node_id
    assert any(each.queries_per_second > 0 for each in hot["1"])
    sessions = msgspec.json.decode(bodies["sessions/"], type=OldSessions)
    by_name = {each.application_name: each for each in sessions.sessions}
    assert by_name["a strict busy client"].active_queries[0].sql == "SELECT pg_sleep(60)"
    assert by_name["a strict idle client"].active_txn is not None
    assert sessions.errors == []


def test_a_client_of_the_newest_version_reads_everything(bodies: dict[str, bytes]) -> None:
    nodes = msgspec.json.decode(bodies["nodes/"], type=NewNodes).nodes
    assert [(node.node_id, node.ServerVersion.major, list(node.store_metrics)) for node in nodes] == [
        (1, 18, ["1"]),
        (2, 18, ["2"]),
        (3, 18, ["3"]),
    ]
    hot = msgspec.json.decode(bodies["ranges/hot/"], type=NewHot).ranges
    assert any(each.tables == ["pgbench_accounts"] and each.databases == ["pgbench"] for each in hot)
    sessions = msgspec.json.decode(bodies["sessions/"], type=NewSessions)
    by_name = {each.application_name: each for each in sessions.sessions}
    assert by_name["a strict busy client"].active_queries[0].sql == "SELECT pg_sleep(60)"
    idle = by_name["a strict idle client"]
    assert (idle.active_txn is not None, idle.status) == (True, 2)


def test_both_see_the_same(bodies: dict[str, bytes]) -> None:
    old_hot = msgspec.json.decode(bodies["ranges/hot/"], type=OldHot).ranges_by_node_id
    new_hot = msgspec.json.decode(bodies["ranges/hot/"], type=NewHot).ranges
    old_rates = {
        (int(node), each.range_id): each.queries_per_second for node, part in old_hot.items() for each in part
    }
    assert old_rates == {(each.node_id, each.range_id): each.qps for each in new_hot}
    old = msgspec.json.decode(bodies["sessions/"], type=OldSessions).sessions
    new = msgspec.json.decode(bodies["sessions/"], type=NewSessions).sessions
    assert [(each.id, each.start) for each in old] == [(each.id, each.start) for each in new]
    for first, second in zip(old, new, strict=True):
        assert first.last_active_query_anon == second.last_active_query_no_constants
        anonymous = [query.sql_anon for query in first.active_queries]
        assert anonymous == [query.sql_no_constants for query in second.active_queries]


@pytest.mark.parametrize(
    ("path", "client", "name"),
    [
        ("nodes/", OldNodes, "major_val"),
        ("nodes/", NewNodes, "major"),
        ("nodes/", NewNodes, "store_metrics"),
        ("ranges/hot/", OldHot, "ranges_by_node_id"),
        ("ranges/hot/", NewHot, "tables"),
        ("sessions/", OldSessions, "active_queries"),
        ("sessions/", NewSessions, "internal_app_name_prefix"),
    ],
)
def test_such_a_client_notices_a_name_that_is_missing(
    bodies: dict[str, bytes], path: str, client: type[Struct], name: str
) -> None:
    """So the tests above would fail."""
    with pytest.raises(msgspec.ValidationError, match=f"missing required field `{name}`"):
        msgspec.convert(without(msgspec.json.decode(bodies[path]), name), type=client)


def without(value: Any, name: str) -> Any:
    """The same with that name left out, at whatever depth."""
    if isinstance(value, dict):
        return {key: without(each, name) for key, each in value.items() if key != name}
    return [without(each, name) for each in value] if isinstance(value, list) else value

"""What is always printed and what vanishes, type by type. Source: Cluster API v2.0, the tables of fields."""

import pytest
from msgspec import Struct

from rangeland.wire.databases import (
    Column,
    DatabaseAnswer,
    DatabasesAnswer,
    GrantsAnswer,
    Index,
    TableAnswer,
    TablesAnswer,
    ZoneConfig,
)
from rangeland.wire.events import Event, EventsAnswer
from rangeland.wire.health import HealthAnswer
from rangeland.wire.hot_ranges import HotRange, HotRangesAnswer, ResponseError
from rangeland.wire.json import decode, encode
from rangeland.wire.login import LoginAnswer, LogoutAnswer
from rangeland.wire.nodes import (
    Address,
    Attrs,
    Liveness,
    Locality,
    NodesAnswer,
    NodeStatus,
    ServerVersion,
    Tier,
)
from rangeland.wire.ranges import (
    Lease,
    NodeRangesAnswer,
    Problems,
    RangeAnswer,
    RangeDescriptor,
    Replica,
    ReplicaType,
    Span,
    Timestamp,
    zero_range_info,
)
from rangeland.wire.sessions import ActiveQuery, NodeError, Session, SessionsAnswer, SessionStatus, TxnInfo
from rangeland.wire.times import ZERO_TIME
from rangeland.wire.users import UsersAnswer

VERSION = ServerVersion(major=18, minor=6, patch=0, internal=0, major_val=18, minor_val=6)
ADDRESS = Address("tcp", "")
START = "2021-03-01T12:00:00Z"

NODE = NodeStatus(
    node_id=1,
    address=ADDRESS,
    attrs=Attrs(),
    locality=Locality([]),
    ServerVersion=VERSION,
    build_tag="v0.1.0",
    started_at=0,
    cluster_name="",
    sql_address=ADDRESS,
    liveness_status=Liveness.UNKNOWN,
)
HOT_RANGE = HotRange(
    range_id=1,
    node_id=1,
    qps=0.0,
    writes_per_second=0.0,
    reads_per_second=0.0,
    write_bytes_per_second=0.0,
    read_bytes_per_second=0.0,
    cpu_time_per_second=0.0,
    table_name="",
    database_name="",
    index_name="",
    databases=[],
    tables=[],
    indexes=[],
    schema_name="",
    store_id=1,
    buffers_per_second=0.0,
)
REPLICA = Replica(node_id=1, store_id=1, replica_id=1, type=ReplicaType.VOTER_FULL)


@pytest.mark.parametrize(
    ("empty", "printed"),
    [
        (HealthAnswer(), "{}"),
        (LoginAnswer("CIGA"), '{"session":"CIGA"}'),
        (LogoutAnswer(), '{"logged_out":true}'),
        (NodesAnswer([]), '{"nodes":[]}'),
        (UsersAnswer([]), '{"users":[]}'),
        (EventsAnswer([]), '{"events":[]}'),
        (Event(START), f'{{"timestamp":"{START}"}}'),
        (DatabasesAnswer(), "{}"),
        (DatabaseAnswer(), "{}"),
        (GrantsAnswer([]), '{"grants":[]}'),
        (TablesAnswer(), "{}"),
        (Column(), "{}"),
        (Index(), "{}"),
        (
            TableAnswer(grants=[], columns=[], indexes=[], zone_config=ZoneConfig()),
            '{"grants":[],"columns":[],"indexes":[],"zone_config":{}}',
        ),
        (
            NODE,
            '{"node_id":1,"address":{"network_field":"tcp","address_field":""},"attrs":{},"locality":{"tiers":[]},'
            '"ServerVersion":{"major":18,"minor":6,"patch":0,"internal":0,"major_val":18,"minor_val":6},'
            '"build_tag":"v0.1.0","started_at":0,"cluster_name":"",'
            '"sql_address":{"network_field":"tcp","address_field":""},"liveness_status":0}',
        ),
        (
            SessionsAnswer(sessions=[], errors=[], next="fDB8MHw="),
            '{"sessions":[],"errors":[],"internal_app_name_prefix":"rangeland","next":"fDB8MHw="}',
        ),
        (NodeError(), "{}"),
        (
            Session(active_queries=[], start=START, txn_fingerprint_ids=[], total_active_time=0),
            f'{{"active_queries":[],"start":"{START}","txn_fingerprint_ids":[],"total_active_time":0}}',
        ),
        (
            ActiveQuery(txn_id="", start=START, elapsed_time=0),
            f'{{"txn_id":"","start":"{START}","elapsed_time":0}}',
        ),
        (
            TxnInfo(id="", start=START, deadline=ZERO_TIME, elapsed_time=0),
            f'{{"id":"","start":"{START}","deadline":"{ZERO_TIME}","elapsed_time":0}}',
        ),
        (NodeRangesAnswer([]), '{"ranges":[]}'),
        (RangeAnswer({}), '{"responses_by_node_id":{}}'),
        (
            zero_range_info(),
            '{"desc":{"range_id":0,"store_id":0,"queries_per_second":0.0},"span":{},"lease_history":[],'
            '"problems":{},"stats":{}}',
        ),
        (
            Lease(start=Timestamp(), replica=REPLICA, proposed_ts=Timestamp(), min_expiration=Timestamp()),
            '{"start":{},"replica":{"node_id":1,"store_id":1,"replica_id":1,"type":0},"proposed_ts":{},'
            '"min_expiration":{}}',
        ),
        (
            HotRangesAnswer(ranges=[], ranges_by_node_id={}, next="fDB8MHw="),
            '{"ranges":[],"ranges_by_node_id":{},"next":"fDB8MHw="}',
        ),
        (ResponseError("why"), '{"error_message":"why"}'),
        (
            HOT_RANGE,
            '{"range_id":1,"node_id":1,"qps":0.0,"writes_per_second":0.0,"reads_per_second":0.0,'
            '"write_bytes_per_second":0.0,"read_bytes_per_second":0.0,"cpu_time_per_second":0.0,'
            '"leaseholder_node_id":0,"table_name":"","database_name":"","index_name":"","databases":[],'
            '"tables":[],"indexes":[],"schema_name":"","replica_node_ids":[],"store_id":1,'
            '"buffers_per_second":0.0}',
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Struct) else "",
)
def test_only_fields_that_are_always_there_are_printed_when_nothing_is_known(empty: Struct, printed: str) -> None:
    assert encode(empty).decode() == printed
    assert decode(type(empty), printed) == empty


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (Attrs(["ssd"]), '{"attrs":["ssd"]}'),
        (Locality([Tier("region", "eu")]), '{"tiers":[{"key":"region","value":"eu"}]}'),
        (NodesAnswer([], next=3), '{"nodes":[],"next":3}'),
        (Problems(no_lease=True), '{"no_lease":true}'),
        (Timestamp(wall_time=5), '{"wall_time":5}'),
        (Span("/Table/db/public.t"), '{"start_key":"/Table/db/public.t"}'),
        (
            RangeDescriptor(range_id=4294967297, start_key=b"/Min", store_id=0, queries_per_second=0.0),
            '{"range_id":4294967297,"start_key":"L01pbg==","store_id":0,"queries_per_second":0.0}',
        ),
        (NodeError(node_id=2, message="gone"), '{"node_id":2,"message":"gone"}'),
    ],
)
def test_what_is_known_is_printed_under_the_names_of_the_contract(value: Struct, printed: str) -> None:
    assert encode(value).decode() == printed


@pytest.mark.parametrize(("status", "printed"), [(SessionStatus.CLOSED, True), (SessionStatus.ACTIVE, False)])
def test_an_active_session_has_no_status_field(status: SessionStatus, printed: bool) -> None:
    session = Session(active_queries=[], start=START, txn_fingerprint_ids=[], total_active_time=0, status=status)
    assert (b'"status":' in encode(session)) is printed


def test_metrics_of_a_store_are_under_its_number_as_text() -> None:
    node = NodeStatus(
        node_id=1,
        address=ADDRESS,
        attrs=Attrs(),
        locality=Locality([]),
        ServerVersion=VERSION,
        build_tag="",
        started_at=0,
        cluster_name="",
        sql_address=ADDRESS,
        metrics={"sql.conns": 3.0},
        store_metrics={1: {"capacity": 10.0}},
        liveness_status=Liveness.LIVE,
    )
    printed = encode(node)
    assert b'"metrics":{"sql.conns":3.0},"store_metrics":{"1":{"capacity":10.0}},' in printed
    assert decode(NodeStatus, printed) == node

"""The hottest ranges of all nodes in one list, with the replicas that only the cluster as a whole knows."""

from rangeland.merge.hot_ranges import merge_hot_ranges
from rangeland.merge.part import Part, PartError, Topology
from rangeland.wire.hot_ranges import HotRange, HotRangesAnswer
from rangeland.wire.json import decode, encode
from rangeland.wire.nodes import Liveness
from rangeland.wire.parts import HotPart
from rangeland.wire.ranges import RangeDescriptor, Span

THREE_NODES = Topology(leaseholder_node_id=2, replica_node_ids=(3, 2, 1))


def _hot(range_id: int, node_id: int, buffers_per_second: float) -> HotRange:
    return HotRange(
        range_id=range_id,
        node_id=node_id,
        qps=range_id * 1.5,
        writes_per_second=0.0,
        reads_per_second=0.0,
        write_bytes_per_second=0.0,
        read_bytes_per_second=buffers_per_second * 8192,
        cpu_time_per_second=0.0,
        table_name="t",
        database_name="db",
        index_name="",
        databases=["db"],
        tables=["t"],
        indexes=["t_pkey"],
        schema_name="public",
        store_id=node_id,
        buffers_per_second=buffers_per_second,
    )


def _part(node_id: int, *hot: tuple[int, float], unlogged: tuple[int, ...] = ()) -> Part[HotPart]:
    ranges = [_hot(range_id, node_id, buffers) for range_id, buffers in hot]
    return Part(node_id, HotPart(ranges=ranges, unlogged_range_ids=list(unlogged)))


def _merge(*parts: Part[HotPart], topology: Topology = THREE_NODES) -> HotRangesAnswer:
    return merge_hot_ranges(parts, topology=topology, next_token="fDB8MHw=")


def test_the_hottest_range_of_the_whole_cluster_comes_first() -> None:
    answer = _merge(_part(1, (10, 5.0), (11, 1.0)), _part(2, (10, 9.0), (12, 3.0)))
    assert [(r.range_id, r.node_id) for r in answer.ranges] == [(10, 2), (10, 1), (12, 2), (11, 1)]


def test_equally_hot_ranges_have_a_fixed_order() -> None:
    answer = _merge(_part(2, (10, 1.0)), _part(1, (11, 1.0), (10, 1.0)))
    assert [(r.range_id, r.node_id) for r in answer.ranges] == [(10, 1), (10, 2), (11, 1)]


def test_the_primarys_node_is_the_leaseholder_and_all_hold_a_copy() -> None:
    (hot,) = _merge(_part(1, (10, 1.0))).ranges
    assert (hot.leaseholder_node_id, hot.replica_node_ids) == (2, [1, 2, 3])


def test_an_unlogged_table_is_on_the_primary_only() -> None:
    unlogged, logged = _merge(_part(2, (10, 2.0), (11, 1.0), unlogged=(10,))).ranges
    assert (unlogged.replica_node_ids, logged.replica_node_ids) == ([2], [1, 2, 3])


def test_without_a_primary_there_is_no_leaseholder() -> None:
    topology = Topology(leaseholder_node_id=0, replica_node_ids=(1, 3))
    (hot,) = _merge(_part(1, (10, 1.0)), topology=topology).ranges
    assert (hot.leaseholder_node_id, hot.replica_node_ids) == (0, [1, 3])
    (hot,) = _merge(_part(1, (10, 1.0), unlogged=(10,)), topology=topology).ranges
    assert hot.replica_node_ids == []


def test_the_older_shape_has_each_nodes_ranges_by_number() -> None:
    part = _part(10, (12, 9.0), (11, 1.0))
    assert part.value is not None
    part.value.spans[11] = Span("/Table/db/public.t", "/Table/db/public.t/Max")
    answer = _merge(_part(9), part)
    assert list(answer.ranges_by_node_id) == [10, 9], "ids are ordered as text, as the peer orders them"
    assert answer.ranges_by_node_id[9] == []
    assert answer.ranges_by_node_id[10] == [
        RangeDescriptor(
            range_id=11,
            start_key=b"/Table/db/public.t",
            end_key=b"/Table/db/public.t/Max",
            store_id=10,
            queries_per_second=16.5,
        ),
        RangeDescriptor(range_id=12, store_id=10, queries_per_second=18.0),
    ]


def test_a_failed_node_is_an_error_beside_the_ranges_of_the_others() -> None:
    failed = Part[HotPart](3, error=PartError("dial", Liveness.UNAVAILABLE, "connection refused"))
    answer = _merge(failed, _part(1, (10, 1.0)))
    assert encode(answer.response_error) == (
        b'[{"error_message":"failed to dial into node 3 (NODE_STATUS_UNAVAILABLE): connection refused","node_id":3}]'
    )
    assert list(answer.ranges_by_node_id) == [1]


def test_two_parts_of_one_node_are_both_in_the_answer() -> None:
    answer = _merge(_part(1, (12, 2.0)), _part(1, (11, 1.0)))
    assert len(answer.ranges) == 2
    assert [desc.range_id for desc in answer.ranges_by_node_id[1]] == [11, 12]


def test_an_answer_survives_the_wire() -> None:
    answer = _merge(_part(1, (10, 1.0)), _part(2, (11, 2.5)))
    assert decode(HotRangesAnswer, encode(answer)) == answer


def test_merging_leaves_what_it_was_given_as_it_was() -> None:
    part = _part(1, (10, 1.0))
    _merge(part)
    assert part.value is not None
    assert part.value.ranges[0].leaseholder_node_id == 0

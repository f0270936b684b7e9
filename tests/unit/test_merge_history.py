"""Histories of all nodes become one answer, in which a node that failed is named."""

from __future__ import annotations

from msgspec import Raw

from rangeland.merge.history import merge_history
from rangeland.merge.hot_range_history import merge_hot_range_history
from rangeland.merge.part import Part, PartError
from rangeland.wire.json import encode
from rangeland.wire.nodes import Liveness
from rangeland.wire.parts import HistoryPart, Item, ListPart

FAILED = PartError("dial", Liveness.DEAD, "connection refused")


def _part(node_id: int) -> Part[HistoryPart]:
    return Part(node_id, HistoryPart(history=Raw(b'"%d"' % node_id)))


def _hot(node_id: int, *range_ids: int) -> Part[ListPart]:
    return Part(node_id, ListPart(items=[Item(each, Raw(b'"%d@%d"' % (each, node_id))) for each in range_ids]))


def test_histories_are_ordered_by_node_and_pass_through_as_they_are() -> None:
    assert encode(merge_history([_part(10), _part(9)])) == b'{"nodes":["9","10"],"errors":[]}'


def test_a_failed_node_is_an_error_beside_the_histories_of_the_others() -> None:
    assert encode(merge_history([Part(3, error=FAILED), _part(1)])).decode() == (
        '{"nodes":["1"],"errors":[{"node_id":3,'
        '"message":"failed to dial into node 3 (NODE_STATUS_DEAD): connection refused"}]}'
    )


def test_no_nodes_give_an_empty_answer() -> None:
    assert encode(merge_history([])) == b'{"nodes":[],"errors":[]}'
    assert encode(merge_hot_range_history([])) == b'{"ranges":[],"errors":[]}'


def test_ranges_are_ordered_by_id_and_then_by_node() -> None:
    answer = merge_hot_range_history([_hot(2, 30, 10), _hot(1, 20, 10)])
    assert encode(answer.ranges) == b'["10@1","10@2","20@1","30@2"]'


def test_a_node_that_failed_to_tell_of_ranges_is_named() -> None:
    reached = PartError("request", Liveness.LIVE, "it doesn't know the question")
    answer = merge_hot_range_history([Part(10, error=FAILED), Part(9, error=reached), _hot(1, 20)])
    assert [(error.node_id, error.message) for error in answer.errors] == [
        (9, "error requesting history of hot ranges from node 9 (NODE_STATUS_LIVE): it doesn't know the question"),
        (10, "failed to dial into node 10 (NODE_STATUS_DEAD): connection refused"),
    ]
    assert len(answer.ranges) == 1

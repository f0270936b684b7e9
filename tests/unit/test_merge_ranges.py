"""One range as every node knows it, and one node's list of ranges."""

from itertools import chain, islice

import pytest
from msgspec import Raw, structs

from rangeland.merge.part import Part, PartError
from rangeland.merge.ranges import BEGINNING, ending, merge_node_ranges, merge_range, range_pieces
from rangeland.wire.json import encode
from rangeland.wire.nodes import Liveness
from rangeland.wire.parts import Item, ListPart, RangePart
from rangeland.wire.ranges import zero_range_info


def _holds(node_id: int) -> Part[RangePart]:
    return Part(node_id, RangePart(range_info=structs.replace(zero_range_info(), source_node_id=node_id)))


def test_every_node_that_holds_a_copy_answers_under_its_number() -> None:
    answer = merge_range(7, [_holds(2), _holds(10), _holds(1)])
    assert [(node_id, d.range_info.source_node_id) for node_id, d in answer.responses_by_node_id.items()] == [
        (1, 1),
        (10, 10),
        (2, 2),
    ], "ids are ordered as text, as the peer orders them"


def test_a_node_without_a_copy_is_absent() -> None:
    absent = Part(2, RangePart(range_info=None))
    assert list(merge_range(7, [_holds(1), absent]).responses_by_node_id) == [1]


def test_a_range_that_nobody_knows_is_an_empty_answer() -> None:
    assert encode(merge_range(7, [Part(1, RangePart(range_info=None))])) == b'{"responses_by_node_id":{}}'


def test_a_failed_node_is_a_range_of_zeros_with_the_reason() -> None:
    failed = Part[RangePart](3, error=PartError("request", Liveness.LIVE, "no answer"))
    assert encode(merge_range(7, [failed])).decode() == (
        '{"responses_by_node_id":{"3":{"range_info":{"desc":{"range_id":0,"store_id":0,'
        '"queries_per_second":0.0},"span":{},"lease_history":[],"problems":{},"stats":{}},'
        '"error":"error requesting details about range 7 from node 3 (NODE_STATUS_LIVE): no answer"}}}'
    )


def test_a_nodes_ranges_are_passed_on_as_they_came_with_the_offset_of_the_next_page() -> None:
    part = ListPart(items=[Item(1, Raw(b'{"a":1}')), Item(2, Raw(b'{"a":2}'))], next_index=2)
    assert encode(merge_node_ranges(part)) == b'{"ranges":[{"a":1},{"a":2}],"next":2}'


def test_the_last_page_of_a_nodes_ranges_has_no_next() -> None:
    assert encode(merge_node_ranges(ListPart(items=[]))) == b'{"ranges":[]}'


@pytest.mark.parametrize("stretches", [[1], [100], [1, 1], [250, 100, 3]])
@pytest.mark.parametrize("next_offset", [0, 7])
def test_a_list_in_pieces_is_the_list_as_a_whole(stretches: list[int], next_offset: int) -> None:
    numbers = iter(range(1, sum(stretches) + 1))
    parts = [[Item(key=number, body=Raw(b'{"n":%d}' % number)) for number in islice(numbers, n)] for n in stretches]
    pieces = [piece for at, part in enumerate(parts) for piece in range_pieces(part, is_first=at == 0)]
    whole = merge_node_ranges(ListPart(items=list(chain(*parts)), next_index=next_offset))
    assert b"".join([BEGINNING, *pieces, ending(next_offset)]) == encode(whole)

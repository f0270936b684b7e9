"""Every node's sessions become one list in which nothing is lost and nobody waits for anybody."""

from msgspec import Raw

from rangeland.merge.part import Part, PartError
from rangeland.merge.sessions import merge_sessions
from rangeland.wire.json import encode
from rangeland.wire.nodes import Liveness
from rangeland.wire.parts import Item, ListPart


def _part(node_id: int, *keys: float) -> Part[ListPart]:
    bodies = [Raw(f'"{node_id}@{key:g}"'.encode()) for key in keys]
    return Part(node_id, ListPart(items=[Item(key, body) for key, body in zip(keys, bodies, strict=True)]))


def _failed(node_id: int) -> Part[ListPart]:
    return Part(node_id, error=PartError("dial", Liveness.DEAD, "connection refused"))


def _shown(parts: list[Part[ListPart]]) -> list[str]:
    return [bytes(body).decode().strip('"') for body in merge_sessions(parts, next_token="x").sessions]


def test_sessions_are_ordered_by_start_over_all_nodes() -> None:
    assert _shown([_part(1, 1, 4), _part(2, 2, 3)]) == ["1@1", "2@2", "2@3", "1@4"]


def test_sessions_that_started_together_are_ordered_by_node() -> None:
    assert _shown([_part(2, 1, 1), _part(1, 1)]) == ["1@1", "2@1", "2@1"]


def test_a_node_that_sends_them_in_disorder_does_not_spoil_the_order() -> None:
    assert _shown([_part(1, 5, 1, 3), _part(2, 2)]) == ["1@1", "2@2", "1@3", "1@5"]


def test_a_failed_node_is_an_error_beside_the_sessions_of_the_others() -> None:
    answer = encode(merge_sessions([_failed(3), _part(1, 1)], next_token="fDB8MHw="))
    assert answer.decode() == (
        '{"sessions":["1@1"],"errors":[{"node_id":3,'
        '"message":"failed to dial into node 3 (NODE_STATUS_DEAD): connection refused"}],'
        '"internal_app_name_prefix":"rangeland","next":"fDB8MHw="}'
    )


def test_errors_are_ordered_by_node() -> None:
    errors = merge_sessions([_failed(10), _failed(9)], next_token="x").errors
    assert [error.node_id for error in errors] == [9, 10]


def test_no_nodes_give_an_empty_answer() -> None:
    answer = merge_sessions([], next_token="x")
    assert (answer.sessions, answer.errors, answer.next) == ([], [], "x")

"""JSON as clients of the Cluster API read it: compact, nothing escaped that need not be, bytes as base64."""

import pytest
from msgspec import Raw

from rangeland.wire.json import DecodeError, decode, encode
from rangeland.wire.parts import Item, ListPart, SessionsParams


def test_angle_brackets_and_ampersands_are_not_escaped() -> None:
    assert encode({"a": "<admin> & é"}) == '{"a":"<admin> & é"}'.encode()


def test_bytes_are_standard_base64_with_padding() -> None:
    assert encode(b"\xfb\xff\xfe\x00") == b'"+//+AA=="'


def test_integer_keys_become_strings() -> None:
    assert encode({1: {"a": 1.5}}) == b'{"1":{"a":1.5}}'


def test_what_a_peer_sent_is_passed_on_as_the_same_bytes() -> None:
    sent = b'{"items":[[1.5,{"a": 1,  "newer":"than us"}]],"next_index":7,"places":[]}'
    assert encode(decode(ListPart, sent)) == sent


def test_an_item_is_two_things_in_a_list() -> None:
    assert encode(Item(3.25, Raw(b'{"node_id":1}'))) == b'[3.25,{"node_id":1}]'


def test_fields_of_a_newer_node_are_passed_over() -> None:
    assert decode(SessionsParams, b'{"username":"app","mood":"good"}') == SessionsParams(username="app")


def test_fields_that_an_older_node_leaves_out_have_their_default() -> None:
    assert decode(ListPart, b'{"items":[]}') == ListPart(items=[], next_index=0, places=[])


@pytest.mark.parametrize("data", [b"", b"{", b"null", b'{"items":[[1]]}', b'{"items":null}', b"\xff"])
def test_what_is_not_the_type_is_a_decode_error(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(ListPart, data)


@pytest.mark.parametrize(
    ("data", "why"),
    [(b'{"username":"\x80"}', "a text in it is not UTF-8"), (b'{"x":' + b"[" * 100_000, "it is too deep")],
)
def test_what_msgspec_has_other_errors_for_is_a_decode_error_too(data: bytes, why: str) -> None:
    with pytest.raises(DecodeError, match=why):
        decode(SessionsParams, data)

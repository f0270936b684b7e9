"""What waits to be written down is bounded, and goes in batches that fit a question."""

from __future__ import annotations

import json
import uuid

from rangeland.cluster.event_log import BATCH_BYTES, ROOM, Waiting
from rangeland.wire.events import INFOS, NodeLeft, UserLogin, info_text
from rangeland.wire.json import encode
from rangeland.wire.members import EventsToKeep, EventToKeep

BODY_BYTES = 64 * 1024  # a larger body is refused


def event(number: int, info: str = "{}") -> EventToKeep:
    return EventToKeep(event_id=uuid.UUID(int=number), happened_at_ns=number, event_type="x", info=info)


def numbers(waiting: Waiting) -> list[int]:
    """Of all that waits, in the order in which it would be written."""
    found: list[int] = []
    while batch := waiting.batch():
        found += [each.happened_at_ns for each in batch]
        waiting.remove(batch)
    return found


def test_the_oldest_goes_where_there_is_no_room_and_is_counted() -> None:
    waiting = Waiting(room=3)
    for number in range(5):
        waiting.add(event(number))
    assert (len(waiting), waiting.dropped) == (3, 2)
    assert numbers(waiting) == [2, 3, 4]


def test_nothing_is_dropped_while_there_is_room() -> None:
    waiting = Waiting()
    for number in range(ROOM):
        waiting.add(event(number))
    assert (len(waiting), waiting.dropped) == (ROOM, 0)
    assert numbers(waiting) == list(range(ROOM))


def test_an_event_that_is_told_twice_waits_once() -> None:
    waiting = Waiting()
    waiting.add(event(1))
    waiting.add(event(1))
    assert len(waiting) == 1


def test_a_batch_fits_a_question_even_of_letters_that_grow() -> None:
    """A control character is six letters of JSON, and the backslash among them two once more."""
    waiting = Waiting()
    for number in range(200):
        waiting.add(event(number, info_text(NodeLeft(NodeID=1, Reason="silent", Since=1, Cause="\1" * 200), at_ns=1)))
    while batch := waiting.batch():
        assert len(encode(EventsToKeep(node_id=2**31 - 1, events=batch))) < BODY_BYTES
        waiting.remove(batch)


def test_an_event_that_is_larger_than_a_batch_goes_alone() -> None:
    waiting = Waiting()
    waiting.add(event(1, "x" * BATCH_BYTES))
    waiting.add(event(2))
    assert [each.happened_at_ns for each in waiting.batch()] == [1]


def test_an_info_is_ascii_with_its_time_and_type_first() -> None:
    text = info_text(UserLogin(User="Zoë 🐘\0", Method="password"), at_ns=5)
    assert text.isascii()
    assert list(json.loads(text).items()) == [
        ("Timestamp", 5),
        ("EventType", "user_login"),
        ("User", "Zoë 🐘\0"),
        ("Method", "password"),
    ]


def test_every_type_has_a_name_of_its_own() -> None:
    names = [info.event_type for info in INFOS]
    assert all(names)
    assert len(set(names)) == len(names)

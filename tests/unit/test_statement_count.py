"""Statements are counted from the first reading on, and never backwards."""

from rangeland.collect.nodes import StatementCount


def count(*sums: int | None) -> int | None:
    counted = StatementCount()
    for calls in sums:
        counted.take(calls)
    return counted.total


def test_without_the_extension_nothing_is_told() -> None:
    assert count(None) is None


def test_what_was_there_before_the_first_reading_is_not_counted() -> None:
    assert count(5000) == 0


def test_what_is_added_is_counted() -> None:
    assert count(5000, 5010, 5010, 5030) == 30


def test_evicted_entries_take_nothing_away() -> None:
    assert count(5000, 5010, 4000, 4005) == 15


def test_a_missed_reading_changes_nothing() -> None:
    assert count(10, 20, None, 30) == 20

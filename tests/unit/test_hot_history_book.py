"""The last hour of hot ranges: means of minutes, gaps where nothing was measured, never too much of it."""

from __future__ import annotations

import sys

import pytest

from rangeland.collect.hot_range_history import KEPT_MINUTES, LONGEST_WINDOW_S, MOST_RANGES, HotHistoryBook
from rangeland.collect.hot_ranges import HotRow, Rates, Sample
from rangeland.collect.range_rows import range_id_of
from rangeland.wire.hot_range_history import HotRangeHistory
from unit.test_rates import ROW

NOON = 1_800_000_000  # a whole minute
DATABASE = 3
A, B = range_id_of(DATABASE, 20), range_id_of(DATABASE, 21)


def rates(value: float, window_s: float = 10.0) -> Rates:
    """Buffers at the value, scans at twice, tuples read and written at three and four times it."""
    return Rates(2 * value, 3 * value, 4 * value, value, 0.0, window_s, 8192)


def sample(
    hot: dict[int, float], *, active: dict[int, float] | None = None, window_s: float = 10.0, measured: bool = True
) -> Sample:
    """Hot ranges, those that did less, and whether their database was measured at all."""
    found = {range_id: rates(value, window_s) for range_id, value in ((active or {}) | hot).items()}
    return Sample(
        8192,
        hot=[HotRow(range_id, ROW, found[range_id]) for range_id in sorted(hot, key=lambda each: -hot[each])],
        rates_by_range_id=found,
        window_s_by_number={DATABASE: window_s} if measured else {},
    )


def told(book: HotHistoryBook, now_s: float, *range_ids: int) -> list[HotRangeHistory]:
    return list(book.told(range_ids or None, node_id=7, now_s=now_s))


def buffers(book: HotHistoryBook, now_s: float, range_id: int) -> list[float | None]:
    """From the first known minute on."""
    return [value for each in told(book, now_s, range_id) for value in each.buffers_per_second]


def test_a_minute_is_the_mean_of_its_samples() -> None:
    book = HotHistoryBook()
    for second, value in ((10, 1.0), (20, 2.0), (30, 6.0)):
        book.take(sample({A: value}), now_s=NOON + second)
    assert told(book, NOON + 30) == [
        HotRangeHistory(
            range_id=A,
            node_id=7,
            step_seconds=60,
            times=[NOON],
            buffers_per_second=[3.0],
            queries_per_second=[6.0],
            reads_per_second=[9.0],
            writes_per_second=[12.0],
        )
    ]


def test_a_longer_window_weighs_more() -> None:
    book = HotHistoryBook()
    book.take(sample({A: 1.0}, window_s=10), now_s=NOON + 10)
    book.take(sample({A: 4.0}, window_s=20), now_s=NOON + 30)
    assert buffers(book, NOON + 30, A) == [3.0]


def test_a_window_across_minutes_gives_each_its_share() -> None:
    book = HotHistoryBook()
    book.take(sample({A: 1.0}, window_s=60), now_s=NOON + 60)
    book.take(sample({A: 5.0}, window_s=60), now_s=NOON + 120)
    book.take(sample({A: 9.0}, window_s=120), now_s=NOON + 240)
    assert buffers(book, NOON + 240, A) == [1.0, 5.0, 9.0, 9.0]


def test_a_range_that_is_hot_no_more_goes_on_with_what_it_does_and_with_zeros() -> None:
    book = HotHistoryBook()
    book.take(sample({A: 8.0}), now_s=NOON + 10)
    book.take(sample({B: 9.0}, active={A: 1.0}), now_s=NOON + 70)
    book.take(sample({B: 9.0}), now_s=NOON + 130)
    assert buffers(book, NOON + 130, A) == [8.0, 1.0, 0.0]
    assert buffers(book, NOON + 130, B) == [9.0, 9.0]


def test_a_minute_without_a_sample_is_a_gap() -> None:
    book = HotHistoryBook()
    book.take(sample({A: 8.0}), now_s=NOON + 10)
    book.take(sample({A: 2.0}), now_s=NOON + 190)
    [history] = told(book, NOON + 190)
    assert history.times == [NOON, NOON + 60, NOON + 120, NOON + 180]
    assert history.buffers_per_second == [8.0, None, None, 2.0]
    assert history.writes_per_second == [32.0, None, None, 8.0]


def test_what_a_sample_did_not_measure_is_a_gap_and_no_zero() -> None:
    book = HotHistoryBook()
    book.take(sample({A: 8.0}), now_s=NOON + 10)
    book.take(sample({}, measured=False), now_s=NOON + 70)
    book.take(sample({}), now_s=NOON + 130)
    assert buffers(book, NOON + 130, A) == [8.0, None, 0.0]


@pytest.mark.parametrize(("window_s", "known"), [(LONGEST_WINDOW_S, True), (LONGEST_WINDOW_S + 1, False)])
def test_a_mean_over_a_pause_of_the_sampler_is_no_point(window_s: float, known: bool) -> None:
    book = HotHistoryBook()
    book.take(sample({A: 8.0}, window_s=window_s), now_s=NOON)
    assert bool(told(book, NOON)) is known


def test_points_end_when_they_are_an_hour_old() -> None:
    book = HotHistoryBook()
    book.take(sample({A: 1.0}), now_s=NOON + 10)
    book.take(sample({A: 2.0}), now_s=NOON + 70)
    assert buffers(book, NOON + 59 * 60, A) == [1.0, 2.0]
    assert buffers(book, NOON + 60 * 60, A) == [2.0]
    assert told(book, NOON + 61 * 60, A) == []


def test_an_hour_is_sixty_points() -> None:
    book = HotHistoryBook()
    for minute in range(100):
        book.take(sample({A: float(minute)}), now_s=NOON + minute * 60 + 30)
    assert buffers(book, NOON + 99 * 60 + 30, A) == [float(minute) for minute in range(40, 100)]


def test_a_range_is_followed_for_an_hour_after_it_was_hot() -> None:
    book = HotHistoryBook()
    book.take(sample({A: 8.0}), now_s=NOON + 10)
    book.take(sample({}), now_s=NOON + 3600)
    assert buffers(book, NOON + 3600, A)[-1] == 0.0
    book.take(sample({}), now_s=NOON + 3620)
    assert told(book, NOON + 3620) == []


def test_some_ranges_or_all_come_by_id() -> None:
    book = HotHistoryBook()
    book.take(sample({B: 9.0, A: 1.0}), now_s=NOON + 10)
    assert [each.range_id for each in told(book, NOON + 10)] == [A, B]
    assert [each.range_id for each in told(book, NOON + 10, B, 1, B)] == [B]


def test_too_many_ranges_end_those_that_were_hot_the_longest_ago() -> None:
    book = HotHistoryBook()
    book.take(sample({A: 1.0, B: 2.0}), now_s=NOON + 10)
    book.take(sample({range_id_of(DATABASE, 100 + n): 1.0 for n in range(MOST_RANGES - 1)}), now_s=NOON + 20)
    found = [each.range_id for each in told(book, NOON + 20)]
    assert len(found) == MOST_RANGES
    assert (A in found, B in found) == (False, True)


def test_an_hour_of_the_most_ranges_is_below_half_a_megabyte() -> None:
    book = HotHistoryBook()
    for minute in range(2 * KEPT_MINUTES):
        hot = {range_id_of(DATABASE, 1000 * (minute % 7) + n): 1.0 for n in range(MOST_RANGES)}
        book.take(sample(hot), now_s=NOON + minute * 60)
    tracks = book._track_by_range_id.values()
    assert len(tracks) == MOST_RANGES
    assert sum(sys.getsizeof(part) for each in tracks for part in (each.minutes, each.seconds, each.sums)) < 500_000


def test_a_clock_that_is_set_back_shows_nothing_of_the_future() -> None:
    book = HotHistoryBook()
    book.take(sample({A: 1.0}), now_s=NOON + 600)
    book.take(sample({A: 2.0}), now_s=NOON + 30)
    assert buffers(book, NOON + 30, A) == [2.0]

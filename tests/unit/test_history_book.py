"""A node's history of its metrics: one reading a minute, bounded, with gaps where nothing was known."""

from __future__ import annotations

import sys
from itertools import pairwise

import pytest
from msgspec import structs

from rangeland.api.history import CHARTED, MOST_METRICS, POINTS, SINCE_S, parse_metrics
from rangeland.api.replies import HttpError
from rangeland.collect.history import (
    CLOSEST_S,
    FURTHEST_S,
    LATE_S,
    LONGEST_S,
    STEP_S,
    HistoryBook,
    thinned,
)
from rangeland.collect.metrics import METRIC_BY_NAME, METRICS
from rangeland.config import resolve_settings
from rangeland.errors import SettingError
from rangeland.node.settings import node_settings
from rangeland.wire.history import NodeHistory
from rangeland.wire.nodes import NodeStatus
from rangeland.wire.parts import HistoryParams
from unit.test_wire_presence import NODE

NOON = 1_800_000_000  # a whole minute
HOUR_S = 3600
SERVER = {"pg.uptime.seconds": 1.0}  # it answered


def status(at: float, metrics: dict[str, float], store: dict[str, float] | None = None) -> NodeStatus:
    return structs.replace(
        NODE, updated_at=int(at * 1e9), metrics=metrics, store_metrics={} if store is None else {1: store}
    )


def told(
    book: HistoryBook, *metrics: str, now_s: float = NOON + HOUR_S, since_s: int = LONGEST_S, max_points: int = 2880
) -> NodeHistory:
    params = HistoryParams(metrics=list(metrics), since_s=since_s, max_points=max_points)
    return book.told(params, node_id=7, now_s=now_s)


def filled(minutes: int, *, kept_s: float = 6 * HOUR_S) -> HistoryBook:
    """A reading at the 50th second of each minute from noon on, with the minute's number as the value of `a`."""
    book = HistoryBook(kept_s)
    for minute in range(minutes):
        book.take(status(NOON + minute * 60 + 50, {"a": float(minute)}, SERVER))
    return book


def test_metrics_of_the_node_and_of_its_store_are_told_by_name() -> None:
    book = HistoryBook(HOUR_S)
    book.take(status(NOON, {"sql.conns": 3.0}, {"pg.wal.bytes": 10.0}))
    book.take(status(NOON + 61.9, {"sql.conns": 4.0}, {"pg.wal.bytes": 20.0}))
    assert told(book, "pg.wal.bytes", "sql.conns") == NodeHistory(
        node_id=7,
        step_seconds=60,
        kept_seconds=3600,
        times=[NOON, NOON + 61],
        metrics={"pg.wal.bytes": [10.0, 20.0], "sql.conns": [3.0, 4.0]},
    )


def test_without_a_reading_nothing_is_told() -> None:
    assert told(HistoryBook(HOUR_S), "sql.conns") == NodeHistory(
        node_id=7, step_seconds=60, kept_seconds=3600, times=[], metrics={}
    )


def test_while_the_server_is_down_its_metrics_are_null_and_the_others_go_on() -> None:
    book = HistoryBook(HOUR_S)
    book.take(status(NOON, {"sys.rss": 1.0, "sql.conns": 3.0}, {"pg.wal.bytes": 10.0}))
    book.take(status(NOON + 60, {"sys.rss": 2.0}))
    book.take(status(NOON + 120, {"sys.rss": 3.0, "sql.conns": 0.0}, {"pg.wal.bytes": 11.0}))
    assert told(book, "sys.rss", "sql.conns", "pg.wal.bytes").metrics == {
        "sys.rss": [1.0, 2.0, 3.0],
        "sql.conns": [3.0, None, 0.0],
        "pg.wal.bytes": [10.0, None, 11.0],
    }


def test_a_reading_without_the_server_gives_way_to_one_of_the_same_minute() -> None:
    book = HistoryBook(HOUR_S)
    book.take(status(NOON, {"sys.rss": 1.0}))
    book.take(status(NOON + 5, {"sys.rss": 2.0}))
    assert told(book, "sys.rss").metrics == {"sys.rss": [1.0]}
    assert book.is_due(NOON + 10)
    book.take(status(NOON + 10, {"sys.rss": 3.0, "sql.conns": 5.0}, {"pg.wal.bytes": 10.0}))
    assert not book.is_due(NOON + 20)
    book.take(status(NOON + 20, {"sys.rss": 4.0, "sql.conns": 6.0}, {"pg.wal.bytes": 11.0}))
    assert told(book, "sys.rss", "sql.conns").metrics == {"sys.rss": [3.0], "sql.conns": [5.0]}


def test_a_reading_without_the_server_stays_when_its_minute_is_over() -> None:
    """The outage was there; that the server is back shows in the next reading."""
    book = HistoryBook(HOUR_S)
    book.take(status(NOON + 50, {"sys.rss": 1.0}))
    book.take(status(NOON + 65, {"sys.rss": 2.0}, SERVER))
    book.take(status(NOON + 80, {"sys.rss": 3.0}, SERVER))
    assert told(book, "sys.rss").metrics == {"sys.rss": [1.0, 3.0]}


def test_a_metric_that_is_known_later_begins_with_nulls() -> None:
    book = HistoryBook(HOUR_S)
    book.take(status(NOON, {"a": 1.0}))
    book.take(status(NOON + 60, {"a": 1.0, "b": 2.0}))
    assert told(book, "b").metrics == {"b": [None, 2.0]}


def test_a_metric_that_is_not_known_in_the_time_asked_for_is_absent() -> None:
    book = HistoryBook(HOUR_S)
    book.take(status(NOON, {"a": 1.0, "b": 2.0}))
    book.take(status(NOON + 60, {"a": 1.0}))
    assert told(book, "a", "b", "c", now_s=NOON + 60, since_s=30).metrics == {"a": [1.0]}


def test_a_minute_has_one_reading_and_it_is_the_first() -> None:
    book = HistoryBook(HOUR_S)
    for second in range(0, 180, 15):
        book.take(status(NOON + second, {"a": float(second)}, SERVER))
    assert told(book, "a").metrics == {"a": [0.0, 60.0, 120.0]}


@pytest.mark.parametrize(("after_s", "is_due"), [(9.9, False), (10, False), (29.9, False), (30, True), (60, True)])
def test_a_reading_that_is_close_to_the_last_one_is_not_kept_though_its_minute_is_another(
    after_s: float, is_due: bool
) -> None:
    book = filled(1)
    assert book.is_due(NOON + LATE_S + after_s) is is_due


def test_a_reading_is_due_at_once_and_the_node_makes_it_late_in_a_minute_without_one() -> None:
    book = HistoryBook(HOUR_S)
    assert book.is_due(NOON)
    assert book.wait_s(NOON + 20) == LATE_S - 20
    assert book.wait_s(NOON + LATE_S + 1) == 0
    book.take(status(NOON + LATE_S, {"a": 1.0}, SERVER))
    assert book.wait_s(NOON + LATE_S + 1) == STEP_S - 1


def test_the_node_does_not_wait_so_long_that_it_would_look_like_a_gap() -> None:
    book = HistoryBook(HOUR_S)
    book.take(status(NOON, {"a": 1.0}, SERVER))
    assert book.wait_s(NOON + 10) == FURTHEST_S - 10
    assert book.is_due(NOON + FURTHEST_S)


@pytest.mark.parametrize("second", range(60))
def test_alone_the_node_reads_once_a_minute_whenever_it_began(second: int) -> None:
    book = HistoryBook(HOUR_S)
    now, times = float(NOON + second), []
    while now < NOON + 20 * 60:
        if book.is_due(now):
            book.take(status(now, {"a": 1.0}, SERVER))
            times.append(now)
        wait_s = book.wait_s(now)
        assert wait_s > 0, "it must not spin"
        now += wait_s
    apart = [after - before for before, after in pairwise(times)]
    assert CLOSEST_S <= min(apart) <= max(apart) <= FURTHEST_S
    assert apart[-1] == STEP_S


def test_a_history_that_is_switched_off_keeps_nothing() -> None:
    book = filled(3, kept_s=0)
    assert not book.is_due(NOON)
    assert book.wait_s(NOON) == STEP_S
    assert told(book, "a") == NodeHistory(node_id=7, step_seconds=60, kept_seconds=0, times=[], metrics={})


def test_old_readings_are_forgotten() -> None:
    book = filled(200, kept_s=HOUR_S)
    assert told(book, "a", now_s=NOON + 200 * 60).metrics == {"a": [float(minute) for minute in range(140, 200)]}


def test_a_day_of_all_metrics_is_below_a_megabyte() -> None:
    book = HistoryBook(24 * HOUR_S)
    values = {metric.name: 1.5 for metric in METRICS} | {f"more.{number}": 1.5 for number in range(80 - len(METRICS))}
    assert len(values) == 80
    for minute in range(2 * 1440):
        book.take(status(NOON + minute * 60, values))
    kept = book._values_by_name.values()
    assert [len(values) for values in kept] == [1440] * 80
    assert sys.getsizeof(book._times) + sum(map(sys.getsizeof, kept)) < 1_000_000


def test_a_clock_that_is_set_back_takes_what_is_ahead_of_it_away() -> None:
    book = filled(10)
    book.take(status(NOON + 5 * 60, {"a": 99.0}))
    found = told(book, "a")
    assert found.metrics == {"a": [0.0, 1.0, 2.0, 3.0, 4.0, 99.0]}
    assert found.times == sorted(found.times)


def test_only_the_time_that_is_asked_for_is_told() -> None:
    book = filled(60)
    assert told(book, "a", now_s=NOON + 60 * 60, since_s=130).metrics == {"a": [58.0, 59.0]}
    assert told(book, "a", now_s=NOON + 60 * 60, since_s=9).times == []


def test_of_too_many_readings_one_of_every_few_minutes_is_told_as_it_was_read() -> None:
    found = told(filled(60), "a", max_points=20)
    assert found.step_seconds == 180
    assert found.metrics == {"a": [float(minute) for minute in range(2, 60, 3)]}
    assert found.times == [NOON + minute * 60 + 50 for minute in range(2, 60, 3)]


def test_the_newest_reading_is_told_and_the_others_stay_the_same() -> None:
    book = filled(60)
    before = told(book, "a", max_points=25)
    book.take(status(NOON + 60 * 60 + 50, {"a": 60.0}))
    after = told(book, "a", max_points=25)
    assert after.metrics == {"a": [*before.metrics["a"], 60.0]}


@pytest.mark.parametrize("max_points", [2, 3, 7, 60, 400])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 59, 2880])
@pytest.mark.parametrize("step_s", [30, 60, 61, 89, 3600])
def test_there_are_never_more_points_than_asked_for(max_points: int, count: int, step_s: int) -> None:
    count = min(count, LONGEST_S // step_s)
    times = [NOON + 59 + number * step_s for number in range(count)]
    places, apart_s = thinned(times, max_points)
    assert len(places) <= max_points
    assert places == sorted(set(places))
    assert places[-1:] == ([count - 1] if count else [])
    assert apart_s % STEP_S == 0


def test_the_charts_metrics_are_metrics() -> None:
    assert set(CHARTED) <= METRIC_BY_NAME.keys()
    assert len(CHARTED) <= MOST_METRICS


def test_names_are_parted_by_commas_and_taken_once() -> None:
    assert parse_metrics(" a, b,,a,") == ["a", "b"]
    assert parse_metrics(",".join(f"m{number}" for number in range(50))) == [f"m{number}" for number in range(50)]
    with pytest.raises(HttpError):
        parse_metrics(",".join(f"m{number}" for number in range(51)))


def test_without_names_those_of_the_charts_are_meant() -> None:
    assert parse_metrics("") == parse_metrics(" ,") == list(CHARTED)
    assert SINCE_S // STEP_S <= POINTS


def history_s(text: str) -> float:
    flags = {"server_url": "postgresql://x", "history": text}
    return node_settings(resolve_settings("start", flags, {}, {})).history_s


@pytest.mark.parametrize(("text", "seconds"), [("off", 0), ("1m", 60), ("6h", 21600), ("48h", 172800)])
def test_the_history_is_a_duration_or_off(text: str, seconds: float) -> None:
    assert history_s(text) == seconds


@pytest.mark.parametrize("text", ["59s", "48h1s", "0s", "on", "0", ""])
def test_another_history_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="--history must be"):
        history_s(text)

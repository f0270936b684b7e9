"""Differences of counters become rates; without a server."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rangeland.collect.hot_ranges import (
    HotRow,
    Rates,
    Reading,
    Sample,
    differences,
    hot_range_from_row,
    rates_by_range_id,
    statistics_from_rates,
)
from rangeland.collect.range_rows import RangeRow, range_id_of, span_from_row, split_range_id
from rangeland.wire.json import encode

SINCE = datetime(2024, 5, 1, tzinfo=UTC)
ROW = RangeRow(
    oid=20,
    database=b"shop",
    schema_name=b"public",
    table_name=b"orders",
    kind="table",
    is_shared=False,
    is_unlogged=False,
    key_database=b"shop",
    key_table=b"public.orders",
    bound=None,
    index_names=[b"orders_pkey"],
)


def reading(at: float, rows: Sequence[tuple[int, ...]], since: datetime | None = SINCE) -> Reading:
    """Rows of oid, scans, tuples read and written, blocks fetched and hit."""
    made = Reading(at, since)
    for oid, *counters in rows:
        made.add((oid, False, *counters))
    return made


def changes(before: Reading, after: Reading) -> dict[int, list[int]]:
    return {oid: list(difference) for oid, difference in differences(before, after)}


def test_a_rate_is_a_difference_over_the_window() -> None:
    before = reading(10, [(20, 1, 10, 100, 1000, 900)])
    after = reading(15, [(20, 6, 30, 110, 1500, 1350)])
    rates = rates_by_range_id(3, before, after, 8192)
    assert rates == {range_id_of(3, 20): Rates(1.0, 4.0, 2.0, 100.0, 10.0, 5.0, 8192)}


def test_a_range_that_did_nothing_has_no_row() -> None:
    same = [(20, 1, 1, 1, 1, 1), (30, 0, 0, 0, 5, 5)]
    assert changes(reading(1, same), reading(2, same)) == {}


def test_a_range_that_was_never_touched_before_began_at_zero() -> None:
    after = reading(2, [(10, 1, 0, 0, 8, 8), (20, 1, 1, 1, 1, 1), (30, 2, 0, 0, 4, 1)])
    assert changes(reading(1, [(20, 1, 1, 1, 1, 1)]), after) == {10: [1, 0, 0, 8, 0], 30: [2, 0, 0, 4, 3]}


def test_a_range_that_is_gone_is_not_missed() -> None:
    before = reading(1, [(10, 9, 9, 9, 9, 9), (20, 1, 0, 0, 1, 1)])
    assert changes(before, reading(2, [(20, 2, 0, 0, 1, 1)])) == {20: [1, 0, 0, 0, 0]}


def test_a_counter_that_fell_has_begun_anew_and_is_no_rate() -> None:
    before = reading(1, [(10, 9, 9, 9, 9, 9), (20, 1, 0, 0, 1, 1)])
    assert changes(before, reading(2, [(10, 10, 0, 10, 10, 10), (20, 2, 0, 0, 1, 1)])) == {20: [1, 0, 0, 0, 0]}


def test_counters_that_begin_anew_as_a_whole_are_not_compared() -> None:
    """After a crash, counters may have grown past the old ones by the next reading."""
    before = reading(1, [(10, 1, 1, 1, 1, 1)])
    assert changes(before, reading(2, [(10, 9, 9, 9, 9, 9)], since=SINCE.replace(year=2025))) == {}
    assert changes(before, reading(2, [(10, 9, 9, 9, 9, 9)], since=None)) == {}


def test_a_range_of_a_measured_database_that_did_nothing_has_zeros_and_another_nothing() -> None:
    sample = Sample(block_size=8192, window_s_by_number={3: 10.0})
    rates = sample.rates(range_id_of(3, 20))
    assert rates == Rates(0.0, 0.0, 0.0, 0.0, 0.0, 10.0, 8192)
    assert encode(statistics_from_rates(rates)) == b"{}"
    assert sample.rates(range_id_of(4, 20)) is None


def test_bytes_are_buffers_times_the_block_size() -> None:
    hot = HotRow(range_id_of(3, 20), ROW, Rates(1.0, 2.0, 3.0, 10.0, 4.0, 5.0, 8192))
    shown = hot_range_from_row(hot, 9, None)
    assert (shown.qps, shown.reads_per_second, shown.writes_per_second) == (1.0, 2.0, 3.0)
    assert (shown.read_bytes_per_second, shown.disk_read_bytes_per_second) == (81920.0, 32768.0)
    assert (shown.buffers_per_second, shown.window_seconds) == (10.0, 5.0)
    assert (shown.table_name, shown.tables, shown.indexes) == ("orders", ["orders"], ["orders_pkey"])
    assert (shown.node_id, shown.store_id) == (9, 9)
    assert b"size_bytes" not in encode(shown)


def test_a_range_id_is_reversible_and_exact_as_a_double() -> None:
    for number, oid in ((1, 1260), (2, 0xFFFF_FFFF), (2**20, 16384)):
        range_id = range_id_of(number, oid)
        assert split_range_id(range_id) == (number, oid)
        assert int(float(range_id)) == range_id


def test_the_keys_of_a_whole_table() -> None:
    span = span_from_row(ROW)
    assert (span.start_key, span.end_key) == (
        "/Table/shop/public.orders/Min",
        "/Table/shop/public.orders/Max",
    )


def test_the_keys_of_partitions() -> None:
    keys = {
        "FOR VALUES FROM (1, MINVALUE) TO (10, 'x')": ("(1, MINVALUE)", "(10, 'x')"),
        "FOR VALUES FROM (') TO (', 'it''s') TO ('b')": ("(') TO (', 'it''s')", "('b')"),
        "FOR VALUES IN ('a', 'b')": ("IN ('a', 'b')/Min", "IN ('a', 'b')/Max"),
        "FOR VALUES WITH (modulus 4, remainder 1)": (
            "WITH (modulus 4, remainder 1)/Min",
            "WITH (modulus 4, remainder 1)/Max",
        ),
        "DEFAULT": ("DEFAULT/Min", "DEFAULT/Max"),
    }
    for bound, (start, end) in keys.items():
        span = span_from_row(ROW._replace(bound=bound.encode()))
        assert span.start_key == f"/Table/shop/public.orders/{start}"
        assert span.end_key == f"/Table/shop/public.orders/{end}"

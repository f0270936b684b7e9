"""Times and durations as the contract writes them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from rangeland.wire.times import ZERO_TIME, duration_ns, ns, rfc3339


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2021, 3, 1, 12, 0, 0, 123456, tzinfo=UTC), "2021-03-01T12:00:00.123456Z"),
        (datetime(2021, 3, 1, 12, 0, 0, 120000, tzinfo=UTC), "2021-03-01T12:00:00.12Z"),
        (datetime(2021, 3, 1, 12, 0, 0, 1, tzinfo=UTC), "2021-03-01T12:00:00.000001Z"),
        (datetime(2021, 3, 1, 12, 0, 10, tzinfo=UTC), "2021-03-01T12:00:10Z"),
        (datetime(2021, 3, 1, 1, 30, tzinfo=timezone(timedelta(hours=2))), "2021-02-28T23:30:00Z"),
        (datetime(1, 1, 1, tzinfo=UTC), ZERO_TIME),
    ],
)
def test_a_time_is_rfc_3339_in_utc_without_trailing_zeros(moment: datetime, text: str) -> None:
    assert rfc3339(moment) == text


def test_nanoseconds_are_exact() -> None:
    assert ns(datetime(2021, 3, 1, 12, 0, 0, 123457, tzinfo=UTC)) == 1614600000_123457000


def test_nanoseconds_do_not_depend_on_the_zone() -> None:
    assert ns(datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))) == 0


@pytest.mark.parametrize("write", [rfc3339, ns])
def test_a_time_without_a_zone_is_refused(write: object) -> None:
    assert callable(write)
    with pytest.raises(ValueError, match="time zone"):
        write(datetime(2021, 3, 1))


def test_a_duration_is_integer_nanoseconds() -> None:
    assert duration_ns(timedelta(days=1, microseconds=1)) == 86_400_000_001_000
    assert duration_ns(timedelta(microseconds=-1)) == -1_000

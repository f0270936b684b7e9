"""Times and durations as the contract writes them: RFC 3339 in UTC, or nanoseconds as an integer."""

from datetime import UTC, datetime, timedelta
from typing import Final

ZERO_TIME: Final = "0001-01-01T00:00:00Z"  # no time, in a field that is always there

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NS_PER_US = 1_000


def rfc3339(moment: datetime) -> str:
    """`2021-03-01T12:00:00.1234Z`: in UTC, the fraction without trailing zeros and absent when zero.

    Raises: ValueError for a time without a zone, which could mean anything.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone")
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat()
    return (text.rstrip("0") if moment.microsecond else text) + "Z"


def ns(moment: datetime) -> int:
    """Nanoseconds since 1970 (UTC), exact to PostgreSQL's microsecond.

    Raises: ValueError for a time without a zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone")
    return duration_ns(moment - _EPOCH)


def duration_ns(duration: timedelta) -> int:
    """Nanoseconds, exact; negative when the duration is."""
    return duration // timedelta(microseconds=1) * _NS_PER_US

"""Numbers on the wire: what is unknown or not finite is left out, since JSON has no NaN."""

from collections.abc import Mapping
from math import isfinite

from msgspec import UNSET, UnsetType


def nonzero(value: float | None) -> float | UnsetType:
    """For fields that vanish at zero: UNSET (no field) for 0, None, NaN and infinity.

    A default of 0.0 would not do: msgspec omits a default by identity, so a computed 0.0 would be printed.
    """
    return value if value and isfinite(value) else UNSET


def known(value: float | None) -> float | UnsetType:
    """For fields of which zero is a statement: UNSET (no field) for None, NaN and infinity only."""
    return UNSET if value is None or not isfinite(value) else value


def finite(value_by_name: Mapping[str, float | None]) -> dict[str, float]:
    """Metrics without those that are None, NaN or infinite, in the same order.

    All of them as floats, `7.0`, as a node that has read them from a peer prints them.
    """
    return {name: float(value) for name, value in value_by_name.items() if value is not None and isfinite(value)}

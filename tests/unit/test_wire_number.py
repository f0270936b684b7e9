"""Numbers that can't be sent are left out, and zeros vanish where the contract says so."""

from math import inf, nan

import pytest
from msgspec import UNSET

from rangeland.wire.json import encode
from rangeland.wire.number import finite, known, nonzero
from rangeland.wire.ranges import RangeStatistics


@pytest.mark.parametrize("value", [0, 0.0, -0.0, None, nan, inf, -inf])
def test_zero_and_unknown_vanish_where_zero_is_omitted(value: float | None) -> None:
    assert nonzero(value) is UNSET


def test_a_computed_zero_is_not_printed() -> None:
    assert encode(RangeStatistics(queries_per_second=nonzero(5.5 - 5.5))) == b"{}"


def test_a_rate_is_printed() -> None:
    assert encode(RangeStatistics(queries_per_second=nonzero(0.25))) == b'{"queries_per_second":0.25}'


def test_zero_is_kept_where_it_says_something() -> None:
    assert known(0.0) == 0.0


@pytest.mark.parametrize("value", [None, nan, inf])
def test_unknown_vanishes_where_zero_says_something(value: float | None) -> None:
    assert known(value) is UNSET


def test_metrics_that_are_not_finite_are_left_out_and_zeros_are_kept() -> None:
    assert finite({"b": 1.0, "a": 0.0, "c": nan, "d": inf, "e": None}) == {"b": 1.0, "a": 0.0}


def test_a_metric_is_a_float_even_where_it_was_counted() -> None:
    """Else a node would print it otherwise of itself than of its peers."""
    assert encode(finite({"a": 7})) == b'{"a":7.0}'

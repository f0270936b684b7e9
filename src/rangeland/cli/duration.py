"""Durations on the command line, as the reference writes them: `1h30m`, `90s`, `87840h`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import click

_UNITS_S = {
    "d": 86400.0,  # not the reference's, but what people type
    "h": 3600.0,
    "m": 60.0,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "ns": 1e-9,
}
_PART = re.compile(r"(\d{1,15}(?:\.\d{1,15})?)(d|h|ms|m|s|us|µs|ns)")


def parse_duration(text: str) -> timedelta | None:
    """The sum of numbers with units, largest or smallest first; None if it is not one."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    try:
        return timedelta(seconds=sum(float(number) * _UNITS_S[unit] for number, unit in parts))
    except OverflowError:
        return None


class Duration(click.ParamType[timedelta]):
    """A click type: the parameter's value is a timedelta, never negative."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        duration = parse_duration(str(value))
        if duration is None:
            self.fail(f"{value!r} is not a duration such as 24h, 90m or 1h30m", param, ctx)
        return duration

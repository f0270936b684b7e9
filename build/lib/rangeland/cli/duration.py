"""Durations on the command line, as the reference writes them: `1h30m`, `90s`, `87840h`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click

from rangeland.config import parse_duration


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

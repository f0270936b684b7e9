"""The table of settings as click options."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from rangeland.config import Setting, load_settings, run_again_without_passwords, settings_of

F = TypeVar("F", bound=Callable[..., Any])


def takes_settings(command: str) -> Callable[[F], F]:
    """Give a command the flags of its settings, and --config."""

    def decorate(function: F) -> F:
        function = click.option("--config", "config_file", metavar="FILE", help="Read settings from a TOML file.")(
            function
        )
        for setting in reversed(settings_of(command)):
            if not setting.is_secret:
                function = _option(setting)(function)
        return function

    return decorate


def _option(setting: Setting) -> Callable[[F], F]:
    shown = setting.help
    if setting.default not in (None, "", (), False) and "[default" not in shown:
        shown += f"  [default: {setting.default}]"
    if setting.flag_name:
        shown += f"  [env var: {setting.variable}]"
    if setting.kind == "flag":
        flag = f"{setting.flag}/--no-{setting.flag.removeprefix('--')}" if setting.has_opposite else setting.flag
        return click.option(flag, setting.name, is_flag=True, default=None, help=shown)
    return click.option(setting.flag, setting.name, default=None, metavar=setting.metavar, help=shown)


def read_settings(command: str, flags: dict[str, Any]) -> dict[str, Any]:
    """The settings of a command from click's parameters, the environment and the file. Raises: SettingError."""
    run_again_without_passwords(command, flags, sys.argv[1:])
    return load_settings(command, flags, flags.get("config_file"))

"""The settings of a node as a configuration file, for `rangeland start --print-config`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rangeland.config import load_origins, load_settings, settings_of

DERIVED = {"advertise_http_addr": "from http_addr", "advertise_sql_addr": "from server_url"}
URLS = ("server_url", "login_url")


def read_config_text(flags: Mapping[str, Any]) -> str:
    """The settings of `start` as TOML, each with its origin. Raises: SettingError where a node wouldn't start."""
    from rangeland.node.settings import node_settings
    from rangeland.pg.connection import masked_url

    config_file = flags.get("config_file")
    values = load_settings("start", flags, config_file)
    settings = node_settings(values)
    origins = load_origins("start", flags, config_file)
    for name, derived in (("advertise_http_addr", settings.http_addr), ("advertise_sql_addr", settings.sql_addr)):
        if not values[name]:
            values[name], origins[name] = derived, DERIVED[name]
    for setting in settings_of("start"):
        if "duration" in setting.kind:
            values[setting.name] = _duration(values[setting.name])
    for name in URLS:
        values[name] = masked_url(values[name]) if values[name] else None
    return "".join(config_line(s.name, values[s.name], origins[s.name]) for s in settings_of("start"))


def config_line(name: str, value: Any, origin: str) -> str:
    """A line of TOML; a comment for what has no value, which TOML can't say."""
    return f"# {name} is not set\n" if value is None else f"{name} = {_toml(value)}  # {origin}\n"


def _duration(seconds: float) -> str:
    return f"{seconds:f}".rstrip("0").rstrip(".") + "s" if seconds else "off"


def _toml(value: Any) -> str:
    """JSON's texts, numbers, booleans and lists are TOML's, but for one control character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

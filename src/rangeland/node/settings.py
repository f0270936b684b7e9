"""What `rangeland start` was told, checked as a whole before anything is begun."""

from __future__ import annotations

import math
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rangeland.checks.table import LIMITS
from rangeland.collect.history import LONGEST_S, STEP_S
from rangeland.config import host_port, joined, parse_locality
from rangeland.errors import SettingError
from rangeland.pg.connection import parse_server_url

HTTP_PORT = 8080
SQL_PORT = 5432


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """`http_addr` and `sql_addr` are what is advertised; `serves_tls`: we do TLS ourselves, no proxy."""

    server_url: str
    login_url: str | None
    http_host: str
    http_port: int
    http_addr: str
    sql_addr: str
    certs_dir: Path
    serves_tls: bool
    insecure: bool
    trusted_proxy: str | None
    locality: tuple[tuple[str, str], ...]
    attrs: tuple[str, ...]
    cluster_name: str
    join: tuple[str, ...]
    web_session_timeout_s: float
    limits: Mapping[str, float]
    patroni_url: str | None
    check_cpu_percent: int
    history_s: float  # 0: none is kept
    log_format: str

    @property
    def scheme(self) -> str:
        return "http" if self.insecure else "https"


def node_settings(values: Mapping[str, Any]) -> NodeSettings:
    """Check and complete the settings of `start`. Raises: SettingError."""
    if not values["server_url"]:
        raise SettingError("--server-url is missing: which PostgreSQL server is beside this node?")
    params = parse_server_url(values["server_url"], setting="--server-url")
    if values["login_url"]:
        parse_server_url(values["login_url"], setting="--login-url")
    if values["insecure"] and values["unencrypted_localhost_http"]:
        raise SettingError("--insecure and --unencrypted-localhost-http exclude each other")
    if values["log_format"] not in ("text", "json"):
        raise SettingError(f"--log-format must be text or json, not {values['log_format']!r}")
    if not 1 <= values["check_cpu_percent"] <= 100:
        raise SettingError(f"--check-cpu-percent must be from 1 to 100, not {values['check_cpu_percent']}")
    host, port = host_port(values["http_addr"], setting="--http-addr", default_port=HTTP_PORT)
    if values["unencrypted_localhost_http"]:
        host = _localhost_only(host, values["http_addr"])
    return NodeSettings(
        server_url=values["server_url"],
        login_url=values["login_url"],
        http_host=host,
        http_port=port,
        http_addr=_advertised(values["advertise_http_addr"], "--advertise-http-addr", host, port),
        sql_addr=_sql_addr(values["advertise_sql_addr"], params),
        certs_dir=Path(values["certs_dir"]).expanduser(),
        serves_tls=not (values["insecure"] or values["unencrypted_localhost_http"]),
        insecure=values["insecure"],
        trusted_proxy=values["trusted_proxy"],
        locality=parse_locality(values["locality"]),
        attrs=tuple(word for word in values["attrs"].split(":") if word),
        cluster_name=values["cluster_name"],
        join=tuple(joined(*host_port(each, setting="--join", default_port=HTTP_PORT)) for each in values["join"]),
        web_session_timeout_s=values["web_session_timeout"],
        limits=_limits(values["limits"]),
        patroni_url=_patroni_url(values["patroni_url"]),
        check_cpu_percent=values["check_cpu_percent"],
        history_s=_history_s(values["history"]),
        log_format=values["log_format"],
    )


def _limits(given: tuple[str, ...]) -> dict[str, float]:
    """`name=number` each. Raises: SettingError."""
    limits = {}
    for each in given:
        name, _, number = (part.strip() for part in each.partition("="))
        if name not in LIMITS:
            raise SettingError(f"--limits: there is no limit {name!r}; there are {', '.join(sorted(LIMITS))}")
        try:
            limits[name] = float(number)
        except ValueError as exc:
            raise SettingError(f"--limits: {name} must be a number, not {number!r}") from exc
        if not 0 <= limits[name] < math.inf:
            raise SettingError(f"--limits: {name} must be a number from 0 on, not {number!r}")
    return limits


def _patroni_url(given: str | None) -> str | None:
    """Without its last slash. Raises: SettingError; a user in it would be shown to whoever reads problems/."""
    if not given:
        return None
    if not re.fullmatch(r"https?://[^/?#@\s]+/?", given):
        raise SettingError("--patroni-url must be http://HOST:PORT or https://HOST:PORT, without a user")
    return given.rstrip("/")


def _history_s(given_s: float) -> float:
    """Raises: SettingError; an hour of it is some 40 kB."""
    if given_s and not STEP_S <= given_s <= LONGEST_S:
        raise SettingError("--history must be from 1m to 48h, or off")
    return given_s


def _localhost_only(host: str, given: str) -> str:
    if host not in ("", "localhost", "127.0.0.1", "::1"):
        raise SettingError(f"--unencrypted-localhost-http is incompatible with --http-addr={given}")
    return host or "localhost"


def _advertised(given: str | None, setting: str, host: str, port: int) -> str:
    if given:
        return joined(*host_port(given, setting=setting, default_port=HTTP_PORT))
    return joined(host or socket.getfqdn(), port)


def _sql_addr(given: str | None, params: Mapping[str, Any]) -> str:
    if given:
        return joined(*host_port(given, setting="--advertise-sql-addr", default_port=SQL_PORT))
    host = str(params.get("host") or params.get("hostaddr") or "")
    if not host or host.startswith("/"):
        host = socket.getfqdn()
    return joined(host, int(params.get("port") or SQL_PORT))

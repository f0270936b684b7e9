"""Settings: one table of all of them, read from flags, the environment and a TOML file, in that order.

Only this module reads the environment. A setting `http_addr` is the flag `--http-addr`, the variable
`RANGELAND_HTTP_ADDR` and the TOML key `http_addr`; a flag wins over the environment, that over the file.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from rangeland.errors import SettingError

ENV_PREFIX = "RANGELAND_"

REQUEST_TIMEOUT_S = 4.5  # every answer within 5 s, less what the network and a busy machine take
STATEMENT_TIMEOUT_S = 3.0  # the longest that a statement of ours may run on a user's server
LOCK_TIMEOUT_MS = 100  # we wait behind nobody's DDL
WRITE_TIMEOUT_S = 2.0  # a write's wait for a dead synchronous standby can't be ended by statement_timeout
DRAIN_TIMEOUT_S = 15.0  # open requests get this long after SIGTERM


@dataclass(frozen=True, slots=True)
class Setting:
    """One item of the table. `kind` is "text", "flag", "number", "list" (comma separated) or "duration" (168h)."""

    name: str
    help: str
    commands: tuple[str, ...]
    default: Any = None
    kind: str = "text"
    metavar: str | None = None
    flag_name: str | None = None  # where two commands give one flag two meanings
    is_secret: bool = False  # no flag: everybody on the machine could read it
    has_opposite: bool = False  # of a "flag": --no-…, too; neither of them is a third answer

    @property
    def flag(self) -> str:
        return "--" + (self.flag_name or self.name.replace("_", "-"))

    @property
    def variable(self) -> str:
        return ENV_PREFIX + self.name.upper()


_TO_A_NODE = ("auth-session", "node", "doctor")

SETTINGS: tuple[Setting, ...] = (
    Setting(
        "server_url",
        "The PostgreSQL server beside this node, one host only; the role needs pg_monitor.",
        ("start",),
        metavar="postgresql://…",
    ),
    Setting(
        "login_url",
        "Where a user's password is checked, when not at --server-url (for example because that is a Unix "
        "socket with peer authentication). Only its host, port and TLS settings count.",
        ("start",),
        metavar="postgresql://…",
    ),
    Setting(
        "http_addr",
        "The address and port to serve; an empty host means all interfaces.",
        ("start",),
        default=":8080",
        metavar="HOST:PORT",
    ),
    Setting(
        "advertise_http_addr",
        "The address under which the other nodes reach this one. It is also what a node is known by: keep it "
        "and the node keeps its id.  [default: --http-addr, with this machine's name for an empty host]",
        ("start",),
        metavar="HOST:PORT",
    ),
    Setting(
        "advertise_sql_addr",
        "The address under which clients reach the server.  [default: that of --server-url]",
        ("start",),
        metavar="HOST:PORT",
    ),
    Setting(
        "certs_dir",
        "Holds ca.crt, node.crt, node.key and cluster.key.",
        ("start", *_TO_A_NODE),
        default="~/.rangeland-certs",
        metavar="DIR",
    ),
    Setting(
        "unencrypted_localhost_http",
        "Serve plain HTTP, on localhost only: TLS ends at a proxy on this host. Logging in stays necessary.",
        ("start",),
        default=False,
        kind="flag",
    ),
    Setting(
        "insecure",
        "No TLS, no login, no protection: everybody who reaches the port may read everything.",
        ("start", "demo", *_TO_A_NODE),
        default=False,
        kind="flag",
    ),
    Setting(
        "trusted_proxy",
        "The address of a proxy whose X-Forwarded-For is believed.",
        ("start",),
        metavar="ADDRESS",
    ),
    Setting(
        "locality",
        "Where this node is, from the widest place to the narrowest.",
        ("start",),
        "",
        metavar="region=…,zone=…",
    ),
    Setting("attrs", "Free attributes of this node.", ("start",), "", metavar="a:b"),
    Setting("cluster_name", "A name for the cluster, shown in nodes/.", ("start",), "", metavar="NAME"),
    Setting(
        "join",
        "Other nodes to ask about the cluster while this node's server can't tell.",
        ("start",),
        default=(),
        kind="list",
        metavar="HOST:PORT,…",
    ),
    Setting(
        "web_session_timeout",
        "How long a login is good for; the setting of the primary's node counts.",
        ("start",),
        default="168h",  # the reference's server.web_session.timeout
        kind="duration",
        metavar="DURATION",
    ),
    Setting(
        "limits",
        "From where on problems/ calls something a problem, where the defaults don't fit.",
        ("start",),
        default=(),
        kind="list",
        metavar="NAME=NUMBER,…",
    ),
    Setting(
        "patroni_url",
        "The REST API of the Patroni that runs this node's server, for problems/. It is only read, without a user.",
        ("start",),
        metavar="http://HOST:8008",
    ),
    Setting(
        "check_cpu_percent",
        "How much of a core it may take to look for problems in one database; five times that in all of them.",
        ("start",),
        1,
        "number",
        "PERCENT",
    ),
    Setting("log_format", "How log lines look: text or json.", ("start",), "text", metavar="FORMAT"),
    Setting(
        "url",
        "The PostgreSQL server to set up: the primary, as a role that may create roles and schemas.",
        ("init", "uninstall"),
        metavar="postgresql://…",
    ),
    Setting(
        "admin_role",
        "The role whose members may use the whole API.  [default: admin, made by init]",
        ("init", "uninstall"),
        metavar="NAME",
    ),
    Setting(
        "allow_cancel",
        "Let the nodes cancel and end sessions for users who may do that: grants them pg_signal_backend, or takes "
        "it back.  [default: leave it as it is]",
        ("init",),
        kind="flag",
        has_opposite=True,
    ),
    Setting("role_password", "The password that role rangeland gets.", ("init",), is_secret=True),
    Setting(
        "node_url",
        "The node to ask.  [default: https://localhost:8080, with --insecure http://localhost:8080]",
        _TO_A_NODE,
        metavar="https://HOST:8080",
        flag_name="url",
    ),
    Setting(
        "expire_after",
        "How long a session lives that is made without a password.",
        ("auth-session login",),
        default="1h",  # as the reference's
        kind="duration",
        metavar="DURATION",
    ),
    Setting("nodes", "How many servers and nodes.", ("demo",), 3, "number", "N"),
    Setting("http_port", "The first node's HTTP port; the others follow.", ("demo",), 8080, "number", "PORT"),
    Setting("sql_port", "The first server's SQL port; the others follow.", ("demo",), 26257, "number", "PORT"),
    Setting("load", "pgbench transactions per second.", ("demo",), 20, "number", "TPS"),
    Setting("no_load", "Don't run pgbench.", ("demo",), False, "flag"),
    Setting(
        "data_dir",
        "Where the throw-away servers live.  [default: a temporary directory]",
        ("demo",),
        metavar="DIR",
    ),
    Setting("pg_bin_dir", "PostgreSQL's programs.  [default: the embedded ones]", ("demo",), metavar="DIR"),
    Setting(
        "info_file",
        "Write addresses and password there, as JSON, once all is ready.",
        ("demo",),
        metavar="FILE",
    ),
)


def settings_of(command: str) -> tuple[Setting, ...]:
    """The settings of one command, in the order in which its help shows them; "GROUP NAME" has its group's, too."""
    own = {command, command.partition(" ")[0]}
    return tuple(setting for setting in SETTINGS if own.intersection(setting.commands))


def load_settings(command: str, flags: Mapping[str, Any], config_file: str | None = None) -> dict[str, Any]:
    """Every setting of the command: flag, else environment, else file, else default.

    `flags` holds None for what was not given. Raises: SettingError.
    """
    return resolve_settings(command, flags, os.environ, _read_toml(config_file) if config_file else {})


def resolve_settings(
    command: str, flags: Mapping[str, Any], environ: Mapping[str, str], file: Mapping[str, Any]
) -> dict[str, Any]:
    """As `load_settings`, of values alone. An empty environment variable counts as absent."""
    own = settings_of(command)
    known = {setting.name for setting in SETTINGS}
    if unknown := sorted(set(file) - known):
        raise SettingError(f"the configuration file has an unknown setting: {', '.join(unknown)}")
    values: dict[str, Any] = {}
    for setting in own:
        given = _given(setting, flags, environ, file)
        values[setting.name] = _default(setting) if given is None else _converted(setting, *given)
    return values


def load_origins(command: str, flags: Mapping[str, Any], config_file: str | None = None) -> dict[str, str]:
    """Where `load_settings` has each setting from: a flag, a variable, the file or "default".

    Raises: SettingError.
    """
    file = _read_toml(config_file) if config_file else {}
    given = {setting.name: _given(setting, flags, os.environ, file) for setting in settings_of(command)}
    return {name: "default" if found is None else found[1] for name, found in given.items()}


def _given(
    setting: Setting, flags: Mapping[str, Any], environ: Mapping[str, str], file: Mapping[str, Any]
) -> tuple[Any, str] | None:
    """What was given, as it was given, and where; None: nothing was."""
    if flags.get(setting.name) is not None:
        return flags[setting.name], setting.flag
    if environ.get(setting.variable):
        return environ[setting.variable], setting.variable
    if setting.name in file:
        return file[setting.name], f"{setting.name} in the configuration file"
    return None


def _read_toml(path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as exc:
        raise SettingError(f"can't read the configuration file {path}: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise SettingError(f"the configuration file {path} is not valid TOML: {exc}") from exc


_TRUTH = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


def _default(setting: Setting) -> Any:
    return _converted(setting, setting.default, "the default") if setting.kind == "duration" else setting.default


def _converted(setting: Setting, value: Any, where: str) -> Any:
    match setting.kind:
        case "flag" if isinstance(value, bool):
            return value
        case "flag" if isinstance(value, str) and value.lower() in _TRUTH:
            return _TRUTH[value.lower()]
        case "number" if isinstance(value, int) and not isinstance(value, bool):
            return value
        case "number" if isinstance(value, str) and value.strip().lstrip("-").isdecimal():
            return int(value)
        case "list" if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        case "list" if isinstance(value, (list, tuple)) and all(isinstance(part, str) for part in value):
            return tuple(value)
        case "duration" if isinstance(value, str) and (duration := parse_duration(value)):
            return duration.total_seconds()
        case "text" if isinstance(value, str):
            return value
    expected = {
        "flag": "true or false",
        "number": "a whole number",
        "list": "HOST:PORT,…",
        "duration": "a duration above zero such as 24h, 90m or 1h30m",
        "text": "a text",
    }
    raise SettingError(f"{where} must be {expected[setting.kind]}, not {value!r}")


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


def forget_libpq_environment() -> None:
    """Remove every PG* variable from this process: no connection of ours may take a default from there.

    With PGPASSWORD or a ~/.pgpass in reach, an empty password once logged in as somebody else.
    """
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]


def run_again_without_passwords(command: str, flags: Mapping[str, Any], argv: Sequence[str]) -> None:
    """Replace this process by one whose URLs with a password are in the environment, not in its arguments.

    Every user of the machine can read the arguments of a process; only its owner the environment.
    """
    secret = [s for s in settings_of(command) if isinstance(flags.get(s.name), str) and _has_password(flags[s.name])]
    if not secret:
        return
    for setting in secret:
        os.environ[setting.variable] = flags[setting.name]
    rest = list(argv)
    for setting in secret:
        rest = _without_flag(rest, setting.flag)
    os.execv(sys.executable, [*program(), *rest])  # noqa: S606  # the same program, without a shell


def _has_password(url: str) -> bool:
    return bool(re.search(r"^\w+://[^/@]*:[^/@]+@|\bpassword\s*=", url))


def _without_flag(argv: list[str], flag: str) -> list[str]:
    kept: list[str] = []
    words = iter(argv)
    for word in words:
        if word == flag:
            next(words, None)
        elif not word.startswith(f"{flag}="):
            kept.append(word)
    return kept


def host_port(text: str, *, setting: str, default_port: int) -> tuple[str, int]:
    """Split HOST:PORT, HOST, :PORT or [IPv6]:PORT. Raises: SettingError."""
    host, bracket, rest = text.rpartition("]") if text.startswith("[") else ("", "", text)
    name, colon, port = rest.rpartition(":") if ":" in rest else (rest, "", "")
    host = host.removeprefix("[") if bracket else name
    if (bracket and name) or (not bracket and host.count(":")):
        raise SettingError(f"{setting} must be HOST:PORT (an IPv6 address in brackets), not {text!r}")
    if not colon:
        return host, default_port
    if not re.fullmatch(r"0*[0-9]{1,5}", port, re.ASCII) or not 0 < int(port[-5:]) < 65536:
        raise SettingError(f"{setting} must end in a port from 1 to 65535, not {text!r}")
    return host, int(port[-5:])


def joined(host: str, port: int) -> str:
    """HOST:PORT, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_locality(text: str) -> tuple[tuple[str, str], ...]:
    """`region=eu,zone=a` as ordered pairs. Raises: SettingError."""
    pairs = []
    for part in text.split(",") if text else ():
        key, equals, value = part.partition("=")
        if not (key and equals and value):
            raise SettingError(f"--locality must be key=value,…, not {text!r}")
        pairs.append((key.strip(), value.strip()))
    if len({key for key, _ in pairs}) < len(pairs):
        raise SettingError(f"--locality names a key twice: {text!r}")
    return tuple(pairs)


def program() -> list[str]:
    """The argv that runs this same program again in a child."""
    return [sys.executable, "-m", "rangeland"]

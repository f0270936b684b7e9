"""`init` and `uninstall`: make, bring up to date and remove our role, schema and tables on the primary."""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from typing import Any

import psycopg
from psycopg import sql

from rangeland.errors import MissingGrantError, StateError
from rangeland.pg.connection import parse_server_url
from rangeland.pg.errors import server_error
from rangeland.sql import block

NODE_ROLE = "rangeland"
SCHEMA_VERSION = 1
_CONNECT_TIMEOUT_S = 5


@dataclass(frozen=True, slots=True)
class Installation:
    """What the server held before."""

    version: int
    in_recovery: bool
    has_schema: bool
    has_admin: bool
    admin_is_ours: bool
    can_create_role: bool
    database: str
    home: str  # where the schema lives: see sql/state.sql, read_home; means nothing where there is none


@dataclass(frozen=True, slots=True)
class Done:
    """What `init` did: the cluster's id, and whether anything was there before."""

    cluster_id: str
    created: bool
    database: str


class Change(StrEnum):
    """What became of a server whose schema `rangeland` is a copy of another's."""

    NEW_CLUSTER = "new-cluster"  # a copy: a cluster of its own from now on
    AFTER_UPGRADE = "after-upgrade"  # it takes the other's place


def init_cluster(
    url: str,
    *,
    admin_role: str | None = None,
    role_password: str | None = None,
    change: Change | None = None,
    allow_cancel: bool | None = None,
) -> Done:
    """Set up, or bring up to date, the primary at `url`; all in one transaction, any number of times.

    `admin_role` None: the one that an earlier run was given, else the role `admin`, made by us.
    `role_password` becomes the password of role `rangeland` (sent as a SCRAM verifier only).
    `change` says what a copied schema is to be; without one a schema that was restored from a dump is refused.
    `allow_cancel`: whether the nodes may end other people's sessions; None leaves that as it is.
    Raises: StateError, MissingGrantError, ServerDownError, SettingError.
    """
    with _connected(url) as conn:
        settings = _known_settings(conn)
        name = admin_role or settings.get("admin_role", "admin")
        found = _describe(conn, name)
        _require_fit(found, is_named=bool(admin_role or settings), may_change=True)
        with _told("init"), conn.transaction():
            for statement in _statements(found, name, settings, change, allow_cancel):
                conn.execute(statement)
            if role_password is not None:
                verifier = conn.pgconn.encrypt_password(
                    role_password.encode(), NODE_ROLE.encode(), b"scram-sha-256"
                ).decode()
                conn.execute(_template("password.sql", name, verifier=sql.Literal(verifier)))
            settings = dict(conn.execute(_text("state", "read_settings", found.version)).fetchall())
        return Done(settings["cluster_id"], created=not found.has_schema, database=found.database)


def plan_init(
    url: str, *, admin_role: str | None = None, change: Change | None = None, allow_cancel: bool | None = None
) -> str:
    """The plain SQL that `init_cluster` would run now, for a DBA to read or to run with psql."""
    with _connected(url) as conn:
        settings = _known_settings(conn)
        name = admin_role or settings.get("admin_role", "admin")
        found = _describe(conn, name)
        _require_fit(found, is_named=bool(admin_role or settings), may_change=False)
        statements = list(_statements(found, name, settings, change, allow_cancel))
        return "\n".join(["BEGIN;", *(s.as_string(conn) for s in statements), "COMMIT;", ""])


def uninstall_cluster(url: str, *, admin_role: str | None = None) -> None:
    """Remove the schema and the roles that `init` made. Raises: as `init_cluster`."""
    with _connected(url) as conn:
        settings = _known_settings(conn)
        name = admin_role or settings.get("admin_role", "admin")
        if _describe(conn, name).in_recovery:
            raise StateError("this server is a standby: uninstall on the primary, the standbys follow")
        with _told("uninstall"), conn.transaction():
            if settings.get("allow_cancel") == "true":  # also from a role that somebody else made
                conn.execute(_template("forbid_cancel.sql", name))
            conn.execute(_template("uninstall.sql", name))


def _connected(url: str) -> psycopg.Connection[tuple[Any, ...]]:
    params = parse_server_url(url, setting="--url")
    try:
        conn = psycopg.connect(
            **{
                **params,
                "application_name": "rangeland init",
                "connect_timeout": str(_CONNECT_TIMEOUT_S),
                "options": "-c statement_timeout=30s -c lock_timeout=5s -c timezone=UTC",
                "client_encoding": "UTF8",  # in an SQL_ASCII database the driver would give bytes for texts
            },
            autocommit=True,
        )
    except psycopg.Error as exc:
        raise server_error(exc, doing="connecting to --url") from exc
    if conn.info.server_version < 150000:
        conn.close()
        raise StateError(f"the server is PostgreSQL {conn.info.server_version // 10000}; 15 or newer is needed")
    return conn


def _describe(conn: psycopg.Connection[tuple[Any, ...]], admin_role: str) -> Installation:
    text = _text("server", "describe_installation", conn.info.server_version)
    row = conn.execute(text, {"admin_role": admin_role}).fetchone()
    assert row is not None  # the block returns one always
    return Installation(*row)


def _require_fit(found: Installation, *, is_named: bool, may_change: bool) -> None:
    """`is_named`: somebody chose the admin role, now or in an earlier run."""
    if found.in_recovery:
        raise StateError("this server is a standby: run init on the primary, the standbys follow")
    if found.has_admin and not found.admin_is_ours and not is_named:
        raise StateError(
            "there is a role admin already that Rangeland did not make: name the role whose members may use "
            "the whole API with --admin-role NAME (--admin-role admin takes that one)"
        )
    if may_change and not found.has_schema and not found.can_create_role:
        raise MissingGrantError(
            "the role of --url may not create roles: use a superuser or one with CREATEROLE, "
            "or give the SQL of --dry-run to your DBA"
        )


def _known_settings(conn: psycopg.Connection[tuple[Any, ...]]) -> dict[str, str]:
    """What an earlier `init` wrote; empty where it has not run. Raises: StateError where the schema is not ours."""
    if not _describe(conn, "admin").has_schema:
        return {}
    with _told("reading schema rangeland"):
        return dict(conn.execute(_text("state", "read_settings", conn.info.server_version)).fetchall())


def _schema_version(settings: Mapping[str, str]) -> int:
    version = int(settings.get("schema_version", "0"))
    if version > SCHEMA_VERSION:
        raise StateError(f"schema rangeland has version {version}, this program knows {SCHEMA_VERSION}: upgrade it")
    return version


def is_at_home(known: str | None, found: str) -> bool:
    """Whether a schema that says `known` of where it lives is there, or was brought by a copy of the files.

    As sql/state.sql, read_home, tells it. A dump that is restored on its own server leaves the databases' oids as
    they were. `known` None: an older version made the schema.
    """
    if known is None:
        return True
    (known_system, _, known_oids), (system, _, oids) = known.partition("/"), found.partition("/")
    return system == known_system or oids == known_oids


def _statements(
    found: Installation,
    admin_role: str,
    settings: Mapping[str, str],
    change: Change | None,
    allow_cancel: bool | None,
) -> Iterator[sql.Composed]:
    version = _schema_version(settings)
    if change and not settings:
        raise StateError(f"--{change} is for a server whose schema rangeland was copied, and this one has none")
    was_restored = bool(settings) and not is_at_home(settings.get("home"), found.home)
    if was_restored and change is None:
        raise StateError(
            "schema rangeland was restored here from another server's dump: add --after-upgrade if this server takes "
            "that one's place, --new-cluster if it is a copy"
        )
    yield _template("roles.sql", admin_role)
    for number, name in _migrations():
        if number > version:
            yield _template(name, admin_role)
    if change is Change.NEW_CLUSTER:
        yield _template("new_cluster.sql", admin_role)
    if was_restored:
        yield _template("number_again.sql", admin_role)
    yield _template(
        "facts.sql",
        admin_role,
        cluster_id=sql.Literal(str(uuid.uuid4())),
        schema_version=sql.Literal(str(SCHEMA_VERSION)),
        database_name=sql.Literal(found.database),
        database=sql.Identifier(found.database),
    )
    yield _template("home.sql", admin_role)
    if allow_cancel is not None:
        yield _template("allow_cancel.sql" if allow_cancel else "forbid_cancel.sql", admin_role)


def _migrations() -> list[tuple[int, str]]:
    names = [path.name for path in (files("rangeland.sql") / "schema").iterdir()]
    return sorted((int(name[:4]), name) for name in names if re.match(r"\d{4}_", name))


def _template(name: str, admin_role: str, **values: sql.Composable) -> sql.Composed:
    text = (files("rangeland.sql") / "schema" / name).read_text(encoding="utf-8")
    return sql.SQL(text).format(
        role=sql.Identifier(NODE_ROLE),
        admin=sql.Identifier(admin_role),
        role_name=sql.Literal(NODE_ROLE),
        admin_name=sql.Literal(admin_role),
        **values,
    )


def _text(resource: str, name: str, version: int) -> bytes:
    return block(resource, name, version).text.encode()


@contextlib.contextmanager
def _told(doing: str) -> Iterator[None]:
    """Turn the driver's errors inside the block into ours."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as exc:
        raise MissingGrantError(f"{doing}: {exc.diag.message_primary}") from exc
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as exc:
        raise StateError("there is a schema rangeland that is not ours: rename or drop it") from exc
    except psycopg.Error as exc:
        raise server_error(exc, doing=doing) from exc

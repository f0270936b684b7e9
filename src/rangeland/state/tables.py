"""Reading and writing our own tables on this node's server."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rangeland.errors import ServerError, StateError
from rangeland.pg import Server
from rangeland.state.init import SCHEMA_VERSION, is_at_home
from rangeland.wire.members import Member


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """The table `settings`."""

    cluster_id: str
    admin_role: str
    login_database: str
    key_check: str | None
    is_at_home: bool  # False: a dump of another server's was restored here, and nobody said what this is to be


@dataclass(frozen=True, slots=True)
class WebSessionRow:
    """A logged-in user of the API; the secret itself is kept nowhere."""

    id: int
    hashed_secret: bytes
    username: str
    created_at: datetime
    expires_at: datetime
    mac: bytes


async def read_facts(server: Server, *, deadline: float) -> ClusterFacts:
    """What `init` wrote. Raises: StateError where it has not run here, or a newer one has; ServerError."""
    try:
        settings = dict(await server.fetch("state", "read_settings", deadline=deadline))
    except ServerError as exc:
        if exc.sqlstate in ("42P01", "3F000"):
            raise StateError(
                f"database {server.params.get('dbname', 'postgres')} has no schema rangeland: run "
                "'rangeland init --url …' on the primary, and let --server-url name that database"
            ) from exc
        raise
    if int(settings.get("schema_version", "0")) > SCHEMA_VERSION:
        raise StateError("schema rangeland was made by a newer version: upgrade this node")
    home = (await server.fetch("state", "read_home", deadline=deadline))[0][0]
    return ClusterFacts(
        cluster_id=settings["cluster_id"],
        admin_role=settings["admin_role"],
        login_database=settings["login_database"],
        key_check=settings.get("key_check"),
        is_at_home=is_at_home(settings.get("home"), home),
    )


async def keep_setting(server: Server, name: str, value: str, *, deadline: float) -> None:
    """Write a fact in the place of what was known. Raises: NotPrimaryError, ServerError."""
    await server.write("state", "write_setting", deadline=deadline, name=name, value=value)


async def list_members(server: Server, *, deadline: float) -> list[Member]:
    """Every node that was ever registered, by id."""
    rows = await server.fetch("state", "list_members", deadline=deadline)
    return [
        Member(
            node_id=node_id,
            http_addr=http,
            sql_addr=sql,
            membership=membership,
            membership_version=version,
            status=status,
            registered_at_us=registered_at_us,
        )
        for node_id, http, sql, membership, version, status, registered_at_us in rows
    ]


async def add_member(server: Server, *, http_addr: str, sql_addr: str, deadline: float) -> None:
    """Register an address; a known one stays as it is. Raises: NotPrimaryError, ServerError."""
    await server.write("state", "add_member", deadline=deadline, http_addr=http_addr, sql_addr=sql_addr)


async def change_membership(server: Server, node_ids: list[int], membership: str, *, deadline: float) -> None:
    """Make nodes "active", "decommissioning" or "decommissioned". Raises: NotPrimaryError, ServerError."""
    await server.write("state", "change_membership", deadline=deadline, node_ids=node_ids, membership=membership)


async def save_status(server: Server, *, node_id: int, sql_addr: str, status: str, deadline: float) -> None:
    """Keep a node's complete status (JSON). Raises: NotPrimaryError, ServerError."""
    await server.write("state", "save_status", deadline=deadline, node_id=node_id, sql_addr=sql_addr, status=status)


async def list_database_numbers(server: Server, *, deadline: float) -> dict[int, int]:
    """The number of each database, by its oid; oid 0 is the shared catalogues."""
    rows = await server.fetch("state", "list_database_numbers", deadline=deadline)
    return {oid: number for number, oid in rows}


async def add_database_numbers(server: Server, oids: list[int], *, deadline: float) -> None:
    """Number the databases that have no number. Raises: NotPrimaryError, ServerError."""
    await server.write("state", "add_database_numbers", deadline=deadline, database_oids=oids)


async def add_web_session(server: Server, row: WebSessionRow, *, deadline: float) -> None:
    """Keep a new web session. Raises: NotPrimaryError, ServerError."""
    await server.write(
        "state",
        "add_web_session",
        deadline=deadline,
        id=row.id,
        hashed_secret=row.hashed_secret,
        username=row.username,
        created_at=row.created_at,
        expires_at=row.expires_at,
        mac=row.mac,
    )


async def exchange_web_session(server: Server, ended_id: int, row: WebSessionRow, *, deadline: float) -> bool:
    """End a web session and keep another one in its place; False where it had ended, or isn't there: nothing changes.

    Raises: NotPrimaryError, ServerError.
    """
    rows = await server.write(
        "state",
        "exchange_web_session",
        deadline=deadline,
        ended_id=ended_id,
        id=row.id,
        hashed_secret=row.hashed_secret,
        username=row.username,
        created_at=row.created_at,
        expires_at=row.expires_at,
        mac=row.mac,
    )
    return bool(rows)


async def revoke_web_sessions(server: Server, ids: list[int], *, deadline: float) -> None:
    """End web sessions. Raises: NotPrimaryError, ServerError."""
    await server.write("state", "revoke_web_sessions", deadline=deadline, ids=ids)


async def list_revoked(server: Server, ids: list[int], *, deadline: float) -> list[int]:
    """Those of the ids that this server knows to have ended."""
    rows = await server.fetch("state", "list_revoked", deadline=deadline, ids=ids)
    return [row[0] for row in rows]


async def list_web_sessions(server: Server, username: str, *, deadline: float) -> list[tuple[Any, ...]]:
    """Rows (id, username, created, expires, revoked, last used) of a user, or of all for an empty name."""
    return await server.fetch("state", "list_web_sessions", deadline=deadline, username=username)

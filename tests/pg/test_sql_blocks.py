"""Every statement does what its header says, on every installed server, as a role that has no more than it needs."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from fix_collect import execute
from fix_engine import wait_for_replay
from rangeland.engine.server import PostgresServer
from rangeland.sql import Block, block, blocks
from rangeland.state.init import init_cluster, uninstall_cluster

# A value that a block may be run with; what it finds by it doesn't matter, only the columns do.
SAMPLES: dict[str, Any] = {
    "text": "x",
    "text[]": ["x"],
    "int4": 1,
    "int8": 1,
    "int4[]": [1260],  # pg_authid, which every server has
    "int8[]": [1260],  # pg_authid, which every server has
    "oid": 1,
    "bool": True,
    "bytea": b"x",
    "timestamptz": datetime(2024, 1, 1, tzinfo=UTC),
    "uuid": "00000000-0000-0000-0000-000000000001",
}
# Where not every value of the type will do.
SAMPLES_BY_PARAMETER: dict[tuple[str, str], Any] = {
    ("list_range_oids", "scope"): "system",
    ("save_status", "status"): "{}",
}

NAMES = sorted({(each.resource, each.name) for each in blocks()})
ON_PRIMARY = [name for name in NAMES if block(*name, 180000).on in ("primary", "any")]
ON_STANDBY = [name for name in NAMES if block(*name, 180000).on in ("standby", "any")]


@pytest.fixture(scope="module")
def installed(pg_primary: PostgresServer, pg_standby: PostgresServer) -> Iterator[str]:
    """A database in which `rangeland init` has run."""
    name = f"blocks_{secrets.token_hex(4)}"
    execute(pg_primary, "postgres", f"CREATE DATABASE {name}")
    init_cluster(pg_primary.url(name))
    wait_for_replay(pg_primary, pg_standby)
    yield name
    uninstall_cluster(pg_primary.url(name))
    execute(pg_primary, "postgres", f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("name", ON_PRIMARY, ids=".".join)
def test_a_block_returns_its_columns_on_a_primary(
    name: tuple[str, str], pg_primary: PostgresServer, pg_standby: PostgresServer, installed: str
) -> None:
    chosen = block(*name, pg_primary.major * 10000)
    role = _role_for(chosen, pg_primary, pg_standby)
    assert _types_returned(chosen, pg_primary.conninfo(installed, role)) == _types_promised(chosen)


@pytest.mark.parametrize("name", ON_STANDBY, ids=".".join)
def test_a_block_returns_its_columns_on_a_standby(
    name: tuple[str, str], pg_primary: PostgresServer, pg_standby: PostgresServer, installed: str
) -> None:
    chosen = block(*name, pg_primary.major * 10000)
    role = _role_for(chosen, pg_primary, pg_standby)
    assert _types_returned(chosen, pg_standby.conninfo(installed, role)) == _types_promised(chosen)


def test_no_block_reads_the_setting_that_may_hold_a_password() -> None:
    """`primary_conninfo` is readable by pg_monitor; so is the receiver's conninfo by superusers."""
    assert [each.name for each in blocks() if "conninfo" in each.text] == []


def _role_for(chosen: Block, primary: PostgresServer, standby: PostgresServer) -> str:
    """A role that is a member of what the block needs and of nothing else."""
    name = "_".join(["blocks", *chosen.needs])
    if name not in primary.password_by_user:
        groups = ", ".join(role for role in chosen.needs if role != "superuser")
        attributes = "LOGIN SUPERUSER" if "superuser" in chosen.needs else "LOGIN"
        primary.create_role(name, f"{attributes} IN ROLE {groups}" if groups else attributes)
    if "rangeland" in chosen.needs:
        execute(primary, "postgres", f"GRANT rangeland TO {name}")
    wait_for_replay(primary, standby)
    return name


def _types_returned(chosen: Block, conninfo: str) -> list[str]:
    """The types of the columns of the block, run in a transaction that is rolled back."""
    params = {
        column.name: SAMPLES_BY_PARAMETER.get((chosen.name, column.name), SAMPLES[column.type])
        for column in chosen.takes
    }
    with closing(psycopg.connect(conninfo)) as connection:
        connection.execute("SET search_path = pg_catalog")
        cursor = connection.cursor(binary=True).execute(chosen.text, params)
        return [_type_name(connection, column.type_code) for column in cursor.description or ()]


def _types_promised(chosen: Block) -> list[str]:
    return [column.type for column in chosen.returns]


def _type_name(connection: psycopg.Connection[Any], oid: int) -> str:
    """`int8`, `text[]`, …: the short names that the headers use."""
    info = connection.adapters.types[oid]
    return f"{info.name}[]" if oid == info.array_oid else info.name

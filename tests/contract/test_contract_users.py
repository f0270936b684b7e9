"""GET /users/: fields, order and pages."""

from __future__ import annotations

import psycopg
import pytest

from contract.committed import departures
from fix_cluster import Api, session_url
from rangeland.engine.cluster import Cluster


@pytest.fixture(scope="module")
def names(cluster: Cluster) -> list[str]:
    """The roles that may log in, as the primary has them."""
    with psycopg.connect(cluster.servers[0].conninfo()) as connection:
        rows = connection.execute('SELECT rolname FROM pg_roles WHERE rolcanlogin ORDER BY rolname COLLATE "C"')
        return [name for (name,) in rows]


def test_every_node_tells_the_users_and_no_group(apis: list[Api], token: str, names: list[str]) -> None:
    for api in apis:
        answer = api.get("users/", token).json
        assert departures(answer, "UsersAnswer") == []
        assert [user["username"] for user in answer["users"]] == names
    assert {"demo", "reader", "stranger"} <= set(names)
    assert not {"admin", "pg_monitor"} & set(names)


def test_pages_show_every_user_once_and_next_is_exact(apis: list[Api], token: str, names: list[str]) -> None:
    found: list[str] = []
    offset: int | None = 0
    while offset is not None:
        answer = apis[1].get(session_url("users/", limit=2, offset=offset), token).json
        found += [user["username"] for user in answer["users"]]
        assert answer.get("next") in (None, offset + 2)
        offset = answer.get("next")
    assert found == names
    assert "next" not in apis[0].get(f"users/?limit={len(names)}", token).json
    assert apis[0].get(f"users/?limit={len(names) - 1}", token).json["next"] == len(names) - 1


@pytest.mark.parametrize(("limit", "offset"), [(0, 3), (-2, 1), ("x", 1), (2**63, 1), (2**63 - 1, 0)])
def test_a_limit_that_is_none_means_all(
    apis: list[Api], token: str, names: list[str], limit: object, offset: int
) -> None:
    answer = apis[0].get(session_url("users/", limit=limit, offset=offset), token).json
    assert (len(answer["users"]), "next" in answer) == (len(names), False)


def test_an_offset_behind_the_end_is_an_empty_page(apis: list[Api], token: str) -> None:
    for offset in (100_000, 2**63 - 1):
        assert apis[0].get(session_url("users/", limit=2**63 - 1, offset=offset), token).body == b'{"users":[]}'

"""Connections that run out, of the server, a role and a database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psycopg
import pytest

from fix_engine import wait_for_replay
from fix_problems import Clinic, clinic

ROLE = 'A "crowd"'
DATABASE = "crowded"


@pytest.fixture(scope="module")
def sick() -> Iterator[Clinic]:
    """All limits are the defaults."""
    with clinic(2) as made:
        made.server().create_role(ROLE)
        made.sql(f"CREATE DATABASE {DATABASE}")
        wait_for_replay(made.server(1), made.server(2))
        yield made


@pytest.fixture(autouse=True)
def well_before_and_after(sick: Clinic) -> Iterator[None]:
    sick.require_well()
    yield
    sick.sql(f'ALTER ROLE "{ROLE.replace(chr(34), chr(34) * 2)}" CONNECTION LIMIT -1')
    sick.sql(f"ALTER DATABASE {DATABASE} CONNECTION LIMIT -1")
    sick.require_well()


@contextmanager
def connections(sick: Clinic, count: int, *, node: int = 1, dbname: str = "postgres") -> Iterator[None]:
    """Of the role, most of them of one application."""
    server = sick.server(node)
    url = server.url(dbname, ROLE, sick.server().password_by_user[ROLE])
    with ExitStack() as stack:
        for number in range(count):
            name = "the crowd" if number else "a loner"
            stack.enter_context(psycopg.connect(url, application_name=name, autocommit=True))
        yield


def limit_role(sick: Clinic, limit: int) -> None:
    sick.sql(f'ALTER ROLE "{ROLE.replace(chr(34), chr(34) * 2)}" CONNECTION LIMIT {limit}')
    wait_for_replay(sick.server(1), sick.server(2))


@pytest.mark.parametrize("node", [1, 2])
def test_a_role_s_last_connections_are_told_where_they_are_taken_and_a_higher_limit_helps(
    sick: Clinic, node: int
) -> None:
    limit_role(sick, 10)
    with connections(sick, 9, node=node):
        for asked in (1, 2):
            problem = sick.only("connections_near_limit", node=asked)
        assert (problem["node_id"], problem["object"], problem["severity"]) == (node, ROLE, "warning")
        assert "database" not in problem
        assert problem["evidence"] == {
            "used": 9,
            "allowed": 10,
            "top_application": "the crowd",
            "top_application_used": 8,
        }
        assert problem["run_on_node_id"] == 1, "only the primary takes it"
        sick.follow(problem)
        wait_for_replay(sick.server(1), sick.server(2))
        sick.require_well()


def test_a_role_s_very_last_is_critical(sick: Clinic) -> None:
    limit_role(sick, 3)
    with connections(sick, 3):
        assert sick.only("connections_near_limit")["severity"] == "critical"


def test_at_the_limit_s_ratio_nothing_is_told(sick: Clinic) -> None:
    limit_role(sick, 10)
    with connections(sick, 8):
        sick.require_well()


def test_a_database_s_last_connections_are_told_and_a_higher_limit_helps(sick: Clinic) -> None:
    """A visit of the node takes one for a moment."""
    sick.sql(f"ALTER DATABASE {DATABASE} CONNECTION LIMIT 20")
    with connections(sick, 18, dbname=DATABASE):
        problem = sick.only("connections_near_limit")
        assert (problem["node_id"], problem["database"], problem["object"]) == (1, DATABASE, DATABASE)
        assert problem["evidence"]["used"] in (18, 19)
        sick.follow(problem)
        sick.require_well()


def test_the_server_s_last_connections_are_told_until_they_end(sick: Clinic) -> None:
    with psycopg.connect(sick.server().conninfo()) as connection:
        [allowed] = connection.execute(
            "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
        ).fetchone() or [0]
    with connections(sick, int(allowed * 0.8)):  # and the nodes' own
        problem = sick.only("connections_near_limit")
        assert (problem["node_id"], problem["object"]) == (1, "max_connections")
        assert problem["evidence"]["allowed"] == allowed
        assert problem["evidence"]["top_application"] == "the crowd"
        assert sick.follow(problem) == [(str(allowed + 3),)]
    sick.require_well()


def test_of_the_server_s_connections_three_quarters_are_no_problem(sick: Clinic) -> None:
    with connections(sick, 70):
        sick.require_well()

"""Who reads whose statements: all of them, or without constants unless they are one's own."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import psycopg
import pytest

from fix_cluster import Api, add_user, log_in
from rangeland.engine.cluster import Cluster

REDACTED, CLEAR = "SELECT _, _", "SELECT 'private', 42"
WHOLE_BY_USER = {  # whether they see what `stranger` says, and what they say themselves
    "half": (False, True),
    "both": (False, True),
    "reader": (True, True),
    "chief": (True, True),
}


@pytest.fixture(scope="module")
def tokens(cluster: Cluster, apis: list[Api]) -> Iterator[dict[str, str]]:
    """Of a member of `rangeland_redacted`; one of `pg_monitor`, too; one of `pg_monitor`; one of `admin`, too."""
    add_user(cluster, "half", "LOGIN IN ROLE rangeland_redacted")
    add_user(cluster, "both", "LOGIN IN ROLE rangeland_redacted, pg_monitor")
    add_user(cluster, "chief", "LOGIN IN ROLE rangeland_redacted, admin")
    with ExitStack() as stack:
        for server in cluster.servers:
            for user in ("stranger", *WHOLE_BY_USER):
                conninfo = server.conninfo(user=user)
                client = psycopg.connect(conninfo, application_name="talker", autocommit=True)
                stack.enter_context(client).execute(CLEAR.encode())
        yield {user: log_in(cluster, apis[0], user) for user in WHOLE_BY_USER}


def statements(api: Api, token: str, query: str, username: str) -> list[str]:
    """What is shown of the talker's statements, by node."""
    answer = api.get(f"sessions/?exclude_closed_sessions=true{query}", token).json
    assert answer["errors"] == []
    return [
        each["last_active_query"]
        for each in answer["sessions"]
        if (each.get("application_name"), each.get("username")) == ("talker", username)
    ]


@pytest.mark.parametrize("query", ["", "&limit=1000", "&username=stranger"])
@pytest.mark.parametrize("user", WHOLE_BY_USER)
def test_a_reader_sees_other_people_s_statements_as_far_as_their_role_says(
    apis: list[Api], tokens: dict[str, str], user: str, query: str
) -> None:
    """On every node, of every node's sessions."""
    expected = CLEAR if WHOLE_BY_USER[user][0] else REDACTED
    for api in apis:
        assert statements(api, tokens[user], query, "stranger") == [expected] * 3


@pytest.mark.parametrize("user", WHOLE_BY_USER)
def test_everybody_sees_their_own_statements(apis: list[Api], tokens: dict[str, str], user: str) -> None:
    assert statements(apis[1], tokens[user], "", user) == [CLEAR] * 3


def test_the_constant_free_form_is_the_same_for_everybody(apis: list[Api], tokens: dict[str, str]) -> None:
    for token in tokens.values():
        sessions = apis[0].get("sessions/?username=stranger&exclude_closed_sessions=true", token).json["sessions"]
        talkers = [each for each in sessions if each.get("application_name") == "talker"]
        assert [each["last_active_query_no_constants"] for each in talkers] == [REDACTED] * 3
        assert [each["last_active_query_anon"] for each in talkers] == [REDACTED] * 3


def test_answers_that_are_asked_for_at_once_are_not_shared_across_rights(
    apis: list[Api], tokens: dict[str, str]
) -> None:
    def ask(user: str) -> tuple[str, set[str]]:
        return user, set(statements(apis[0], tokens[user], "", "stranger"))

    with ThreadPoolExecutor(16) as threads:
        seen = list(threads.map(ask, [*WHOLE_BY_USER] * 12))
    assert [(user, shown) for user, shown in seen if shown != {CLEAR if WHOLE_BY_USER[user][0] else REDACTED}] == []


def test_who_reads_redacted_reads_the_rest_of_the_api_too(apis: list[Api], tokens: dict[str, str]) -> None:
    assert [apis[0].get(path, tokens["half"]).status for path in ("nodes/", "users/", "ranges/hot/")] == [200] * 3


def test_who_is_in_none_of_the_roles_reads_nothing_not_even_their_own(
    cluster: Cluster, apis: list[Api], tokens: dict[str, str]
) -> None:
    token = log_in(cluster, apis[0], "stranger")
    for path in ("sessions/", "sessions/?username=stranger"):
        answer = apis[0].get(path, token)
        assert (answer.status, answer.text) == (403, "user not allowed to access this endpoint\n")

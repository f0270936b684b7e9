"""GET /sessions/: fields, parameters, and pages that go on from node to node."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import psycopg
import pytest

from contract.committed import departures
from fix_cluster import Api, add_user, session_url
from rangeland.engine.cluster import Cluster

FROM_THE_START = "fDB8MHw="  # nothing asked yet
PAGER = "pager"
Walk = Callable[..., list[list[str]]]


@pytest.fixture(scope="module")
def pagers(cluster: Cluster) -> Iterator[dict[str, psycopg.Connection]]:
    """Five sessions of one user at the first server, three at the second, four at the third, by name."""
    add_user(cluster, PAGER)
    with ExitStack() as stack:
        opened = {}
        for number, count in enumerate((5, 3, 4)):
            for index in range(count):
                name = f"pager {number + 1}.{index}"
                conninfo = cluster.servers[number].conninfo(user=PAGER)
                opened[name] = stack.enter_context(psycopg.connect(conninfo, application_name=name, autocommit=True))
        yield opened


@pytest.mark.parametrize("query", ["", "?limit=1000", "?username=demo", "?limit=2&username=demo"])
def test_keeps_the_committed_contract(cluster: Cluster, apis: list[Api], token: str, query: str) -> None:
    """Also of a session in a transaction, with a statement that runs or has failed."""
    with ExitStack() as stack:
        for server in cluster.servers:
            busy = stack.enter_context(closing(psycopg.connect(server.conninfo(user=cluster.username))))
            busy.execute("SELECT 'in a transaction'")
            busy.pgconn.send_query(b"SELECT pg_sleep(5)")
            failed = stack.enter_context(closing(psycopg.connect(server.conninfo(user=cluster.username))))
            with pytest.raises(psycopg.errors.DivisionByZero):
                failed.execute("SELECT 1/0")
        answers = [api.get(f"sessions/{query}", token).json for api in apis]
        assert [departures(answer, "SessionsAnswer") for answer in answers] == [[], [], []]
        texts = [query["sql"] for each in answers[0]["sessions"] for query in each["active_queries"]]
        assert "SELECT pg_sleep(5)" in texts or "limit=2" in query
        for server in cluster.servers:
            _end_sleepers(server.conninfo())


def test_without_a_limit_all_are_there_by_start(
    pagers: dict[str, psycopg.Connection], apis: list[Api], token: str
) -> None:
    for api in apis:
        answer = api.get(session_url("sessions/", username=PAGER), token).json
        assert [each["application_name"] for each in answer["sessions"]] == list(pagers)
        assert [each["start"] for each in answer["sessions"]] == sorted(each["start"] for each in answer["sessions"])
        assert (answer["errors"], answer["next"]) == ([], FROM_THE_START)


def test_ids_are_16_bytes_and_of_one_session_only(apis: list[Api], token: str) -> None:
    ids = [base64.b64decode(each["id"]) for each in apis[0].get("sessions/", token).json["sessions"]]
    assert {len(each) for each in ids} == {16}
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("username", ["nobody-of-that-name", "Pager", "pager ", "x" * 100, "pa\0ger", "'", "%"])
def test_a_user_without_sessions_has_an_empty_list(apis: list[Api], token: str, username: str) -> None:
    answer = apis[0].get(session_url("sessions/", username=username), token).json
    assert (answer["sessions"], answer["errors"]) == ([], [])


def test_an_empty_username_means_all(apis: list[Api], token: str) -> None:
    # One that is just logging in has no name yet.
    users = {each.get("username", "") for each in apis[0].get("sessions/?username=", token).json["sessions"]} - {""}
    assert len(users) > 1


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 7, 11, 12, 13, 100])
def test_pages_show_every_session_once(
    pagers: dict[str, psycopg.Connection], apis: list[Api], token: str, limit: int
) -> None:
    pages = _pages(apis, token, limit)
    assert sorted(name for page in pages for name in page) == list(pagers)
    assert [len(page) for page in pages[:-1]] == [limit] * (len(pages) - 1)
    assert len(pages[-1]) < limit


def test_the_token_names_who_was_asked_and_where_to_go_on(
    pagers: dict[str, psycopg.Connection], apis: list[Api], token: str
) -> None:
    """`asked|in progress|index|to ask`; a list that ends at the limit points to the next node."""
    tokens = []
    following = FROM_THE_START
    for _ in range(5):
        query = session_url("sessions/", username=PAGER, limit=4, start=following)
        following = apis[0].get(query, token).json["next"]
        tokens.append(base64.urlsafe_b64decode(following).decode())
    assert tokens == ["|1|4|2,3,", "1,2,|3|0|", "1,2,3,|0|0|", "1,2,3,|0|0|", "1,2,3,|0|0|"]


def test_reusing_the_last_token_shows_nothing_more(
    pagers: dict[str, psycopg.Connection], apis: list[Api], token: str
) -> None:
    last = base64.urlsafe_b64encode(b"1,2,3,|0|0|").decode()
    answer = apis[1].get(session_url("sessions/", username=PAGER, limit=4, start=last), token).json
    assert (answer["sessions"], answer["next"]) == ([], last)


@pytest.mark.parametrize("limit", ["0", "-1", "x", "", str(2**63), " 4"])
def test_a_limit_that_is_none_means_all_whatever_the_start(
    pagers: dict[str, psycopg.Connection], apis: list[Api], token: str, limit: str
) -> None:
    last = base64.urlsafe_b64encode(b"1,2,3,|0|0|").decode()
    answer = apis[0].get(session_url("sessions/", username=PAGER, limit=limit, start=last), token).json
    assert (len(answer["sessions"]), answer["next"]) == (12, FROM_THE_START)


@pytest.mark.parametrize(
    "start", ["", "x", "%00", "fDB8MHw", FROM_THE_START, "MXwyfDM=", "fDB8NHw=", "LTF8MHwwfA==", "🦬", "=" * 5000]
)
def test_a_start_that_is_no_token_begins_at_the_beginning(
    pagers: dict[str, psycopg.Connection], apis: list[Api], token: str, start: str
) -> None:
    answer = apis[0].get(session_url("sessions/", username=PAGER, limit=2, start=start), token).json
    assert [each["application_name"] for each in answer["sessions"]] == ["pager 1.0", "pager 1.1"]


def test_a_token_with_a_node_that_never_was_is_an_error_of_that_node(
    pagers: dict[str, psycopg.Connection], apis: list[Api], token: str
) -> None:
    start = base64.urlsafe_b64encode(b"1,|99|0|2,3").decode()
    answer = apis[0].get(session_url("sessions/", username=PAGER, limit=100, start=start), token).json
    assert [each["node_id"] for each in answer["sessions"]] == [2, 2, 2, 3, 3, 3, 3]
    [error] = answer["errors"]
    assert error["node_id"] == 99
    assert error["message"].startswith("failed to dial into node 99 (NODE_STATUS_UNKNOWN): ")


@pytest.mark.parametrize("place", [1000, 2**63 - 1])
def test_a_token_from_before_a_node_was_started_again_is_an_error_of_that_node(
    pagers: dict[str, psycopg.Connection], apis: list[Api], token: str, place: int
) -> None:
    """It leads to a place which the node hasn't given: what else is behind it would be missed, and nothing said."""
    start = base64.urlsafe_b64encode(f"1,|2|{place}|3,".encode()).decode()
    answer = apis[0].get(session_url("sessions/", username=PAGER, limit=100, start=start), token).json
    assert [each["node_id"] for each in answer["sessions"]] == [3, 3, 3, 3]
    [error] = answer["errors"]
    assert error["node_id"] == 2
    assert "begin without start" in error["message"]


def test_a_session_that_ends_between_two_pages_moves_no_other(cluster: Cluster, apis: list[Api], token: str) -> None:
    add_user(cluster, "leaver")
    conninfo = cluster.servers[1].conninfo(user="leaver")
    opened = [psycopg.connect(conninfo, application_name=f"leaver {number}") for number in range(5)]
    try:
        first = apis[0].get("sessions/?username=leaver&limit=2", token).json
        opened[0].close()
        rest = _pages(apis, token, 2, username="leaver", start=first["next"])
        assert [name for page in rest for name in page] == [f"leaver {number}" for number in (2, 3, 4)]
    finally:
        for each in opened:
            each.close()


def test_closed_sessions_can_be_left_out(cluster: Cluster, apis: list[Api], token: str) -> None:
    add_user(cluster, "gone")
    for text, count in (("", 1), ("false", 1), ("True", 1), ("1", 1), ("true", 0)):
        with psycopg.connect(cluster.servers[2].conninfo(user="gone")):
            apis[0].get("sessions/?username=gone&limit=9", token)
        answer = apis[1].get(session_url("sessions/", username="gone", exclude_closed_sessions=text), token).json
        closed = [each for each in answer["sessions"] if each.get("status") == 1]
        assert (len(closed) >= 1) is (count == 1), text
        assert all(each["end"] >= each["start"] for each in closed)


def _pages(
    apis: list[Api], token: str, limit: int, *, username: str = PAGER, start: str | None = None
) -> list[list[str]]:
    """Application names by page, each page asked of another node, until one is shorter than the limit."""
    pages: list[list[str]] = []
    while not pages or len(pages[-1]) == limit:
        query: dict[str, Any] = {"username": username, "limit": limit} | ({"start": start} if start else {})
        answer = apis[len(pages) % len(apis)].get(session_url("sessions/", **query), token).json
        assert answer["errors"] == []
        pages.append([each["application_name"] for each in answer["sessions"]])
        start = answer["next"]
    return pages


def _end_sleepers(conninfo: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query ~ '^SELECT pg_sleep'")

"""POST /sessions/{session_id}/cancel/ and /terminate/: who may end whose session, on every node, and what is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import errors

from fix_cluster import Api, Reply, add_user, apis_of, log_in, running_cluster, wait_until
from rangeland.api.sessions import (
    NO_ID,
    NO_SESSION,
    NOT_ALLOWED,
    NOT_GRANTED,
    NOTHING_TO_CANCEL,
    OF_A_SUPERUSER,
)
from rangeland.engine.cluster import Cluster
from rangeland.state.init import init_cluster
from rangeland.wire.session_ids import SessionId, parse_session_id

SLEEP = b"SELECT pg_sleep(60), 'secret 4711'"
ROLES = {
    "app": "LOGIN",
    "chief": "LOGIN SUPERUSER",
    "watcher": "LOGIN IN ROLE pg_monitor",
    "redacted": "LOGIN IN ROLE rangeland_redacted",
    "teammate": "LOGIN IN ROLE pg_monitor, app",
    "heir": "LOGIN NOINHERIT IN ROLE app",
    "guard": "LOGIN IN ROLE pg_monitor, pg_signal_backend",
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Of this module alone: a primary and a standby."""
    with running_cluster(2) as made:
        for name, attributes in ROLES.items():
            add_user(made, name, attributes)
        with psycopg.connect(made.servers[0].conninfo(), autocommit=True) as connection:
            connection.execute("GRANT pg_monitor TO heir")
            if made.servers[0].major >= 16:
                connection.execute("GRANT pg_monitor TO heir WITH INHERIT TRUE")
        yield made


@pytest.fixture(scope="module")
def apis(cluster: Cluster) -> list[Api]:
    return apis_of(cluster)


@pytest.fixture(scope="module")
def tokens(cluster: Cluster, apis: list[Api]) -> dict[str, str]:
    """Of each role that may read, by its name."""
    return {name: log_in(cluster, apis[0], name) for name in ("demo", *ROLES) if name != "app"}


@contextmanager
def session(cluster: Cluster, number: int, user: str = "app", name: str = "victim") -> Iterator[psycopg.Connection]:
    """A client's session at the server of that number, from 0."""
    conninfo = cluster.servers[number].conninfo(user=user)
    with closing(psycopg.connect(conninfo, application_name=name)) as made:
        yield made


@contextmanager
def sleeper(cluster: Cluster, number: int, user: str = "app", name: str = "victim") -> Iterator[psycopg.Connection]:
    """One that runs a long statement."""
    with session(cluster, number, user, name) as made:
        made.pgconn.send_query(SLEEP)
        yield made


def id_of(connection: psycopg.Connection, api: Api, token: str, *, state: str = "active") -> str:
    """The session's id as a path takes it, once it is in that state."""
    found: list[dict[str, Any]] = []

    def is_there() -> bool:
        pid = connection.info.backend_pid
        sessions = api.get("sessions/?exclude_closed_sessions=true", token).json["sessions"]
        found[:] = [each for each in sessions if (each["pg_backend_pid"], each.get("state")) == (pid, state)]
        return bool(found)

    wait_until(is_there, f"the session is {state}")
    raw: str = found[0]["id"]
    return raw.replace("+", "-").replace("/", "_")


def signal(api: Api, session_id: str, what: str, token: str | None) -> Reply:
    return api.request("POST", f"sessions/{session_id}/{what}/", token=token)


def require_refused(answer: Reply, status: int, text: str) -> None:
    assert (answer.status, answer.text) == (status, f"{text}\n")


def ends_with(connection: psycopg.Connection) -> str | None:
    """The SQLSTATE of what the session runs, once it has ended."""
    result = connection.pgconn.get_result()
    assert result is not None
    state = result.error_field(psycopg.pq.DiagnosticField.SQLSTATE)
    return state.decode() if state else None


def infos(api: Api, token: str, event_type: str) -> list[dict[str, Any]]:
    return [json.loads(each["info"]) for each in api.get(f"events/?type={event_type}", token).json["events"]]


@pytest.mark.parametrize("asked", [0, 1])
@pytest.mark.parametrize("number", [0, 1], ids=["primary", "standby"])
def test_any_node_cancels_a_statement_on_any_server_and_the_session_goes_on(
    cluster: Cluster, apis: list[Api], tokens: dict[str, str], number: int, asked: int
) -> None:
    with sleeper(cluster, number) as victim:
        answer = signal(apis[asked], id_of(victim, apis[asked], tokens["guard"]), "cancel", tokens["guard"])
        assert answer.json == {"signalled": True}
        assert ends_with(victim) == errors.QueryCanceled.sqlstate
        assert victim.pgconn.get_result() is None
        victim.rollback()
        assert victim.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("number", [0, 1], ids=["primary", "standby"])
def test_terminate_ends_the_session_and_a_second_time_there_is_none(
    cluster: Cluster, apis: list[Api], tokens: dict[str, str], number: int
) -> None:
    with sleeper(cluster, number) as victim:
        session_id = id_of(victim, apis[0], tokens["guard"])
        assert signal(apis[1 - number], session_id, "terminate", tokens["guard"]).json == {"signalled": True}
        assert ends_with(victim) == errors.AdminShutdown.sqlstate
    wait_until(
        lambda: signal(apis[0], session_id, "terminate", tokens["guard"]).text == f"{NO_SESSION}\n", "it has ended"
    )


def test_who_waits_for_an_idle_transaction_goes_on_once_that_is_ended(
    cluster: Cluster, apis: list[Api], tokens: dict[str, str]
) -> None:
    token = tokens["guard"]
    with session(cluster, 0, name="blocker") as blocker, session(cluster, 0, name="waiter") as waiter:
        blocker.execute("SELECT pg_advisory_xact_lock(4711)")
        waiter.pgconn.send_query(b"SELECT pg_advisory_xact_lock(4711)")
        id_of(waiter, apis[0], token)
        session_id = id_of(blocker, apis[0], token, state="idle in transaction")
        require_refused(signal(apis[1], session_id, "cancel", token), 409, NOTHING_TO_CANCEL)
        assert signal(apis[1], session_id, "terminate", token).status == 200
        assert ends_with(waiter) is None


@pytest.mark.parametrize("what", ["cancel", "terminate"])
def test_a_process_with_another_start_or_number_or_node_is_another_session(
    cluster: Cluster, apis: list[Api], tokens: dict[str, str], what: str
) -> None:
    with sleeper(cluster, 0) as victim:
        known = parse_session_id(id_of(victim, apis[0], tokens["guard"]))
        assert known is not None
        others = [
            known._replace(started_at_us=known.started_at_us + 1),
            known._replace(started_at_us=known.started_at_us - 1),
            known._replace(pid=known.pid + 1),
            known._replace(pid=2**32 - 1, started_at_us=-(2**63)),
            *(known._replace(node_id=node_id) for node_id in (0, 2, 99, 2**32 - 1)),
        ]
        for other in others:
            session_id = other.packed().hex()
            require_refused(signal(apis[0], session_id, what, tokens["guard"]), 404, NO_SESSION)
        assert victim.pgconn.is_busy()


def test_processes_that_are_no_clients_and_the_nodes_own_sessions_are_none(
    cluster: Cluster, apis: list[Api], tokens: dict[str, str]
) -> None:
    with psycopg.connect(cluster.servers[0].conninfo()) as connection:
        rows = connection.execute(
            "SELECT pid, (extract(epoch FROM backend_start) * 1000000)::int8, usename FROM pg_stat_activity "
            "WHERE backend_type <> 'client backend' OR usename = 'rangeland'"
        ).fetchall()
    assert {"rangeland", None} <= {row[2] for row in rows}
    for pid, started_at_us, _ in rows:
        answer = signal(apis[1], SessionId(1, pid, started_at_us).packed().hex(), "terminate", tokens["guard"])
        require_refused(answer, 404, NO_SESSION)


@pytest.mark.parametrize("what", ["cancel", "terminate"])
@pytest.mark.parametrize(
    ("caller", "user", "refusal"),
    [
        ("chief", "app", None),
        ("guard", "app", None),
        ("demo", "app", None),
        ("teammate", "app", None),
        ("watcher", "watcher", None),
        ("redacted", "redacted", None),
        ("watcher", "app", NOT_ALLOWED),
        ("redacted", "app", NOT_ALLOWED),
        ("heir", "app", NOT_ALLOWED),
        ("teammate", "watcher", NOT_ALLOWED),
        ("chief", "chief", OF_A_SUPERUSER),
        ("guard", "chief", OF_A_SUPERUSER),
        ("watcher", "chief", OF_A_SUPERUSER),
    ],
)
def test_a_caller_may_end_the_sessions_of_roles_whose_rights_they_have(
    cluster: Cluster, apis: list[Api], tokens: dict[str, str], caller: str, user: str, refusal: str | None, what: str
) -> None:
    for number in (0, 1):
        with sleeper(cluster, number, user) as victim:
            session_id = id_of(victim, apis[0], tokens["guard"])
            answer = signal(apis[0], session_id, what, tokens[caller])
            if refusal is None:
                assert answer.json == {"signalled": True}
                assert ends_with(victim) is not None
            else:
                require_refused(answer, 403, refusal)
                assert victim.pgconn.is_busy()


def test_without_allow_cancel_nobody_may_not_even_with_the_grant(
    cluster: Cluster, apis: list[Api], tokens: dict[str, str]
) -> None:
    url = cluster.servers[0].url()
    with sleeper(cluster, 0) as victim:
        session_id = id_of(victim, apis[0], tokens["guard"])
        init_cluster(url, allow_cancel=False)
        try:
            require_refused(signal(apis[1], session_id, "cancel", tokens["chief"]), 403, NOT_GRANTED)
            _execute(cluster, "GRANT pg_signal_backend TO rangeland")
            require_refused(signal(apis[1], session_id, "cancel", tokens["chief"]), 403, NOT_GRANTED)
        finally:
            init_cluster(url, allow_cancel=True)
        _execute(cluster, "REVOKE pg_signal_backend FROM rangeland")
        require_refused(signal(apis[1], session_id, "cancel", tokens["chief"]), 403, NOT_GRANTED)
        init_cluster(url, allow_cancel=True)
        assert signal(apis[1], session_id, "cancel", tokens["chief"]).status == 200


def test_a_standby_whose_roles_are_old_asks_the_primary(
    cluster: Cluster, apis: list[Api], tokens: dict[str, str]
) -> None:
    """It doesn't see that a right was taken away; and the session may be what its replay waits for."""
    add_user(cluster, "deserter", "LOGIN IN ROLE pg_monitor, pg_signal_backend")
    token = log_in(cluster, apis[0], "deserter")
    with psycopg.connect(cluster.servers[1].conninfo(), autocommit=True) as standby, sleeper(cluster, 1) as victim:
        session_id = id_of(victim, apis[0], token)
        standby.execute("SELECT pg_wal_replay_pause()")
        try:
            wait_until(lambda: _is_paused(standby), "replay is paused")
            _execute(cluster, "REVOKE pg_signal_backend FROM deserter")
            for api in apis:
                require_refused(signal(api, session_id, "cancel", token), 403, NOT_ALLOWED)
            _execute(cluster, "ALTER ROLE app SUPERUSER")
            require_refused(signal(apis[0], session_id, "cancel", tokens["guard"]), 403, OF_A_SUPERUSER)
            _execute(cluster, "ALTER ROLE app NOSUPERUSER")
            assert signal(apis[0], session_id, "cancel", tokens["guard"]).status == 200
            assert ends_with(victim) == errors.QueryCanceled.sqlstate
        finally:
            standby.execute("SELECT pg_wal_replay_resume()")


def test_a_role_that_is_dropped_may_nothing_any_more(
    cluster: Cluster, apis: list[Api], tokens: dict[str, str]
) -> None:
    add_user(cluster, "leaver", "LOGIN IN ROLE pg_monitor, pg_signal_backend")
    token = log_in(cluster, apis[0], "leaver")
    with sleeper(cluster, 0) as victim:
        session_id = id_of(victim, apis[0], token)
        _execute(cluster, "DROP ROLE leaver")
        assert signal(apis[0], session_id, "cancel", token).status == 403
        assert victim.pgconn.is_busy()


def test_the_event_tells_who_ended_whose_session_and_no_statement(
    cluster: Cluster, apis: list[Api], tokens: dict[str, str]
) -> None:
    for what, event_type in (("cancel", "session_cancelled"), ("terminate", "session_terminated")):
        with sleeper(cluster, 1, name="told") as victim:
            pid = victim.info.backend_pid
            session_id = id_of(victim, apis[0], tokens["guard"])
            assert signal(apis[0], session_id, what, tokens["guard"]).status == 200

            def told(event_type: str = event_type, pid: int = pid) -> list[dict[str, Any]]:
                return [each for each in infos(apis[0], tokens["guard"], event_type) if each["PID"] == pid]

            wait_until(told, "the event is written")
            [info] = told()
            del info["Timestamp"]
            assert info == {
                "EventType": event_type,
                "User": "guard",
                "RemoteAddress": "127.0.0.1",
                "NodeID": 2,
                "PID": pid,
                "SessionUser": "app",
                "DatabaseName": "postgres",
                "ApplicationName": "told",
            }


def test_what_was_refused_is_no_event(cluster: Cluster, apis: list[Api], tokens: dict[str, str]) -> None:
    with sleeper(cluster, 0, name="spared") as victim:
        session_id = id_of(victim, apis[0], tokens["guard"])
        assert signal(apis[0], session_id, "terminate", tokens["watcher"]).status == 403
        assert signal(apis[0], session_id, "terminate", tokens["guard"]).status == 200
    wait_until(lambda: _spared(apis[0], tokens), "the second one is written")
    assert [each["User"] for each in _spared(apis[0], tokens)] == ["guard"]


def _spared(api: Api, tokens: dict[str, str]) -> list[dict[str, Any]]:
    return [each for each in infos(api, tokens["guard"], "session_terminated") if each["ApplicationName"] == "spared"]


@pytest.mark.parametrize("what", ["cancel", "terminate"])
@pytest.mark.parametrize(
    "text", ["1", "x" * 22, "A" * 20, "A" * 25, "a" * 31, "a" * 33, "AAAA%20AAAA", "%00", "%C3%A9"]
)
def test_what_is_no_id_is_400(apis: list[Api], tokens: dict[str, str], text: str, what: str) -> None:
    require_refused(signal(apis[0], text, what, tokens["guard"]), 400, NO_ID)


@pytest.mark.parametrize("what", ["cancel", "terminate"])
def test_another_method_is_405_and_a_stranger_is_told_nothing(
    cluster: Cluster, apis: list[Api], tokens: dict[str, str], what: str
) -> None:
    session_id = "A" * 22
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        answer = apis[0].request(method, f"sessions/{session_id}/{what}/", token=tokens["guard"])
        assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert signal(apis[0], session_id, what, None).status == 401
    answer = apis[0].request(
        "POST", f"sessions/{session_id}/{what}/", headers={"Cookie": f"session={tokens['guard']}"}
    )
    assert answer.status == 401, "a foreign page could send that much"
    stranger = log_in(cluster, apis[0], "app")
    require_refused(signal(apis[0], "x", what, stranger), 403, "user not allowed to access this endpoint")


def test_a_request_that_is_passed_on_is_in_the_name_of_its_caller(
    cluster: Cluster, apis: list[Api], tokens: dict[str, str]
) -> None:
    with sleeper(cluster, 0) as victim:
        session_id = id_of(victim, apis[0], tokens["guard"])
        path = f"sessions/{session_id}/cancel/?remote_node_id=2"
        assert apis[0].request("POST", path, token=tokens["watcher"]).status == 403
        assert apis[0].request("POST", path, token=tokens["guard"]).status == 200
        assert ends_with(victim) == errors.QueryCanceled.sqlstate


def test_a_silent_node_is_named(cluster: Cluster, apis: list[Api], tokens: dict[str, str]) -> None:
    """The last one here: it takes node 2 away."""
    with sleeper(cluster, 1) as victim:
        session_id = id_of(victim, apis[0], tokens["guard"])
        cluster.nodes[1].kill()
        answer = signal(apis[0], session_id, "cancel", tokens["guard"])
        assert answer.status == 500
        first, second, rest = answer.text.split("\n")
        assert first.startswith("An internal server error has occurred.")
        assert "node 2" in second
        assert rest == ""
        assert victim.pgconn.is_busy()


def _is_paused(connection: psycopg.Connection) -> bool:
    return connection.execute("SELECT pg_get_wal_replay_pause_state()").fetchone() == ("paused",)


def _execute(cluster: Cluster, statement: str) -> None:
    with psycopg.connect(cluster.servers[0].conninfo(), autocommit=True) as connection:
        connection.execute(statement.encode())

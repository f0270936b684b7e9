"""Logging in and out across nodes, and what an attacker tries."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import psutil
import psycopg
import pytest

from fix_cluster import ANSWER_S, Api, Reply, add_user, log_in, new_client, wait_until
from fix_engine import wait_for_replay
from rangeland.auth.session_token import decode_token, encode_token
from rangeland.engine.cluster import Cluster
from rangeland.engine.server import PostgresServer

NO_ACCOUNT = "the provided credentials did not match any account on the server\n"
BUSY = "too many logins, try again later\n"
AT_ONCE = 2  # connections that checking passwords may take of the server's


def test_a_token_of_one_node_works_on_every_other_at_once(cluster: Cluster, apis: list[Api]) -> None:
    for maker in apis:
        token = log_in(cluster, maker, cluster.username)
        assert [api.get("nodes/", token).status for api in reversed(apis)] == [200, 200, 200]


def test_after_logout_at_one_node_every_node_refuses_the_token(cluster: Cluster, apis: list[Api]) -> None:
    """Also those that have just accepted it."""
    for ender in apis:
        token = log_in(cluster, apis[0], cluster.username)
        assert [api.get("nodes/", token).status for api in apis] == [200, 200, 200]
        assert ender.log_out(token).status == 200
        assert [api.get("nodes/", token).status for api in apis] == [401, 401, 401]


def test_a_logout_ends_only_that_session(cluster: Cluster, apis: list[Api], token: str) -> None:
    apis[1].log_out(log_in(cluster, apis[0], cluster.username))
    assert [api.get("nodes/", token).status for api in apis] == [200, 200, 200]


def test_a_right_that_is_taken_away_counts_within_a_second(cluster: Cluster, apis: list[Api]) -> None:
    add_user(cluster, "leaving", "LOGIN IN ROLE admin")
    token = log_in(cluster, apis[0], "leaving")
    assert _statuses(apis, token) == [200, 200, 200]
    with psycopg.connect(cluster.servers[0].conninfo(), autocommit=True) as connection:
        connection.execute("REVOKE admin FROM leaving")
        wait_until(lambda: _statuses(apis, token) == [403, 403, 403], "403 everywhere", timeout_s=1.5)
        connection.execute("GRANT admin TO leaving")
        wait_until(lambda: _statuses(apis, token) == [200, 200, 200], "200 everywhere", timeout_s=1.5)


def test_a_member_without_the_right_is_refused(cluster: Cluster, apis: list[Api]) -> None:
    """Membership WITH INHERIT FALSE gives no right until SET ROLE, which the API never does."""
    add_user(cluster, "heir")
    with psycopg.connect(cluster.servers[0].conninfo(), autocommit=True) as connection:
        connection.execute("GRANT admin TO heir WITH INHERIT FALSE")
    assert _statuses(apis, log_in(cluster, apis[1], "heir")) == [403, 403, 403]


def test_a_dropped_user_s_token_is_worth_nothing(cluster: Cluster, apis: list[Api]) -> None:
    add_user(cluster, "dropped", "LOGIN IN ROLE admin")
    token = log_in(cluster, apis[0], "dropped")
    with psycopg.connect(cluster.servers[0].conninfo(), autocommit=True) as connection:
        connection.execute("DROP ROLE dropped")
    wait_until(lambda: not set(_statuses(apis, token)) - {401, 403}, "refused everywhere", timeout_s=1.5)


@pytest.mark.parametrize("attributes", ["NOLOGIN", "LOGIN VALID UNTIL '2020-01-01'"])
def test_a_user_that_the_server_does_not_let_in_gets_no_token(
    cluster: Cluster, apis: list[Api], attributes: str
) -> None:
    name = f"refused {len(attributes)}"
    add_user(cluster, name, attributes)
    answer = apis[0].log_in(name, cluster.servers[0].password_by_user[name], client=new_client())
    assert (answer.status, answer.text) == (401, NO_ACCOUNT)


def test_a_row_made_by_hand_is_no_session(cluster: Cluster, apis: list[Api]) -> None:
    """Whoever may write the table may not log in with that: a row is signed with the cluster key."""
    secret, now = bytes(range(16)), datetime.now(UTC)
    row = (42, hashlib.sha256(secret).digest(), cluster.username, now, now + timedelta(days=1), now, bytes(32))
    insert = (
        "INSERT INTO rangeland.web_sessions "
        "(id, hashed_secret, username, created_at, expires_at, last_used_at, mac) VALUES (%s, %s, %s, %s, %s, %s, %s)"
    )
    _write(cluster, insert, *row)
    assert _statuses(apis, encode_token(42, secret)) == [401, 401, 401]


@pytest.mark.parametrize("change", ["username = 'demo'", "expires_at = now() + interval '1 year'"])
def test_a_row_changed_by_hand_is_no_session_any_more(cluster: Cluster, apis: list[Api], change: str) -> None:
    token = log_in(cluster, apis[0], "reader")
    decoded = decode_token(token)
    assert decoded is not None
    assert _statuses(apis, token) == [200, 200, 200]
    _write(cluster, f"UPDATE rangeland.web_sessions SET {change} WHERE id = %s", decoded[0])
    wait_until(lambda: _statuses(apis, token) == [401, 401, 401], "401 everywhere", timeout_s=1.5)


def test_the_secret_is_kept_nowhere(cluster: Cluster, apis: list[Api], token: str) -> None:
    decoded = decode_token(token)
    assert decoded is not None
    with psycopg.connect(cluster.servers[0].conninfo(), autocommit=True) as connection:
        rows = connection.execute(
            "SELECT w::text FROM rangeland.web_sessions w WHERE id = %s", [decoded[0]]
        ).fetchall()
    assert len(rows) == 1
    assert decoded[1].hex() not in rows[0][0]
    assert hashlib.sha256(decoded[1]).hexdigest() in rows[0][0]


def test_where_the_server_asks_for_no_password_none_is_right(cluster: Cluster, apis: list[Api]) -> None:
    """Neither the wrong one nor the right one; the log says why."""
    begin = cluster.nodes[0].log.stat().st_size
    with _rule(cluster.servers[0], "host all demo all trust"):
        for password in ("wrong", cluster.password):
            answer = apis[2].log_in(cluster.username, password, client=new_client())
            assert (answer.status, answer.text) == (401, NO_ACCOUNT)
    assert "the server did not ask for the password" in cluster.nodes[0].log.read_text("utf-8")[begin:]
    assert apis[2].log_in(cluster.username, cluster.password).status == 200


def test_a_user_whom_the_server_rejects_gets_no_token(cluster: Cluster, apis: list[Api]) -> None:
    with _rule(cluster.servers[0], "host all demo all reject"):
        answer = apis[1].log_in(cluster.username, cluster.password, client=new_client())
        assert (answer.status, answer.text) == (401, NO_ACCOUNT)
    assert apis[1].log_in(cluster.username, cluster.password).status == 200


def test_a_pgpass_of_the_node_s_user_opens_nothing(cluster: Cluster, apis: list[Api]) -> None:
    """The file works for psql with the same HOME; with it in reach, any password once logged in."""
    home = cluster.workplace.path
    passfile = cluster.workplace.write_file(home / ".pgpass", f"*:*:*:demo:{cluster.password}\n")
    try:
        server = cluster.servers[0]
        psql: list[str | Path] = [server.binaries.tool("psql"), "-XAtc", "SELECT session_user", "-h", "localhost"]
        psql += ["-p", str(server.port), "-U", "demo", "postgres"]
        assert cluster.workplace.run(psql, directory=home, as_server=False) == "demo\n"
        for password in ("", "wrong"):
            answer = apis[0].log_in("demo", password, client=new_client())
            assert (answer.status, answer.text) == (401, NO_ACCOUNT)
    finally:
        passfile.unlink()
    assert apis[0].log_in(cluster.username, cluster.password).status == 200


def test_guessing_passwords_harms_nobody_else(cluster: Cluster, apis: list[Api], token: str) -> None:
    """Hundreds of wrong logins as fast as they go: from a hundred addresses, and for one name from one."""
    add_user(cluster, "innocent", "LOGIN IN ROLE admin")
    crowd = [(f"guessed {number}", new_client()) for number in range(100)]
    attempts = [*crowd, *[("guessed alone", new_client())] * 20, *crowd, *crowd]
    others: list[Reply] = []
    with ThreadPoolExecutor(24) as threads:
        guesses = [
            threads.submit(apis[number % 3].log_in, name, "wrong", client=client)
            for number, (name, client) in enumerate(attempts)
        ]
        while not all(guess.done() for guess in guesses):
            others.append(apis[len(others) % 3].get("nodes/", token))
    refusals = [guess.result() for guess in guesses]
    assert {refusal.text for refusal in refusals} == {NO_ACCOUNT, BUSY}
    assert all(int(refusal.headers["retry-after"]) > 0 for refusal in refusals if refusal.status == 503)
    log_in(cluster, apis[1], "innocent")
    assert {other.status for other in others} == {200}
    assert median(other.elapsed_s for other in others) < 0.5
    assert max(other.elapsed_s for other in others) < ANSWER_S


def test_logins_take_two_of_the_server_s_connections_at_most(cluster: Cluster, apis: list[Api]) -> None:
    """Seen while the server answers no new connection, so that they add up."""
    postmaster = psutil.Process(cluster.servers[0].pid)
    before = _own_ports(cluster)
    with ThreadPoolExecutor(24) as threads:
        postmaster.suspend()
        try:
            logins = [
                threads.submit(apis[number % 3].log_in, f"one of many {number}", "wrong", client=new_client())
                for number in range(24)
            ]
            wait_until(lambda: len(_own_ports(cluster) - before) >= AT_ONCE, "logins wait", timeout_s=2)
            most = max(len(_own_ports(cluster) - before) for _ in range(50))
        finally:
            postmaster.resume()
    assert AT_ONCE <= most <= AT_ONCE + 2  # just then the node may want to visit a database, and to replace its own
    assert {login.result().status for login in logins} <= {401, 503}


def _statuses(apis: list[Api], token: str) -> list[int]:
    return [api.get("nodes/", token).status for api in apis]


def _write(cluster: Cluster, statement: str, *values: object) -> None:
    """Run a statement as the superuser of the primary; every server has it when this returns."""
    with psycopg.connect(cluster.servers[0].conninfo(), autocommit=True) as connection:
        connection.execute(statement.encode(), values)
    for standby in cluster.servers[1:]:
        wait_for_replay(cluster.servers[0], standby)


@contextmanager
def _rule(server: PostgresServer, rule: str) -> Iterator[None]:
    """With this rule before all others of pg_hba.conf."""
    before = server.read_hba()
    server.write_hba(f"{rule}\n{before}")
    try:
        _wait_for_rule(server, rule, is_first=True)
        yield
    finally:
        server.write_hba(before)
        _wait_for_rule(server, rule, is_first=False)


def _wait_for_rule(server: PostgresServer, rule: str, *, is_first: bool) -> None:
    """Until the server follows its file: it reads it when it next takes its signal."""
    method = rule.rpartition(" ")[2]

    def follows() -> bool:
        try:
            psycopg.connect(server.conninfo(user="demo", password="wrong")).close()
        except psycopg.OperationalError as exc:
            return (method == "reject" and "rejects connection" in str(exc)) is is_first
        return method == "trust" and is_first

    wait_until(follows, f"pg_hba.conf is followed: {rule}")


def _own_ports(cluster: Cluster) -> set[object]:
    """Our side of every connection that the primary's node has to its server."""
    server_port = cluster.servers[0].port
    found = psutil.Process(cluster.nodes[0].pid).net_connections("tcp")
    return {each.laddr for each in found if each.raddr[1:2] == (server_port,)}

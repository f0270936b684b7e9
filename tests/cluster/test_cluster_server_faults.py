"""A server that is killed, hangs, is locked, full, behind or alone: every endpoint of every node goes on to answer.

Each fault is made on one cluster; every GET endpoint of the table of routes is asked of every node, at once and again
when the fault is known; then it is mended, and the nodes find out by themselves.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import psycopg
import pytest

import fix_server_faults as f
from cluster.fault_results import FIRST, KNOWN, FaultResults
from fix_cluster import ANSWER_S, LOAD_TPS, Api, add_user, log_in, new_client, running_cluster, wait_until
from fix_server_faults import ALL, Fault, Scene
from rangeland.auth.web_sessions import CACHE_S
from rangeland.client import Client
from rangeland.cluster.cluster import ask_signed
from rangeland.cluster.peer_token import PeerTokens
from rangeland.cluster.questions import REGISTER
from rangeland.config import program
from rangeland.state.init import NODE_ROLE
from rangeland.tls import client_context, read_cluster_keys
from rangeland.wire.members import Registration

OFF_S = 600
REGISTERED_S = 10.0  # to start a node on a busy machine; 2 s on an idle one
KEPT = 3  # connections of a node to the state database
PASSING = 2  # a visit to another database, and a look whether the server answers


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with running_cluster(3, load_tps=LOAD_TPS) as made:
        yield f.make_scene(made)


SERVER_FAULTS = (
    Fault("killed standby server", partial(f.killed, node_id=2), down=frozenset({2})),
    Fault("stopped standby server", partial(f.stopped, node_id=3), down=frozenset({3})),
    Fault("killed primary server", partial(f.killed, node_id=1), down=frozenset({1})),
    Fault("stopped primary server", partial(f.stopped, node_id=1), down=frozenset({1})),
    Fault("stopped postmaster of a standby", partial(f.stopped_postmaster, node_id=2), hurt=frozenset({2})),
    Fault("stopped postmaster of the primary", partial(f.stopped_postmaster, node_id=1), hurt=frozenset({1})),
    Fault("stopped backends of ours on a standby", partial(f.stopped_backends, node_id=2), hurt=frozenset({2})),
    Fault("stopped backends of ours on the primary", partial(f.stopped_backends, node_id=1), hurt=frozenset({1})),
    Fault(
        "locked table of a user",
        partial(
            f.locked,
            dbname="pgbench",
            statements=("LOCK TABLE pgbench_tellers, pgbench_accounts",),
            queued="SELECT FROM pgbench_tellers",
        ),
    ),
    Fault(
        "many tables made and changed in an open transaction",
        partial(
            f.locked,
            dbname="pgbench",
            statements=(
                "DO $$ BEGIN FOR i IN 1..300 LOOP EXECUTE format('CREATE TABLE made_%s (a int PRIMARY KEY)', i); "
                "EXECUTE format('ALTER TABLE made_%s ADD b text', i); END LOOP; END $$",
                "ALTER TABLE pgbench_tellers ADD extra int",
            ),
            queued="SELECT FROM pgbench_tellers",
        ),
    ),
    Fault(
        "locked catalogue",
        partial(
            f.locked,
            dbname="pgbench",
            statements=("LOCK TABLE pg_class",),
            queued="SELECT FROM pg_class",
        ),
        hurt=ALL,
        excused=("/databases/{database}/tables/", "/databases/{database}/tables/{table}/"),
    ),
    Fault(
        "locked tables of ours",
        partial(
            f.locked,
            dbname="postgres",
            statements=(
                "LOCK TABLE rangeland.nodes, rangeland.databases, rangeland.web_sessions, rangeland.events, "
                "rangeland.settings",
            ),
            queued="SELECT FROM rangeland.web_sessions",
        ),
        excused=("/events/",),
    ),
    Fault(
        "standby without a free slot",
        partial(f.full_of_others, node_id=2, user="demo", alone=False),
        hurt=frozenset({2}),
    ),
    Fault(
        "primary without a free slot",
        partial(f.full_of_others, node_id=1, user="demo", alone=False),
        hurt=frozenset({1}),
    ),
    Fault(
        "primary without a slot for us",
        partial(f.full_of_others, node_id=1, user="demo", alone=True),
        down=frozenset({1}),
    ),
    Fault(
        "connection limit of our role used up",
        partial(f.full_of_others, node_id=2, user=NODE_ROLE, alone=False),
        hurt=frozenset({2}),
    ),
    Fault("paused replay", partial(f.paused_replay, node_id=2)),
    Fault("stopped startup process", partial(f.stopped_auxiliary, node_id=2, backend_type="startup")),
    Fault("stopped walreceiver", partial(f.stopped_auxiliary, node_id=3, backend_type="walreceiver")),
    Fault(
        "delayed replay",
        partial(f.configured, node_id=2, name="recovery_min_apply_delay", value="10min", before="0"),
    ),
    Fault("dead synchronous standby", partial(f.dead_synchronous_standby, node_id=2), down=frozenset({2})),
)


TABLES_FULL = Fault(
    "full disk of the primary's tables",
    partial(f.full_disk, node_id=1, directory="base", until=f.runs_out_of_pages),
)
WAL_FULL = Fault(
    "full disk of the primary's WAL",
    partial(f.full_disk, node_id=1, directory="pg_wal", until=f.runs_out_of_wal),
    down=frozenset({1}),
)


CLOCK_AHEAD = Fault("clock ten minutes ahead", partial(f.other_clock, node_id=3, off_s=OFF_S))
CLOCK_BEHIND = Fault("clock ten minutes behind", partial(f.other_clock, node_id=3, off_s=-OFF_S))
FAULTS = (*SERVER_FAULTS, TABLES_FULL, WAL_FULL, CLOCK_AHEAD, CLOCK_BEHIND)  # the table of faults, in its order


@pytest.mark.parametrize("fault", SERVER_FAULTS, ids=lambda fault: fault.id)
def test_every_endpoint_of_every_node_answers_in_time_and_all_recovers(
    scene: Scene, fault: Fault, fault_results: FaultResults
) -> None:
    """At once, when nobody knows yet, and when it is known; then the nodes find out by themselves that it is over."""
    _require_answers(scene, fault, fault_results)


@pytest.mark.parametrize(("fault", "directory"), [(TABLES_FULL, "base"), (WAL_FULL, "pg_wal")], ids=["tables", "wal"])
def test_every_endpoint_answers_in_time_while_a_disk_is_full(
    scene: Scene, fault: Fault, directory: str, fault_results: FaultResults, tmp_path: Path
) -> None:
    """Reading goes on while nothing can be written."""
    if not f.can_mount(tmp_path):
        pytest.skip("only root can mount a small disk, and not in every container")
    with f.on_small_disk(scene.server(1), directory):
        wait_until(lambda: f.is_whole(scene), "the node has found its server", timeout_s=20, poll_s=0.1)
        _require_answers(scene, fault, fault_results)
    wait_until(lambda: f.is_whole(scene), "the node has found its server", timeout_s=20, poll_s=0.1)


def _require_answers(scene: Scene, fault: Fault, fault_results: FaultResults) -> None:
    wrong: list[str] = []
    begins = f.log_ends(scene)
    with f.witnesses(scene), fault.make(scene):
        for moment in (FIRST, KNOWN):
            for node_id, answers in f.ask_all_nodes(scene, fault).items():
                fault_results.take_answers(fault.name, moment, answers)
                wrong += [f"{moment}: {each}" for each in f.complaints({node_id: answers}, fault, scene)]
        sound = ALL - fault.down - fault.hurt
        assert all(f.count_ours(scene.server(node_id)) <= KEPT + PASSING for node_id in sound)
        begun_s = time.monotonic()
    wait_until(lambda: f.is_whole(scene), f"all is well after: {fault.name}", timeout_s=20, poll_s=0.1)
    fault_results.take_recovery(fault.name, time.monotonic() - begun_s)
    assert not wrong, "\n".join(wrong)
    assert f.repeated_lines(scene, begins, more_than=2) == []
    assert max(map(f.count_ours, scene.cluster.servers)) <= KEPT + PASSING


# -- logging in and out, and whose token it is -------------------------------------------------------------------


def _statuses(scene: Scene, token: str) -> list[int]:
    return [api.get("sessions/", token).status for api in scene.apis]


def _count_web_sessions(scene: Scene) -> int:
    with psycopg.connect(scene.server(1).conninfo()) as connection:
        row = connection.execute("SELECT count(*) FROM rangeland.web_sessions").fetchone()
    assert row is not None
    return int(row[0])


def test_a_dead_synchronous_standby_holds_up_no_login_logout_or_start_of_a_node(scene: Scene) -> None:
    """Each login makes one session, though its commit would wait for ever; it is there when the standby is back."""
    before = _count_web_sessions(scene)
    with f.dead_synchronous_standby(scene, node_id=2):
        made = [_log_in(scene, api) for api in scene.apis]
        assert _statuses(scene, made[0]) == [200, 200, 200]
        ended = scene.api(3).log_out(made[2])
        assert (ended.status, ended.elapsed_s < ANSWER_S) == (200, True)
        assert _statuses(scene, made[2]) == [401, 401, 401]
        begun_s = time.monotonic()
        scene.cluster.nodes[2].kill()
        scene.cluster.nodes[2].start()
        scene.cluster.nodes[2].wait_until_ready()  # it registers, and its start is written down
        assert time.monotonic() - begun_s < REGISTERED_S
    wait_until(lambda: f.is_whole(scene), "all is well again", timeout_s=20, poll_s=0.1)
    assert _count_web_sessions(scene) == before + len(made)
    assert _statuses(scene, made[0]) == [200, 200, 200]
    assert _statuses(scene, made[2]) == [401, 401, 401]


def _log_in(scene: Scene, api: Api) -> str:
    answer = api.log_in(scene.cluster.username, scene.cluster.password, client=new_client())
    assert answer.elapsed_s < ANSWER_S
    token: str = answer.json["session"]
    return token


OUR_TABLES = partial(
    f.locked,
    dbname="postgres",
    statements=("LOCK TABLE rangeland.web_sessions",),
    queued="SELECT FROM rangeland.nodes",
)


def test_a_locked_table_of_sessions_locks_nobody_out_who_was_in(scene: Scene) -> None:
    """What a node has not read itself, it doesn't believe; what has ended stays so."""
    known, ended, unknown = (_log_in(scene, scene.api(1)) for _ in range(3))
    assert _statuses(scene, known) == _statuses(scene, ended) == [200, 200, 200]
    assert scene.api(2).log_out(ended).status == 200
    with OUR_TABLES(scene):
        time.sleep(CACHE_S)  # for which a node doesn't ask anew
        assert _statuses(scene, known) == [200, 200, 200]
        assert _statuses(scene, ended) == [401, 401, 401]
        assert _statuses(scene, unknown) == [500, 500, 500]
    assert _statuses(scene, unknown) == [200, 200, 200]


def test_a_right_that_is_taken_away_while_the_table_of_sessions_is_locked_is_gone(scene: Scene) -> None:
    add_user(scene.cluster, "passing", "LOGIN IN ROLE pg_monitor")
    token = log_in(scene.cluster, scene.api(1), "passing")
    assert _statuses(scene, token) == [200, 200, 200]
    with OUR_TABLES(scene):
        with psycopg.connect(scene.server(1).conninfo(), autocommit=True) as connection:
            connection.execute("REVOKE pg_monitor FROM passing")
        wait_until(lambda: _statuses(scene, token) == [403, 403, 403], "the right is gone", timeout_s=5)


def test_a_logout_while_the_table_of_sessions_is_locked_counts_at_once_and_afterwards(scene: Scene) -> None:
    token = _log_in(scene, scene.api(1))
    assert _statuses(scene, token) == [200, 200, 200]
    with OUR_TABLES(scene):
        answer = scene.api(3).log_out(token)
        assert (answer.status, answer.elapsed_s < ANSWER_S) == (200, True)
        assert _statuses(scene, token) == [401, 401, 401]
    assert _statuses(scene, token) == [401, 401, 401]


# -- a clock that is off -----------------------------------------------------------------------------------------


@pytest.mark.skipif(
    f.faketime_library() is None, reason="libfaketime is missing (Debian: apt-get install libfaketime)"
)
@pytest.mark.parametrize(("fault", "off_s"), [(CLOCK_AHEAD, OFF_S), (CLOCK_BEHIND, -OFF_S)], ids=["ahead", "behind"])
def test_a_clock_ten_minutes_off_is_told_and_changes_no_session_s_end(
    scene: Scene, fault: Fault, off_s: int, fault_results: FaultResults
) -> None:
    """The clock of the primary's node decides: a session of five minutes begins and ends alike on every node."""
    ended = _cookie(scene, 1, "passer", lifetime="2s")
    with fault.make(scene):
        _require_answers(scene, replace(fault, make=lambda _: nullcontext()), fault_results)
        for asked, (other, expected) in {1: (3, off_s), 3: (1, -off_s)}.items():
            nodes = scene.api(asked).get("nodes/", scene.token).json["nodes"]
            assert nodes[other - 1]["clock_offset_seconds"] == pytest.approx(expected, abs=2)
        short = _cookie(scene, 3, "passer", lifetime="5m")
        assert _statuses(scene, short) == [200, 200, 200]
        assert _statuses(scene, _log_in(scene, scene.api(3))) == [200, 200, 200]
        assert _statuses(scene, ended) == [401, 401, 401]
        assert scene.api(1).log_out(short).status == 200
        assert _statuses(scene, short) == [401, 401, 401]
        with f.killed(scene, node_id=3):
            assert _livenesses(scene) == [[3, 3, 2], [3, 3, 2], [3, 3, 2]]  # for seconds, not for minutes
        wait_until(lambda: f.is_whole(scene), "all is well again", timeout_s=20, poll_s=0.1)
    wait_until(lambda: f.is_whole(scene), "all is well again", timeout_s=20, poll_s=0.1)


def _livenesses(scene: Scene) -> list[list[int]]:
    return [[each["liveness_status"] for each in api.get("nodes/", scene.token).json["nodes"]] for api in scene.apis]


def _cookie(scene: Scene, node_id: int, username: str, *, lifetime: str) -> str:
    """The token that the command on a node's host makes; its user is made where there is none."""
    if username not in scene.server(1).password_by_user:
        add_user(scene.cluster, username, "LOGIN IN ROLE admin")
    node = scene.cluster.nodes[node_id - 1]
    flags = [f"--url={node.url}", f"--certs-dir={node.certs_dir}", "--only-cookie", f"--expire-after={lifetime}"]
    done = subprocess.run(
        [*program(), "auth-session", "login", username, *flags],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    return done.stdout.partition("session=")[2].partition(";")[0]


# -- last, as it leaves a member behind --------------------------------------------------------------------------


def test_a_dead_synchronous_standby_holds_up_no_registration(scene: Scene) -> None:
    """Of a node that was never there; once, although it asks twice."""
    node = scene.cluster.nodes[0]
    certs_dir = node.certs_dir
    assert certs_dir is not None
    registration = Registration(http_addr="localhost:1", sql_addr="localhost:2")

    async def register() -> None:
        client = Client(client_context(certs_dir))
        try:
            for _ in range(2):
                deadline = asyncio.get_running_loop().time() + ANSWER_S
                tokens = PeerTokens(read_cluster_keys(certs_dir))
                await ask_signed(client, tokens, node.url, REGISTER, registration, deadline=deadline)
        finally:
            await client.close()

    with f.dead_synchronous_standby(scene, node_id=2):
        asyncio.run(register())
    with psycopg.connect(scene.server(1).conninfo()) as connection:
        rows = connection.execute("SELECT http_addr FROM rangeland.nodes ORDER BY node_id").fetchall()
    assert [address for (address,) in rows] == [*(each.address for each in scene.cluster.nodes), "localhost:1"]

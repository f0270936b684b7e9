"""A node that is killed, stopped or not itself, or its server: all others answer in time and name what is missing.

Each test breaks something of one cluster, looks at once, mends it and waits until nobody remembers.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cluster import door
from cluster.door import Door
from cluster.fault_results import FIRST, KNOWN, FaultResults, ask_everything, every_path, logged_since, said
from fix_cluster import (
    ANSWER_S,
    LOAD_TPS,
    Api,
    Reply,
    add_user,
    apis_of,
    log_in,
    new_client,
    running_cluster,
    wait_until,
)
from fix_scene import range_id_of
from rangeland.cli.asking import ask_node
from rangeland.cluster.cluster import ROLE_AGE_S
from rangeland.cluster.questions import LOG_USER_IN
from rangeland.config import program
from rangeland.engine.cluster import Cluster
from rangeland.engine.ports import free_port
from rangeland.tls import CLUSTER_KEY, create_ca, create_cluster_key, create_node
from rangeland.wire.members import SessionToMake

GENERIC = "An internal server error has occurred. Please check your Rangeland logs for more details.\n"
UNAVAILABLE, LIVE = 2, 3
# A standby less, or no primary, is a 503 here.
CONDITIONAL = {"health/restart_safety/", "health/restart_safety/?allow_minimum_quorum=true"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Of this module alone."""
    with running_cluster(3, load_tps=LOAD_TPS) as made:
        yield made


@pytest.fixture(scope="module")
def apis(cluster: Cluster) -> list[Api]:
    return apis_of(cluster)


@pytest.fixture(scope="module")
def token(cluster: Cluster, apis: list[Api]) -> str:
    return log_in(cluster, apis[0], cluster.username)


@pytest.fixture(scope="module")
def accounts_id(apis: list[Api], token: str) -> int:
    """The range id of the load's table."""
    return range_id_of(apis[0], token, "public.pgbench_accounts")


@dataclass(frozen=True)
class Fault:
    """What is broken, by number of node or server from 0, and how it is mended."""

    name: str
    number: int
    is_node_silent: bool
    make: Callable[[Cluster], None]
    mend: Callable[[Cluster], None]


@dataclass(frozen=True)
class PeerFault:
    """What is wrong at the address of node 3. `text`: what the others say of it, in part, as a pattern."""

    name: str
    make: Callable[[Cluster, Door], None]
    mend: Callable[[Cluster, Door], None]
    text: str
    is_reached: bool = False  # it answers, wrongly: an error of its own each time, and no silence


def _behaving(name: str, behaviour: door.Behaviour | None, text: str, *, is_reached: bool = False) -> PeerFault:
    """None: a black hole."""
    return PeerFault(
        name, lambda _, third: third.become(behaviour), lambda _, third: third.become(door.through), text, is_reached
    )


def _both(cluster: Cluster, server: str, node: str) -> None:
    getattr(cluster.servers[2], server)()
    getattr(cluster.nodes[2], node)()


def _take_other_key(cluster: Cluster, _third: Door) -> None:
    """Node 3 reads the key of another cluster."""
    directory = _certs_dir(cluster)
    (directory / CLUSTER_KEY).rename(directory / "own.key")
    create_cluster_key(directory)
    _read_key(cluster)


def _take_own_key(cluster: Cluster, _third: Door) -> None:
    directory = _certs_dir(cluster)
    (directory / "own.key").rename(directory / CLUSTER_KEY)
    _read_key(cluster)


def _certs_dir(cluster: Cluster) -> Path:
    directory = cluster.nodes[2].certs_dir
    assert directory is not None
    return directory


def _read_key(cluster: Cluster) -> None:
    node = cluster.nodes[2]
    begin = node.log.stat().st_size
    os.kill(node.pid, signal.SIGHUP)
    wait_until(lambda: any("cluster key read again" in line for line in logged_since(node.log, begin)), "it is read")


PROCESS_FAULTS = (
    Fault("killed standby", 1, False, lambda c: c.servers[1].kill(), lambda c: c.servers[1].start()),
    Fault("stopped standby", 1, False, lambda c: c.servers[1].pause(), lambda c: c.servers[1].resume()),
    Fault("killed node", 1, True, lambda c: c.nodes[1].kill(), lambda c: c.nodes[1].start()),
    Fault("stopped node", 2, True, lambda c: c.nodes[2].pause(), lambda c: c.nodes[2].resume()),
    Fault("killed both", 2, True, lambda c: _both(c, "kill", "kill"), lambda c: _both(c, "start", "start")),
    Fault("stopped both", 2, True, lambda c: _both(c, "pause", "pause"), lambda c: _both(c, "resume", "resume")),
    Fault("killed primary", 0, False, lambda c: c.servers[0].kill(), lambda c: c.servers[0].start()),
    Fault("stopped primary", 0, False, lambda c: c.servers[0].pause(), lambda c: c.servers[0].resume()),
)
PEER_FAULTS = (
    _behaving("peer says nothing", door.silent, "no answer in time"),
    _behaving("peer takes the question and says nothing", door.mute, "no answer in time"),
    _behaving("peer is a black hole", None, "no answer in time"),
    _behaving("peer hangs up", door.hanging_up, "the connection broke"),
    _behaving("peer drips byte by byte", door.dripping, "no answer in time"),
    _behaving("peer never ends its answer", door.endless, "no answer in time|more than 256 MB"),
    _behaving("peer answers garbage", door.garbage, "the connection broke"),
    _behaving("peer answers garbled JSON", door.garbled, "can't be read", is_reached=True),
    _behaving("peer speaks no TLS", door.plain, "can't connect"),
    _behaving("peer has another authority's certificate", door.strange, "certificate is not to be trusted"),
    PeerFault("peer has another cluster's key", _take_other_key, _take_own_key, "not signed with this cluster's key"),
)
SLOW_PEER = _behaving("peer answers slowly", door.slow, "")
HALF_DEAF_PEER = _behaving("peer leaves one question unanswered", door.half_deaf, "no answer in time")
FAULTS = (*PROCESS_FAULTS, *PEER_FAULTS, SLOW_PEER, HALF_DEAF_PEER)


@pytest.mark.parametrize("fault", PROCESS_FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
def test_every_endpoint_of_the_others_answers_in_time_and_all_recovers(
    cluster: Cluster, apis: list[Api], token: str, accounts_id: int, fault: Fault, fault_results: FaultResults
) -> None:
    """Twice: just after it broke, when nobody knows yet, and when it is known."""
    others = [api for number, api in enumerate(apis) if number != fault.number]
    broken_id = cluster.nodes[fault.number].node_id
    paths = every_path(broken_id=broken_id, range_id=accounts_id)
    with _logged_once(cluster, fault), _broken(cluster, apis, token, fault, fault_results):
        for moment in (FIRST, KNOWN):
            with ThreadPoolExecutor(2) as threads:
                answers = threads.map(lambda api: ask_everything(api, token, paths), others)
            for answer in answers:
                _require_parts(answer, broken_id, fault, moment)
                _require_200(answer)
                fault_results.take_answers(fault.name, moment, answer)


@pytest.mark.parametrize(
    "fault", PROCESS_FAULTS[:2] + PROCESS_FAULTS[6:], ids=lambda fault: fault.name.replace(" ", "-")
)
def test_a_node_without_its_server_answers_for_the_others(
    cluster: Cluster, apis: list[Api], token: str, accounts_id: int, fault: Fault
) -> None:
    own = apis[fault.number]
    broken_id = cluster.nodes[fault.number].node_id
    paths = every_path(broken_id=broken_id, range_id=accounts_id)
    with _broken(cluster, apis, token, fault):
        for moment in (FIRST, KNOWN):
            _require_parts(ask_everything(own, token, paths), broken_id, fault, moment)
        wait_until(lambda: own.get("health/?ready=true").text == GENERIC, "it is not ready")
        assert own.get("health/").status == 200


@pytest.mark.parametrize(
    "fault", PROCESS_FAULTS[:2] + PROCESS_FAULTS[6:], ids=lambda fault: fault.name.replace(" ", "-")
)
def test_what_every_server_knows_is_told_by_a_node_without_its_server(
    cluster: Cluster, apis: list[Api], token: str, fault: Fault
) -> None:
    paths = ("users/", "databases/", "databases/pgbench/tables/pgbench_tellers/")
    api = apis[fault.number]
    whole = [api.get(path, token).json for path in paths]
    with _broken(cluster, apis, token, fault):
        for path, before in zip(paths, whole, strict=True):
            answer = api.get(path, token)
            assert answer.elapsed_s < ANSWER_S
            assert answer.json.keys() - {"stats_last_created_at"} == before.keys() - {"stats_last_created_at"}


def test_a_node_that_is_started_again_keeps_its_id(cluster: Cluster, apis: list[Api], token: str) -> None:
    fault = PROCESS_FAULTS[2]
    before = [(each["node_id"], each["address"]) for each in apis[0].get("nodes/", token).json["nodes"]]
    with _broken(cluster, apis, token, fault):
        pass
    after = [(each["node_id"], each["address"]) for each in apis[fault.number].get("nodes/", token).json["nodes"]]
    assert after == before


def test_the_primary_s_node_costs_only_its_own_part_where_the_others_have_to_look_for_it(
    cluster: Cluster, apis: list[Api], token: str, accounts_id: int
) -> None:
    """It hangs, and they were asked nothing for so long that they look who has the primary."""
    asked_at = time.monotonic()
    wait_until(lambda: time.monotonic() > asked_at + ROLE_AGE_S, "what they know of it is old")
    hangs = Fault("stopped node", 0, True, lambda c: c.nodes[0].pause(), lambda c: c.nodes[0].resume())
    with _broken(cluster, apis, token, hangs):
        answer = apis[1].get(f"ranges/{accounts_id}/", token)
        assert answer.elapsed_s < ANSWER_S
        parts = answer.json["responses_by_node_id"]
        assert [node_id for node_id, part in parts.items() if "error" in part] == ["1"]
        assert {parts[node_id]["range_info"]["desc"]["range_id"] for node_id in ("2", "3")} == {accounts_id}


@pytest.mark.parametrize("fault", PROCESS_FAULTS[6:], ids=lambda fault: fault.name.replace(" ", "-"))
def test_a_node_that_starts_without_its_server_and_a_primary_takes_nobody_for_a_stranger(
    cluster: Cluster, apis: list[Api], token: str, fault: Fault
) -> None:
    """The others tell it who it is, and it answers for them."""
    node, others = cluster.nodes[fault.number], apis[1:]
    statuses: list[int] = []

    def is_told() -> bool:
        statuses.extend(_statuses(others, token))
        return apis[0].get("nodes/", token).status == 200

    with _broken(cluster, apis, token, fault):
        node.kill()
        node.start()
        node.wait_until_serving()
        wait_until(is_told, "it has its id")
        assert set(statuses) == {200}
        for api in apis:
            assert [each["node_id"] for each in api.get("nodes/", token).json["nodes"]] == [1, 2, 3]


@pytest.mark.parametrize(
    "fault", [PROCESS_FAULTS[0], PROCESS_FAULTS[5]], ids=lambda fault: fault.name.replace(" ", "-")
)
def test_login_and_logout_go_on_while_a_standby_is_broken(
    cluster: Cluster, apis: list[Api], token: str, fault: Fault
) -> None:
    """And the logout counts on the broken node, too, when it is back."""
    with _broken(cluster, apis, token, fault):
        made = log_in(cluster, apis[0], cluster.username)
        ended = log_in(cluster, apis[0], cluster.username)
        healthy = apis[3 - fault.number]
        assert _statuses([apis[0], healthy], ended) == [200, 200]
        answer = healthy.log_out(ended)
        assert answer.status == 200
        assert answer.elapsed_s < ANSWER_S
        assert _statuses([apis[0], healthy], ended) == [401, 401]
    assert _statuses(apis, made) == [200, 200, 200]
    assert _statuses(apis, ended) == [401, 401, 401]


@pytest.mark.parametrize("fault", PROCESS_FAULTS[6:], ids=lambda fault: fault.name.replace(" ", "-"))
def test_without_a_primary_tokens_work_and_login_says_what_helps(
    cluster: Cluster, apis: list[Api], token: str, fault: Fault
) -> None:
    """Who logs in while the primary's node finds out is told that its server can't be reached."""
    with _broken(cluster, apis, token, fault):
        for api in apis:
            wait_until(partial(_is_unavailable, api, cluster), "503", timeout_s=10)
            answer = _log_in(api, cluster)
            assert "rangeland auth-session login" in answer.text
            assert int(answer.headers["retry-after"]) > 0
        assert _statuses(apis, token) == [200, 200, 200]
    assert log_in(cluster, apis[1], cluster.username)


def test_without_a_primary_the_cluster_key_makes_a_short_session_that_can_be_ended(
    cluster: Cluster, apis: list[Api], token: str
) -> None:
    values = {"node_url": apis[1].url, "certs_dir": str(cluster.nodes[1].certs_dir), "insecure": False}
    with _broken(cluster, apis, token, PROCESS_FAULTS[6]):
        made = ask_node(values, LOG_USER_IN, SessionToMake(username=cluster.username, lifetime_s=4 * 3600.0))
        assert 880 < made.expires_at_s - time.time() <= 900
        assert _statuses(apis, made.token) == [200, 200, 200]
        assert apis[2].log_out(made.token).status == 200
        assert _statuses(apis, made.token) == [401, 401, 401]
    assert _statuses(apis, made.token) == [401, 401, 401]


def test_the_command_on_a_node_s_host_makes_and_ends_sessions_without_a_primary(
    cluster: Cluster, apis: list[Api], token: str
) -> None:
    add_user(cluster, "operator", "LOGIN IN ROLE admin")
    with _broken(cluster, apis, token, PROCESS_FAULTS[6]):
        cookie = _command(cluster, 2, "login", "operator", "--only-cookie", "--expire-after=4h")
        made = cookie.partition("session=")[2].partition(";")[0]
        assert _statuses(apis, made) == [200, 200, 200]
        _command(cluster, 2, "logout", "operator")
        assert _statuses(apis, made) == [401, 401, 401]


def test_a_logout_without_a_primary_is_never_lost(cluster: Cluster, apis: list[Api], token: str) -> None:
    """Not when the primary is back, nor when the node that took it is started again meanwhile."""
    ended = log_in(cluster, apis[2], cluster.username)
    assert _statuses(apis, ended) == [200, 200, 200]
    with _broken(cluster, apis, token, PROCESS_FAULTS[6]):
        assert apis[1].log_out(ended).status == 200
        assert _statuses(apis, ended) == [401, 401, 401]
        cluster.nodes[1].kill()
        cluster.nodes[1].start()
        wait_until(lambda: apis[1].get("health/?ready=true").status == 200, "node 2 is back")
        assert _statuses(apis, ended) == [401, 401, 401]
    assert _statuses(apis, ended) == [401, 401, 401]


def test_a_node_that_is_back_is_live_for_the_others_at_once(cluster: Cluster, apis: list[Api], token: str) -> None:
    """Three times: with its next try, 2 s later, another node might notice early by chance."""
    for _ in range(3):
        cluster.nodes[1].kill()
        for api in (apis[0], apis[2]):
            wait_until(partial(_shows_liveness, api, token, 2, UNAVAILABLE), "it is known to be silent")
        cluster.nodes[1].start()
        cluster.nodes[1].wait_until_ready()
        for api in (apis[0], apis[2]):
            wait_until(partial(_shows_liveness, api, token, 2, LIVE), "it is live", timeout_s=0.8)
    wait_until(lambda: _is_whole(apis, token), "all is well again", timeout_s=20, poll_s=0.1)


def test_a_node_with_another_authority_s_certificate_is_an_error_part(
    cluster: Cluster, apis: list[Api], token: str, tmp_path: Path
) -> None:
    node = cluster.nodes[2]
    assert node.certs_dir is not None
    create_ca(tmp_path, tmp_path / "ca.key")
    create_node(tmp_path, tmp_path / "ca.key", ["localhost"])
    kept = {name: (node.certs_dir / name).read_bytes() for name in ("ca.crt", "node.crt", "node.key")}
    node.stop()
    try:
        for name in kept:
            (node.certs_dir / name).write_bytes((tmp_path / name).read_bytes())
        node.start()
        node.wait_until_ready()
        wait_until(lambda: _complaints(apis[0], token, node.node_id, "certificate"), "it is told why", timeout_s=20)
    finally:
        node.stop()
        for name, content in kept.items():
            (node.certs_dir / name).write_bytes(content)
        node.start()
    wait_until(lambda: _is_whole(apis, token), "all is well again", timeout_s=20, poll_s=0.1)


@pytest.fixture(scope="module")
def third(cluster: Cluster, apis: list[Api], token: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """The door of node 3, which serves elsewhere from now on and is known by the same address."""
    node = cluster.nodes[2]
    assert node.certs_dir is not None
    settings, inner_port = node.config.read_text("utf-8"), free_port()
    own = f'http_addr = "{node.address}"'
    assert settings.count(f"\n{own}") == 1
    node.stop()
    node.config.write_text(settings.replace(f"\n{own}", f'\nhttp_addr = "localhost:{inner_port}"'), "utf-8")
    made = Door(
        node.http_port,
        inner_port=inner_port,
        node_id=node.node_id,
        certs_dir=node.certs_dir,
        elsewhere=tmp_path_factory.mktemp("strangers"),
    )
    node.start()
    wait_until(lambda: _is_whole(apis, token), "node 3 is back behind its door", timeout_s=20, poll_s=0.1)
    yield made
    made.close()


@pytest.mark.parametrize("peer_fault", PEER_FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
def test_a_peer_that_is_not_itself_costs_its_own_part_only(
    cluster: Cluster,
    apis: list[Api],
    token: str,
    accounts_id: int,
    third: Door,
    peer_fault: PeerFault,
    fault_results: FaultResults,
) -> None:
    broken_id = cluster.nodes[2].node_id
    paths = every_path(broken_id=broken_id, range_id=accounts_id)
    fault = Fault(
        peer_fault.name,
        2,
        not peer_fault.is_reached,
        lambda cluster: peer_fault.make(cluster, third),
        lambda cluster: peer_fault.mend(cluster, third),
    )
    logged_once = _logged_once(cluster, fault, is_unreadable=peer_fault.is_reached)
    with logged_once, _broken(cluster, apis, token, fault, fault_results):
        for moment in (FIRST, KNOWN):
            with ThreadPoolExecutor(2) as threads:
                answers = threads.map(lambda api: ask_everything(api, token, paths), apis[:2])
            for answer in answers:
                _require_parts(answer, broken_id, fault, moment)
                _require_200(answer)
                [error] = answer["/api/v2/sessions/"].json["errors"]
                assert re.search(peer_fault.text, error["message"])
                fault_results.take_answers(fault.name, moment, answer)


def test_a_slow_peer_is_waited_for(
    cluster: Cluster, apis: list[Api], token: str, accounts_id: int, third: Door, fault_results: FaultResults
) -> None:
    paths = every_path(broken_id=cluster.nodes[2].node_id, range_id=accounts_id)
    fault = Fault(SLOW_PEER.name, 2, False, lambda c: SLOW_PEER.make(c, third), lambda c: SLOW_PEER.mend(c, third))
    with _broken(cluster, apis, token, fault, fault_results):
        for moment in (FIRST, KNOWN):
            for api in apis[:2]:
                answers = ask_everything(api, token, paths)
                assert answers["/api/v2/sessions/"].elapsed_s > door.SLOW_S
                assert {said(answer) for path, answer in answers.items() if "restart_safety" not in path} == {"whole"}
                fault_results.take_answers(fault.name, moment, answers)


def test_a_peer_that_leaves_one_question_unanswered_is_not_silent(
    cluster: Cluster, apis: list[Api], token: str, accounts_id: int, third: Door, fault_results: FaultResults
) -> None:
    """Only that question waits for it, each time: whatever else is asked is answered."""
    own = HALF_DEAF_PEER
    paths = every_path(broken_id=cluster.nodes[2].node_id, range_id=accounts_id)
    fault = Fault(own.name, 2, False, lambda c: own.make(c, third), lambda c: own.mend(c, third))
    with _logged_once(cluster, fault), _broken(cluster, apis, token, fault, fault_results):
        for moment in (FIRST, KNOWN):
            answers = ask_everything(apis[0], token, paths)
            for path, answer in answers.items():
                if "restart_safety" not in path:
                    assert said(answer) == ("named" if "sessions" in path else "whole"), (path, answer.text)
            [error] = answers["/api/v2/sessions/"].json["errors"]
            assert (
                error["message"] == "error requesting session list from node 3 (NODE_STATUS_LIVE): no answer in time"
            )
            fault_results.take_answers(fault.name, moment, answers)


def _shows_liveness(api: Api, token: str, node_id: int, liveness: int) -> bool:
    nodes = api.get("nodes/", token).json["nodes"]
    return [each["liveness_status"] for each in nodes if each["node_id"] == node_id] == [liveness]


def _complaints(api: Api, token: str, node_id: int, cause: str) -> bool:
    errors = api.get("sessions/", token).json["errors"]
    assert {error["node_id"] for error in errors} <= {node_id}
    return any(cause in error["message"] for error in errors)


def _log_in(api: Api, cluster: Cluster) -> Reply:
    """Within the time that every answer has."""
    answer = api.log_in(cluster.username, cluster.password, client=new_client())
    assert answer.elapsed_s < ANSWER_S
    assert answer.status in (500, 503)
    return answer


def _is_unavailable(api: Api, cluster: Cluster) -> bool:
    return _log_in(api, cluster).status == 503


def _statuses(apis: list[Api], token: str) -> list[int]:
    with ThreadPoolExecutor(len(apis)) as threads:
        return list(threads.map(lambda api: api.get("sessions/", token).status, apis))


@contextmanager
def _broken(
    cluster: Cluster, apis: list[Api], token: str, fault: Fault, fault_results: FaultResults | None = None
) -> Iterator[None]:
    """Broken inside the block; whole again, and known to be so by every node, afterwards."""
    try:
        fault.make(cluster)
        yield
    finally:
        fault.mend(cluster)
        mended = time.monotonic()
        wait_until(lambda: _is_whole(apis, token), f"all is well after: {fault.name}", timeout_s=20, poll_s=0.1)
    if fault_results:
        fault_results.take_recovery(fault.name, time.monotonic() - mended)


@contextmanager
def _logged_once(cluster: Cluster, fault: Fault, *, is_unreadable: bool = False) -> Iterator[None]:
    """Each other node logs that the node is silent or can't be read, and that it is back, and nothing twice."""
    others = [node for number, node in enumerate(cluster.nodes) if number != fault.number]
    broken_id = cluster.nodes[fault.number].node_id
    begins = [node.log.stat().st_size for node in others]
    yield
    for node, begin in zip(others, begins, strict=True):
        lines = logged_since(node.log, begin)
        assert max(Counter(lines).values(), default=0) <= 1, lines
        assert _count(lines, "node is silent", broken_id) == fault.is_node_silent, lines
        assert _count(lines, "node answers again", broken_id) == fault.is_node_silent, lines
        assert _count(lines, "node's answer can't be read", broken_id, "sessions") == is_unreadable, lines
        assert _count(lines, "node's answer can be read again", broken_id, "sessions") == is_unreadable, lines


def _count(lines: list[str], event: str, node_id: int, question: str = "") -> int:
    return sum(event in line and f"node_id={node_id}" in line and question in line for line in lines)


def _is_whole(apis: list[Api], token: str) -> bool:
    for api in apis:
        nodes, sessions = api.get("nodes/", token), api.get("sessions/", token)
        if nodes.status != 200 or sessions.status != 200 or sessions.json["errors"]:
            return False
        if [each["liveness_status"] for each in nodes.json["nodes"]] != [LIVE] * 3:
            return False
        if api.get("health/?ready=true").status != 200:
            return False
    return True


def _require_parts(answers: dict[str, Reply], broken_id: int, fault: Fault, moment: str) -> None:
    """What each answer has to say of the node that is broken, and of the other two."""
    whole = {1, 2, 3} - {broken_id}
    told = {path.removeprefix("/api/v2/"): answer for path, answer in answers.items()}
    status_by_id = {each["node_id"]: each["liveness_status"] for each in told["nodes/"].json["nodes"]}
    assert status_by_id == {broken_id: UNAVAILABLE} | dict.fromkeys(whole, LIVE)
    for path in ("sessions/", "sessions/?limit=1000"):
        answer = told[path].json
        assert [error["node_id"] for error in answer["errors"]] == [broken_id]
        _require_text(answer["errors"][0]["message"], broken_id, "session list", fault, moment)
    for path in ("ranges/hot/", "ranges/hot/?limit=1000"):
        _require_hot(told[path].json, broken_id, fault, moment)
    detail = told["ranges/{range_id}/"].json["responses_by_node_id"]
    assert sorted(detail) == ["1", "2", "3"]
    assert detail[str(broken_id)]["range_info"]["desc"]["range_id"] == 0
    assert all("error" not in detail[str(node_id)] for node_id in whole)
    its_ranges = told["nodes/{broken}/ranges/"]
    assert its_ranges.status == 500
    first, second, *_ = its_ranges.text.splitlines(keepends=True)
    assert (first, f"node {broken_id} " in second) == (GENERIC, True)


def _require_200(answers: dict[str, Reply]) -> None:
    """Of a node with its server, whatever is wrong with another one."""
    told = {path.removeprefix("/api/v2/"): answer for path, answer in answers.items()}
    for path in told.keys() - {"nodes/{broken}/ranges/", *CONDITIONAL}:
        assert told[path].status == 200, (path, told[path].text)


def _require_hot(answer: dict[str, Any], broken_id: int, fault: Fault, moment: str) -> None:
    """A sample that was taken before may be shown for a while; a silent node is an error in any case."""
    errors = answer.get("response_error", [])
    failed = [error["node_id"] for error in errors]
    assert failed == [broken_id] or (failed == [] and not fault.is_node_silent), (moment, errors)
    shown = {each["node_id"] for each in answer["ranges"]}
    assert broken_id not in shown or not failed


def _require_text(message: str, broken_id: int, what: str, fault: Fault, moment: str) -> None:
    """The contract's texts: whether the node was reached or not."""
    asked = f"error requesting {what} from node {broken_id} (NODE_STATUS_"
    dialled = f"failed to dial into node {broken_id} (NODE_STATUS_"
    assert message.startswith(dialled if fault.is_node_silent else asked), (moment, message)


def _command(cluster: Cluster, number: int, *arguments: str) -> str:
    """What `rangeland auth-session` prints on the host of a node."""
    node = cluster.nodes[number]
    flags = [f"--url={node.url}", f"--certs-dir={node.certs_dir}"]
    done = subprocess.run(
        [*program(), "auth-session", *arguments, *flags], capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout

"""The network between hosts is cut: every node that a client reaches answers, and names whom it can't reach.

Each host is a network namespace, with its own server and node. Without root or namespaces these tests are skipped.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import pytest

from cluster.fault_results import FIRST, KNOWN, FaultResults, ask_everything, every_path, logged_since
from cluster.hosts import TABLE, Lan, LanCluster, is_whole, why_not
from fix_cluster import Reply, wait_until
from fix_scene import range_id_of

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())

HOSTS = range(3)
UNAVAILABLE, LIVE = 2, 3
RECOVERY_S = 10.0  # a silent node is asked each 2 s, with 2 s to answer; an address is looked up for 3 s at most


@dataclass(frozen=True)
class Fault:
    """Packets that are lost. `missed`: by host that clients can reach, the hosts whose nodes it can't ask."""

    name: str
    make: Callable[[Lan], None]
    mend: Callable[[Lan], None]
    missed: Mapping[int, set[int]]


def _pairs(way: str, *pairs: tuple[int, int]) -> Callable[[Lan], None]:
    def work(lan: Lan) -> None:
        for sender, receiver in pairs:
            getattr(lan, way)(sender, receiver)

    return work


def _lost(name: str, missed: Mapping[int, set[int]], *pairs: tuple[int, int]) -> Fault:
    return Fault(name, _pairs("lose", *pairs), _pairs("deliver", *pairs), missed)


BETWEEN_1_AND_3: Mapping[int, set[int]] = {0: {2}, 1: set(), 2: {0}}
FAULTS = (
    _lost("network cut between the primary's host and a standby's", BETWEEN_1_AND_3, (0, 2), (2, 0)),
    _lost("packets lost from the primary's host to a standby's", BETWEEN_1_AND_3, (0, 2)),
    _lost("packets lost from a standby's host to the primary's", BETWEEN_1_AND_3, (2, 0)),
    _lost("network cut between the standbys' hosts", {0: set(), 1: {2}, 2: {1}}, (1, 2), (2, 1)),
    _lost("a standby's host cut off", {0: {2}, 1: {2}, 2: {0, 1}}, (0, 2), (2, 0), (1, 2), (2, 1)),
    _lost("the primary's host cut off", {0: {1, 2}, 1: {0}, 2: {0}}, (0, 1), (1, 0), (0, 2), (2, 0)),
    Fault(
        "no route from the primary's host to a standby's",
        _pairs("refuse", (0, 2)),
        _pairs("accept", (0, 2)),
        BETWEEN_1_AND_3,
    ),
    Fault("a standby's host unplugged", lambda lan: lan.unplug(2), lambda lan: lan.plug(2), {0: {2}, 1: {2}}),
    Fault("the primary's host unplugged", lambda lan: lan.unplug(0), lambda lan: lan.plug(0), {1: {0}, 2: {0}}),
)


@pytest.fixture(scope="module")
def hosts() -> Iterator[LanCluster]:
    made = LanCluster(len(HOSTS))
    yield made
    made.close()


@pytest.fixture(scope="module")
def range_id(hosts: LanCluster) -> int:
    return range_id_of(hosts.apis[0], hosts.token, f"public.{TABLE}")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: re.sub("[' ]+", "-", fault.name))
def test_every_endpoint_answers_in_time_on_every_host_and_all_recovers(
    hosts: LanCluster, range_id: int, fault: Fault, fault_results: FaultResults
) -> None:
    with _logged_once(hosts, fault), _broken(hosts, fault, fault_results):
        for moment in (FIRST, KNOWN):
            for number, answers in _ask_all(hosts, range_id, fault).items():
                _require_parts(answers, fault.missed[number])
                fault_results.take_answers(fault.name, moment, answers)


def test_a_host_that_is_cut_off_takes_no_login_and_takes_one_afterwards(hosts: LanCluster) -> None:
    fault = FAULTS[4]
    password = hosts.servers[0].password_by_user[hosts.username]
    log_in = partial(hosts.apis[2].log_in, hosts.username, password, client="")
    with _broken(hosts, fault):
        assert {log_in().status for _ in range(2)} <= {500, 503}
        assert hosts.apis[1].log_in(hosts.username, password, client="").status == 200
    assert log_in().status == 200


def _ask_all(hosts: LanCluster, range_id: int, fault: Fault) -> dict[int, dict[str, Reply]]:
    """The answers of every host that can be reached, by number; each is asked for the ranges of one it misses."""

    def ask(number: int) -> dict[str, Reply]:
        missed = min(fault.missed[number], default=2) + 1
        paths = every_path(broken_id=missed, range_id=range_id, database="postgres", table=f"public.{TABLE}")
        return ask_everything(hosts.apis[number], hosts.token, paths)

    with ThreadPoolExecutor(len(fault.missed)) as threads:
        return dict(zip(fault.missed, threads.map(ask, fault.missed), strict=True))


def _require_parts(answers: Mapping[str, Reply], missed: set[int]) -> None:
    """Whole, but for the nodes that can't be asked, which are named."""
    missed_ids = sorted(number + 1 for number in missed)
    told = {path.removeprefix("/api/v2/"): answer for path, answer in answers.items()}
    expected = {number + 1: UNAVAILABLE if number in missed else LIVE for number in HOSTS}
    assert {each["node_id"]: each["liveness_status"] for each in told["nodes/"].json["nodes"]} == expected
    for path in ("sessions/", "sessions/?limit=1000"):
        errors = told[path].json["errors"]
        assert [error["node_id"] for error in errors] == missed_ids
        assert all(f"failed to dial into node {error['node_id']} " in error["message"] for error in errors)
    for path in ("ranges/hot/", "ranges/hot/?limit=1000"):
        assert [error["node_id"] for error in told[path].json.get("response_error", [])] == missed_ids
    detail = told["ranges/{range_id}/"].json["responses_by_node_id"]
    assert sorted(node_id for node_id, each in detail.items() if "error" in each) == [
        str(each) for each in missed_ids
    ]
    assert sorted(detail) == ["1", "2", "3"]
    its_ranges = told["nodes/{broken}/ranges/"]
    assert its_ranges.status == (500 if missed else 200)
    assert not missed or f"node {missed_ids[0]} " in its_ranges.text
    for path, answer in told.items():
        if not path.startswith(("nodes/{broken}", "health/restart_safety/")):
            assert answer.status == 200, (path, answer.text)


@contextmanager
def _broken(hosts: LanCluster, fault: Fault, fault_results: FaultResults | None = None) -> Iterator[None]:
    """Broken inside the block; whole again, as every node sees it, soon afterwards."""
    try:
        fault.make(hosts.lan)
        yield
    finally:
        fault.mend(hosts.lan)
        mended = time.monotonic()
        for api in hosts.apis:
            is_well = partial(is_whole, api, hosts.token, len(HOSTS))
            wait_until(is_well, f"all is well after: {fault.name}", timeout_s=RECOVERY_S, poll_s=0.1)
    if fault_results:
        fault_results.take_recovery(fault.name, time.monotonic() - mended)


@contextmanager
def _logged_once(hosts: LanCluster, fault: Fault) -> Iterator[None]:
    """Each node says once of each that it can't reach that it is silent, and once that it is back; nothing twice."""
    begins = [node.log.stat().st_size for node in hosts.nodes]
    yield
    for number, (node, begin) in enumerate(zip(hosts.nodes, begins, strict=True)):
        lines = Counter(logged_since(node.log, begin))
        assert max(lines.values(), default=0) <= 1, lines
        for missed in fault.missed.get(number, ()):
            for event in ("node is silent", "node answers again"):
                assert sum(event in line and f"node_id={missed + 1}" in line for line in lines) == 1, lines

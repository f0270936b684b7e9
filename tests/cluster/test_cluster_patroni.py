"""A cluster under Patroni: its leader dies, hands over, or is left behind; members come and go.

Each test leaves three healthy members with their nodes. A leader that dies without a word is replaced after
Patroni's TTL, of which the least is 20 s: three tests wait that long.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPException
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psycopg
import pytest

from fix_cluster import ANSWER_S, Api, Reply, wait_until
from fix_commands import run_command
from fix_patroni import (
    ELECTION_TIMEOUT_S,
    ETCD,
    Etcd,
    PatroniCluster,
    PatroniMember,
    Raft,
    one,
    patroni_cluster,
)
from rangeland.auth.session_token import decode_token

UNAVAILABLE, LIVE = 2, 3
NOTICED_S = 2.0  # from a promotion to the first write through any node
BACK_TIMEOUT_S = 40.0  # pg_rewind, or a new copy, and the start: 5 s on two idle cores
PACE_S = 0.2  # between two rounds of a prober

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def etcd() -> Iterator[PatroniCluster]:
    """Three members that elect their leader by etcd."""
    if ETCD is None:
        pytest.skip("etcd is not installed (Debian: etcd-server); Patroni's own Raft is tested without it")
    with patroni_cluster(Etcd()) as made:
        yield made


@dataclass
class Prober:
    """Asks one node again and again for everything that reads, and keeps what went wrong and what was slowest."""

    api: Api
    token: str
    range_id: int
    rounds: int = 0
    slowest: tuple[float, str] = (0.0, "")  # seconds, and what for
    failures: list[str] = field(default_factory=list)
    enough: Event = field(default_factory=Event)

    def run(self) -> None:
        while not self.enough.wait(PACE_S):
            for path in ("nodes/", "sessions/", "ranges/hot/", f"ranges/{self.range_id}/", "health/"):
                self._ask(path)
            self.rounds += 1

    def _ask(self, path: str) -> None:
        try:
            answer = self.api.get(path, self.token)
        except (OSError, HTTPException) as exc:
            self.failures.append(f"{path}: {exc!r}")
            return
        self.slowest = max(self.slowest, (answer.elapsed_s, f"{path} {time.strftime('%X')}"))
        if answer.status != 200:
            self.failures.append(f"{path}: {answer.status} {answer.text}")
        elif path.startswith("ranges/") and "desc" not in answer.text and "range_id" not in answer.text:
            self.failures.append(f"{path}: shows no range: {answer.text}")


@contextmanager
def probing(cluster: PatroniCluster, members: list[PatroniMember], token: str) -> Iterator[None]:
    """Ask the nodes of these members all through the block; none failed then, and none was slow."""
    range_id = _range_id(cluster, members[0], token)
    probers = [Prober(cluster.api(member), token, range_id) for member in members]
    threads = [Thread(target=prober.run, daemon=True) for prober in probers]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: all(prober.rounds >= 2 for prober in probers), "two rounds before it begins")
        yield
    finally:
        for prober in probers:
            prober.enough.set()
        for thread in threads:
            thread.join()
    slowest = max(prober.slowest for prober in probers)
    print(f"{[prober.rounds for prober in probers]} rounds of 5 answers, the slowest {slowest}")
    assert [failure for prober in probers for failure in prober.failures] == []
    assert slowest[0] < ANSWER_S


def test_a_leader_that_dies_is_replaced_and_the_others_answer_all_through(etcd: PatroniCluster) -> None:
    """Its whole machine: Patroni, the server, the node."""
    _fail_over(etcd, with_node=True)


@pytest.mark.timeout(240)
def test_a_leader_that_dies_is_replaced_by_patroni_s_own_raft() -> None:
    """Patroni and the server; the node lives on and answers for the others."""
    with patroni_cluster(Raft()) as cluster:
        _fail_over(cluster, with_node=False)


def _fail_over(cluster: PatroniCluster, *, with_node: bool) -> None:
    old = cluster.leader()
    survivors = cluster.others(old)
    asked = survivors if with_node else [old, *survivors]
    token, ended = _token(cluster, old), _token(cluster, old)
    old_id, term = _node_id(cluster, old, token), old.timeline()
    with probing(cluster, asked, token):
        killed_at = time.monotonic()
        old.kill()
        if with_node:
            cluster.node(old).kill()
        for member in asked:
            wait_until(partial(_is_gone, cluster, member, token, old_id), "it is known to be gone")
        assert cluster.api(survivors[0]).log_out(ended).status == 200  # while nobody can write it down
        new = _promoted(survivors)
        promoted_at = time.monotonic()
        made = _log_in_everywhere(cluster, asked, promoted_at)
        wait_until(lambda: _is_revoked(new, ended), "the logout is written", timeout_s=NOTICED_S, poll_s=0.05)
        print(f"{promoted_at - killed_at:.1f} s from kill to promotion")
        for member in asked:
            assert _statuses(cluster, member, [*made, token, ended]) == [200] * len(asked) + [200, 401]
            wait_until(partial(_is_led, cluster, member, new, term + 1, token), "the lease has moved", timeout_s=5)
            assert _is_gone(cluster, member, token, old_id)
        old.start()
        if with_node:
            cluster.node(old).start()
        _wait_until_whole(cluster, new, term + 1, token)
    assert _node_id(cluster, old, token) == old_id
    assert _statuses(cluster, old, [token, made[0], ended]) == [200, 200, 401]


def test_after_a_switchover_the_first_login_on_any_node_works(etcd: PatroniCluster) -> None:
    """Nobody has asked the nodes anything meanwhile."""
    old = etcd.leader()
    new, third = etcd.others(old)
    token, term = _token(etcd, old), old.timeline()
    _switch_over(old, new)
    promoted_at = time.monotonic()
    _log_in_everywhere(etcd, [third, new, old], promoted_at)
    _wait_until_whole(etcd, new, term + 1, token)


def test_the_others_answer_all_through_a_switchover(etcd: PatroniCluster) -> None:
    """Every node does, also the old leader's while its server is restarted as a standby."""
    old = etcd.leader()
    new = etcd.others(old)[0]
    token, term = _token(etcd, old), old.timeline()
    with probing(etcd, etcd.members, token):
        _switch_over(old, new)
        _wait_until_whole(etcd, new, term + 1, token)


def test_when_only_postgres_dies_patroni_restarts_it_and_its_node_goes_on(etcd: PatroniCluster) -> None:
    leader = etcd.leader()
    token, term, started = _token(etcd, leader), leader.timeline(), leader.started()
    with probing(etcd, etcd.members, token):
        leader.kill_server()
        wait_until(partial(_was_restarted, leader, started), "Patroni has restarted it", timeout_s=BACK_TIMEOUT_S)
        assert etcd.leader() is leader
        _wait_until_whole(etcd, leader, leader.timeline(), token)
    assert leader.timeline() in (term, term + 1)  # Patroni may promote it anew
    assert _token(etcd, etcd.others(leader)[0])


def test_a_leader_whose_node_dies_still_leads_and_is_written_to_when_that_is_back(etcd: PatroniCluster) -> None:
    """Patroni doesn't know of nodes; only the leader's can write the API's state."""
    leader = etcd.leader()
    others = etcd.others(leader)
    token, ended, term = _token(etcd, leader), _token(etcd, leader), leader.timeline()
    node = etcd.node(leader)
    node_id = _node_id(etcd, leader, token)
    with probing(etcd, others, token):
        node.kill()
        for member in others:
            wait_until(partial(_is_gone, etcd, member, token, node_id), "its node is known to be gone")
            answer = etcd.log_in(member)
            assert (answer.status, "rangeland auth-session login" in answer.text) == (503, True)
        assert etcd.leader() is leader
        assert etcd.api(others[0]).log_out(ended).status == 200
        node.start()
        _wait_until_whole(etcd, leader, term, token)
    wait_until(partial(_is_revoked, leader, ended), "the logout is written", timeout_s=5)
    assert _node_id(etcd, leader, token) == node_id
    assert all(_token(etcd, member) for member in etcd.members)


def test_a_leader_that_nobody_stopped_is_reported_beside_the_new_one_and_not_written_to(
    etcd: PatroniCluster,
) -> None:
    """Its Patroni is gone, its server goes on: two primaries, until Patroni is back and makes it a standby."""
    old = etcd.leader()
    token, term = _token(etcd, old), old.timeline()
    old_id = _node_id(etcd, old, token)
    with probing(etcd, etcd.members, token):
        old.kill_patroni()
        new = _promoted(etcd.others(old))
        for member in etcd.members:  # what was heard a second ago still counts
            wait_until(partial(_is_written_to, etcd, member, new), "the new one is", timeout_s=NOTICED_S)
        new_id = _node_id(etcd, new, token)
        for member in etcd.members:
            both = {new_id: ("primary", term + 1), old_id: ("primary", term)}
            wait_until(partial(_shows, etcd, member, both, token), "both are reported", timeout_s=5)
            wait_until(partial(_is_led, etcd, member, new, term + 1, token), "the higher one leads", timeout_s=5)
            wait_until(partial(_logged, etcd, member, new_id, old_id), "the log tells", timeout_s=5)
    made = [*map(partial(_token, etcd), etcd.members), _restarted_node_s_token(etcd, old)]
    assert old.is_primary()
    assert [_is_known(new, each) for each in made] == [True] * len(made)
    assert [_is_known(old, each) for each in made] == [False] * len(made)
    for member in etcd.members:
        assert _statuses(etcd, member, [*made, token]) == [200] * (len(made) + 1)
    old.start()
    _wait_until_whole(etcd, new, term + 1, token)
    assert _node_id(etcd, old, token) == old_id
    assert _statuses(etcd, old, [*made, token]) == [200] * (len(made) + 1)


def test_a_member_that_is_added_joins_and_one_that_is_removed_can_be_taken_out(
    etcd: PatroniCluster, tmp_path: Path
) -> None:
    leader = etcd.leader()
    token, term = _token(etcd, leader), leader.timeline()
    ids = {_node_id(etcd, member, token) for member in etcd.members}
    with probing(etcd, list(etcd.members), token):
        added, node = etcd.add_member()
        added.start()
        node.start()
        _wait_until_whole(etcd, leader, term, token)
        added_id = _node_id(etcd, added, token)
        assert added_id not in ids
        assert _statuses(etcd, added, [token, _token(etcd, added)]) == [200, 200]
        node.stop()
        added.stop()
        for member in etcd.members[:-1]:
            wait_until(partial(_is_gone, etcd, member, token, added_id), "it is known to be gone")
            assert _token(etcd, member)
        etcd.forget_last_member()
        where = (f"--url={etcd.node(leader).url}", f"--certs-dir={etcd.node(leader).certs_dir}")
        done = run_command("node", "decommission", added_id, *where, home=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        _wait_until_whole(etcd, leader, term, token)


def test_what_keeps_patroni_from_a_failover_is_told_and_nothing_else(etcd: PatroniCluster) -> None:
    """A pause, ended by the command that is suggested; tags that leave nobody to promote; a Patroni that is gone."""
    leader = etcd.leader()
    one_of, other = etcd.others(leader)
    token = _token(etcd, leader)
    _wait_until_well(etcd, token)

    leader.ask_patroni("PATCH", "/config", {"pause": True})
    paused = [_only_problem(etcd, member, "patroni_paused", token) for member in (leader, other)]
    assert {each["severity"] for each in paused} == {"warning"}
    subprocess.run(["bash", "-euc", paused[0]["shell"]], check=True, timeout=30, capture_output=True)
    _wait_until_well(etcd, token)

    one_of.set_tags(nofailover=True, noloadbalance=True)
    wait_until(lambda: "nofailover" in str(leader.ask_patroni("GET", "/cluster")), "the tag is known", timeout_s=15)
    assert _problems(etcd, leader, token) == []
    other.set_tags(nofailover=True)
    barred = _only_problem(etcd, leader, "patroni_no_candidate", token)
    assert all(text in barred["evidence"]["tags"] for text in (f"{other.name}: nofailover=True", "noloadbalance"))
    done = subprocess.run(["bash", "-euc", barred["shell"]], check=True, timeout=30, capture_output=True, text=True)
    assert done.stdout.count("nofailover") == 2
    for member in (one_of, other):
        member.set_tags()
    _wait_until_well(etcd, token)

    other_id = _node_id(etcd, other, token)
    other.kill_patroni()
    silent = _only_problem(etcd, leader, "patroni_silent", token)
    assert (silent["node_id"], silent["object"]) == (other_id, other.rest_url)
    other.start()
    _wait_until_well(etcd, token)


# what the tests do


def _switch_over(old: PatroniMember, new: PatroniMember) -> None:
    answer = old.ask_patroni("POST", "/switchover", {"leader": old.name, "candidate": new.name})
    assert "Successfully switched over" in str(answer)
    wait_until(new.is_primary, "the promotion")


def _promoted(members: list[PatroniMember]) -> PatroniMember:
    """Which of these standbys Patroni has promoted, as soon as it takes writes."""
    found: list[PatroniMember] = []

    def is_one_promoted() -> bool:
        found.extend(member for member in members if member.is_primary())
        return bool(found)

    wait_until(is_one_promoted, "a standby is promoted", timeout_s=ELECTION_TIMEOUT_S, poll_s=0.01)
    return found[0]


def _token(cluster: PatroniCluster, member: PatroniMember) -> str:
    token: str = cluster.log_in(member).json["session"]
    return token


def _log_in_everywhere(cluster: PatroniCluster, members: list[PatroniMember], promoted_at: float) -> list[str]:
    """A token of each member's node, all at once; each is made in time after the promotion."""
    with ThreadPoolExecutor(len(members)) as threads:
        made = list(threads.map(lambda member: _first_token(cluster, member, promoted_at), members))
    took = ", ".join(f"{member.name} {elapsed_s:.2f} s" for member, (elapsed_s, _) in zip(members, made, strict=True))
    print(f"from the promotion to a login through each node: {took}")
    assert max(elapsed_s for elapsed_s, _ in made) < NOTICED_S
    return [token for _, token in made]


def _first_token(cluster: PatroniCluster, member: PatroniMember, promoted_at: float) -> tuple[float, str]:
    """How long after the promotion the first login worked, and its token."""
    replies: list[Reply] = []

    def is_in() -> bool:
        replies.append(cluster.log_in(member))
        return replies[-1].status == 200

    wait_until(is_in, f"a login through the node of {member.name}", timeout_s=ANSWER_S)
    return time.monotonic() - promoted_at, replies[-1].json["session"]


def _restarted_node_s_token(cluster: PatroniCluster, member: PatroniMember) -> str:
    """The first that a node gives out which knows nothing but its own server when it starts."""
    cluster.node(member).kill()
    cluster.node(member).start()
    cluster.node(member).wait_until_serving()
    return _first_token(cluster, member, time.monotonic())[1]


# what they look at


def _nodes(cluster: PatroniCluster, member: PatroniMember, token: str) -> dict[str, dict[str, Any]]:
    """What this member's node says of each, by the address of its server."""
    listed = cluster.api(member).get("nodes/", token).json["nodes"]
    return {each["sql_address"]["address_field"]: each for each in listed}


def _problems(cluster: PatroniCluster, member: PatroniMember, token: str) -> list[dict[str, Any]]:
    """What this member's node says is wrong."""
    found: list[dict[str, Any]] = cluster.api(member).get("problems/", token).json["problems"]
    return found


def _only_problem(cluster: PatroniCluster, member: PatroniMember, kind: str, token: str) -> dict[str, Any]:
    """Wait until this member's node tells of that and nothing else."""
    last: list[dict[str, Any]] = []

    def is_alone() -> bool:
        last[:] = _problems(cluster, member, token)
        return [each["kind"] for each in last] == [kind]

    wait_until(is_alone, f"the only problem is {kind}, not {last}", timeout_s=15, poll_s=0.1)
    return last[0]


def _wait_until_well(cluster: PatroniCluster, token: str) -> None:
    wait_until(
        lambda: not any(_problems(cluster, member, token) for member in cluster.members),
        "no node tells of a problem",
        timeout_s=BACK_TIMEOUT_S,
        poll_s=0.1,
    )


def _node_id(cluster: PatroniCluster, member: PatroniMember, token: str) -> int:
    node_id: int = _nodes(cluster, member, token)[cluster.node(member).sql_address]["node_id"]
    return node_id


def _is_gone(cluster: PatroniCluster, member: PatroniMember, token: str, node_id: int) -> bool:
    """Whether this member's node shows exactly that node as not available, and as nobody's leader."""
    node_by_id = {each["node_id"]: each for each in _nodes(cluster, member, token).values()}
    gone = node_by_id.pop(node_id)
    others = [each["liveness_status"] for each in node_by_id.values()]
    return gone["liveness_status"] == UNAVAILABLE and "role" not in gone and others == [LIVE] * len(others)


def _shows(cluster: PatroniCluster, member: PatroniMember, wanted: dict[int, tuple[str, int]], token: str) -> bool:
    """Whether this member's node shows these nodes with that role and timeline, and all as live."""
    nodes = {each["node_id"]: each for each in _nodes(cluster, member, token).values()}
    shown = {node_id: (nodes[node_id].get("role"), nodes[node_id].get("timeline")) for node_id in wanted}
    return shown == wanted and all(each["liveness_status"] == LIVE for each in nodes.values())


def _is_led(cluster: PatroniCluster, member: PatroniMember, leader: PatroniMember, term: int, token: str) -> bool:
    """Whether this member's node shows that leader, and the term, wherever a leader is shown."""
    api = cluster.api(member)
    nodes = _nodes(cluster, member, token)
    status = nodes[cluster.node(leader).sql_address]
    if (status.get("role"), status.get("timeline")) != ("primary", term):
        return False
    hot = {each["leaseholder_node_id"] for each in api.get("ranges/hot/", token).json["ranges"]}
    detail = api.get(f"ranges/{_range_id(cluster, leader, token)}/", token).json["responses_by_node_id"]
    leases = [
        (lease["replica"]["node_id"], lease["term"], lease["epoch"])
        for part in detail.values()
        if part["range_info"]["desc"]["range_id"]
        for lease in part["range_info"]["lease_history"]
    ]
    return hot == {status["node_id"]} and len(leases) > 1 and set(leases) == {(status["node_id"], term, term)}


def _wait_until_whole(cluster: PatroniCluster, leader: PatroniMember, term: int, token: str) -> None:
    wait_until(
        lambda: all(_is_whole(cluster, member, leader, term, token) for member in cluster.members),
        "all nodes show all members well",
        timeout_s=BACK_TIMEOUT_S,
        poll_s=0.1,
    )


def _is_whole(cluster: PatroniCluster, member: PatroniMember, leader: PatroniMember, term: int, token: str) -> bool:
    """Whether this member's node is ready and shows every member live, with its role, on the leader's timeline."""
    api = cluster.api(member)
    if api.get("health/?ready=true").status != 200 or api.get("nodes/", token).status != 200:
        return False
    shown = {
        address: (each["liveness_status"], each.get("role"), each.get("timeline"))
        for address, each in _nodes(cluster, member, token).items()
    }
    return shown == {
        cluster.node(each).sql_address: (LIVE, "primary" if each is leader else "standby", term)
        for each in cluster.members
    }


def _statuses(cluster: PatroniCluster, member: PatroniMember, tokens: list[str]) -> list[int]:
    return [cluster.api(member).get("nodes/", token).status for token in tokens]


def _range_id(cluster: PatroniCluster, member: PatroniMember, token: str) -> int:
    """A table that every member has: the nodes' own."""
    ranges = cluster.api(member).get("nodes/local/ranges/", token).json["ranges"]
    [found] = [each["desc"]["range_id"] for each in ranges if each["table"] == "web_sessions"]
    return int(found)


def _is_known(member: PatroniMember, token: str) -> bool:
    """Whether this member's server holds the session of a token."""
    return _web_sessions(member, token, "count(*)") == 1


def _is_written_to(cluster: PatroniCluster, member: PatroniMember, primary: PatroniMember) -> bool:
    """Whether a login through this member's node is written to that primary."""
    return _is_known(primary, _token(cluster, member))


def _is_revoked(member: PatroniMember, token: str) -> bool:
    """Whether this member's server holds that the session of a token was ended."""
    return _web_sessions(member, token, "count(revoked_at)") == 1


def _web_sessions(member: PatroniMember, token: str, column: str) -> object:
    decoded = decode_token(token)
    assert decoded is not None
    with psycopg.connect(member.conninfo(), autocommit=True) as connection:
        return one(connection, f"SELECT {column} FROM rangeland.web_sessions WHERE id = %s", decoded[0])


def _was_restarted(member: PatroniMember, started: object) -> bool:
    try:
        return member.is_primary() and member.started() != started
    except psycopg.Error:
        return False


def _logged(cluster: PatroniCluster, member: PatroniMember, trusted_id: int, other_id: int) -> bool:
    """Whether the node's log has one line that names both primaries."""
    lines = cluster.node(member).log.read_text("utf-8").splitlines()
    return any(
        "two primaries" in line and f"trusted_node_id={trusted_id}" in line and f"other_node_id={other_id}" in line
        for line in lines
    )

"""What stopping a server would cost, decided from where it and its primary stand in replication."""

from __future__ import annotations

import pytest

from rangeland.merge.restart_safety import CLOSE_BYTES, decide_restart, synchronous_needed
from rangeland.wire.parts import ReplicationPart, StandbyInfo
from rangeland.wire.restart_safety import RestartSafetyAnswer


def standby(slot: str | None, *, name: str = "walreceiver", sync: str = "async", lag_bytes: int = 0) -> StandbyInfo:
    return StandbyInfo(slot_name=slot, application_name=name, sync_state=sync, lag_bytes=lag_bytes)


def server(
    *standbys: StandbyInfo, is_primary: bool = False, slot: str | None = None, names: str = "", cluster_name: str = ""
) -> ReplicationPart:
    return ReplicationPart(
        is_primary=is_primary,
        synchronous_standby_names=names,
        cluster_name=cluster_name,
        receives=not is_primary,
        upstream_slot=slot,
        standbys=list(standbys),
        ranges=7,
    )


def decided(
    own: ReplicationPart, primary: ReplicationPart | None, *, target: int = 2, relaxed: bool = False
) -> RestartSafetyAnswer:
    return decide_restart(own, primary, node_id=2, standby_target=target, is_draining=False, is_relaxed=relaxed)


def kinds(answer: RestartSafetyAnswer) -> list[str]:
    assert answer.is_restart_safe is not bool(answer.reasons)
    return [reason.kind for reason in answer.reasons]


A, B, C = standby("a"), standby("b"), standby("c")


def test_a_standby_can_be_stopped_while_another_one_is_close() -> None:
    answer = decided(server(slot="a"), server(A, B, is_primary=True))
    assert kinds(answer) == []
    assert (answer.unavailable_range_count, answer.underreplicated_range_count) == (0, 0)


def test_a_primary_can_not_be_stopped() -> None:
    primary = server(A, B, is_primary=True)
    answer = decided(primary, primary)
    assert kinds(answer) == ["primary"]
    assert (answer.unavailable_range_count, answer.raft_leadership_on_node_count) == (7, 7)
    assert kinds(decided(primary, primary, relaxed=True)) == ["primary"]


def test_without_a_primary_nothing_can_be_stopped() -> None:
    assert kinds(decided(server(slot="a"), None)) == ["no_primary"]


def test_the_last_standby_can_be_stopped_only_where_redundancy_does_not_count() -> None:
    own, primary = server(slot="a"), server(A, is_primary=True)
    answer = decided(own, primary)
    assert kinds(answer) == ["last_standby"]
    assert answer.underreplicated_range_count == 7
    assert kinds(decided(own, primary, relaxed=True)) == []


def test_a_standby_that_is_far_behind_is_no_second_copy() -> None:
    far = standby("b", lag_bytes=CLOSE_BYTES + 1)
    answer = decided(server(slot="a"), server(A, far, is_primary=True))
    assert kinds(answer) == ["last_standby"]
    assert "16 MiB" in answer.reasons[0].text
    assert kinds(decided(server(slot="b"), server(A, far, is_primary=True))) == []


def test_a_cluster_that_lacks_a_standby_already_can_not_lose_another() -> None:
    assert kinds(decided(server(slot="a"), server(A, B, is_primary=True), target=3)) == ["standby_missing"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [("ANY 2 (*)", ["synchronous"]), ("ANY 1 (*)", []), ("FIRST 2 (a, b)", ["synchronous"]), ("", [])],
)
def test_commits_that_would_wait_are_a_loss_of_availability(names: str, expected: list[str]) -> None:
    state = "quorum" if names else "async"
    primary = server(standby("a", sync=state), standby("b", sync=state), is_primary=True, names=names)
    assert kinds(decided(server(slot="a"), primary)) == expected
    assert kinds(decided(server(slot="a"), primary, relaxed=True)) == expected


def test_an_asynchronous_standby_beside_a_lone_synchronous_one_can_be_stopped() -> None:
    primary = server(A, standby("b", sync="sync"), is_primary=True, names="b")
    assert kinds(decided(server(slot="a"), primary)) == []
    assert kinds(decided(server(slot="b"), primary)) == ["synchronous"]


def test_a_standby_without_a_slot_is_known_by_its_cluster_name() -> None:
    primary = server(standby(None, name="one", sync="sync"), standby(None, name="two"), is_primary=True, names="one")
    assert kinds(decided(server(cluster_name="two"), primary)) == []
    assert kinds(decided(server(cluster_name="one"), primary)) == ["synchronous"]


def test_a_standby_that_nothing_identifies_is_taken_for_the_one_that_would_be_missed_most() -> None:
    primary = server(standby(None, sync="sync"), standby(None), is_primary=True, names="*")
    assert kinds(decided(server(), primary)) == ["synchronous"]


def test_a_standby_that_others_follow_can_not_be_stopped() -> None:
    assert kinds(decided(server(C, slot="a"), server(A, B, is_primary=True))) == ["upstream"]


def test_a_standby_of_a_standby_can_be_stopped() -> None:
    assert kinds(decided(server(slot="c"), server(A, B, is_primary=True))) == []


@pytest.mark.parametrize(
    ("names", "needed"),
    [
        ("", 0),
        (" ", 0),
        ("*", 1),
        ("a, b", 1),
        ("2 (a, b, c)", 2),
        ("FIRST 3 (*)", 3),
        ("any 2 (a,b)", 2),
        ('"2 (x"', 1),
    ],
)
def test_synchronous_standby_names_says_for_how_many_a_commit_waits(names: str, needed: int) -> None:
    assert synchronous_needed(names) == needed

"""What a round of the watch shows, compared with what the event log was told before."""

from __future__ import annotations

from rangeland.merge.part import Part, PartError
from rangeland.node.watch import compare, state_of
from rangeland.wire.events import NodeLeft, NodeReturn
from rangeland.wire.members import WatchAnswer
from rangeland.wire.nodes import Liveness

NOW = 1_000 * 10**9
LONG_AGO, JUST_NOW = NOW - 60 * 10**9, NOW - 10**9
SILENT = PartError("dial", Liveness.UNAVAILABLE, "connection refused")
ODD = PartError("request", Liveness.LIVE, "this node does not know the question")


def left(node_id: int, since: int = LONG_AGO, reason: str = "silent") -> NodeLeft:
    return NodeLeft(NodeID=node_id, Reason=reason, Since=since, Cause="why")


def test_a_node_is_silent_or_its_server_is_down_or_all_is_well() -> None:
    parts = [
        Part(1, value=WatchAnswer()),
        Part(2, error=SILENT),
        Part(3, value=WatchAnswer(down_since_ns=LONG_AGO, cause="why")),
    ]
    assert state_of(parts, {2: LONG_AGO}, now_ns=NOW) == {
        1: None,
        2: NodeLeft(NodeID=2, Reason="silent", Since=LONG_AGO, Cause="connection refused"),
        3: left(3, reason="server down"),
    }


def test_a_node_that_answers_with_an_error_lives() -> None:
    assert state_of([Part(1, error=ODD)], {}, now_ns=NOW) == {1: None}


def test_a_server_s_own_clock_may_be_ahead() -> None:
    part = Part(1, value=WatchAnswer(down_since_ns=NOW + 5, cause=""))
    trouble = state_of([part], {}, now_ns=NOW)[1]
    assert trouble is not None
    assert trouble.Since == NOW


def test_a_node_that_is_gone_for_long_enough_has_left_once() -> None:
    found = compare({}, {1: None, 2: left(2)}, started={1, 2}, now_ns=NOW)
    assert (found.left, found.returned, found.is_doubtful) == ([left(2)], [], False)
    again = compare({2: left(2)}, {1: None, 2: left(2)}, started={1, 2}, now_ns=NOW)
    assert (again.left, again.returned, again.is_doubtful) == ([], [], False)


def test_a_node_that_is_gone_since_a_moment_ago_is_looked_at_again() -> None:
    found = compare({}, {2: left(2, JUST_NOW)}, started={2}, now_ns=NOW)
    assert (found.left, found.returned, found.is_doubtful) == ([], [], True)


def test_a_node_that_never_started_has_not_left() -> None:
    found = compare({}, {2: left(2)}, started=set(), now_ns=NOW)
    assert (found.left, found.is_doubtful) == ([], False)


def test_a_node_that_had_left_and_does_well_returned() -> None:
    found = compare({2: left(2)}, {1: None, 2: None}, started={1, 2}, now_ns=NOW)
    assert (found.left, found.returned) == ([], [NodeReturn(NodeID=2, Reason="silent", Since=LONG_AGO)])


def test_a_node_that_is_asked_no_more_neither_left_nor_returned() -> None:
    found = compare({2: left(2)}, {1: None}, started={1, 2}, now_ns=NOW)
    assert (found.left, found.returned, found.is_doubtful) == ([], [], False)

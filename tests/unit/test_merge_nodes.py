"""Every node is listed, also one that is silent, with what its liveness means."""

import pytest
from msgspec import UNSET, structs

from rangeland.merge.nodes import merge_nodes
from rangeland.merge.part import Part, PartError
from rangeland.wire.nodes import Address, Attrs, Liveness, Locality, NodeStatus, ServerVersion
from rangeland.wire.parts import StatusPart

S = 10**9
NOW = 1_700_000_000 * S


def _status(node_id: int, build_tag: str = "v0.1.0") -> NodeStatus:
    return NodeStatus(
        node_id=node_id,
        address=Address("tcp", f"n{node_id}:8080"),
        attrs=Attrs(),
        locality=Locality([]),
        ServerVersion=ServerVersion(major=18, minor=6, patch=0, internal=0, major_val=18, minor_val=6),
        build_tag=build_tag,
        started_at=1,
        cluster_name="",
        sql_address=Address("tcp", f"n{node_id}:5432"),
        liveness_status=Liveness.UNKNOWN,
    )


def _answered(
    node_id: int, *, up: bool = True, down_since_ns: int = 0, draining: bool = False, role: str = "standby"
) -> Part[StatusPart]:
    return Part(
        node_id,
        StatusPart(
            status=_status(node_id),
            server_up=up,
            down_since_ns=down_since_ns,
            draining=draining,
            role=role,
            timeline=3,
        ),
    )


def _silent(node_id: int) -> Part[StatusPart]:
    return Part(node_id, error=PartError("dial", Liveness.UNAVAILABLE, "connection refused"))


def _merge(
    *parts: Part[StatusPart],
    last: dict[int, NodeStatus] | None = None,
    silent: dict[int, int] | None = None,
    membership: dict[int, str] | None = None,
    ahead: dict[int, float] | None = None,
) -> list[NodeStatus]:
    return merge_nodes(
        parts,
        last_status=last or {},
        membership=membership or {},
        silent_since_ns=silent or {},
        clock_offset_s=ahead or {},
        now_ns=NOW,
    )


def test_nodes_are_ordered_by_number() -> None:
    nodes = _merge(_answered(10), _answered(9), _answered(2))
    assert [node.node_id for node in nodes] == [2, 9, 10]


@pytest.mark.parametrize(
    ("part", "liveness"),
    [
        (_answered(1), Liveness.LIVE),
        (_answered(1, draining=True), Liveness.DRAINING),
        (_answered(1, up=False), Liveness.UNAVAILABLE),
        (_answered(1, up=False, down_since_ns=NOW - 300 * S + 1), Liveness.UNAVAILABLE),
        (_answered(1, up=False, down_since_ns=NOW - 300 * S), Liveness.DEAD),
        (_answered(1, up=False, down_since_ns=NOW + S), Liveness.UNAVAILABLE),
        (_answered(1, up=False, draining=True), Liveness.UNAVAILABLE),
    ],
)
def test_a_node_that_answers_is_as_live_as_its_server(part: Part[StatusPart], liveness: Liveness) -> None:
    nodes = _merge(part)
    assert nodes[0].liveness_status is liveness


@pytest.mark.parametrize(
    ("silent", "liveness"),
    [
        ({}, Liveness.UNAVAILABLE),
        ({1: NOW - 299 * S}, Liveness.UNAVAILABLE),
        ({1: NOW - 300 * S}, Liveness.DEAD),
        ({2: NOW - 300 * S}, Liveness.UNAVAILABLE),
    ],
)
def test_a_silent_node_shows_its_last_status_and_dies_after_five_minutes(
    silent: dict[int, int], liveness: Liveness
) -> None:
    nodes = _merge(_silent(1), last={1: _status(1, "v0.0.9")}, silent=silent)
    assert (nodes[0].build_tag, nodes[0].liveness_status) == ("v0.0.9", liveness)


def test_a_silent_node_of_which_nothing_is_known_is_left_out() -> None:
    nodes = _merge(_silent(1), _answered(2))
    assert [node.node_id for node in nodes] == [2]


def test_a_node_that_does_not_know_its_id_yet_is_shown_under_the_one_it_was_asked_by() -> None:
    part = _answered(2)
    assert part.value is not None
    unaware = Part(2, structs.replace(part.value, status=_status(0)))
    assert [status.node_id for status in _merge(_answered(1), unaware)] == [1, 2]


def test_role_and_timeline_are_those_of_the_answer() -> None:
    nodes = _merge(_answered(1, role="primary"), _answered(2, role="unknown"))
    assert [(node.role, node.timeline) for node in nodes] == [("primary", 3), ("", 3)]


def test_a_silent_primary_is_not_called_a_primary() -> None:
    (primary,) = _merge(_answered(1, role="primary"))
    nodes = _merge(_silent(1), last={1: primary})
    assert (nodes[0].role, nodes[0].timeline) == ("", 0)


def test_a_primary_that_is_down_is_not_called_a_primary() -> None:
    nodes = _merge(_answered(1, role="primary", up=False))
    assert (nodes[0].role, nodes[0].timeline) == ("", 0)


def test_merging_leaves_what_it_was_given_as_it_was() -> None:
    last = _status(1)
    _merge(_silent(1), last={1: last}, silent={1: 1})
    assert last.liveness_status is Liveness.UNKNOWN


def test_a_clock_that_is_off_shows_to_a_tenth_of_a_second() -> None:
    nodes = _merge(_answered(1), _answered(2), _answered(3), ahead={2: 600.04, 3: -0.04})
    assert [node.clock_offset_seconds for node in nodes] == [UNSET, 600.0, 0.0]


@pytest.mark.parametrize("off_s", [-600, 600])
def test_a_server_that_went_down_just_now_is_not_dead_by_a_clock_that_is_off(off_s: int) -> None:
    nodes = _merge(_answered(1, up=False, down_since_ns=NOW + off_s * S - S), ahead={1: float(off_s)})
    assert nodes[0].liveness_status == Liveness.UNAVAILABLE


def test_a_server_that_is_down_for_long_is_dead_also_by_a_clock_that_is_ahead() -> None:
    nodes = _merge(_answered(1, up=False, down_since_ns=NOW + 600 * S - 301 * S), ahead={1: 600.0})
    assert nodes[0].liveness_status == Liveness.DEAD


@pytest.mark.parametrize("membership", ["decommissioning", "decommissioned"])
def test_who_is_no_active_member_is_decommissioning_while_it_lives_and_decommissioned_when_dead(
    membership: str,
) -> None:
    long_ago, just_now = NOW - 300 * S, NOW - 299 * S
    nodes = _merge(
        _answered(1, draining=True),
        _answered(2, up=False, down_since_ns=long_ago),
        _answered(3, up=False, down_since_ns=just_now),
        _silent(4),
        _silent(5),
        last={4: _status(4), 5: _status(5)},
        silent={4: long_ago, 5: just_now},
        membership=dict.fromkeys(range(1, 6), membership),
    )
    assert {node.membership for node in nodes} == {membership}
    assert [node.liveness_status for node in nodes] == [
        Liveness.DECOMMISSIONING,
        Liveness.DECOMMISSIONED,
        Liveness.UNAVAILABLE,
        Liveness.DECOMMISSIONED,
        Liveness.UNAVAILABLE,
    ]


def test_membership_is_the_clusters_word_and_empty_where_it_has_none() -> None:
    nodes = _merge(_answered(1), _answered(2), membership={1: "active"})
    assert [(node.membership, node.liveness_status) for node in nodes] == [
        ("active", Liveness.LIVE),
        ("", Liveness.LIVE),
    ]

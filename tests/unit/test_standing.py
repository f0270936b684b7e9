"""Where nodes stand, in the cases that a test can't make with real servers in time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec import Raw, structs

from rangeland.checks import standing
from rangeland.checks.check import View
from rangeland.checks.standing import PlaceRow, StandbyRow
from rangeland.checks.table import find_problems
from rangeland.merge.part import Part, PartError
from rangeland.wire.json import encode
from rangeland.wire.nodes import Address, Attrs, Liveness, Locality, NodeStatus, ServerVersion
from rangeland.wire.parts import ProblemsPart, StatusPart

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
STANDBY = PlaceRow(
    in_recovery=True,
    receiver="streaming",
    slot="s",
    name="s",
    timeline=1,
    end_lsn=1000,
    replay_lag_bytes=0,
    pause_state="not paused",
    apply_delay_s=0.0,
    restores=False,
    waits_for="",
    synchronous_standby_names="",
    commits_wait=True,
    waiting_commits=0,
    started_at=NOW - timedelta(days=1),
)
PRIMARY = structs.replace(STANDBY, in_recovery=False, receiver="", slot="", pause_state="")
FOLLOWER = StandbyRow("s", "s", "", "streaming", "async", 0, 0, 0.0)
REFUSED = PartError("request", Liveness.LIVE, "no such question")
SILENT = PartError("dial", Liveness.UNAVAILABLE, "connection refused")


def answered(node_id: int, place: PlaceRow, *followers: StandbyRow) -> Part[ProblemsPart]:
    """A node whose server is up."""
    status = NodeStatus(
        node_id=node_id,
        address=Address("tcp", "n:1"),
        attrs=Attrs(),
        locality=Locality([]),
        ServerVersion=ServerVersion(major=18, minor=6, patch=0, internal=0, major_val=18, minor_val=6),
        build_tag="",
        started_at=1,
        cluster_name="",
        sql_address=Address("tcp", "n:2"),
        liveness_status=Liveness.UNKNOWN,
    )
    role = "standby" if place.in_recovery else "primary"
    rows = {"replication_place": Raw(encode([place])), "physical_standbys": Raw(encode(list(followers)))}
    return Part(
        node_id,
        ProblemsPart(status=StatusPart(status=status, server_up=True, role=role, timeline=place.timeline), rows=rows),
    )


def kinds(view: View) -> list[str]:
    return [each.kind for each in find_problems(view)]


def view(*parts: Part[ProblemsPart], silent: tuple[int, ...] = (), roles: dict[int, str] | None = None) -> View:
    return View(parts, limits={}, now=NOW, silent_since_ns=dict.fromkeys(silent, 1), last_role=roles)


@pytest.mark.parametrize(("age_s", "found"), [(29, []), (31, ["standby_not_streaming"])])
@pytest.mark.parametrize("started", ["primary", "standby"])
def test_a_standby_may_take_its_time_to_connect_after_a_start(started: str, age_s: float, found: list[str]) -> None:
    at = NOW - timedelta(seconds=age_s)
    away = structs.replace(STANDBY, receiver="")
    primary = structs.replace(PRIMARY, started_at=at) if started == "primary" else PRIMARY
    standby = structs.replace(away, started_at=at) if started == "standby" else away
    assert kinds(view(answered(1, primary), answered(2, standby))) == found


def test_a_cluster_that_follows_another_one_needs_no_primary() -> None:
    outside = [answered(1, STANDBY, FOLLOWER), answered(2, STANDBY)]
    assert kinds(view(*outside)) == []


def test_standbys_that_only_feed_each_other_have_no_primary() -> None:
    orphans = [answered(1, structs.replace(STANDBY, receiver=""), FOLLOWER), answered(2, STANDBY)]
    assert kinds(view(*orphans)) == ["no_primary"]


@pytest.mark.parametrize(("role", "found"), [("", []), ("primary", []), ("standby", ["no_primary"])])
def test_a_node_that_can_not_say_may_have_the_primary(role: str, found: list[str]) -> None:
    """As one of another version, unless it was a standby's."""
    parts = [answered(1, structs.replace(STANDBY, receiver="")), Part[ProblemsPart](2, error=REFUSED)]
    assert kinds(view(*parts, roles={2: role})) == found


@pytest.mark.parametrize(
    ("roles", "node_id", "others"),
    [
        ({2: "primary", 3: "standby"}, 2, ["node_silent"]),
        ({3: "standby"}, 2, ["node_silent"]),
        ({}, 0, []),
    ],
)
def test_without_a_primary_the_node_that_had_it_is_told_as_that(
    roles: dict[int, str], node_id: int, others: list[str]
) -> None:
    """The asked node may not know who that was: each that is away is in question then."""
    parts = [Part[ProblemsPart](each, error=SILENT) for each in (2, 3)]
    first, *rest = find_problems(
        view(answered(1, structs.replace(STANDBY, receiver="")), *parts, silent=(2, 3), roles=roles)
    )
    assert (first.kind, first.node_id) == ("no_primary", node_id)
    assert [each.kind for each in rest] == others


@pytest.mark.parametrize(("away", "found"), [((), ["replication_lag"]), ((3,), ["node_silent"])])
def test_a_standby_that_lags_is_a_silent_node_s_where_there_is_one(away: tuple[int, ...], found: list[str]) -> None:
    late = structs.replace(FOLLOWER, name="x", slot="x", replay_lag_bytes=2 * 10**9)
    silent = [Part[ProblemsPart](each, error=SILENT) for each in away]
    primary = answered(1, PRIMARY, FOLLOWER, late)
    assert kinds(view(primary, answered(2, STANDBY), *silent, silent=away)) == found


def test_of_primaries_the_highest_timeline_counts_then_the_lowest_node() -> None:
    second = structs.replace(PRIMARY, timeline=2)
    seen = view(answered(1, PRIMARY), answered(2, second), answered(3, second))
    assert seen.primary_ids == [2, 3, 1]
    assert standing.lost_primary_ids(seen) == []

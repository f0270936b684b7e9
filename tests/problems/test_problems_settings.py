"""Settings that put data at risk, differ between servers, or wait for a restart."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fix_cluster import wait_until
from fix_problems import Clinic, Found, clinic


@pytest.fixture(scope="module")
def sick() -> Iterator[Clinic]:
    with clinic(3) as made:
        yield made


@pytest.fixture(autouse=True)
def well_before_and_after(sick: Clinic) -> Iterator[None]:
    sick.require_well()
    yield
    for node in range(1, 4):
        sick.sql("ALTER SYSTEM RESET ALL", "SELECT pg_reload_conf()", node=node)
    sick.require_well()


def set_and_reload(sick: Clinic, node: int, name: str, value: str) -> None:
    sick.sql(f"ALTER SYSTEM SET {name} = {value}", "SELECT pg_reload_conf()", node=node)


@pytest.mark.parametrize(
    ("name", "value", "safe", "severity"),
    [
        ("fsync", "off", "on", "critical"),
        ("full_page_writes", "off", "on", "critical"),
        ("zero_damaged_pages", "on", "off", "critical"),
        ("ignore_checksum_failure", "on", "off", "critical"),
        ("autovacuum", "off", "on", "warning"),
        ("track_counts", "off", "on", "warning"),
    ],
)
def test_a_dangerous_setting_of_one_server_is_told_by_every_node_and_mended(
    sick: Clinic, name: str, value: str, safe: str, severity: str
) -> None:
    set_and_reload(sick, 2, name, value)
    [problem, *others] = [sick.only("setting_dangerous", node=asked) for asked in (1, 2, 3)]
    assert others == [problem, problem]
    assert (problem["node_id"], problem["object"], problem["severity"]) == (2, name, severity)
    assert problem["evidence"] == {"node_2": value, "set_by": "configuration file"}
    sick.follow(problem)
    sick.sql("SELECT pg_reload_conf()", node=2)
    sick.require_well()
    assert sick.server(2).is_running
    sick.sql(f"DO $$ BEGIN ASSERT current_setting('{name}') = '{safe}'; END $$", node=2)


def test_a_dangerous_setting_of_several_servers_is_one_problem_until_the_last_is_mended(sick: Clinic) -> None:
    for node in (1, 3):
        set_and_reload(sick, node, "fsync", "off")
    problem = sick.only("setting_dangerous")
    assert ("node_id" in problem, problem["run_on_node_id"]) == (False, 1)
    assert problem["evidence"] == {"node_1": "off", "node_3": "off", "set_by": "configuration file"}
    sick.follow(problem)
    sick.sql("SELECT pg_reload_conf()", node=1)

    def is_left_on_the_third() -> bool:
        return [each.get("node_id") for each in sick.problems()] == [3]

    wait_until(is_left_on_the_third, "the problem is the third server's alone")
    sick.follow(sick.only("setting_dangerous"))
    sick.sql("SELECT pg_reload_conf()", node=3)
    sick.require_well()


def test_a_setting_that_a_failover_would_change_is_told_with_all_values_and_mended(sick: Clinic) -> None:
    set_and_reload(sick, 3, "synchronous_commit", "off")
    problem = sick.only("setting_differs")
    assert (problem["node_id"], problem["object"], problem["severity"]) == (3, "synchronous_commit", "warning")
    assert problem["evidence"] == {
        "node_1": "on",
        "node_2": "on",
        "node_3": "off",
        "set_by": "configuration file",
    }
    assert "on on node 1" in problem["summary"]
    sick.follow(problem)
    sick.sql("SELECT pg_reload_conf()", node=3)
    sick.require_well()


def test_a_setting_of_speed_that_differs_is_only_a_note(sick: Clinic) -> None:
    set_and_reload(sick, 2, "work_mem", "'64MB'")
    problem = sick.only("setting_differs", node=2)
    assert (problem["node_id"], problem["severity"], problem["evidence"]["node_2"]) == (2, "info", "64MB")
    assert problem["sql"] == "ALTER SYSTEM SET work_mem = '4MB'"
    sick.follow(problem)
    sick.sql("SELECT pg_reload_conf()", node=2)
    sick.require_well()


def test_a_library_that_one_server_loads_is_told_and_mended(sick: Clinic) -> None:
    """A list is written as a list: as one text it would be the name of one library."""
    for node in (1, 3):
        set_and_reload(sick, node, "session_preload_libraries", "'auto_explain', 'pg_prewarm'")
    problem = sick.only("setting_differs")
    assert problem["evidence"]["node_2"] == ""
    assert problem["sql"] == "ALTER SYSTEM SET session_preload_libraries = 'auto_explain', 'pg_prewarm'"
    sick.follow(problem)
    sick.sql("SELECT pg_reload_conf()", node=2)
    sick.require_well()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("log_min_duration_statement", "'5s'"),  # a matter of each server's log
        ("cluster_name", "'another'"),  # waits for a restart, and is told as that
        ("hot_standby_feedback", "'off'"),  # each standby's own
    ],
)
def test_a_setting_that_may_differ_is_not_told_to_differ(sick: Clinic, name: str, value: str) -> None:
    set_and_reload(sick, 2, name, value)
    if name == "cluster_name":
        assert sick.only("settings_pending_restart")["object"] == name
        set_and_reload(sick, 2, name, "'server2'")
    else:
        sick.require_well()


def test_what_waits_for_a_restart_is_told_and_over_after_it(sick: Clinic) -> None:
    for node in (1, 2, 3):
        set_and_reload(sick, node, "max_connections", "120")
        set_and_reload(sick, node, "max_worker_processes", "9")
    problems = sick.problems()
    assert {each["kind"] for each in problems} == {"settings_pending_restart"}
    assert [each["node_id"] for each in problems] == [1, 2, 3]
    assert problems[0]["evidence"] == {"settings": "max_connections, max_worker_processes", "count": 2}
    rows = sick.follow(problems[0])
    assert [(name, runs_with, waits) for name, runs_with, waits, *_ in rows if waits in ("120", "9")] == [
        ("max_connections", "100", "120"),
        ("max_worker_processes", "8", "9"),
    ]
    for node in (1, 2, 3):
        set_and_reload(sick, node, "max_connections", "100")
        set_and_reload(sick, node, "max_worker_processes", "8")
    sick.require_well()


def test_what_waits_on_one_server_is_not_told_a_second_time_as_a_difference(sick: Clinic) -> None:
    set_and_reload(sick, 2, "max_connections", "150")
    problem = sick.only("settings_pending_restart")
    assert (problem["node_id"], problem["object"]) == (2, "max_connections")
    sick.server(2).restart()
    problem = sick.only("setting_differs")
    assert (problem["object"], problem["severity"]) == ("max_connections", "warning")
    sick.follow(problem)
    sick.server(2).restart()
    sick.require_well()
    sick.sql("ALTER SYSTEM RESET max_connections", node=2)
    sick.server(2).restart()


def test_a_standby_that_has_less_than_its_primary_is_critical(sick: Clinic) -> None:
    """It may run so for a while: it stops replaying when it hears of the primary's value."""
    set_and_reload(sick, 1, "max_connections", "101")
    sick.server(1).restart()
    try:
        problem = next(iter(_wait_for(sick, "setting_differs")))
        assert (problem["severity"], problem["object"]) == ("critical", "max_connections")
        assert problem["evidence"]["node_1"] == "101"
        assert "stops replaying" in problem["summary"]
    finally:
        for server in sick.cluster.servers:  # a standby that has stopped replaying goes on with a higher value only
            server.configure(max_connections="101")
        for standby in sick.cluster.servers[1:]:
            standby.restart()


def _wait_for(sick: Clinic, kind: str) -> list[Found]:
    found: list[Found] = []

    def is_there() -> bool:
        found[:] = [each for each in sick.problems() if each["kind"] == kind]
        return bool(found)

    wait_until(is_there, kind)
    return found

"""GET /events/: fields, order, pages and types."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from contract.committed import departures
from fix_cluster import Api, log_in, session_url, wait_until
from rangeland.engine.cluster import Cluster


@pytest.fixture(scope="module")
def events(cluster: Cluster, apis: list[Api], token: str) -> list[dict[str, Any]]:
    """All there are, once each node has joined and a few people have logged in; on every node."""
    for _ in range(3):
        log_in(cluster, apis[1], "reader")
    found: list[dict[str, Any]] = []

    def is_complete() -> bool:
        found[:] = apis[0].get("events/", token).json["events"]
        types = [event["event_type"] for event in found]
        return types.count("node_join") == 3 and len(_logins(found, "reader")) >= 3

    wait_until(is_complete, "the joins and logins are written")
    wait_until(lambda: all(_ids(api, token) >= {each["unique_id"] for each in found} for api in apis), "everywhere")
    return found


def _ids(api: Api, token: str) -> set[str]:
    return {event["unique_id"] for event in api.get("events/", token).json["events"]}


def _logins(events: list[dict[str, Any]], user: str) -> list[dict[str, Any]]:
    infos = [json.loads(event["info"]) for event in events if event["event_type"] == "user_login"]
    return [info for info in infos if info["User"] == user]


def test_every_node_tells_the_same_newest_first(apis: list[Api], token: str, events: list[dict[str, Any]]) -> None:
    for api in apis:
        answer = api.get("events/", token).json
        assert departures(answer, "EventsAnswer") == []
        known = [event for event in answer["events"] if event["unique_id"] in {each["unique_id"] for each in events}]
        assert known == events
    assert [event["timestamp"] for event in events] == sorted((event["timestamp"] for event in events), reverse=True)
    assert all(len(base64.b64decode(event["unique_id"])) == 16 for event in events)
    assert len({event["unique_id"] for event in events}) == len(events)


def test_an_info_is_json_as_text_that_repeats_the_type(events: list[dict[str, Any]]) -> None:
    for event in events:
        info = json.loads(event["info"])
        assert info["EventType"] == event["event_type"]
        assert info["Timestamp"] > 10**18


def test_a_type_is_matched_exactly(apis: list[Api], token: str, events: list[dict[str, Any]]) -> None:
    joined = apis[2].get("events/?type=node_join", token).json["events"]
    assert joined == [event for event in events if event["event_type"] == "node_join"]
    assert sorted(json.loads(event["info"])["NodeID"] for event in joined) == [1, 2, 3]
    for other in ("node", "NODE_JOIN", "node_join%20", "create_database"):
        assert apis[0].get(f"events/?type={other}", token).body == b'{"events":[]}'


def test_pages_show_every_event_once_and_next_is_exact(
    apis: list[Api], token: str, events: list[dict[str, Any]]
) -> None:
    """Of a type that doesn't grow meanwhile."""
    for limit in (1, 2, 3):
        found: list[dict[str, Any]] = []
        offset: int | None = 0
        while offset is not None:
            url = session_url("events/", type="node_join", limit=limit, offset=offset)
            answer = apis[1].get(url, token).json
            found += answer["events"]
            assert answer.get("next") in (None, offset + limit)
            offset = answer.get("next")
        assert found == [event for event in events if event["event_type"] == "node_join"]
    assert "next" not in apis[0].get("events/?type=node_join&limit=3", token).json
    assert apis[0].get("events/?type=node_join&limit=2", token).json["next"] == 2


@pytest.mark.parametrize(("limit", "offset"), [(0, 3), (-2, 1), ("x", 1), (2**63, 1), (2**63 - 1, 0)])
def test_a_limit_that_is_none_means_all(
    apis: list[Api], token: str, events: list[dict[str, Any]], limit: object, offset: int
) -> None:
    answer = apis[0].get(session_url("events/", limit=limit, offset=offset), token).json
    assert len(answer["events"]) >= len(events)
    assert "next" not in answer


def test_an_offset_behind_the_end_is_an_empty_page(apis: list[Api], token: str) -> None:
    assert apis[0].get(session_url("events/", limit=5, offset=2**62), token).body == b'{"events":[]}'


def test_a_monitor_may_read_and_a_stranger_may_not(cluster: Cluster, apis: list[Api]) -> None:
    assert apis[0].get("events/", log_in(cluster, apis[0], "reader")).status == 200
    assert apis[0].get("events/", log_in(cluster, apis[0], "stranger")).status == 403
    assert apis[0].get("events/").status == 401


def test_no_token_and_no_password_is_in_any_event(
    cluster: Cluster, apis: list[Api], token: str, events: list[dict[str, Any]]
) -> None:
    printed = apis[0].get("events/", token).text
    secrets = [token, *cluster.servers[0].password_by_user.values()]
    assert [secret for secret in secrets if secret in printed] == []

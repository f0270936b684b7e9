"""The rules as YAML: both shapes hold the same, and everything in them can be acted on."""

from __future__ import annotations

from typing import Any

import yaml

from rangeland.collect.rules import ALERTS, RECORDING, RULES_BY_GROUP
from rangeland.wire.rules import Rule, keyed_groups, listed_groups

AWKWARD = Rule(
    alert="A",
    expr='rate(a{b="c: d"}[5m])\n  / 2 # > 1',
    hold="5m",
    labels={"severity": "warning"},
    annotations={"summary": 'a: "quoted" \\ {{ $labels.x }} ünï # not a comment', "description": "- no list"},
)


def test_the_contract_s_shape_is_a_map_of_two_groups() -> None:
    groups = yaml.safe_load(keyed_groups(RULES_BY_GROUP))
    assert list(groups) == ["rules/recording", "rules/alerts"]
    assert [len(group["rules"]) for group in groups.values()] == [len(RECORDING), len(ALERTS)]


def test_a_rule_file_lists_the_same_rules() -> None:
    keyed = yaml.safe_load(keyed_groups(RULES_BY_GROUP))
    listed = yaml.safe_load(listed_groups(RULES_BY_GROUP))
    assert {group["name"]: {"rules": group["rules"]} for group in listed["groups"]} == keyed


def test_texts_come_through_unchanged() -> None:
    [found] = yaml.safe_load(keyed_groups({"g": [AWKWARD]}))["g"]["rules"]
    assert found == {
        "alert": "A",
        "expr": AWKWARD.expr,
        "for": "5m",
        "labels": AWKWARD.labels,
        "annotations": AWKWARD.annotations,
    }


def test_what_a_rule_does_not_have_is_left_out() -> None:
    [found] = yaml.safe_load(keyed_groups({"g": [Rule(record="a:b", expr="c")]}))["g"]["rules"]
    assert found == {"record": "a:b", "expr": "c"}


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    rules: list[dict[str, Any]] = yaml.safe_load(keyed_groups({"g": ALERTS}))["g"]["rules"]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in ("warning", "critical"), rule["alert"]
        assert rule["for"], rule["alert"]
        assert rule["annotations"].keys() == {"summary", "description"}, rule["alert"]
        assert rule["annotations"]["description"].endswith("."), rule["alert"]
        assert len(rule["annotations"]["summary"]) < 120, rule["alert"]

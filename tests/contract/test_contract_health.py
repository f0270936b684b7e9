"""GET /health/. Its 500 is proved where nodes are drained, in tests/node."""

from __future__ import annotations

import pytest

from fix_cluster import Api

TRUE = ("1", "t", "T", "TRUE", "true", "True")
FALSE = ("0", "f", "F", "FALSE", "false", "False", "")


@pytest.mark.parametrize("value", [*TRUE, *FALSE])
def test_takes_every_spelling_of_a_truth_value(apis: list[Api], value: str) -> None:
    answer = apis[2].get(f"health/?ready={value}")
    assert (answer.status, answer.body) == (200, b"{}")


@pytest.mark.parametrize("value", ["yes", "tRUE", "2", "%20", "true%00", "null"])
def test_refuses_any_other_value(apis: list[Api], value: str) -> None:
    answer = apis[0].get(f"health/?ready={value}")
    assert (answer.status, answer.text) == (400, "invalid ready value\n")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_needs_no_token_and_minds_no_bad_one(apis: list[Api]) -> None:
    assert [apis[0].get("health/", each).body for each in (None, "", "yes", "cookie")] == [b"{}"] * 4


def test_of_a_repeated_parameter_the_first_counts(apis: list[Api]) -> None:
    assert apis[0].get("health/?ready=true&ready=maybe").status == 200
    assert apis[0].get("health/?ready=maybe&ready=true").status == 400

"""The page of metrics has every metric with its names, unit, kind and source, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rangeland.collect.metrics import METRICS, OF_A_NODE, OF_A_STORE, Metric
from rangeland.collect.rules import ALERTS, RECORDING

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "reference" / "metrics.md").read_text("utf-8")


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_stands_there_as_in_the_table(metric: Metric) -> None:
    cells = [f"`{metric.name}`", f"`{metric.exposed_name}`", metric.kind, metric.unit, metric.help, metric.source]
    assert f"| {' | '.join(cells)} |" in PAGE.splitlines()


def test_no_other_metric_is_promised() -> None:
    documented = re.findall(r"^\| `([a-z0-9._-]+)` \| `\w+` \| (?:gauge|counter) \|", PAGE, re.MULTILINE)
    assert documented == [metric.name for metric in (*OF_A_NODE, *OF_A_STORE)]


def test_the_guide_names_only_metrics_and_rules_that_exist() -> None:
    guide = (DOCS / "howto" / "prometheus.md").read_text("utf-8")
    own = set(re.findall(r"^\| `(rangeland_\w+)` \|", PAGE, re.MULTILINE))
    known = {metric.exposed_name for metric in METRICS} | own | {rule.record for rule in RECORDING}
    named = set(re.findall(r"`((?:pg_|sys_|sql_|rangeland_|rangeland:)[\w:]+)", guide))
    assert named
    assert named <= known
    assert set(re.findall(r"`(Rangeland\w+)`", guide)) <= {rule.alert for rule in ALERTS}

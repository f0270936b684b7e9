"""Prometheus rules as YAML, in the contract's shape and in the one that Prometheus loads.

Source: Cluster API v2.0, /rules/; Prometheus, "Defining recording rules", "Alerting rules".
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from textwrap import indent

from msgspec import Struct


class Rule(Struct, frozen=True, kw_only=True):
    """A recording rule has `record`, an alert has `alert`."""

    record: str = ""
    alert: str = ""
    expr: str  # PromQL, possibly of several lines
    hold: str = ""  # `for`: how long it must be true, "5m"; "": at once
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}


def keyed_groups(rules_by_group: Mapping[str, Sequence[Rule]]) -> str:
    """The contract's body: a map of groups."""
    return "".join(
        f"{_quoted(group)}:\n  rules:\n{indent(''.join(_entry(rule) for rule in rules), '    ')}"
        for group, rules in rules_by_group.items()
    )


def listed_groups(rules_by_group: Mapping[str, Sequence[Rule]]) -> str:
    """A rule file of Prometheus: a list of groups."""
    return "groups:\n" + "".join(
        f"  - name: {_quoted(group)}\n    rules:\n{indent(''.join(_entry(rule) for rule in rules), '      ')}"
        for group, rules in rules_by_group.items()
    )


def _entry(rule: Rule) -> str:
    """An item of a list."""
    return f"- {indent(''.join(_fields(rule)), '  ').removeprefix('  ')}"


def _fields(rule: Rule) -> Iterator[str]:
    yield f"record: {rule.record}\n" if rule.record else f"alert: {rule.alert}\n"
    yield f"expr: |-\n{indent(rule.expr, '  ')}\n"
    if rule.hold:
        yield f"for: {rule.hold}\n"
    for name, texts in (("labels", rule.labels), ("annotations", rule.annotations)):
        if texts:
            yield f"{name}:\n"
            yield from (f"  {key}: {_quoted(text)}\n" for key, text in texts.items())


def _quoted(text: str) -> str:
    """A double-quoted scalar, whose escapes are those of JSON. Source: YAML 1.2, 7.3.1."""
    return json.dumps(text, ensure_ascii=False)

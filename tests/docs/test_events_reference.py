"""The page on events has every type with its fields, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from msgspec import structs

from rangeland.state.events import KEPT, KEPT_DAYS
from rangeland.wire.events import INFOS, EventInfo

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "events.md").read_text(encoding="utf-8")
ROWS = {row[0]: row[1] for row in re.findall(r"^\| `([a-z_]+)` \| [^|]+ \| ([^|]+) \|$", PAGE, re.MULTILINE)}


@pytest.mark.parametrize("info", INFOS, ids=lambda info: info.event_type)
def test_a_type_is_documented_with_its_fields(info: type[EventInfo]) -> None:
    named = set(re.findall(r"`([A-Z]\w+)`", ROWS[info.event_type]))
    assert named == {field.name for field in structs.fields(info)}


def test_no_type_is_documented_that_does_not_exist() -> None:
    assert set(ROWS) - {"event_type"} == {info.event_type for info in INFOS}


def test_the_caps_are_told() -> None:
    assert f"{KEPT:,} events about users" in PAGE
    assert f"for {KEPT_DAYS} days" in PAGE

"""The loader of `.sql` files: what a header says, which version is chosen, and what it refuses."""

from __future__ import annotations

import pytest

from rangeland.collect.ranges import CHUNK_ROWS
from rangeland.sql import Column, block, blocks
from rangeland.sql.blocks import parse_blocks

THINGS = """-- The things.

-- name: list_things
-- Every thing,
-- oldest first.
-- since: 150000
-- on: any
-- takes: username text
-- needs: pg_monitor
-- returns: pid int4, started timestamptz,
--   names text[]
SELECT pid, started, names FROM things WHERE name LIKE 'a%%' AND owner = %(username)s
ORDER BY started;

-- name: list_things
-- Newer servers know more.
-- since: 170000
-- on: primary
-- needs: nothing
-- returns: nothing
SELECT
"""


def test_a_header_says_what_a_statement_takes_needs_and_returns() -> None:
    found = parse_blocks("things", THINGS)[0]
    assert found.purpose == "Every thing, oldest first."
    assert (found.resource, found.name, found.since, found.on) == ("things", "list_things", 150000, "any")
    assert found.takes == (Column("username", "text"),)
    assert found.needs == ("pg_monitor",)
    assert found.returns == (
        Column("pid", "int4"),
        Column("started", "timestamptz"),
        Column("names", "text[]"),
    )


def test_the_statement_comes_without_header_and_semicolon() -> None:
    text = parse_blocks("things", THINGS)[0].text
    assert text.startswith("SELECT pid")
    assert text.endswith("ORDER BY started")


def test_nothing_needed_and_nothing_returned_are_empty() -> None:
    found = parse_blocks("things", THINGS)[1]
    assert (found.takes, found.needs, found.returns) == ((), (), ())


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("-- since: 150000\n", "", "lacks since"),
        ("-- on: any", "-- on: moon", "`on` is primary, standby or any"),
        ("-- Every thing,\n-- oldest first.\n", "", "a sentence"),
        ("-- takes: username text\n", "", "differ from `takes`"),
        ("'a%%'", "'a%'", "written %%"),
        ("pid int4,", "pid,", "`name type, name type`"),
        ("since: 170000", "since: 150000", "twice"),
    ],
)
def test_refuses_a_header_that_is_wrong(old: str, new: str, complaint: str) -> None:
    assert old in THINGS
    with pytest.raises(ValueError, match=complaint):
        parse_blocks("things", THINGS.replace(old, new))


def test_an_older_server_gets_the_older_form() -> None:
    assert block("nodes", "read_checkpoints", 160009).since < 170000
    assert block("nodes", "read_checkpoints", 180001).since >= 170000


def test_an_unknown_block_is_a_lookup_error() -> None:
    with pytest.raises(LookupError, match="no block 'nonsense'"):
        block("nodes", "nonsense", 180000)
    with pytest.raises(LookupError, match="version 90000"):
        block("nodes", "read_status", 90000)


def test_every_file_parses_and_every_block_exists_for_the_oldest_server_we_serve() -> None:
    every = blocks()
    assert {"sessions", "nodes", "ranges", "hot_ranges"} <= {found.resource for found in every}
    for found in every:
        assert block(found.resource, found.name, 150000).since <= 150000


def test_a_chunk_of_ranges_is_what_its_statement_gives_at_most() -> None:
    """A statement that gave less would look like the end of the list."""
    assert f"LIMIT {CHUNK_ROWS})" in block("ranges", "list_range_oids", 150000).text

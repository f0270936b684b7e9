"""A range's number, names and keys, as both its own page and the list of hot ranges show them.

A key is `/Table/<database>/<schema>.<table>/<bound>`, the names quoted as in SQL where they must be. `<bound>` is
`Min` or `Max` for a whole table. A partition's keys begin with its parent's names: by range `(1)` to `(10)`, and by
list, hash or default `IN ('a')/Min` to `IN ('a')/Max`, `WITH (modulus 4, remainder 1)/Min`, `DEFAULT/Min`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from rangeland.collect.text import text_from_bytes
from rangeland.wire.ranges import Span

# Quoted text counts as one piece, so that `) TO (` within it is no border.
_BY_RANGE = re.compile(r"FROM (?P<start>\((?:[^']|'[^']*')*?\)) TO (?P<end>\(.*\))", re.DOTALL)


class RangeRow(NamedTuple):
    """A row of sql/ranges.sql, describe_ranges."""

    oid: int
    database: bytes
    schema_name: bytes
    table_name: bytes
    kind: str
    is_shared: bool
    is_unlogged: bool
    key_database: bytes  # quoted
    key_table: bytes  # quoted; of a partition: its parent
    bound: bytes | None  # "FOR VALUES …" or "DEFAULT"; None: no partition
    index_names: list[bytes] | None  # by name; None: there is no index


def range_id_of(number: int, oid: int) -> int:
    """The same on every physical copy, below 2^53 so that JavaScript and jq keep it exact."""
    return number << 32 | oid


def split_range_id(range_id: int) -> tuple[int, int]:
    """Return the database's number and the table's oid; the number may well be nobody's."""
    return range_id >> 32, range_id & 0xFFFF_FFFF


def span_from_row(row: RangeRow) -> Span:
    """Return the keys between which the range lies."""
    table = f"/Table/{text_from_bytes(row.key_database)}/{text_from_bytes(row.key_table)}"
    bound = text_from_bytes(row.bound).removeprefix("FOR VALUES ")
    if by_range := _BY_RANGE.fullmatch(bound):
        return Span(f"{table}/{by_range['start']}", f"{table}/{by_range['end']}")
    prefix = f"{table}/{bound}" if bound else table
    return Span(f"{prefix}/Min", f"{prefix}/Max")

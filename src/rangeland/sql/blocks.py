"""Reads the named blocks of the `.sql` files and chooses the one for a server's version.

A file opens with comments of its own and then holds blocks. A block is a header of comment lines and a
statement:

    -- name: list_things
    -- One sentence, or a few: what it reads and what a reader must know (order, cost, absence).
    -- since: 150000
    -- on: any
    -- takes: username text, page_size int8
    -- needs: pg_monitor
    -- returns: pid int4, started timestamptz,
    --   names text[]
    SELECT …

* `name`: unique in its file; a block is repeated with a higher `since` for a newer server.
* `since`: the `server_version_num` from which it holds; the highest `since` that a server reaches is chosen.
* `on`: `primary`, `standby` or `any`.
* `takes`: the parameters and their types (left out when there are none). In the statement a parameter is
  psycopg's `%(username)s`, with a cast wherever the server couldn't tell the type; a literal percent sign is
  `%%`.
* `needs`: the roles that suffice, separated by commas (`pg_monitor`, `rangeland`, `superuser`), or `nothing`.
* `returns`: columns in order with the types as `regtype` prints or accepts them, or `nothing`.

A header line that begins with a blank more continues the one before it. Comments inside the statement say
why, and reach the server; the final semicolon doesn't. `tests/pg/test_sql_blocks.py` runs every block on
every installed server, primary and standby, as a role that has no more than `needs`, and compares the
columns.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal, cast, get_args

On = Literal["primary", "standby", "any"]

_NAME_LINE = re.compile(r"^-- name: (.*)$", re.MULTILINE)
_HEADER_LINE = re.compile(r"^--(?: (?P<continued> +)?(?P<text>.*))?$")
_FIELD = re.compile(r"^(?P<field>since|on|takes|needs|returns): *(?P<value>.*)$")
_PLACEHOLDER = re.compile(r"%(?:%|\((?P<name>[a-z0-9_]+)\)s|(?P<stray>.|$))", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Column:
    """A column that a block returns, or a parameter that it takes; `type` is what `regtype` accepts."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Block:
    """One statement for servers from `since` on; run with a mapping of parameters, even an empty one."""

    resource: str
    name: str
    text: str
    purpose: str
    since: int
    on: On
    takes: tuple[Column, ...]
    needs: tuple[str, ...]  # empty: any role may run it
    returns: tuple[Column, ...]  # in order; empty: returns no rows

    def by_name(self, row: Sequence[Any]) -> dict[str, Any]:
        """The values of a row, by column."""
        return {column.name: value for column, value in zip(self.returns, row, strict=True)}


def block(resource: str, name: str, version: int) -> Block:
    """Return the newest form of a block that a server of `version` (its `server_version_num`) understands.

    Raises: LookupError when the file has no such block, or none for a server that old.
    """
    found = _newest(resource, name, version)
    if found is None:
        raise LookupError(f"sql/{resource}.sql has no block {name!r} for a server of version {version}")
    return found


def blocks(resource: str | None = None) -> list[Block]:
    """Return every block in every version, of one resource or of all, in the order of the files."""
    return [found for each in ([resource] if resource else _resources()) for found in _read(each)]


def parse_blocks(resource: str, text: str) -> list[Block]:
    """Split the text of `resource`'s file into its blocks, in order.

    Raises: ValueError naming file and block where the header is incomplete or doesn't match the statement.
    """
    starts = [match.start() for match in _NAME_LINE.finditer(text)]
    ends = [*starts[1:], len(text)]
    parsed = [_parse_block(resource, text[start:end]) for start, end in zip(starts, ends, strict=True)]
    keys = [(found.name, found.since) for found in parsed]
    for key in keys:
        if keys.count(key) > 1:
            raise ValueError(f"sql/{resource}.sql: block {key[0]!r} is there twice for since {key[1]}")
    return parsed


@cache
def _newest(resource: str, name: str, version: int) -> Block | None:
    fitting = [found for found in _read(resource) if found.name == name and found.since <= version]
    return max(fitting, key=lambda found: found.since, default=None)


@cache
def _read(resource: str) -> tuple[Block, ...]:
    path = files("rangeland.sql") / f"{resource}.sql"
    return tuple(parse_blocks(resource, path.read_text(encoding="utf-8")))


def _resources() -> list[str]:
    names = [path.name for path in files("rangeland.sql").iterdir()]
    return sorted(name.removesuffix(".sql") for name in names if name.endswith(".sql"))


def _parse_block(resource: str, text: str) -> Block:
    name = text.splitlines()[0].removeprefix("-- name: ").strip()
    where = f"sql/{resource}.sql, block {name!r}"
    header, statement = _split_header(text)
    purpose, fields = _parse_header(header)
    missing = [field for field in ("since", "on", "needs", "returns") if field not in fields]
    if missing or not purpose or not re.fullmatch("[a-z][a-z0-9_]*", name):
        raise ValueError(f"{where}: the header lacks {', '.join(missing) or 'a sentence or a plain name'}")
    if fields["on"] not in get_args(On):
        raise ValueError(f"{where}: `on` is primary, standby or any, not {fields['on']!r}")
    takes = _parse_columns(where, fields.get("takes", "nothing"))
    _require_placeholders(where, statement, {column.name for column in takes})
    return Block(
        resource=resource,
        name=name,
        text=statement,
        purpose=purpose,
        since=int(fields["since"]),
        on=cast(On, fields["on"]),
        takes=takes,
        needs=tuple(role.strip() for role in fields["needs"].split(",") if role.strip() != "nothing"),
        returns=_parse_columns(where, fields["returns"]),
    )


def _split_header(text: str) -> tuple[list[str], str]:
    """Return the comment lines below the name, and the statement without its semicolon."""
    lines = text.splitlines()[1:]
    end = next((i for i, line in enumerate(lines) if not line.startswith("--")), len(lines))
    return lines[:end], "\n".join(lines[end:]).strip().removesuffix(";").rstrip()


def _parse_header(lines: list[str]) -> tuple[str, dict[str, str]]:
    purpose: list[str] = []
    fields: dict[str, str] = {}
    current: str | None = None
    for line in lines:
        match = _HEADER_LINE.match(line)
        text = (match["text"] or "").strip() if match else ""
        if match and match["continued"] and current:
            fields[current] += f" {text}"
        elif field := _FIELD.match(text):
            current = field["field"]
            fields[current] = field["value"].strip()
        elif text:
            current = None
            purpose.append(text)
    return " ".join(purpose), fields


def _parse_columns(where: str, text: str) -> tuple[Column, ...]:
    if text == "nothing":
        return ()
    pairs = [part.strip().partition(" ") for part in text.split(",")]
    if any(not name or not type_ for name, _, type_ in pairs):
        raise ValueError(f"{where}: `name type, name type` or `nothing` expected, not {text!r}")
    return tuple(Column(name, type_.strip()) for name, _, type_ in pairs)


def _require_placeholders(where: str, statement: str, names: set[str]) -> None:
    if not statement:
        raise ValueError(f"{where}: there is no statement below the header")
    found = list(_PLACEHOLDER.finditer(statement))
    if any(match["stray"] is not None for match in found):
        raise ValueError(f"{where}: a percent sign that isn't a parameter is written %%")
    used = {match["name"] for match in found if match["name"]}
    if used != names:
        raise ValueError(f"{where}: parameters used {sorted(used)} differ from `takes` {sorted(names)}")

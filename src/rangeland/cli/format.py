"""Rows of a command's answer as text: a table or records for people, the other formats for programs."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

FORMATS = ("table", "tsv", "csv", "json", "ndjson", "records", "raw")

# What a cell holds. None means that there is no value: NULL, and null in json. A datetime is aware.
Cell = str | int | float | bool | datetime | None

_Command = TypeVar("_Command", bound=Callable[..., Any])


def format_option(command: _Command) -> _Command:
    """Add `--format`; the command gets `output_format`, None when it wasn't given."""
    return click.option(
        "--format",
        "output_format",
        type=click.Choice(FORMATS),
        help="How rows are printed.  [default: table on a terminal, otherwise tsv]",
    )(command)


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[Cell]], output_format: str | None) -> None:
    """Write the rows to stdout in their order; without a format a table on a terminal and otherwise tsv."""
    chosen = output_format or ("table" if sys.stdout.isatty() else "tsv")
    click.echo(render_rows(columns, list(rows), chosen), nl=False)


def render_rows(columns: Sequence[str], rows: Sequence[Sequence[Cell]], output_format: str) -> str:
    """The text of one of FORMATS, with its last line end. Times are UTC, without zone except in json and ndjson."""
    match output_format:
        case "table":
            return _table(columns, rows)
        case "json":
            return _json(columns, rows)
        case "ndjson":
            return "".join(f"{line}\n" for line in _objects(columns, rows))
        case "records":
            return _records(columns, rows)
        case "raw":
            return _raw(columns, rows)
        case "csv":
            return _separated(columns, rows, ",")
        case "tsv":
            return _separated(columns, rows, "\t")
    raise ValueError(f"no such format: {output_format}")


def _json(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A list with one object a line, so that `grep` and `jq` both serve."""
    return "[\n" + ",\n".join(_objects(columns, rows)) + "\n]\n" if rows else "[]\n"


def _objects(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> list[str]:
    return [json.dumps(dict(zip(columns, map(_json_value, row), strict=True)), ensure_ascii=False) for row in rows]


def _json_value(cell: Cell) -> str | int | float | bool | None:
    return cell.astimezone(UTC).isoformat().replace("+00:00", "Z") if isinstance(cell, datetime) else cell


def _separated(columns: Sequence[str], rows: Sequence[Sequence[Cell]], separator: str) -> str:
    """A header line, then a line a row; a cell with separator, quote or line end stands in quotes."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_text(cell) for cell in row] for row in rows)
    return out.getvalue()


def _records(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A line a cell under `-[ RECORD 1 ]`; a cell of several lines has `+` at the end of all but its last.

    Source: the reference's SQL shell, which has it from psql's \\x.
    """
    width = max(map(_width, columns))
    lines = []
    for number, row in enumerate(rows, start=1):
        lines.append(f"-[ RECORD {number} ]")
        for column, cell in zip(columns, row, strict=True):
            *continued, last = map(printable, _text(cell).split("\n"))
            texts = [*(f"{text}+" for text in continued), last]
            labels = [column, *[""] * len(continued)]
            lines.extend(f"{_left(label, width)} | {text}" for label, text in zip(labels, texts, strict=True))
    return "".join(f"{line}\n" for line in lines)


def _raw(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Each cell as it is, behind its length in bytes: it may hold anything. Source: the reference's SQL shell."""
    lines = [f"# {_counted(len(columns), 'column')}"]
    for number, row in enumerate(rows, start=1):
        lines.append(f"# row {number}")
        for text in map(_text, row):
            lines.extend((f"## {len(text.encode())}", text))
    lines.append(f"# {_counted(len(rows), 'row')}")
    return "\n".join(lines) + "\n"


def _table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """psql's table: header centred, numbers to the right, then the count of rows.

    Never cut to the terminal's width: a token must survive being copied.
    """
    cells = [[printable(_text(cell)) for cell in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(columns, *cells, strict=True)]
    lines = [_line(columns, widths, [_centred] * len(columns)), "-+-".join("-" * width for width in widths)]
    lines[1] = f"-{lines[1]}-"
    for row, texts in zip(rows, cells, strict=True):
        lines.append(_line(texts, widths, [_right if _is_number(cell) else _left for cell in row]))
    lines.append(f"({_counted(len(rows), 'row')})")
    return "\n".join(lines) + "\n"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _line(texts: Sequence[str], widths: Sequence[int], aligned: Sequence[Callable[[str, int], str]]) -> str:
    padded = (align(text, width) for text, width, align in zip(texts, widths, aligned, strict=True))
    return f" {' | '.join(padded)}".rstrip()


def _left(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def _right(text: str, width: int) -> str:
    return " " * (width - _width(text)) + text


def _centred(text: str, width: int) -> str:
    return _left(" " * ((width - _width(text)) // 2) + text, width)


def _width(text: str) -> int:
    """How many columns of a terminal the text takes: a Chinese character takes two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # only here: most tables are ASCII

    return cell_len(text)


def printable(text: str) -> str:
    """Control characters as escapes: names come from users, and a terminal obeys what it is sent."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _is_number(cell: Cell) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _text(cell: Cell) -> str:
    match cell:
        case None:
            return "NULL"
        case bool():
            return "true" if cell else "false"
        case datetime():
            return cell.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ")
    return str(cell)

"""Rows of a command's answer as text: a table for people, tsv, csv and json for programs."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

FORMATS = ("table", "json", "csv", "tsv")

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
    """The text of one of FORMATS, with its last line end. Times are UTC, without zone except in json."""
    match output_format:
        case "table":
            return _table(columns, rows)
        case "json":
            return _json(columns, rows)
        case "csv":
            return _separated(columns, rows, ",")
        case "tsv":
            return _separated(columns, rows, "\t")
    raise ValueError(f"no such format: {output_format}")


def _json(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A list with one object a line, so that `grep` and `jq` both serve."""
    objects = [json.dumps(dict(zip(columns, map(_json_value, row), strict=True)), ensure_ascii=False) for row in rows]
    return "[\n" + ",\n".join(objects) + "\n]\n" if objects else "[]\n"


def _json_value(cell: Cell) -> str | int | float | bool | None:
    return cell.astimezone(UTC).isoformat().replace("+00:00", "Z") if isinstance(cell, datetime) else cell


def _separated(columns: Sequence[str], rows: Sequence[Sequence[Cell]], separator: str) -> str:
    """A header line, then a line a row; a cell with separator, quote or line end stands in quotes."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_text(cell) for cell in row] for row in rows)
    return out.getvalue()


def _table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """psql's table: header centred, numbers to the right, then the count of rows.

    Never cut to the terminal's width: a token must survive being copied.
    """
    cells = [[_printable(_text(cell)) for cell in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(columns, *cells, strict=True)]
    lines = [_line(columns, widths, [_centred] * len(columns)), "-+-".join("-" * width for width in widths)]
    lines[1] = f"-{lines[1]}-"
    for row, texts in zip(rows, cells, strict=True):
        lines.append(_line(texts, widths, [_right if _is_number(cell) else _left for cell in row]))
    lines.append(f"({len(rows)} row{'' if len(rows) == 1 else 's'})")
    return "\n".join(lines) + "\n"


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


def _printable(text: str) -> str:
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

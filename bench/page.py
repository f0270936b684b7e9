"""docs/benchmarks.md: the table that is written anew, between texts that are not."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path

import psutil

from bench.line import Line

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- begin: make bench -->\n", "<!-- end -->\n"
HEADINGS = ("question", "goal", "figure", "beside it", "verdict")


def verdict(line: Line) -> str:
    """In one or two words."""
    return {True: "met", False: "missed", None: "not measured"}[line.met]


def table(lines: Sequence[Line]) -> str:
    """The lines in Markdown, notes behind their figures."""
    rows = [
        (line.question, line.goal, "; ".join(filter(None, (line.figure, line.note))), line.peer, verdict(line))
        for line in lines
    ]
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (HEADINGS, *rows)]
    written = [f"| {' | '.join(row)} |" for row in cells]
    written.insert(1, "|" + "---|" * len(HEADINGS))
    return "\n".join(written) + "\n"


def page(text: str, lines: Sequence[Line], machine: str) -> str:
    """The page with another table. Raises: LookupError where its place is not marked."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise LookupError(f"{PAGE.name} has no {BEGIN.strip()} … {END.strip()}")
    return f"{before}{BEGIN}\n{machine}\n\n{table(lines)}\n{END}{after}"


def this_machine() -> str:
    """What the figures depend on; nothing that tells whose machine it is."""
    cores = os.cpu_count() or 0
    memory_gb = psutil.virtual_memory().total / 1e9
    return f"{cores} cores, {memory_gb:.0f} GB of memory, {platform.system()}, Python {platform.python_version()}."

"""Writes the tables of docs/explanation/faults.md from what the tests of faults handed over: see `make faults`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from cluster.fault_results import (
    COLUMNS,
    FIRST,
    KNOWN,
    Answer,
    Recovery,
    column_of,
    fault_names,
    read_results,
)

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "faults.md"
BEGIN, END = "<!-- begin: make faults -->\n", "<!-- end -->\n"
# So far apart, and so far from our own time limits, that a busier machine seldom changes a cell.
BOUNDS_S = (1.0, 3.0, 5.0)
RECOVERY_BOUNDS_S = (3.0, 10.0, 20.0)


def page(text: str, answers: Sequence[Answer], recoveries: Sequence[Recovery]) -> str:
    """The page with new tables. Raises: LookupError where a fault was not tested."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    recovery = [["fault", "all well again"]]
    recovery += [[name, _recovery(recoveries, name)] for name in fault_names()]
    tables = [
        "### At first\n",
        _table(_rows(answers, FIRST)),
        "### Once known\n",
        _table(_rows(answers, KNOWN)),
        "### Afterwards\n",
        _table(recovery),
    ]
    return before + BEGIN + "\n" + "\n".join(tables) + "\n" + END + after


def _rows(answers: Sequence[Answer], moment: str) -> list[list[str]]:
    rows = [["fault", *COLUMNS]]
    for name in fault_names():
        own = [answer for answer in answers if (answer.fault, answer.moment) == (name, moment)]
        if not own:
            raise LookupError(f"nothing was handed over of: {name}, {moment}")
        rows.append(
            [name, *(_cell(answer for answer in own if column_of(answer.endpoint) == col) for col in COLUMNS)]
        )
    return rows


def _cell(answers: Iterable[Answer]) -> str:
    """What was said, each once, and the slowest of all. Under a second goes without saying."""
    own = list(answers)
    words = " or ".join(sorted({answer.says for answer in own}))
    slowest = _bound(max(answer.elapsed_s for answer in own), BOUNDS_S)
    return words if slowest == BOUNDS_S[0] else f"{words}, {slowest:g} s"


def _recovery(recoveries: Iterable[Recovery], name: str) -> str:
    found = [recovery.elapsed_s for recovery in recoveries if recovery.fault == name]
    if not found:
        raise LookupError(f"nothing was handed over of the end of: {name}")
    return f"within {_bound(max(found), RECOVERY_BOUNDS_S):g} s"


def _bound(elapsed_s: float, bounds_s: Sequence[float]) -> float:
    return next((bound for bound in bounds_s if elapsed_s <= bound), bounds_s[-1])


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "|" + "---|" * len(rows[0]))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8"), *read_results(Path(sys.argv[1]))), "utf-8")

"""The tables of the reference's page of problems: every kind and every limit, between their marks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rangeland.checks.table import CHECKS

_MARK = re.compile(r"^<!-- (kinds|limits) -->\n(?:.*?^)?<!-- end -->$", re.MULTILINE | re.DOTALL)


def filled_problems(page: str) -> str:
    """The page with both tables as the checks have them now."""
    tables = {"kinds": _kind_rows, "limits": _limit_rows}
    return _MARK.sub(
        lambda mark: "\n".join([f"<!-- {mark[1]} -->", "", *tables[mark[1]](), "", "<!-- end -->"]), page
    )


def _kind_rows() -> Iterator[str]:
    """By kind."""
    yield from ("| kind | meaning |", "|---|---|")
    for kind, name, meaning in sorted(
        (kind, each.name, text) for each in CHECKS for kind, text in each.kinds.items()
    ):
        yield f"| [`{kind}`](problems/{name}.md#{kind}) | {_cell(meaning)} |"


def _limit_rows() -> Iterator[str]:
    """By name."""
    yield from ("| limit | default | why |", "|---|---|---|")
    for limit in sorted(
        {limit.name: limit for each in CHECKS for limit in each.limits}.values(), key=lambda it: it.name
    ):
        yield f"| `{limit.name}` | {number_text(limit.default)} | {_cell(limit.source)} |"


def number_text(number: float) -> str:
    """As `--limits` takes it: `600`, `0.8`, `10737418240`."""
    return str(int(number)) if number == int(number) else str(number)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")

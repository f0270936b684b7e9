"""`rangeland doctor`: what is wrong with the cluster, for people, scripts and monitoring systems."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from rangeland.cli.duration import Duration
from rangeland.cli.format import Cell, format_option, print_rows, printable
from rangeland.cli.settings import read_settings, takes_settings

if TYPE_CHECKING:
    from rangeland.wire.problems import Problem, ProblemsAnswer, Progress, Unchecked

COLUMNS = (
    "severity",
    "kind",
    "node_id",
    "database",
    "object",
    "summary",
    "since",
    "next_step",
    "run_on",
    "sql",
    "shell",
)
# As every plugin of Nagios and Icinga ends. Source: Monitoring Plugins Development Guidelines, plugin return codes.
OK, WARNING, CRITICAL, UNKNOWN = 0, 1, 2, 3
WORDS = {OK: "OK", WARNING: "WARNING", CRITICAL: "CRITICAL", UNKNOWN: "UNKNOWN"}
CHECK_LINES = 50  # of a check's long output: Nagios keeps 8 kB
COLOURS = {"critical": "red", "warning": "yellow", "info": "cyan"}
INDENT = " " * 10  # CRITICAL and two blanks
MOST_COLUMNS = 120  # longer lines are hard to read


class Interval(Duration):
    """At least a second: a shorter one would only load the servers."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        interval = super().convert(value, param, ctx)
        if interval < timedelta(seconds=1):
            self.fail(f"{value!r} is less than 1s", param, ctx)
        return interval


@click.command("doctor")
@click.option(
    "--watch", "every", type=Interval(), metavar="DURATION", help="Look again after that long, until Ctrl-C."
)
@click.option("--check", "as_check", is_flag=True, help="One line and the problems, as a check of Nagios or Icinga.")
@takes_settings("doctor")
@format_option
def command(every: timedelta | None, as_check: bool, output_format: str | None, **flags: Any) -> int:
    """Say what is wrong with the cluster and what to do, the worst first.

    Ends with 0 where nothing is wrong (or only notes of severity info), 1 for warnings, 2 where something is
    critical, 3 where nobody could say. Asks the node of --url, signed with the cluster key in --certs-dir: no login
    is needed.
    """
    if every is not None:
        signal.signal(signal.SIGINT, _leave)
    while True:
        status = _look(flags, as_check, output_format, is_again=every is not None)
        if every is None:
            return status
        sys.stdout.flush()
        time.sleep(every.total_seconds())


def _leave(_number: int, _frame: FrameType | None) -> None:
    """At once: an exception that comes while an object is finalised is lost, and the watch would go on. What was
    shown is flushed.
    """
    os._exit(130)


def _look(flags: dict[str, Any], as_check: bool, output_format: str | None, *, is_again: bool) -> int:
    """Print once; the status to end with."""
    from rangeland.cli.asking import ask_node
    from rangeland.cluster import questions as q
    from rangeland.errors import RangelandError
    from rangeland.wire.parts import Nothing

    is_for_people = output_format is None and not as_check and sys.stdout.isatty()
    try:
        answer = ask_node(read_settings("doctor", flags), q.LIST_PROBLEMS, Nothing())
    except RangelandError as exc:
        text = _line(str(exc))
        click.echo(f"RANGELAND UNKNOWN: {text}" if as_check else f"ERROR: {text}", err=not as_check)
        return UNKNOWN
    if is_for_people and is_again:
        click.clear()
        click.echo(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n")
    if as_check:
        click.echo("\n".join(_check_lines(answer)))
    elif is_for_people:
        click.echo("\n".join(_report(answer, datetime.now(UTC), _columns())))
    else:
        print_rows(COLUMNS, map(_row, answer.problems), output_format)
        for line in _unknown(answer):
            click.echo(line, err=True)
    return status_of(answer)


def status_of(answer: ProblemsAnswer) -> int:
    """What the worst of it is. A node that didn't answer is a warning, a check that wasn't made unknown."""
    severities = {problem.severity.value for problem in answer.problems}
    if "critical" in severities:
        return CRITICAL
    if "warning" in severities or answer.errors:
        return WARNING
    return UNKNOWN if answer.unchecked else OK


def _row(problem: Problem) -> list[Cell]:
    return [
        problem.severity.value,
        problem.kind,
        problem.node_id or None,
        problem.database or None,
        problem.object or None,
        problem.summary,
        problem.since or None,
        problem.next_step,
        problem.run_on_node_id or None,
        problem.sql or None,
        problem.shell or None,
    ]


# For Nagios and Icinga. Source: Monitoring Plugins Development Guidelines, plugin output, performance data.


def _check_lines(answer: ProblemsAnswer) -> Iterator[str]:
    """The status, the counts and the worst in one line, then a line a problem."""
    counts = _counts(answer)
    figures = (
        f"critical={counts['critical']};;0;0 warning={counts['warning']};0;;0 info={counts['info']};;;0 "
        f"unchecked={len(answer.unchecked) + len(answer.errors)};;;0"
    )
    lines = [f"{each.severity.value}: {_place(each)}: {each.summary}" for each in answer.problems]
    lines += _unknown(answer)
    first = f"{_counted(answer)}; {lines[0]}" if lines else _counted(answer)
    yield f"RANGELAND {WORDS[status_of(answer)]}: {_line(first)} | {figures}"
    yield from map(_line, lines[:CHECK_LINES])
    if len(lines) > CHECK_LINES:
        yield f"and {len(lines) - CHECK_LINES} more: rangeland doctor"


def _line(text: str) -> str:
    """What follows a | would be read as figures."""
    return printable(" ".join(text.split())).replace("|", "/")


# For people.


def _report(answer: ProblemsAnswer, now: datetime, columns: int) -> Iterator[str]:
    """Each problem with what to do, what runs, what is not known, and a line of counts."""
    for problem in answer.problems:
        yield from _told(problem, now, columns)
        yield ""
    for running in answer.progress:
        yield f"{'RUNS':<{len(INDENT)}}{printable(_running(running))}"
    unknown = list(_unknown(answer))
    yield from unknown
    if answer.progress or unknown:
        yield ""
    counted = _counted(answer)
    yield click.style(counted, bold=True)


def _told(problem: Problem, now: datetime, columns: int) -> Iterator[str]:
    """What and where, then what it is, what to do, and the command in lines of their own, to be copied."""
    severity = problem.severity.value
    word = click.style(severity.upper(), fg=COLOURS[severity], bold=True)
    blanks = " " * (len(INDENT) - len(severity))
    yield f"{word}{blanks}{printable(_place(problem))}  {problem.kind}{_age(problem, now)}"
    yield from (click.style(line, bold=True) for line in _wrapped(problem.summary, columns))
    yield from _wrapped(problem.next_step, columns)
    for what, text in (("psql", problem.sql), ("shell", problem.shell)):
        if text:
            yield f"{INDENT}{printable(_where_to_run(problem, what))}"
            yield from (f"{INDENT}    {printable(line)}" for line in _pasted(what, text).splitlines())


def _wrapped(text: str, columns: int) -> list[str]:
    return textwrap.wrap(
        printable(text),
        width=columns,
        initial_indent=INDENT,
        subsequent_indent=INDENT,
        break_long_words=False,  # they are names
        break_on_hyphens=False,
    )


def _where_to_run(problem: Problem, what: str) -> str:
    node = f"node {problem.run_on_node_id}" if problem.run_on_node_id else "any node"
    if what == "shell":
        return f"in a shell on the host of {node}:"
    return f"in psql at the server of {node}{f', database {problem.database}' if problem.database else ''}:"


def _pasted(what: str, text: str) -> str:
    return text if what == "shell" or text.rstrip().endswith(";") else f"{text.rstrip()};"


def _age(problem: Problem, now: datetime) -> str:
    from rangeland.checks.words import duration

    if not problem.since:
        return ""
    since = datetime.fromisoformat(problem.since)
    return f"  for {duration(max(0.0, (now - since).total_seconds()))}, since {since:%Y-%m-%d %H:%M:%S} UTC"


def _running(running: Progress) -> str:
    where = f", database {running.database}" if running.database else ""
    what = " ".join(filter(None, (running.command, running.object)))
    share = f", {100 * running.done // running.total} % of {running.total} {running.unit}" if running.total else ""
    phase = f": {running.phase}" if running.phase else ""
    return f"node {running.node_id}{where}, process {running.pid}: {what}{phase}{share}"


def _columns() -> int:
    return max(60, min(MOST_COLUMNS, shutil.get_terminal_size().columns))


# For all of them.


def _unknown(answer: ProblemsAnswer) -> Iterator[str]:
    """What nobody could tell, and what was left out, a line each."""
    for error in answer.errors:
        yield f"NO ANSWER {printable(error.message)}"
    for each in answer.unchecked:
        yield f"UNCHECKED {printable(f'{_unchecked_place(each)}: {each.message}')}"
    for kind, count in answer.omitted.items():
        yield f"AND {count} more of {kind}; all are at /api/v2/problems/?kind={kind}"


def _unchecked_place(each: Unchecked) -> str:
    places = [f"node {each.node_id}"]
    places += [f"database {each.database}"] if each.database else []
    places += [each.check] if each.check else []
    return ", ".join(places)


def _place(problem: Problem) -> str:
    places = [f"node {problem.node_id}"] if problem.node_id else []
    places += [f"database {problem.database}"] if problem.database else []
    return ", ".join(places) or "cluster"


def _counts(answer: ProblemsAnswer) -> Counter[str]:
    """By severity, of what is told; beyond a hundred of a kind there are more."""
    return Counter(problem.severity.value for problem in answer.problems)


def _counted(answer: ProblemsAnswer) -> str:
    counts = _counts(answer)
    unknown = len(answer.unchecked) + len(answer.errors)
    if not answer.problems and not unknown:
        return "nothing is wrong"
    told = [f"{counts['critical']} critical", f"{counts['warning']} warning", f"{counts['info']} info"]
    told += [f"{unknown} not known"] if unknown else []
    return ", ".join(told)

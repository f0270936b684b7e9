"""`rangeland doctor`: what is wrong with the cluster, for people, scripts and monitoring systems."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from rangeland.cli.duration import Duration
from rangeland.cli.format import Cell, format_option, print_rows
from rangeland.cli.settings import read_settings, takes_settings

if TYPE_CHECKING:
    from rangeland.wire.problems import ProblemsAnswer

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


@click.command("doctor")
@click.option(
    "--watch", "every", type=Duration(), metavar="DURATION", help="Look again after that long, until Ctrl-C."
)
@click.option("--check", "as_check", is_flag=True, help="One line and the problems, as a check of Nagios or Icinga.")
@takes_settings("doctor")
@format_option
def command(every: Any, as_check: bool, output_format: str | None, **flags: Any) -> int:
    """Say what is wrong with the cluster and what to do, the worst first.

    Ends with 0 where nothing is wrong (or only notes of severity info), 1 for warnings, 2 where something is
    critical, 3 where nobody could say. Asks the node of --url, signed with the cluster key in --certs-dir: no login
    is needed.
    """
    values = read_settings("doctor", flags)
    while True:
        status = _look(values, as_check, output_format)
        if every is None:
            return status
        sys.stdout.flush()
        time.sleep(every.total_seconds())


def _look(values: Mapping[str, Any], as_check: bool, output_format: str | None) -> int:
    """Print once; the status to end with."""
    from rangeland.cli.asking import ask_node
    from rangeland.cluster import questions as q
    from rangeland.errors import RangelandError
    from rangeland.wire.parts import Nothing

    try:
        answer = ask_node(values, q.LIST_PROBLEMS, Nothing())
    except RangelandError as exc:
        click.echo(f"RANGELAND UNKNOWN: {exc}" if as_check else f"ERROR: {exc}", err=not as_check)
        return UNKNOWN
    status = _status(answer)
    if as_check:
        click.echo(_check_text(answer, status))
    elif output_format is None and sys.stdout.isatty():
        click.echo(_text(answer))
    else:
        print_rows(COLUMNS, _rows(answer), output_format)
    return status


def _status(answer: ProblemsAnswer) -> int:
    severities = {problem.severity.value for problem in answer.problems}
    if "critical" in severities:
        return CRITICAL
    if "warning" in severities or answer.errors:
        return WARNING
    return UNKNOWN if answer.unchecked else OK


def _rows(answer: ProblemsAnswer) -> list[list[Cell]]:
    return [
        [
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
        for problem in answer.problems
    ]


def _check_text(answer: ProblemsAnswer, status: int) -> str:
    word = {OK: "OK", WARNING: "WARNING", CRITICAL: "CRITICAL", UNKNOWN: "UNKNOWN"}[status]
    counts = {"critical": 0, "warning": 0, "info": 0}
    for problem in answer.problems:
        counts[problem.severity.value] += 1
    perfdata = " ".join(f"{severity}={count}" for severity, count in counts.items())
    first = answer.problems[0].summary if answer.problems else _unsaid(answer) or "nothing is wrong"
    lines = [f"RANGELAND {word}: {_unpiped(first)} | {perfdata}"]
    lines += [
        _unpiped(f"{problem.severity.value}: {_where(problem)}{problem.summary}") for problem in answer.problems
    ]
    lines += [_unpiped(error.message) for error in answer.errors]
    return "\n".join(lines)


def _unpiped(text: str) -> str:
    """What follows a | would be read as figures."""
    return " ".join(text.split()).replace("|", "/")


def _unsaid(answer: ProblemsAnswer) -> str:
    if answer.errors:
        return answer.errors[0].message
    return f"{len(answer.unchecked)} checks could not be made" if answer.unchecked else ""


def _text(answer: ProblemsAnswer) -> str:
    lines = []
    for problem in answer.problems:
        since = f" (since {problem.since})" if problem.since else ""
        lines.append(f"{problem.severity.value.upper()}  {_where(problem)}{problem.summary}{since}")
        lines.append(f"    {problem.next_step}")
        where = f"on node {problem.run_on_node_id}" if problem.run_on_node_id else ""
        lines += [f"    {where}: {each}" for each in (problem.sql, problem.shell) if each]
    lines += [f"NOT ASKED  {error.message}" for error in answer.errors]
    lines += [f"NOT CHECKED  node {each.node_id}, {each.check}: {each.message}" for each in answer.unchecked]
    for running in answer.progress:
        share = f" {running.done * 100 // running.total} %" if running.total else ""
        lines.append(f"RUNS  node {running.node_id}: {running.command} {running.object} {running.phase}{share}")
    return "\n".join(lines) or "nothing is wrong"


def _where(problem: Any) -> str:
    where = [f"node {problem.node_id}"] if problem.node_id else []
    where += [f"database {problem.database}"] if problem.database else []
    return f"{', '.join(where)}: " if where else ""

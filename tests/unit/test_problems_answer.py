"""A list of problems is bounded, and says what it leaves out; so does the command that prints it."""

from __future__ import annotations

from click.testing import CliRunner

from rangeland.api.problems import MOST_OF_A_KIND, shortened
from rangeland.cli import doctor
from rangeland.wire.problems import Problem, ProblemsAnswer, Severity, Unchecked
from rangeland.wire.sessions import NodeError


def problem(kind: str, number: int = 0, severity: Severity = Severity.WARNING) -> Problem:
    return Problem(
        kind=kind,
        severity=severity,
        object=str(number),
        summary=f"summary\n{number}",
        source="s",
        next_step="n",
    )


def answer(*problems: Problem, unchecked: int = 0, errors: int = 0) -> ProblemsAnswer:
    return ProblemsAnswer(
        problems=list(problems),
        progress=[],
        unchecked=[Unchecked(node_id=number, message="m") for number in range(unchecked)],
        errors=[NodeError(node_id=number, message="m") for number in range(errors)],
    )


def test_of_each_kind_the_first_hundred_are_told_in_their_order_and_the_others_counted() -> None:
    many = [problem("a", number) for number in range(MOST_OF_A_KIND + 7)]
    found = shortened(answer(*many, problem("b"), unchecked=1, errors=2))
    assert found.problems == [*many[:MOST_OF_A_KIND], problem("b")]
    assert found.omitted == {"a": 7}
    assert (len(found.unchecked), len(found.errors)) == (1, 2)


def test_a_hundred_are_all_told() -> None:
    whole = answer(*(problem("a", number) for number in range(MOST_OF_A_KIND)))
    assert shortened(whole) == whole


def test_the_status_is_that_of_the_worst() -> None:
    critical, warning, info = (problem("a", severity=each) for each in Severity)
    assert doctor.status_of(answer()) == doctor.OK
    assert doctor.status_of(answer(info)) == doctor.OK
    assert doctor.status_of(answer(info, warning, unchecked=1)) == doctor.WARNING
    assert doctor.status_of(answer(info, warning, critical, errors=1)) == doctor.CRITICAL
    assert doctor.status_of(answer(unchecked=1)) == doctor.UNKNOWN
    assert doctor.status_of(answer(info, unchecked=1)) == doctor.UNKNOWN
    assert doctor.status_of(answer(errors=1)) == doctor.WARNING


def test_a_check_of_very_many_problems_fits_what_a_monitoring_system_keeps() -> None:
    lines = list(doctor._check_lines(shortened(answer(*(problem("a", number) for number in range(500))))))
    assert len(lines) == doctor.CHECK_LINES + 2
    assert lines[0].startswith("RANGELAND WARNING: 0 critical, 100 warning, 0 info; warning: cluster: summary 0 | ")
    assert lines[-1] == f"and {101 - doctor.CHECK_LINES} more: rangeland doctor"
    assert sum(map(len, lines)) < 8192


def test_the_help_tells_the_statuses() -> None:
    done = CliRunner().invoke(doctor.command, ["--help"])
    assert done.exit_code == 0
    for word in ("0 where", "1 for warnings", "2 where", "3 where"):
        assert word in " ".join(done.output.split())

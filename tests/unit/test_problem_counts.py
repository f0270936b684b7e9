"""What /metrics tells of problems: counted at most once a minute, beside the scrape, and never old."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from rangeland.api.problem_counts import AGE_S, KEPT_S, ProblemCounts
from rangeland.checks.table import KINDS
from rangeland.wire.problems import Problem, ProblemsAnswer, Severity, Unchecked

KIND = "slot_inactive"


class Judge:
    """Finds one problem more each time."""

    def __init__(self) -> None:
        self.asked = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def __call__(self) -> ProblemsAnswer:
        self.asked += 1
        await self.may_answer.wait()
        problem = Problem(kind=KIND, severity=Severity.WARNING, summary="s", source="s", next_step="n")
        unchecked = [Unchecked(node_id=1, message="m")]
        return ProblemsAnswer(problems=[problem] * self.asked, progress=[], unchecked=unchecked, errors=[])


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def told(counts: ProblemCounts, judge: Judge) -> dict[tuple[str, ...], float]:
    """By the labels' values; () is what is not known. {}: nothing is told."""
    return {
        tuple(sample.labels.values()): sample.value for family in counts.families(judge) for sample in family.samples
    }


def run(story: Callable[[ProblemCounts, Judge, Clock], Any]) -> None:
    async def all_of_it() -> None:
        clock = Clock()
        await story(ProblemCounts(clock), Judge(), clock)

    asyncio.run(all_of_it())


async def a_turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_the_first_scrape_tells_nothing_and_the_next_every_kind_and_severity() -> None:
    async def story(counts: ProblemCounts, judge: Judge, _clock: Clock) -> None:
        assert told(counts, judge) == {}
        await a_turn()
        found = told(counts, judge)
        assert found.pop(()) == 1
        assert found.pop((KIND, "warning")) == 1
        assert set(found.values()) == {0}
        assert len(found) == len(KINDS) * len(Severity) - 1

    run(story)


def test_it_is_counted_again_after_a_minute_and_not_before() -> None:
    async def story(counts: ProblemCounts, judge: Judge, clock: Clock) -> None:
        told(counts, judge)
        await a_turn()
        clock.now_s += AGE_S - 1
        told(counts, judge)
        await a_turn()
        assert judge.asked == 1
        clock.now_s += 1
        assert told(counts, judge)[KIND, "warning"] == 1, "no scrape waits"
        await a_turn()
        assert told(counts, judge)[KIND, "warning"] == 2

    run(story)


def test_scrapes_meanwhile_begin_no_other_count() -> None:
    async def story(counts: ProblemCounts, judge: Judge, _clock: Clock) -> None:
        judge.may_answer.clear()
        for _ in range(3):
            assert told(counts, judge) == {}
            await a_turn()
        assert judge.asked == 1
        judge.may_answer.set()
        await a_turn()
        assert told(counts, judge)

    run(story)


def test_a_count_that_nobody_renewed_is_not_told() -> None:
    async def story(counts: ProblemCounts, judge: Judge, clock: Clock) -> None:
        told(counts, judge)
        await a_turn()
        clock.now_s += KEPT_S
        assert told(counts, judge) == {}
        await a_turn()
        assert told(counts, judge)[KIND, "warning"] == 2

    run(story)


def test_what_another_node_counts_now_is_forgotten() -> None:
    async def story(counts: ProblemCounts, judge: Judge, _clock: Clock) -> None:
        told(counts, judge)
        await a_turn()
        counts.forget()
        assert told(counts, judge) == {}

    run(story)

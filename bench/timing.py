"""Two or more things measured in turn, so that what else the machine does falls on all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median, quantiles

__all__ = ["in_turn", "median", "p99", "timed"]


def in_turn(*measures: Callable[[], float], rounds: int) -> list[list[float]]:
    """A B A B …: what each gave in each round, the first round being a warm-up that doesn't count."""
    results: list[list[float]] = [[] for _ in measures]
    for round_ in range(rounds + 1):
        for measure, figures in zip(measures, results, strict=True):
            figure = measure()
            if round_:
                figures.append(figure)
    return results


def timed(work: Callable[[], object]) -> Callable[[], float]:
    """The work as a measure of how long it takes, in seconds."""

    def measure() -> float:
        begun = time.perf_counter()
        work()
        return time.perf_counter() - begun

    return measure


def p99(figures: list[float]) -> float:
    """The slowest of a hundred."""
    return quantiles(figures, n=100, method="inclusive")[98]

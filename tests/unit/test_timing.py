"""How an answer's time is counted by phase."""

from __future__ import annotations

import asyncio

from rangeland.cluster.flights import Flights
from rangeland.cluster.timing import PHASES, begin_timing, timed


def figures(header: str) -> dict[str, float]:
    """Milliseconds by phase."""
    pairs = [part.split(";dur=") for part in header.split(", ")]
    return {phase: float(ms) for phase, ms in pairs}


def test_all_phases_are_told_and_what_took_no_time_is_zero() -> None:
    assert begin_timing().header() == "auth;dur=0.000, collect;dur=0.000, fan-out;dur=0.000, encode;dur=0.000"
    assert tuple(figures(begin_timing().header())) == PHASES


async def _asked(seconds: float) -> None:
    with timed("fan-out"):
        await asyncio.sleep(seconds)


def test_what_goes_on_at_once_counts_once_and_what_follows_is_added() -> None:
    async def answer() -> str:
        timing = begin_timing()
        await asyncio.gather(*(_asked(0.05) for _ in range(20)))
        await _asked(0.05)
        return timing.header()

    told = figures(asyncio.run(answer()))
    assert 100 <= told["fan-out"] < 500, "twenty at once are not a second"
    assert told["collect"] == 0


def test_a_failure_counts_too() -> None:
    async def answer() -> str:
        timing = begin_timing()
        try:
            with timed("collect"):
                await asyncio.sleep(0.02)
                raise ValueError
        except ValueError:
            return timing.header()

    assert figures(asyncio.run(answer()))["collect"] >= 20


def test_who_joins_a_flight_is_told_what_it_took_and_nothing_of_another_s_own() -> None:
    flights = Flights()

    async def work() -> int:
        await _asked(0.05)
        return 1

    async def answer(auth_s: float) -> str:
        timing = begin_timing()
        with timed("auth"):
            await asyncio.sleep(auth_s)
        await flights.join("key", work)
        return timing.header()

    async def both() -> list[str]:
        return list(await asyncio.gather(answer(0.0), answer(0.01), answer(0.02)))

    told = [figures(header) for header in asyncio.run(both())]
    assert all(50 <= each["fan-out"] < 300 for each in told)
    assert [each["auth"] >= 10 for each in told] == [False, True, True]


def test_requests_at_once_are_measured_apart() -> None:
    async def answer(seconds: float) -> str:
        timing = begin_timing()
        await _asked(seconds)
        return timing.header()

    async def three() -> list[str]:
        return list(await asyncio.gather(*(asyncio.create_task(answer(each)) for each in (0.2, 0.0, 0.0))))

    long, *short = [figures(header)["fan-out"] for header in asyncio.run(three())]
    assert long >= 200 > 2 * max(short)


def test_where_nobody_measures_nothing_is_counted() -> None:
    asyncio.run(_asked(0.0))

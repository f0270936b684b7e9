"""Shared answers: never of data read before the question, and few of them."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from rangeland.cluster import Flights


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


class Source:
    """Counts how often it was read; a reading ends when it is released."""

    def __init__(self) -> None:
        self.begun = 0
        self.release = asyncio.Event()

    async def read(self) -> int:
        self.begun += 1
        number = self.begun
        await self.release.wait()
        return number


def test_64_callers_of_one_moment_share_two_readings() -> None:
    async def scenario() -> None:
        flights, source = Flights(), Source()
        callers = [asyncio.create_task(flights.join("key", source.read)) for _ in range(64)]
        await asyncio.sleep(0)
        source.release.set()
        answers = await asyncio.gather(*callers)
        assert answers == [1] + [2] * 63

    run(scenario())


def test_nobody_gets_a_reading_that_began_before_they_asked() -> None:
    async def scenario() -> None:
        flights, source = Flights(), Source()
        first = asyncio.create_task(flights.join("key", source.read))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(flights.join("key", source.read))
        await asyncio.sleep(0.01)
        assert source.begun == 1
        source.release.set()
        assert (await first, await second) == (1, 2)

    run(scenario())


def test_a_reading_that_hangs_holds_nobody_up_for_long() -> None:
    async def scenario() -> None:
        flights, source = Flights(), Source()
        first = asyncio.create_task(flights.join("key", source.read))
        await asyncio.sleep(0.01)

        async def quick() -> str:
            return "quick"

        async with asyncio.timeout(2):
            assert await flights.join("key", quick) == "quick"
        first.cancel()
        source.release.set()

    run(scenario())


def test_other_questions_do_not_wait() -> None:
    async def scenario() -> None:
        flights, source = Flights(), Source()
        first = asyncio.create_task(flights.join("one", source.read))
        second = asyncio.create_task(flights.join("other", source.read))
        await asyncio.sleep(0.01)
        assert source.begun == 2
        source.release.set()
        await asyncio.gather(first, second)

    run(scenario())


def test_an_error_reaches_everyone_who_joined_and_nobody_after() -> None:
    async def scenario() -> None:
        flights = Flights()

        async def fail() -> int:
            await asyncio.sleep(0)
            raise ValueError("no")

        async def succeed() -> int:
            return 7

        results = await asyncio.gather(*(flights.join("key", fail) for _ in range(3)), return_exceptions=True)
        assert [type(result) for result in results] == [ValueError] * 3
        assert await flights.join("key", succeed) == 7

    run(scenario())


def test_a_caller_who_leaves_takes_nothing_from_the_others() -> None:
    async def scenario() -> None:
        flights, source = Flights(), Source()
        leaving = asyncio.create_task(flights.join("key", source.read))
        await asyncio.sleep(0.01)
        staying = asyncio.create_task(flights.join("key", source.read))
        await asyncio.sleep(0.01)
        leaving.cancel()
        source.release.set()
        assert await staying == 2
        with pytest.raises(asyncio.CancelledError):
            await leaving

    run(scenario())

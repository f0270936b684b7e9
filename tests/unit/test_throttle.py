"""Guessing passwords gets slower; whoever guesses nothing does not notice."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from rangeland.auth.throttle import AT_ONCE, FREE_FAILURES, QUEUE, BusyError, Throttle


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


async def attempt(throttle: Throttle, name: str, address: str, *, patience_s: float = 0.05) -> None:
    deadline = asyncio.get_running_loop().time() + patience_s
    async with throttle.turn(name=name, address=address, deadline=deadline):
        pass


def test_a_few_typing_errors_cost_nothing() -> None:
    async def scenario() -> None:
        throttle = Throttle(Clock())
        for _ in range(FREE_FAILURES):
            await attempt(throttle, "ann", "10.0.0.1")
            throttle.failed(name="ann", address="10.0.0.1")
        await attempt(throttle, "ann", "10.0.0.1")

    run(scenario())


def test_an_address_that_guesses_is_told_to_come_back_ever_later() -> None:
    async def scenario() -> None:
        throttle = Throttle(Clock())
        waits = []
        for number in range(FREE_FAILURES + 9):
            throttle.failed(name=f"user{number}", address="10.0.0.1")
            try:
                await attempt(throttle, "somebody", "10.0.0.1", patience_s=0.0)
            except BusyError as exc:
                waits.append(exc.retry_after_s)
        assert waits == sorted(waits)
        assert waits[-1] == 30

    run(scenario())


def test_an_attack_on_a_name_from_elsewhere_delays_its_owner_by_two_seconds_at_most() -> None:
    async def scenario() -> None:
        throttle = Throttle(Clock())
        for number in range(1000):
            throttle.failed(name="ann", address=f"10.0.{number // 250}.{number % 250}")
        with pytest.raises(BusyError) as busy:
            await attempt(throttle, "ann", "192.0.2.7", patience_s=0.0)
        assert busy.value.retry_after_s <= 2

    run(scenario())


def test_another_name_from_another_address_is_not_delayed() -> None:
    async def scenario() -> None:
        throttle = Throttle(Clock())
        for _ in range(100):
            throttle.failed(name="ann", address="10.0.0.1")
        await attempt(throttle, "bob", "10.0.0.2", patience_s=0.01)

    run(scenario())


def test_the_right_password_ends_the_delay() -> None:
    async def scenario() -> None:
        throttle = Throttle(Clock())
        for _ in range(10):
            throttle.failed(name="ann", address="10.0.0.1")
        throttle.succeeded(name="ann", address="10.0.0.1")
        await attempt(throttle, "ann", "10.0.0.1", patience_s=0.01)

    run(scenario())


def test_failures_are_forgotten_after_ten_minutes() -> None:
    async def scenario() -> None:
        clock = Clock()
        throttle = Throttle(clock)
        for _ in range(10):
            throttle.failed(name="ann", address="10.0.0.1")
        clock.now += 601
        await attempt(throttle, "ann", "10.0.0.1", patience_s=0.01)

    run(scenario())


def test_more_than_the_queue_holds_are_told_to_come_back() -> None:
    async def scenario() -> None:
        throttle = Throttle(Clock())
        inside = asyncio.Event()

        async def stay(number: int) -> None:
            deadline = asyncio.get_running_loop().time() + 5
            async with throttle.turn(name=f"user{number}", address=f"10.0.0.{number}", deadline=deadline):
                await inside.wait()

        staying = [asyncio.create_task(stay(number)) for number in range(AT_ONCE + QUEUE)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await attempt(throttle, "late", "10.1.1.1")
        inside.set()
        await asyncio.gather(*staying)

    run(scenario())

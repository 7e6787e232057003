"""Waiting for tries under way: in order, bounded, and never for ever."""

import asyncio

import pytest

from doorward.kernel.errors import RateLimited, Unavailable
from doorward.kernel.under_way import MAX_WAITING, Full, UnderWay

REFUSAL = RateLimited(retry_after_seconds=7)


class Room:
    """A room with so many places, entered under a key."""

    def __init__(self, places: int) -> None:
        self.under_way = UnderWay()
        self.places = places
        self.entered: list[int] = []

    async def enter(self, number: int) -> None:
        async def begin() -> None:
            await asyncio.sleep(0)
            if self.under_way.count("key") >= self.places:
                raise Full("key", REFUSAL)
            self.under_way.begin("key")
            self.entered.append(number)

        await self.under_way.enter("line", begin)

    def leave(self) -> None:
        self.under_way.end("key")


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_those_who_wait_go_in_in_the_order_they_came() -> None:
    room = Room(places=1)
    tasks = [asyncio.create_task(room.enter(number)) for number in range(4)]
    for number in range(4):
        await settle()
        assert room.entered == list(range(number + 1))
        room.leave()
    await asyncio.gather(*tasks)


async def test_one_leaving_lets_in_all_for_whom_there_is_a_place() -> None:
    room = Room(places=1)
    tasks = [asyncio.create_task(room.enter(number)) for number in range(4)]
    await settle()
    room.places = 3
    room.leave()
    await settle()
    await settle()
    assert room.entered == [0, 1, 2, 3]
    await asyncio.gather(*tasks)


async def test_nobody_waits_when_nothing_is_under_way() -> None:
    room = Room(places=0)
    outcomes = await asyncio.gather(*(room.enter(number) for number in range(5)), return_exceptions=True)
    assert outcomes == [REFUSAL] * 5


async def test_the_line_is_refused_once_the_last_try_has_ended() -> None:
    room = Room(places=1)
    await room.enter(0)
    waiting = [asyncio.create_task(room.enter(number)) for number in range(1, 4)]
    await settle()
    room.places = 0
    room.leave()
    assert await asyncio.gather(*waiting, return_exceptions=True) == [REFUSAL] * 3


async def test_a_line_that_is_too_long_sends_away() -> None:
    room = Room(places=1)
    await room.enter(0)
    waiting = [asyncio.create_task(room.enter(number)) for number in range(MAX_WAITING)]
    await settle()
    with pytest.raises(Unavailable):
        await room.enter(-1)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    room.leave()
    await room.enter(1)


async def test_nothing_is_remembered_of_lines_and_keys_that_are_empty() -> None:
    room = Room(places=2)
    await asyncio.gather(room.enter(0), room.enter(1))
    room.leave()
    room.leave()
    assert vars(room.under_way) == vars(UnderWay())

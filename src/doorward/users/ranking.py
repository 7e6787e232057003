"""Which place a value has among all users, also among a million of them.

Up to `order.EXACT` places are counted when they are asked for. Beyond, counting would take longer than anybody waits,
so a ladder is kept: every thousandth value with its place at the time it was built. A place is that of the next better
rung and what is counted from there, so it is out of date by no more than what changed above that rung since.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

from doorward.kernel.instant import SECOND, Instant
from doorward.ports import Clock, Database
from doorward.sql import Work
from doorward.users.order import Order, Rung, SortValue

FRESH = 5 * SECOND  # a ladder is used this long before the next one is built beside it
STALE = 30 * SECOND  # and this long at most
BUILDING_SHARE = 20  # a ladder is used at least so many times as long as it took to build


@dataclass(frozen=True, slots=True)
class _Ladder:
    rungs: Sequence[Rung]
    built_at: Instant
    built_in: Instant  # µs

    def is_fresh(self, now: Instant) -> bool:
        return now - self.built_at < max(FRESH, BUILDING_SHARE * self.built_in)

    def is_usable(self, now: Instant) -> bool:
        return now - self.built_at < max(STALE, 2 * BUILDING_SHARE * self.built_in)


@dataclass(slots=True)
class Ranking:
    """Places in the orders of one database. Belongs to one event loop."""

    db: Database
    clock: Clock
    _ladders: dict[Order, _Ladder] = field(default_factory=dict)
    _building: dict[Order, asyncio.Task[_Ladder]] = field(default_factory=dict)

    async def place(self, order: Order, value: SortValue) -> int:
        """One more than the number of active users with a better value."""
        better = await self.db.search(order.count_better(value))
        if better is None:
            better = await self.db.search(_count_from(order, await self._rungs(order), value))
        return better + 1

    async def _rungs(self, order: Order) -> Sequence[Rung]:
        ladder, now = self._ladders.get(order), self.clock.now()
        if ladder is not None and ladder.is_fresh(now):
            return ladder.rungs
        building = self._start_building(order)
        if ladder is not None and ladder.is_usable(now):
            return ladder.rungs
        return (await asyncio.shield(building)).rungs

    def _start_building(self, order: Order) -> asyncio.Task[_Ladder]:
        if order not in self._building:
            task = asyncio.create_task(self._build(order), name=f"ladder {order.name}")
            task.add_done_callback(lambda done: self._end_building(order, done))
            self._building[order] = task
        return self._building[order]

    async def _build(self, order: Order) -> _Ladder:
        started_at = self.clock.now()
        rungs = await self.db.search(order.build_ladder())
        ladder = _Ladder(rungs, started_at, self.clock.now() - started_at)
        self._ladders[order] = ladder
        return ladder

    def _end_building(self, order: Order, done: asyncio.Task[_Ladder]) -> None:
        del self._building[order]
        if not done.cancelled():
            done.exception()  # looked at, or asyncio complains: whoever waited was told, else the next one builds


def _count_from(order: Order, rungs: Sequence[Rung], value: SortValue) -> Work[int]:
    """How many are better: those of the last rung that is not worse, and what lies between."""
    # The first rung that `value` beats comes after the ones it does not.
    beaten = bisect_left(rungs, True, key=lambda rung: order.is_better(value, rung.value))  # noqa: FBT003  a key
    if beaten == 0:
        return 0  # a record since the ladder was built
    rung = rungs[beaten - 1]
    if rung.value == value:
        return rung.better
    return rung.better + rung.ties + (yield from order.count_between(rung.value, value))

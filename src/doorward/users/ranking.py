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
from doorward.users import order as orders
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
        rungs = self._usable_rungs(order)
        if rungs is None or _last_rung(order, rungs, value).better <= orders.EXACT:
            better = await self.db.search(order.count_better(value))
            if better is not None:
                return better + 1
        if rungs is None:
            self._begin_building(order)
            rungs = (await asyncio.shield(self._building[order])).rungs
        better = await self.db.search(_count_from(order, _last_rung(order, rungs, value), value))
        return max(better, orders.EXACT + 1) + 1  # fewer would have been counted; the ladder may be too old to know

    def _usable_rungs(self, order: Order) -> Sequence[Rung] | None:
        """The ladder there is, unless it is too old; a new one is begun when it is no longer fresh."""
        ladder, now = self._ladders.get(order), self.clock.now()
        if ladder is None or not ladder.is_usable(now):
            return None
        if not ladder.is_fresh(now):
            self._begin_building(order)
        return ladder.rungs

    def _begin_building(self, order: Order) -> None:
        """Build a ladder in a task of its own, unless one is under way."""
        if order not in self._building:
            task = asyncio.create_task(self._build(order), name=f"ladder {order.name}")
            task.add_done_callback(lambda done: self._end_building(order, done))
            self._building[order] = task

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


def _last_rung(order: Order, rungs: Sequence[Rung], value: SortValue) -> Rung:
    """The last rung that `value` does not beat; one before all others when it beats them all."""
    beaten = bisect_left(rungs, True, key=lambda rung: order.is_better(value, rung.value))  # noqa: FBT003  a key
    return rungs[beaten - 1] if beaten else Rung(value, 0, 0)


def _count_from(order: Order, rung: Rung, value: SortValue) -> Work[int]:
    """How many are better: those of the rung, and what lies between."""
    if rung.value == value:
        return rung.better
    return rung.better + rung.ties + (yield from order.count_between(rung.value, value))

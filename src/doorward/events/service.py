"""Write events and read them again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from doorward.events import store
from doorward.events.model import KEEP, Event, EventType, settled
from doorward.kernel.ids import new_id
from doorward.kernel.instant import Instant
from doorward.ports import Clock, Database
from doorward.sql import PURGE_AT_ONCE, Work

Tell: TypeAlias = Callable[[EventType, str, Mapping[str, Any], Instant], Work[None]]
"""Writes an event in the caller's transaction: type, user id, what else there is to say, when."""


def tell_nobody(_: EventType, __: str, ___: Mapping[str, Any], ____: Instant) -> Work[None]:
    """Write nothing, where nobody listens."""
    yield from ()


def _wake_nobody() -> None:
    """Nobody sends in this process."""


@dataclass(slots=True)
class UserEvents:
    """The events of users. `wake` is called when one has been written."""

    db: Database
    clock: Clock
    wake: Callable[[], None] = field(default=_wake_nobody)

    def tell(self, kind: EventType, user_id: str, data: Mapping[str, Any], now: Instant) -> Work[None]:
        """Write an event in the caller's transaction; see `Tell`."""
        yield from store.insert_event(new_id(now), kind, user_id, data, now, self.wake)

    async def page(self, after: int, limit: int) -> list[Event]:
        """The events after a number, the earliest `limit` of them; what may still come before one holds it back."""
        found = await self.db.search(store.list_events(after, limit))
        return list(settled(found, after, self.clock.now()))

    async def purge(self) -> None:
        """Forget events of a month ago."""
        before = self.clock.now() - KEEP
        while await self.db.write(lambda: store.delete_old(before)) == PURGE_AT_ONCE:
            pass

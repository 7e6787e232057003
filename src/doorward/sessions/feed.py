"""Follows the revocation table, so that no worker or node keeps believing in what has ended."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import structlog

from doorward.kernel.errors import Unavailable
from doorward.kernel.instant import DAY, MILLISECOND, SECOND, Instant
from doorward.ports import Clock, Database
from doorward.sessions import store

POLL_SECONDS = 0.2  # SQLite: other processes cannot wake us
HEARTBEAT_SECONDS = 0.5  # PostgreSQL: NOTIFY wakes us; this finds out that it does not
OVERLAP = 10 * SECOND  # PostgreSQL: sequences commit out of order
STALE_AFTER = SECOND
KEEP = DAY

_log = structlog.get_logger("doorward.sessions")


@dataclass(slots=True)
class RevocationFeed:
    """Reads new revocations and hands them to `drop`. Fresh while its last reading is younger than a second."""

    db: Database
    clock: Clock
    drop: Callable[[Iterable[tuple[str, str]]], None]
    _seq: int = 0
    _read_at: Instant = 0
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _task: asyncio.Task[None] | None = None

    def fresh(self, now: Instant) -> bool:
        """Whether the cache may be believed at this moment."""
        return now - self._read_at < STALE_AFTER

    async def start(self) -> None:
        """Begin to follow. What was revoked before cannot be in the empty cache."""
        self._seq = await self.db.read(store.find_last_revocation())
        self._read_at = self.clock.now()
        self._task = asyncio.create_task(self._follow(), name="revocation feed")

    async def stop(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def read_once(self) -> None:
        """Read what is new and drop it from the cache. Raises Unavailable when the database does not answer."""
        started_at = self.clock.now()
        if self.db.dialect == "postgresql":
            found = await self.db.search(store.list_revocations_since(started_at - OVERLAP))
        else:
            found = await self.db.read(store.list_revocations(self._seq))
        self.drop((kind, subject) for seq, kind, subject, at in found)
        self._seq = max((self._seq, *(seq for seq, *_ in found)))
        self._read_at = started_at

    async def _follow(self) -> None:
        wakes = await self.db.listen(self._wake.set)
        pause = HEARTBEAT_SECONDS if wakes else POLL_SECONDS
        while True:
            try:
                await self.read_once()
            except Unavailable:
                _log.warning("revocation_feed_behind", behind_ms=(self.clock.now() - self._read_at) // MILLISECOND)
            # Not wait_for: in Python 3.11 it loses a cancellation that meets the wake-up, and `stop` would hang.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            self._wake.clear()

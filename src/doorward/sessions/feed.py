"""Follows the revocation table, so that no worker or node keeps believing in what has ended."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import structlog

from doorward.kernel.errors import Unavailable
from doorward.kernel.instant import DAY, MILLISECOND, SECOND, Instant
from doorward.ports import Clock, Database
from doorward.sessions import store

POLL_SECONDS = 0.2  # SQLite: other processes cannot wake us
HEARTBEAT_SECONDS = 0.5  # PostgreSQL: NOTIFY wakes us; this finds out that it does not
# PostgreSQL gives a number when a row is written and shows it when its transaction commits, so that a lower one may
# come later. It is waited for longer than a statement may wait for a lock; what is missing then was rolled back.
LATE = 30 * SECOND
LATE_AT_START = 1_000  # numbers below the highest that may still be on their way when we begin
STALE_AFTER = 750 * MILLISECOND  # and a quarter for the answer that is on its way, so that nobody believes for a second
KEEP = DAY

_log = structlog.get_logger("doorward.sessions")


@dataclass(slots=True)
class RevocationFeed:
    """Reads new revocations and hands them to `drop`. Fresh while its last reading is younger than a second.

    They are told apart by their numbers and timed by this process alone: the clocks of other nodes do not matter.
    """

    db: Database
    clock: Clock
    drop: Callable[[Iterable[tuple[str, str]]], None]
    _settled: int = 0  # no number up to here can still come
    _seen: set[int] = field(default_factory=set)  # numbers above it that have come
    _readings: deque[tuple[Instant, int]] = field(default_factory=deque)  # when, and the highest number by then
    _read_at: Instant = 0
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _task: asyncio.Task[None] | None = None

    def fresh(self, now: Instant) -> bool:
        """Whether the cache may be believed at this moment."""
        return now - self._read_at < STALE_AFTER

    async def start(self) -> None:
        """Begin to follow. What was revoked before cannot be in the empty cache."""
        started_at = self.clock.now()
        self._settled = max(0, await self.db.read(store.find_last_revocation()) - LATE_AT_START)
        self._read_at = started_at
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
        after = self._settled
        while True:
            found = await self.db.read(store.list_revocations(after))
            self.drop((kind, subject) for seq, kind, subject in found if seq not in self._seen)
            self._seen.update(seq for seq, *_ in found)
            if len(found) < store.REVOCATIONS_AT_ONCE:
                break
            after = found[-1][0]
        self._settle(started_at)
        self._read_at = started_at

    def _settle(self, now: Instant) -> None:
        """Pass over the numbers that have come, and over those that have been missing for too long."""
        self._readings.append((now, max(self._seen, default=self._settled)))
        while now - self._readings[0][0] >= LATE:
            self._settled = max(self._settled, self._readings.popleft()[1])
        while self._settled + 1 in self._seen:
            self._settled += 1
        self._seen = {seq for seq in self._seen if seq > self._settled}

    async def _follow(self) -> None:
        wakes = await self.db.listen(self._wake.set)
        pause = HEARTBEAT_SECONDS if wakes else POLL_SECONDS
        while True:
            try:
                await self.read_once()
            except Unavailable:
                _log.warning("revocation_feed_behind", behind_ms=(self.clock.now() - self._read_at) // MILLISECOND)
            except Exception:  # noqa: BLE001  whatever it is: without the feed every check would ask the database
                _log.exception("revocation_feed_failed")
            # Not wait_for: in Python 3.11 it loses a cancellation that meets the wake-up, and `stop` would hang.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            self._wake.clear()

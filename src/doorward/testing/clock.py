"""Clocks that a test moves."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from doorward.app import this_clock
from doorward.kernel.instant import SECOND, Instant

START: Instant = int(datetime(2026, 11, 23, 5, 0, tzinfo=UTC).timestamp()) * SECOND
_BACK = "a clock does not go back"


class MovableClock:
    """Fulfils `ports.Clock`. Stands still until it is moved; begins at 2026-11-23T05:00:00Z unless told otherwise."""

    def __init__(self, start: Instant = START) -> None:
        self._now = start

    def now(self) -> Instant:
        """The present, in µs since the epoch."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move on by `seconds`. Raises ValueError when they are negative: time only passes."""
        if seconds < 0:
            raise ValueError(_BACK)
        self._now += round(seconds * SECOND)


@dataclass(frozen=True, slots=True)
class Seconds:
    """The same time in seconds, for an app: fulfils what `doorward_client` takes as `clock`."""

    now: Callable[[], float]
    monotonic: Callable[[], float]


class LiveClock:
    """Fulfils `ports.Clock`. Goes on by itself, as the clocks of servers and browsers do, and jumps when told to."""

    def __init__(self) -> None:
        self._clock = this_clock()
        self._ahead = timedelta()

    def now(self) -> Instant:
        """The present, in µs since the epoch."""
        return self._clock.now() + self._ahead // timedelta(microseconds=1)

    def advance(self, seconds: float = 0, *, minutes: float = 0, hours: float = 0, days: float = 0) -> None:
        """Move on by all of it together. Raises ValueError when that is negative: time only passes."""
        jump = timedelta(seconds=seconds, minutes=minutes, hours=hours, days=days)
        if jump < timedelta():
            raise ValueError(_BACK)
        self._ahead += jump

    def for_apps(self) -> Seconds:
        """What an app takes as its clock, so that it moves with this one."""
        return Seconds(
            now=lambda: self.now() / SECOND, monotonic=lambda: time.monotonic() + self._ahead.total_seconds()
        )

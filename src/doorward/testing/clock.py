"""A clock that stands still until a test moves it."""

from datetime import UTC, datetime

from doorward.kernel.instant import SECOND, Instant

START: Instant = int(datetime(2026, 11, 23, 5, 0, tzinfo=UTC).timestamp()) * SECOND


class MovableClock:
    """Fulfils `ports.Clock`. Begins at 2026-11-23T05:00:00Z unless told otherwise."""

    def __init__(self, start: Instant = START) -> None:
        self._now = start

    def now(self) -> Instant:
        """The present, in µs since the epoch."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move on by `seconds`. Raises ValueError when they are negative: time only passes."""
        if seconds < 0:
            raise ValueError("a clock does not go back")
        self._now += round(seconds * SECOND)

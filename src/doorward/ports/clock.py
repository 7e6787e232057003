"""The time."""

from typing import Protocol

from doorward.kernel.instant import Instant


class Clock(Protocol):
    """Where every instant comes from, so that tests can move it."""

    def now(self) -> Instant:
        """The present, in µs since the epoch."""
        ...

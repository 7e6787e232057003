"""A clock that moves when it is told to."""

from dataclasses import dataclass

from doorward_client.clock import Clock


@dataclass
class MovableClock:
    """Stands still until `advance` is called."""

    seconds: float = 1_800_000_000.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.seconds

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds

    def as_clock(self, *, real_monotonic: bool = False) -> Clock:
        """For a guard. With `real_monotonic`, what a stale feed is measured by goes on as usual."""
        return Clock(now=self.now) if real_monotonic else Clock(now=self.now, monotonic=self.now)

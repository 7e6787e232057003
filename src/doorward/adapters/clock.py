"""The machine's clock."""

import time

from doorward.kernel.instant import Instant


class SystemClock:
    """Wall clock time; it may jump when the machine's time is set."""

    def now(self) -> Instant:
        """The present, in µs since the epoch."""
        return time.time_ns() // 1_000

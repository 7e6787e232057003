"""The time, so that tests can move it."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds since the epoch, and seconds that never go back, for whatever must end on time."""

    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic

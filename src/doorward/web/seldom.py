"""Log lines that strangers can cause: one a minute at most, with how many it stands for."""

from dataclasses import dataclass

import structlog

from doorward.kernel.instant import MINUTE, Instant
from doorward.ports import Clock

_log = structlog.get_logger("doorward.web")


@dataclass(slots=True)
class Seldom:
    """Warns of one kind of event."""

    event: str
    clock: Clock
    _last: Instant | None = None
    _untold: int = 0

    def warn(self, **facts: str) -> None:
        """Log the event, or count it when one was logged within the last minute."""
        now = self.clock.now()
        self._untold += 1
        if self._last is None or now - self._last >= MINUTE:
            _log.warning(self.event, times=self._untold, **facts)
            self._last, self._untold = now, 0

"""Refused tries in the audit: a flood costs one row a minute, and its size is not lost."""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

from doorward.audit import AuditTrail, Event, Outcome, Payload
from doorward.kernel.caller import LOCAL_OPERATOR, Caller
from doorward.kernel.errors import Problem, Unavailable
from doorward.kernel.instant import MINUTE, Instant
from doorward.ports import Clock, Database


@dataclass(slots=True)
class Refusals:
    """Sums refusals by action and reason within one process."""

    db: Database
    clock: Clock
    audit: AuditTrail
    _counts: Counter[tuple[str, str]] = field(default_factory=Counter, init=False)
    _written_at: dict[tuple[str, str], Instant] = field(default_factory=dict, init=False)

    async def note(self, action: str, refusal: Problem, caller: Caller) -> None:
        """Count one; write the sum unless that was done less than a minute ago. `caller`: whoever comes last."""
        kind = (action, refusal.reason)
        self._counts[kind] += 1
        if self.clock.now() - self._written_at.get(kind, 0) >= MINUTE:
            await self._write(kind, caller)

    async def flush(self) -> None:
        """Write the sums that nobody came to write."""
        for kind in list(self._counts):
            await self._write(kind, LOCAL_OPERATOR)

    async def _write(self, kind: tuple[str, str], caller: Caller) -> None:
        action, reason = kind
        count = self._counts.pop(kind)
        self._written_at[kind] = self.clock.now()
        payload: Payload = {"action": action, "reason": reason, "refused": count}
        # The refusal stands whether or not it can be written down; nothing was changed by it.
        with suppress(Unavailable):
            await self.db.write(
                lambda: self.audit.record(Event.EXCESS_RATE_LIMIT_EXCEEDED, Outcome.FAILURE, caller, payload=payload)
            )

"""Refusals in the audit: a flood costs one row a minute, which tells its size."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field

from doorward.audit.model import Event, Outcome, Payload
from doorward.audit.service import AuditTrail
from doorward.kernel.caller import Caller
from doorward.kernel.errors import Problem, Unavailable
from doorward.kernel.instant import MINUTE, Instant
from doorward.ports import Clock, Database
from doorward.sql import Work


@dataclass(slots=True)
class _Sum:
    """Refusals of one kind. `count`: those not yet written down; `record` writes them as the last one would be."""

    record: Callable[[int], Work[None]]
    count: int = 0
    written_at: Instant = 0


@dataclass(slots=True)
class Refusals:
    """Sums refusals by event, actor and payload within one process."""

    db: Database
    clock: Clock
    audit: AuditTrail
    _sums: dict[Hashable, _Sum] = field(default_factory=dict, init=False)

    async def note(
        self,
        event: Event,
        caller: Caller,
        payload: Mapping[str, str],
        *,
        user_id: str | None = None,
        actor_id: str | None = None,
        session_id: str | None = None,
    ) -> None:
        """Count one; write the sum unless that was done less than a minute ago.

        The row is that of whoever comes last, its payload with the number in `refused`. It changes nothing, so a
        database that is down does not matter: the next row counts these, too.
        """

        def record(count: int) -> Work[None]:
            summed: Payload = {**payload, "refused": count}
            return self.audit.record(
                event,
                Outcome.FAILURE,
                caller,
                user_id=user_id,
                actor_id=actor_id,
                session_id=session_id,
                payload=summed,
            )

        found = self._sums.setdefault((event, actor_id, *payload.items()), _Sum(record))
        found.record = record
        found.count += 1
        if self.clock.now() - found.written_at >= MINUTE:
            await self._write(found)

    async def limited(self, action: str, refusal: Problem, caller: Caller) -> None:
        """Count a try that came too early or too often."""
        await self.note(Event.EXCESS_RATE_LIMIT_EXCEEDED, caller, {"action": action, "reason": refusal.reason})

    async def flush(self) -> None:
        """Write the sums that nobody came to write, and forget those of long ago."""
        for found in list(self._sums.values()):
            if found.count:
                await self._write(found)
        now = self.clock.now()
        self._sums = {
            kind: found for kind, found in self._sums.items() if found.count or now - found.written_at < MINUTE
        }

    async def _write(self, found: _Sum) -> None:
        count, found.count = found.count, 0
        found.written_at = self.clock.now()
        try:
            await self.db.write(lambda: found.record(count))
        except Unavailable:
            found.count += count

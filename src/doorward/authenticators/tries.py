"""Tries are counted before they are looked at: durably, atomically, and whoever they are for (C11, C12, C14)."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from doorward.audit import Refusals
from doorward.authenticators import store
from doorward.authenticators.model import Refused, Reserved
from doorward.kernel.caller import Caller
from doorward.kernel.errors import RateLimited, Unavailable
from doorward.kernel.instant import SECOND, Instant
from doorward.kernel.limits import Limits
from doorward.kernel.under_way import Full, UnderWay
from doorward.ports import NOTHING, Admission, Clock, Database, Limiter, Sealer
from doorward.sql import Work


def nothing_more(_: str) -> Work[None]:
    """Nothing follows from it."""
    yield from ()


@dataclass(slots=True)
class Tries:
    """Failures in a row by lane, and places in the buckets of addresses.

    `fail_device` counts a failure on a known device, too, and voids it at its limit.
    """

    db: Database
    clock: Clock
    limiter: Limiter
    sealer: Sealer
    refusals: Refusals
    limits: Limits
    fail_device: Callable[[str], Work[None]] = nothing_more
    _throttle: store.Throttle = field(init=False)
    _under_way: UnderWay = field(default_factory=UnderWay, init=False)

    def __post_init__(self) -> None:
        """Build what follows from the figures."""
        self._throttle = store.Throttle(self.limits.account)

    def lane(self, *parts: str) -> bytes:
        """The key of a lane: a MAC, so that a dump names nobody and tells no user from a name that nobody has."""
        return self.sealer.mac("\0".join(parts).encode("utf-8", "surrogatepass"), "throttle")

    async def admit(self, action: str, caller: Caller, subjects: Mapping[str, str] = NOTHING) -> Admission:
        """Take a place in the buckets of an action. Raises RateLimited, which is audited, or Unavailable."""
        try:
            return await self.limiter.admit(action, caller.address, subjects)
        except RateLimited as refusal:
            await self.refusals.limited(action, refusal, caller)
            raise

    @asynccontextmanager
    async def reserved(self, lane: bytes, action: str, caller: Caller) -> AsyncIterator[Reserved]:
        """Count a failure in advance; it stays one unless `forget` follows. Raises RateLimited, Unavailable.

        Tries that may yet succeed are waited for, not refused. One that could not be looked at, because something we
        need was down, counts nowhere: counting it would lock owners out in an overload.
        """
        reserved = await self._reserve(lane, action, caller)
        try:
            yield reserved
        except Unavailable:
            now = self.clock.now()
            with suppress(Unavailable):
                await self.db.write(lambda: store.update_release(lane, reserved, now))
            raise
        finally:
            self._under_way.end(lane)

    def forget(self, lanes: Sequence[bytes]) -> Work[None]:
        """Set the counts of lanes to zero."""
        yield from store.delete_throttles(lanes)

    async def _reserve(self, lane: bytes, action: str, caller: Caller) -> Reserved:
        async def begin() -> Reserved:
            now = self.clock.now()
            outcome = await self.db.write(lambda: self._throttle.reserve(lane, now))
            if isinstance(outcome, Refused):
                raise Full(lane, self._too_early(action, outcome, now))
            self._under_way.begin(lane)
            return outcome

        try:
            return await self._under_way.enter(lane, begin)
        except RateLimited as refusal:
            await self.refusals.limited(action, refusal, caller)
            raise

    def _too_early(self, action: str, refused: Refused, now: Instant) -> RateLimited:
        # The sentence of the address buckets: which of them refused is nobody's business.
        shown = self.limits.actions[action].shown
        seconds = -(-(refused.not_before - now) // SECOND)
        return RateLimited(shown, retry_after_seconds=seconds, reason="too many failures for this name")

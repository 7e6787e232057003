"""Limits by address and for everybody, in the memory of one process."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypeAlias

from doorward.kernel.addresses import network_of
from doorward.kernel.errors import RateLimited, Unavailable
from doorward.kernel.instant import SECOND, Instant
from doorward.kernel.limits import NO_RATES, ActionLimit, Limits, Rate
from doorward.kernel.under_way import Full, UnderWay
from doorward.ports import NOTHING, Admission, Clock

MAX_BUCKETS = 65_536  # the bucket of everybody keeps far fewer filled; this bounds memory whatever the figures are

_Key: TypeAlias = tuple[str, str | None]  # (action, network), ("action figure", subject), (action, None): everybody


class MemoryLimiter:
    """Fulfils `ports.Limiter` by GCRA: a bucket is the instant at which it will be empty again."""

    def __init__(self, clock: Clock, limits: Limits) -> None:
        self._clock = clock
        self._actions = limits.actions
        self._empty_at: OrderedDict[_Key, Instant] = OrderedDict()  # least lately filled first
        self._under_way = UnderWay()

    async def admit(
        self, action: str, address: str, subjects: Mapping[str, str] = NOTHING, own: Mapping[str, Rate] = NO_RATES
    ) -> Admission:
        """Take a place in every bucket; see `ports.Limiter`."""
        limit = self._actions[action]
        network = network_of(address)
        rates: dict[_Key, Rate] = {(action, network): limit.per_address}
        rates |= {(f"{action} {figure}", subject): rate for figure, subject, rate in limit.rates_of(subjects, own)}
        rates[action, None] = limit.everybody

        async def begin() -> None:
            now = self._clock.now()
            for key, rate in rates.items():
                self._check(key, rate, now, limit.shown)
            for key in rates:
                self._under_way.begin(key)

        await self._under_way.enter((action, network), begin)
        return _Admission(self, limit, rates)

    def end(self, rates: dict[_Key, Rate], *, counts: bool) -> None:
        """A try is over; `counts` fills the buckets by one."""
        now = self._clock.now()
        for key, rate in rates.items():
            if counts:
                self._empty_at[key] = max(self._empty_at.get(key, now), now) + rate.interval
                self._empty_at.move_to_end(key)
            self._under_way.end(key)
        self._forget_some(now)

    def _check(self, key: _Key, rate: Rate, now: Instant, shown: str) -> None:
        filled = max(self._empty_at.get(key, now) - now, 0)
        wait = filled + rate.interval - rate.period
        if wait + self._under_way.count(key) * rate.interval <= 0:
            return
        action, _, figure = key[0].partition(" ")
        whose = f"for this {figure}" if figure else "by everybody" if key[1] is None else "from this address"
        reason = f"too many tries ({action}) {whose}"
        refusal = RateLimited(shown, retry_after_seconds=-(-wait // SECOND), reason=reason)
        if wait > 0:
            raise refusal
        raise Full(key, refusal)

    def _forget_some(self, now: Instant) -> None:
        # Two for each try that ends: the work is spread, and buckets are forgotten faster than new ones are made.
        for _ in range(2):
            key = next(iter(self._empty_at), None)
            if key is None or (self._empty_at[key] > now and len(self._empty_at) <= MAX_BUCKETS):
                return
            del self._empty_at[key]


@dataclass(slots=True)
class _Admission:
    _limiter: MemoryLimiter
    _limit: ActionLimit
    _rates: dict[_Key, Rate]
    _is_success: bool = field(default=False, init=False)

    def succeeded(self) -> None:
        """Give the place back where only failures count."""
        self._is_success = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A try that we could not look at told nobody anything: charging for it would lock people out in an overload.
        spared = isinstance(error, Unavailable) or (self._is_success and self._limit.counts == "failures")
        self._limiter.end(self._rates, counts=not spared)

"""Limits by address and for everybody, in the database, for several processes that share the load."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from sqlalchemy import BigInteger, bindparam, case, select, update
from sqlalchemy.dialects.postgresql import insert  # its ON CONFLICT is also SQLite's

from doorward.adapters.memory_limiter import MemoryLimiter
from doorward.kernel.addresses import network_of
from doorward.kernel.errors import RateLimited, Unavailable
from doorward.kernel.instant import SECOND, Instant
from doorward.kernel.limits import NO_RATES, ActionLimit, Limits, Rate
from doorward.kernel.under_way import Full, UnderWay
from doorward.ports import NOTHING, Admission, Clock, Database, Sealer
from doorward.sql import PURGE_AT_ONCE, Statement, Work, purge
from doorward.sql.tables import bucket

_NOW = bindparam("now", type_=BigInteger())
_INTERVAL = bindparam("interval", type_=BigInteger())
_NEXT = case((bucket.c.arrival_at > _NOW, bucket.c.arrival_at), else_=_NOW) + _INTERVAL

_TAKE = Statement(
    insert(bucket)
    .values(key=bindparam("key"), arrival_at=bindparam("first"), expires_at=bindparam("first"))
    .on_conflict_do_update(
        index_elements=[bucket.c.key],
        set_={"arrival_at": _NEXT, "expires_at": _NEXT},
        where=bucket.c.arrival_at <= bindparam("latest"),
    )
    .returning(bucket.c.arrival_at)
)
_FIND = Statement(select(bucket.c.arrival_at).where(bucket.c.key == bindparam("key")))
_GIVE_BACK = Statement(
    update(bucket).where(bucket.c.key == bindparam("key")).values(arrival_at=bucket.c.arrival_at - _INTERVAL)
)
_PURGE = purge(bucket.c.key, bucket.c.expires_at <= _NOW)


@dataclass(frozen=True, slots=True)
class _Place:
    key: bytes  # a MAC, so that a dump of the table names no address
    rate: Rate
    whose: str


class _Refused(Exception):  # noqa: N818  no error: it rolls the other place back
    def __init__(self, place: _Place, wait: int) -> None:
        self.place = place
        self.wait = wait
        super().__init__()


class DatabaseLimiter:
    """Fulfils `ports.Limiter` by GCRA, one upsert a bucket; a place is taken at once and given back on success."""

    def __init__(self, db: Database, clock: Clock, sealer: Sealer, limits: Limits) -> None:
        self._db = db
        self._clock = clock
        self._sealer = sealer
        self._actions = limits.actions
        self._local = MemoryLimiter(clock, limits)
        self._under_way = UnderWay()

    async def admit(
        self, action: str, address: str, subjects: Mapping[str, str] = NOTHING, own: Mapping[str, Rate] = NO_RATES
    ) -> Admission:
        """Take a place in every bucket; see `ports.Limiter`.

        While the database is down, each process keeps the limits of an action by itself where limits.toml says so.
        """
        limit = self._actions[action]
        places = self._places(action, network_of(address), subjects, own)

        async def begin() -> bool:
            try:
                await self._db.write(_taking(places, self._clock.now()))
            except _Refused as refused:
                raise Full(refused.place.key, _refusal(action, limit, refused)) from None
            except Unavailable:
                if limit.when_store_is_down == "local":
                    return False
                raise
            for place in places:
                self._under_way.begin(place.key)
            return True

        if await self._under_way.enter(places[0].key, begin):
            return _Admission(self, limit, places)
        return await self._local.admit(action, address, subjects, own)

    async def end(self, places: tuple[_Place, ...], *, give_back: bool) -> None:
        """A try is over."""
        try:
            if give_back:
                await self._db.write(lambda: _give_back(places))
        finally:
            for place in places:
                self._under_way.end(place.key)

    async def purge(self) -> None:
        """Forget buckets that are empty."""
        now = self._clock.now()
        while await self._db.write(lambda: _purge(now)) == PURGE_AT_ONCE:
            pass

    def _places(
        self, action: str, network: str, subjects: Mapping[str, str], own: Mapping[str, Rate]
    ) -> tuple[_Place, ...]:
        limit = self._actions[action]
        return (
            _Place(self._key(action, "address", network), limit.per_address, "from this address"),
            *(
                _Place(self._key(action, figure, subject), rate, f"for this {figure}")
                for figure, subject, rate in limit.rates_of(subjects, own)
            ),
            _Place(self._key(action, "everybody"), limit.everybody, "by everybody"),
        )

    def _key(self, *parts: str) -> bytes:
        return self._sealer.mac("\0".join(parts).encode("utf-8", "surrogatepass"), "limits")


@dataclass(slots=True)
class _Admission:
    _limiter: DatabaseLimiter
    _limit: ActionLimit
    _places: tuple[_Place, ...]
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
        give_back = isinstance(error, Unavailable) or (self._is_success and self._limit.counts == "failures")
        # The outcome stands, whatever becomes of the place: it comes back by itself in time.
        with suppress(Unavailable):
            await self._limiter.end(self._places, give_back=give_back)


def _refusal(action: str, limit: ActionLimit, refused: _Refused) -> RateLimited:
    reason = f"too many tries ({action}) {refused.place.whose}"
    return RateLimited(limit.shown, retry_after_seconds=-(-refused.wait // SECOND), reason=reason)


def _taking(places: tuple[_Place, ...], now: Instant) -> Callable[[], Work[None]]:
    def work() -> Work[None]:
        for place in places:  # always in this order, so that two processes cannot lock each other out
            yield from _take(place, now)

    return work


def _take(place: _Place, now: Instant) -> Work[None]:
    interval, latest = place.rate.interval, now + place.rate.period - place.rate.interval
    if (yield _TAKE(key=place.key, now=now, first=now + interval, interval=interval, latest=latest)):
        return
    rows = yield _FIND(key=place.key)
    raise _Refused(place, max(rows[0][0] - latest, 1) if rows else 1)


def _give_back(places: tuple[_Place, ...]) -> Work[None]:
    for place in places:
        yield _GIVE_BACK(key=place.key, interval=place.rate.interval)


def _purge(now: Instant) -> Work[int]:
    return len((yield _PURGE(now=now)))

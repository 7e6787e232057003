"""SQL of the authenticators room: tables password, throttle and authenticator, and for notices bucket."""

from collections.abc import Sequence

from sqlalchemy import BigInteger, ColumnElement, Text, bindparam, case, delete, literal_column, select, update
from sqlalchemy.dialects.postgresql import insert  # its ON CONFLICT is also SQLite's

from doorward.authenticators.model import Refused, Reserved, StoredPassword
from doorward.kernel.instant import SECOND, Instant
from doorward.kernel.limits import AccountLimit, Rate
from doorward.sql import Statement, Work, purge
from doorward.sql.tables import authenticator, bucket, password, throttle

_NOW = bindparam("now", type_=BigInteger())

_COLUMNS = (password.c.digest, password.c.set_at, password.c.change_wanted)
_FIND = Statement(select(*_COLUMNS).where(password.c.user_id == bindparam("user_id")))
_LOCK = Statement(
    # On PostgreSQL a change of the password waits until the session is there, so that it ends this one too.
    select(*_COLUMNS).where(password.c.user_id == bindparam("user_id")).with_for_update(key_share=True)
)
_UPSERT = Statement(
    insert(password)
    .values({column.name: bindparam(column.name) for column in password.columns})
    .on_conflict_do_update(
        index_elements=[password.c.user_id],
        set_={name: bindparam(name) for name in ("digest", "set_at", "change_wanted")},
    )
)
_REPLACE = Statement(
    update(password)
    .where(password.c.user_id == bindparam("owner"), password.c.digest == bindparam("old"))
    .values(
        digest=bindparam("new"),
        # Whoever reported a password does so while its owner may be signing in with it.
        change_wanted=case(
            (password.c.change_wanted == literal_column("'compromised'"), password.c.change_wanted),
            else_=bindparam("change_wanted", type_=Text()),
        ),
    )
)
_COMPROMISED = Statement(
    update(password)
    .where(password.c.user_id == bindparam("owner"))
    .values(change_wanted=literal_column("'compromised'"))
)
_LIST_FACTS = Statement(
    select(authenticator.c.kind, authenticator.c.label, authenticator.c.bound_at, authenticator.c.last_used_at)
    .where(authenticator.c.user_id == bindparam("owner"))
    .order_by(authenticator.c.bound_at, authenticator.c.id)
)
_FIND_NOT_BEFORE = Statement(select(throttle.c.not_before).where(throttle.c.key == bindparam("key")))
_RELEASE = Statement(
    update(throttle)
    .where(throttle.c.key == bindparam("key"), throttle.c.failures > literal_column("0"))
    .values(
        failures=throttle.c.failures - literal_column("1"),
        not_before=case((throttle.c.not_before == bindparam("own"), _NOW), else_=throttle.c.not_before),
    )
)
_RESET = Statement(delete(throttle).where(throttle.c.key == bindparam("key")))
_PURGE = purge(throttle.c.key, throttle.c.expires_at <= _NOW)
_NEXT = case((bucket.c.arrival_at > _NOW, bucket.c.arrival_at), else_=_NOW) + bindparam("interval", type_=BigInteger())
_TAKE_PLACE = Statement(
    insert(bucket)
    .values(key=bindparam("key"), arrival_at=bindparam("first"), expires_at=bindparam("first"))
    .on_conflict_do_update(
        index_elements=[bucket.c.key],
        set_={"arrival_at": _NEXT, "expires_at": _NEXT},
        where=bucket.c.arrival_at <= bindparam("latest"),
    )
    .returning(bucket.c.arrival_at)
)


def find_password(user_id: str) -> Work[StoredPassword | None]:
    """A user's password."""
    rows = yield _FIND(user_id=user_id)
    return StoredPassword(*rows[0]) if rows else None


def find_password_locked(user_id: str) -> Work[StoredPassword | None]:
    """A user's password, which cannot change until the transaction ends."""
    rows = yield _LOCK(user_id=user_id)
    return StoredPassword(*rows[0]) if rows else None


def upsert_password(user_id: str, digest: str, now: Instant, change_wanted: str | None) -> Work[None]:
    """Set a user's password."""
    yield _UPSERT(user_id=user_id, digest=digest, set_at=now, change_wanted=change_wanted)


def update_digest(user_id: str, old: str, new: str, change_wanted: str | None) -> Work[None]:
    """Replace a weak digest of the same password, unless someone has replaced it meanwhile."""
    yield _REPLACE(owner=user_id, old=old, new=new, change_wanted=change_wanted)


def update_compromised(user_id: str) -> Work[None]:
    """Note that others may know a user's password."""
    yield _COMPROMISED(owner=user_id)


def take_place(key: bytes, rate: Rate, now: Instant) -> Work[bool]:
    """Take a place among those of a rate (GCRA), with the caller's transaction; False when there is none."""
    first, latest = now + rate.interval, now + rate.period - rate.interval
    return bool((yield _TAKE_PLACE(key=key, now=now, first=first, interval=rate.interval, latest=latest)))


def list_facts(user_id: str) -> Work[list[tuple[str, str, Instant, Instant | None]]]:
    """A user's second factors and passkeys, the oldest first: kind, label, since when, last used. No secret."""
    return [(row[0], row[1], row[2], row[3]) for row in (yield _LIST_FACTS(owner=user_id))]


class Throttle:
    """The count of failures in a row. Each key's row is reserved by one statement, so parallel tries cannot slip by."""

    def __init__(self, limit: AccountLimit) -> None:
        self._reserve = _reserve_statement(limit)

    def reserve(self, key: bytes, now: Instant) -> Work[Reserved | Refused]:
        """Count a failure before it has happened, or refuse when it is too early."""
        rows = yield self._reserve(key=key, now=now)
        if rows:
            return Reserved(int(rows[0][0]), int(rows[0][1]))
        rows = yield _FIND_NOT_BEFORE(key=key)
        return Refused(int(rows[0][0]) if rows else now)


def update_release(key: bytes, own: Reserved, now: Instant) -> Work[None]:
    """Take back a reservation whose try did not take place, and the delay that it set.

    It had been allowed, so the next one is too, unless a later failure has set a delay meanwhile.
    """
    yield _RELEASE(key=key, own=own.not_before, now=now)


def delete_throttles(keys: Sequence[bytes]) -> Work[None]:
    """Forget failures."""
    for key in keys:
        yield _RESET(key=key)


def delete_expired_throttles(now: Instant) -> Work[int]:
    """Forget failures that are long ago, some at a time; how many."""
    return len((yield _PURGE(now=now)))


def _reserve_statement(limit: AccountLimit) -> Statement:
    """One upsert: count, set the next instant by the ladder of limits.toml, and let nobody in before it."""
    is_forgotten = throttle.c.expires_at <= _NOW
    failures = case((is_forgotten, literal_column("1")), else_=throttle.c.failures + literal_column("1"))
    first: ColumnElement[int] = literal_column("1")
    statement = insert(throttle).values(
        key=bindparam("key"),
        failures=first,
        not_before=_NOW + literal_column(str(limit.delay_after(1))),
        expires_at=_NOW + _kept(limit, first),
    )
    statement = statement.on_conflict_do_update(
        index_elements=[throttle.c.key],
        set_={
            "failures": failures,
            "not_before": _NOW + _delay(limit, failures),
            "expires_at": _NOW + _kept(limit, failures),
        },
        where=(throttle.c.not_before <= _NOW) | is_forgotten,
    )
    return Statement(statement.returning(throttle.c.failures, throttle.c.not_before))


def _delay(limit: AccountLimit, failures: ColumnElement[int]) -> ColumnElement[int]:
    steps = [(failures == literal_column(str(count)), _us(delay)) for count, delay in limit.steps]
    return case(
        (failures < literal_column(str(limit.free_failures)), literal_column("0")),
        *steps,
        (failures >= literal_column(str(limit.stop_of_name)), _us(limit.delay_at_hard_stop * SECOND)),
        else_=_us(limit.longest_delay * SECOND),
    )


def _kept(limit: AccountLimit, failures: ColumnElement[int]) -> ColumnElement[int]:
    few = failures < literal_column(str(limit.free_failures))
    return case((few, _us(limit.forget_few_after * SECOND)), else_=_us(limit.forget_after * SECOND))


def _us(duration: int) -> ColumnElement[int]:
    # Figures of ours, whole numbers: written into the text, so that both databases see their type.
    return literal_column(str(duration))

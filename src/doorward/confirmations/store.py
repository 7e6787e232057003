"""SQL of the confirmations room: table confirmation."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import bindparam as p
from sqlalchemy import insert, select, update

from doorward.confirmations.model import MAX_FAILURES, Confirmation, Purpose
from doorward.kernel.instant import Instant
from doorward.sql import PURGE_AT_ONCE, Row, Statement, Value, Work, purge
from doorward.sql.tables import confirmation

Open = Callable[[str, bytes], Mapping[str, Any]]  # (id, sealed payload) -> payload

_COLUMNS = (
    confirmation.c.id,
    confirmation.c.purpose,
    confirmation.c.user_id,
    confirmation.c.target,
    confirmation.c.target_key,
    confirmation.c.code_mac,
    confirmation.c.code_expires_at,
    confirmation.c.failures,
    confirmation.c.holder_digest,
    confirmation.c.locale,
    confirmation.c.created_at,
    confirmation.c.expires_at,
    confirmation.c.used_at,
    confirmation.c.voided_at,
    confirmation.c.payload_sealed,
)
_EMPTIED: Final = b""  # what was kept, a password's digest among it, goes as soon as nobody can need it
_OPEN = (confirmation.c.used_at.is_(None), confirmation.c.voided_at.is_(None))
_INSERT = Statement(
    insert(confirmation)
    .values({column.name: p(column.name) for column in confirmation.columns})
    .returning(confirmation.c.id)
)
_FIND_BY_ID = Statement(select(*_COLUMNS).where(confirmation.c.id == p("confirmation_id")))
_FIND_BY_TOKEN = Statement(select(*_COLUMNS).where(confirmation.c.token_digest == p("digest")))
_LIST_BY_HOLDER = Statement(
    select(*_COLUMNS).where(confirmation.c.holder_digest == p("digest")).order_by(confirmation.c.id.desc()).limit(20)
)
_LIST_OF_USER = Statement(
    select(*_COLUMNS)
    .where(confirmation.c.user_id == p("owner"), confirmation.c.purpose == p("wanted"), *_OPEN)
    .order_by(confirmation.c.id.desc())
)
_RENEW = Statement(
    update(confirmation)
    .where(confirmation.c.id == p("confirmation_id"), confirmation.c.expires_at > p("now"), *_OPEN)
    .values(code_mac=p("new_mac"), code_expires_at=p("new_until"))
    .returning(confirmation.c.id)
)
_TRY = Statement(
    update(confirmation)
    .where(
        confirmation.c.id == p("confirmation_id"),
        confirmation.c.failures < MAX_FAILURES,
        confirmation.c.code_expires_at > p("now"),
        confirmation.c.used_at.is_(None),  # one that was called off counts on, and `use` refuses it
    )
    .values(failures=confirmation.c.failures + 1)
    .returning(confirmation.c.code_mac)
)
_RELEASE = Statement(
    update(confirmation)
    .where(confirmation.c.id == p("confirmation_id"), confirmation.c.failures > 0)
    .values(failures=confirmation.c.failures - 1)
)
_USE = Statement(
    update(confirmation)
    .where(confirmation.c.id == p("confirmation_id"), confirmation.c.expires_at > p("now"), *_OPEN)
    .values(used_at=p("now"), payload_sealed=_EMPTIED)
    .returning(confirmation.c.id)
)
_VOID = Statement(
    update(confirmation)
    .where(confirmation.c.id == p("confirmation_id"), *_OPEN)
    .values(voided_at=p("now"), payload_sealed=_EMPTIED)
)
_VOID_OF_USER = Statement(
    update(confirmation)
    .where(confirmation.c.user_id == p("owner"), confirmation.c.purpose == p("wanted"), *_OPEN)
    .values(voided_at=p("now"), payload_sealed=_EMPTIED)
)
_VOID_OF_TARGET = Statement(
    update(confirmation)
    .where(confirmation.c.purpose == p("wanted"), confirmation.c.target_key == p("key"), *_OPEN)
    .values(voided_at=p("now"), payload_sealed=_EMPTIED)
    .returning(confirmation.c.expires_at)
)
_EMPTY_EXPIRED = Statement(
    update(confirmation)
    .where(
        confirmation.c.id.in_(
            select(confirmation.c.id)
            .where(confirmation.c.expires_at <= p("now"), confirmation.c.payload_sealed != _EMPTIED)
            .limit(p("at_once"))
        )
    )
    .values(payload_sealed=_EMPTIED)
    .returning(confirmation.c.id)
)
_PURGE = purge(confirmation.c.id, confirmation.c.expires_at <= p("before"))


def insert_confirmation(values: Mapping[str, Value]) -> Work[None]:
    """Add a row; `values` has every column."""
    yield _INSERT(**values)


def find_by_id(confirmation_id: str, open_payload: Open) -> Work[Confirmation | None]:
    """One by id."""
    return _first((yield _FIND_BY_ID(confirmation_id=confirmation_id)), open_payload)


def find_by_token(digest: bytes, open_payload: Open) -> Work[Confirmation | None]:
    """One by the SHA-256 of its token."""
    return _first((yield _FIND_BY_TOKEN(digest=digest)), open_payload)


def list_by_holder(digest: bytes, open_payload: Open) -> Work[list[Confirmation]]:
    """What one browser or session has begun, the latest first."""
    return [_of(row, open_payload) for row in (yield _LIST_BY_HOLDER(digest=digest))]


def list_of_user(user_id: str, purpose: Purpose, open_payload: Open) -> Work[list[Confirmation]]:
    """What a user has not confirmed yet, the latest first; expired ones among them."""
    return [_of(row, open_payload) for row in (yield _LIST_OF_USER(owner=user_id, wanted=purpose))]


def update_code(confirmation_id: str, mac: bytes, until: Instant, now: Instant) -> Work[bool]:
    """Put a newer code in the place of the old one; False when there is nothing to confirm any more."""
    return bool((yield _RENEW(confirmation_id=confirmation_id, new_mac=mac, new_until=until, now=now)))


def reserve_try(confirmation_id: str, now: Instant) -> Work[bytes | None]:
    """Count a wrong code in advance. What the right one is known by, or None when no try is left."""
    rows = yield _TRY(confirmation_id=confirmation_id, now=now)
    return rows[0][0] if rows else None


def release_try(confirmation_id: str) -> Work[None]:
    """The try was right."""
    yield _RELEASE(confirmation_id=confirmation_id)


def use(confirmation_id: str, now: Instant) -> Work[bool]:
    """Use it up; False when somebody was quicker, or it is over."""
    return bool((yield _USE(confirmation_id=confirmation_id, now=now)))


def void(confirmation_id: str, now: Instant) -> Work[None]:
    """Call one off."""
    yield _VOID(confirmation_id=confirmation_id, now=now)


def void_of_user(user_id: str, purpose: Purpose, now: Instant) -> Work[None]:
    """Call off what a user has not confirmed yet."""
    yield _VOID_OF_USER(owner=user_id, wanted=purpose, now=now)


def void_of_target(purpose: Purpose, target_key: str, now: Instant) -> Work[int]:
    """Call off what was sent somewhere, whoever began it; how many of them had not expired."""
    rows = yield _VOID_OF_TARGET(wanted=purpose, key=target_key, now=now)
    return sum(expires_at > now for (expires_at,) in rows)


def empty_expired(now: Instant) -> Work[int]:
    """Forget what some kept that expired; how many."""
    return len((yield _EMPTY_EXPIRED(now=now, at_once=PURGE_AT_ONCE)))


def delete_expired(before: Instant) -> Work[int]:
    """Forget some that expired before; how many."""
    return len((yield _PURGE(before=before)))


def _first(rows: Any, open_payload: Open) -> Confirmation | None:  # noqa: ANN401  a sequence of rows
    return _of(rows[0], open_payload) if rows else None


def _of(row: Row, open_payload: Open) -> Confirmation:
    payload = {} if row[-1] == _EMPTIED else open_payload(row[0], row[-1])
    return Confirmation(*(*row[:-1], payload))

"""SQL of what users have bound: tables authenticator, passkey_user, challenge and grace."""

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from sqlalchemy import Column, ColumnElement, bindparam, case, delete, exists, literal_column, select, update

from doorward.authenticators.kind import State
from doorward.kernel.instant import Instant
from doorward.sql import Row, Statement, Work, insert, purge
from doorward.sql.tables import authenticator, challenge, grace, passkey_user

Sealed: TypeAlias = tuple[str, str, str, str, bytes, State, int, bool, Instant, Instant | None]
"""A row of `authenticator` in the order of `Bound`, its secret still sealed."""

_COLUMNS = (
    authenticator.c.id,
    authenticator.c.user_id,
    authenticator.c.kind,
    authenticator.c.label,
    authenticator.c.secret_sealed,
    authenticator.c.state,
    authenticator.c.version,
    authenticator.c.step,
    authenticator.c.bound_at,
    authenticator.c.last_used_at,
)
_LIST = Statement(select(*_COLUMNS).where(authenticator.c.user_id == bindparam("user_id")).order_by(authenticator.c.id))
_FIND_BY_LOOKUP = Statement(select(*_COLUMNS).where(authenticator.c.lookup == bindparam("lookup")))
_INSERT = Statement(
    insert(authenticator).values({column.name: bindparam(column.name) for column in authenticator.columns})
)
_USE = Statement(
    update(authenticator)
    .where(authenticator.c.id == bindparam("bound_id"), authenticator.c.version == bindparam("seen"))
    .values(
        state=bindparam("state"),
        version=authenticator.c.version + literal_column("1"),
        last_used_at=bindparam("now"),
    )
    .returning(authenticator.c.id)
)
_RENAME = Statement(
    update(authenticator)
    .where(authenticator.c.id == bindparam("bound_id"), authenticator.c.user_id == bindparam("owner"))
    .values(label=bindparam("label"))
    .returning(authenticator.c.kind)
)
_DELETE = Statement(
    delete(authenticator)
    .where(authenticator.c.id == bindparam("bound_id"), authenticator.c.user_id == bindparam("owner"))
    .returning(authenticator.c.kind, authenticator.c.label)
)
_DELETE_OF_KIND = Statement(
    delete(authenticator)
    .where(authenticator.c.user_id == bindparam("owner"), authenticator.c.kind == bindparam("kind"))
    .returning(authenticator.c.id)
)
_DELETE_SINCE = Statement(
    delete(authenticator)
    .where(authenticator.c.user_id == bindparam("owner"), authenticator.c.bound_at >= bindparam("since"))
    .returning(authenticator.c.kind, authenticator.c.label)
)
_FIND_HANDLE = Statement(select(passkey_user.c.handle).where(passkey_user.c.user_id == bindparam("user_id")))
_INSERT_HANDLE = Statement(
    insert(passkey_user)
    .values(user_id=bindparam("user_id"), handle=bindparam("handle"))
    .on_conflict_do_nothing(index_elements=[passkey_user.c.user_id])
)
_INSERT_CHALLENGE = Statement(
    insert(challenge).values({column.name: bindparam(column.name) for column in challenge.columns})
)
_LIST_CHALLENGES = Statement(
    select(challenge.c.id, challenge.c.user_id, challenge.c.content_sealed)
    .where(
        challenge.c.holder_digest == bindparam("holder"),
        challenge.c.purpose == bindparam("purpose"),
        challenge.c.expires_at > bindparam("now"),
    )
    .order_by(challenge.c.created_at.desc(), challenge.c.id.desc())
)
_DELETE_CHALLENGE = Statement(
    delete(challenge).where(challenge.c.id == bindparam("challenge_id")).returning(challenge.c.id)
)
_DELETE_BEYOND = Statement(
    delete(challenge).where(
        challenge.c.id.in_(
            select(challenge.c.id)
            .where(challenge.c.holder_digest == bindparam("holder"), challenge.c.purpose == bindparam("purpose"))
            .order_by(challenge.c.created_at.desc(), challenge.c.id.desc())
            .limit(1000)
            .offset(bindparam("keep"))
            .scalar_subquery()
        )
    )
)
_DELETE_OF_USER = Statement(delete(challenge).where(challenge.c.user_id == bindparam("owner")))
_PURGE = purge(challenge.c.id, challenge.c.expires_at <= bindparam("now"))
_FIND_GRACE = Statement(select(grace.c.since).where(grace.c.user_id == bindparam("user_id")))
_INSERT_GRACE = Statement(
    insert(grace)
    .values(user_id=bindparam("user_id"), since=bindparam("now"))
    .on_conflict_do_nothing(index_elements=[grace.c.user_id])
)
_DELETE_GRACE = Statement(delete(grace).where(grace.c.user_id == bindparam("owner")))


def has_factor(user_id: Column[str]) -> ColumnElement[int]:
    """1 where a user has bound a second factor, so that a password alone is not enough; for other rooms' selects."""
    found = exists().where(
        authenticator.c.user_id == user_id,
        authenticator.c.step == literal_column("1"),
        authenticator.c.kind != literal_column("'email_code'"),  # which raises no assurance (C24)
    )
    return case((found, literal_column("1")), else_=literal_column("0"))


def list_authenticators(user_id: str) -> Work[list[Sealed]]:
    """What a user has bound, in the order in which they did."""
    return [_sealed(row) for row in (yield _LIST(user_id=user_id))]


def find_by_lookup(lookup: bytes) -> Work[Sealed | None]:
    """The passkey with this SHA-256 of its credential id."""
    rows = yield _FIND_BY_LOOKUP(lookup=lookup)
    return _sealed(rows[0]) if rows else None


def insert_authenticator(row: Mapping[str, Any]) -> Work[None]:
    """Keep a new one. Raises Conflict when its lookup is taken."""
    yield _INSERT(**row)


def update_state(bound_id: str, seen: int, state: State, now: Instant) -> Work[bool]:
    """Note a use; True for exactly one of those who saw the same version."""
    return bool((yield _USE(bound_id=bound_id, seen=seen, state=json.dumps(state), now=now)))


def update_label(bound_id: str, owner: str, label: str) -> Work[str | None]:
    """Give one of `owner`'s another name; its kind, or None when there is none."""
    rows = yield _RENAME(bound_id=bound_id, owner=owner, label=label)
    return str(rows[0][0]) if rows else None


def delete_authenticator(bound_id: str, owner: str) -> Work[tuple[str, str] | None]:
    """Forget one of `owner`'s; its (kind, label), or None when there is none."""
    rows = yield _DELETE(bound_id=bound_id, owner=owner)
    return (str(rows[0][0]), str(rows[0][1])) if rows else None


def delete_of_kind(owner: str, kind: str) -> Work[int]:
    """Forget all of one kind; how many."""
    return len((yield _DELETE_OF_KIND(owner=owner, kind=kind)))


def delete_since(owner: str, since: Instant) -> Work[list[tuple[str, str]]]:
    """Forget those bound at `since` or later; their (kind, label)."""
    return [(str(row[0]), str(row[1])) for row in (yield _DELETE_SINCE(owner=owner, since=since))]


def find_handle(user_id: str) -> Work[bytes | None]:
    """What authenticators know a user by."""
    rows = yield _FIND_HANDLE(user_id=user_id)
    return bytes(rows[0][0]) if rows else None


def insert_handle(user_id: str, handle: bytes) -> Work[bytes]:
    """Give a user one, unless they have one; theirs."""
    yield _INSERT_HANDLE(user_id=user_id, handle=handle)
    rows = yield _FIND_HANDLE(user_id=user_id)
    return bytes(rows[0][0])


def insert_challenge(row: Mapping[str, Any], keep: int) -> Work[None]:
    """Keep what was asked of a holder; of what was asked for the same purpose the latest `keep` go on, this one too."""
    yield _DELETE_BEYOND(holder=row["holder_digest"], purpose=row["purpose"], keep=keep - 1)
    yield _INSERT_CHALLENGE(**row)


def list_challenges(holder: bytes, purpose: str, now: Instant) -> Work[list[tuple[str, str | None, bytes]]]:
    """What a holder was asked and can still answer, the latest first: (id, user_id, sealed content)."""
    rows = yield _LIST_CHALLENGES(holder=holder, purpose=purpose, now=now)
    return [(str(row[0]), row[1], bytes(row[2])) for row in rows]


def delete_challenge(challenge_id: str) -> Work[bool]:
    """Use one up; True for exactly one caller."""
    return bool((yield _DELETE_CHALLENGE(challenge_id=challenge_id)))


def delete_challenges(owner: str) -> Work[None]:
    """Void what a user was asked."""
    yield _DELETE_OF_USER(owner=owner)


def delete_expired_challenges(now: Instant) -> Work[int]:
    """Forget what has expired, some at a time; how many."""
    return len((yield _PURGE(now=now)))


def find_grace(user_id: str) -> Work[Instant | None]:
    """Since when a user owes a factor."""
    rows = yield _FIND_GRACE(user_id=user_id)
    return int(rows[0][0]) if rows else None


def insert_grace(user_id: str, now: Instant) -> Work[None]:
    """Begin to count a user's days of grace, unless that has begun."""
    yield _INSERT_GRACE(user_id=user_id, now=now)


def delete_grace(owner: str) -> Work[None]:
    """A user has bound a factor: should they lose it, the days begin anew."""
    yield _DELETE_GRACE(owner=owner)


def _sealed(row: Row) -> Sealed:
    bound_id, user_id, kind, label, sealed, state, version, step, bound_at, last_used_at = row
    return (
        bound_id, user_id, kind, label, bytes(sealed), json.loads(state), version, step == 1, bound_at, last_used_at
    )  # fmt: skip

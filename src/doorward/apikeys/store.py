"""SQL of the apikeys room: tables api_key and api_key_secret."""

import json
from dataclasses import dataclass

from sqlalchemy import Text, delete, func, insert, or_, select, update
from sqlalchemy import bindparam as p

from doorward.apikeys.model import ApiKey
from doorward.kernel.instant import Instant
from doorward.sql import Row, Statement, Work, purge
from doorward.sql.tables import api_key, api_key_secret, users

AT_ONCE = 500

_OLD_UNTIL = (
    select(func.max(api_key_secret.c.expires_at))
    .where(api_key_secret.c.key_id == api_key.c.id)
    .correlate(api_key)
    .scalar_subquery()
)
_COLUMNS = (
    api_key.c.id,
    api_key.c.user_id,
    api_key.c.name,
    api_key.c.hint,
    api_key.c.scopes,
    api_key.c.networks,
    api_key.c.per_minute,
    api_key.c.created_at,
    api_key.c.expires_at,
    api_key.c.last_used_at,
    api_key.c.last_address,
)
_FIND_BY_DIGEST = Statement(
    select(*_COLUMNS, api_key_secret.c.expires_at, users.c.uid, users.c.name, users.c.roles, users.c.status)
    .join(api_key, api_key.c.id == api_key_secret.c.key_id)
    .join(users, users.c.id == api_key.c.user_id)
    .where(api_key_secret.c.secret_digest == p("digest"))
)
_FIND = Statement(select(*_COLUMNS, _OLD_UNTIL).where(api_key.c.id == p("key_id"), api_key.c.user_id == p("owner")))
_FIND_OWNER = Statement(select(api_key.c.user_id).where(api_key.c.id == p("key_id")))
_LIST = Statement(select(*_COLUMNS, _OLD_UNTIL).where(api_key.c.user_id == p("owner")).order_by(api_key.c.id.desc()))
_LIST_ALL = Statement(select(*_COLUMNS, _OLD_UNTIL).order_by(api_key.c.id.desc()).limit(p("count")))
_COUNT = Statement(select(func.count()).where(api_key.c.user_id == p("owner")))
_INSERT = Statement(insert(api_key).values({column.name: p(column.name) for column in api_key.columns}))
_INSERT_SECRET = Statement(
    insert(api_key_secret).values({column.name: p(column.name) for column in api_key_secret.columns})
)
_DELETE_OLD_SECRETS = Statement(
    delete(api_key_secret).where(api_key_secret.c.key_id == p("key_of"), api_key_secret.c.expires_at.is_not(None))
)
_END_SECRETS = Statement(
    update(api_key_secret).where(api_key_secret.c.key_id == p("key_of")).values(expires_at=p("end"))
)
_RENEW = Statement(
    update(api_key)
    .where(api_key.c.id == p("key_of"))
    .values(hint=p("new_hint"), expires_at=p("end"), reminded_at=p("reminded"))
)
_TOUCH = Statement(
    update(api_key)
    .where(api_key.c.id == p("key_of"), or_(api_key.c.last_used_at.is_(None), api_key.c.last_used_at <= p("before")))
    .values(last_used_at=p("now"), last_address=func.coalesce(p("address", type_=Text()), api_key.c.last_address))
)
_DELETE = Statement(
    delete(api_key).where(api_key.c.id == p("key_of"), api_key.c.user_id == p("owner")).returning(api_key.c.name)
)
_DELETE_OF_USER = Statement(
    delete(api_key).where(api_key.c.user_id == p("owner")).returning(api_key.c.id, api_key.c.name)
)
_LIST_ENDING = Statement(
    select(api_key.c.id)
    .where(api_key.c.reminded_at.is_(None), api_key.c.expires_at > p("now"), api_key.c.expires_at <= p("before"))
    .order_by(api_key.c.expires_at)
    .limit(AT_ONCE)
)
_REMIND = Statement(
    update(api_key)
    .where(api_key.c.id == p("key_of"), api_key.c.reminded_at.is_(None))
    .values(reminded_at=p("now"))
    .returning(api_key.c.user_id, api_key.c.name, api_key.c.expires_at)
)
_DELETE_EXPIRED = purge(api_key.c.id, api_key.c.expires_at < p("before"))


@dataclass(frozen=True, slots=True)
class Found:
    """A key by one of its secrets, with its owner at this moment. `ends_at`: of the secret, when it was replaced."""

    key: ApiKey
    ends_at: Instant | None
    uid: str
    name: str
    roles: tuple[str, ...]
    status: str


def find_by_digest(digest: bytes) -> Work[Found | None]:
    """The key that a secret with this SHA-256 belongs to, whatever its state."""
    rows = yield _FIND_BY_DIGEST(digest=digest)
    if not rows:
        return None
    *columns, ends_at, uid, name, roles, status = rows[0]
    return Found(_key((*columns, None)), ends_at, uid, name, tuple(json.loads(roles)), status)


def find(key_id: str, owner: str) -> Work[ApiKey | None]:
    """A key of `owner`."""
    rows = yield _FIND(key_id=key_id, owner=owner)
    return _key(rows[0]) if rows else None


def find_owner(key_id: str) -> Work[str | None]:
    """Whose key it is."""
    rows = yield _FIND_OWNER(key_id=key_id)
    return rows[0][0] if rows else None


def list_of_user(owner: str) -> Work[list[ApiKey]]:
    """The keys of a user, the newest first."""
    return [_key(row) for row in (yield _LIST(owner=owner))]


def list_all(count: int) -> Work[list[ApiKey]]:
    """Everybody's keys, the newest first, `count` of them."""
    return [_key(row) for row in (yield _LIST_ALL(count=count))]


def count_of_user(owner: str) -> Work[int]:
    """How many keys a user has."""
    return int((yield _COUNT(owner=owner))[0][0])


def insert_key(key: ApiKey, digest: bytes, reminded_at: Instant | None) -> Work[None]:
    """Keep a new key; of its secret only the digest. `reminded_at`: given where nobody is to be reminded."""
    yield _INSERT(
        id=key.id,
        user_id=key.user_id,
        name=key.name,
        hint=key.hint,
        scopes=json.dumps(key.scopes),
        networks=json.dumps(key.networks),
        per_minute=key.per_minute,
        created_at=key.created_at,
        expires_at=key.expires_at,
        reminded_at=reminded_at,
        last_used_at=None,
        last_address=None,
    )
    yield _INSERT_SECRET(secret_digest=digest, key_id=key.id, created_at=key.created_at, expires_at=None)


def add_secret(key: ApiKey, digest: bytes, now: Instant, old_until: Instant, reminded_at: Instant | None) -> Work[None]:
    """Give a key (with its new hint and end) a new secret; of those before, the latest works until `old_until`."""
    yield _DELETE_OLD_SECRETS(key_of=key.id)
    yield _END_SECRETS(key_of=key.id, end=old_until)
    yield _INSERT_SECRET(secret_digest=digest, key_id=key.id, created_at=now, expires_at=None)
    yield _RENEW(key_of=key.id, new_hint=key.hint, end=key.expires_at, reminded=reminded_at)


def touch(key_id: str, address: str | None, now: Instant, before: Instant) -> Work[None]:
    """Note that a key was used, unless that was noted after `before`. `address`: None where nobody knows."""
    yield _TOUCH(key_of=key_id, address=address, now=now, before=before)


def delete_key(key_id: str, owner: str) -> Work[str | None]:
    """End a key of `owner`; its name, None when there is none."""
    rows = yield _DELETE(key_of=key_id, owner=owner)
    return rows[0][0] if rows else None


def delete_of_user(owner: str) -> Work[list[tuple[str, str]]]:
    """End every key of a user; their ids and names."""
    return [(row[0], row[1]) for row in (yield _DELETE_OF_USER(owner=owner))]


def list_ending(now: Instant, before: Instant) -> Work[list[str]]:
    """The ids of keys that end by `before` and whose owners have not been reminded, some at a time."""
    return [row[0] for row in (yield _LIST_ENDING(now=now, before=before))]


def remind(key_id: str, now: Instant) -> Work[tuple[str, str, Instant] | None]:
    """Note that an owner is reminded, which one of all who try does: (user id, name, end)."""
    rows = yield _REMIND(key_of=key_id, now=now)
    return (rows[0][0], rows[0][1], rows[0][2]) if rows else None


def delete_expired(before: Instant) -> Work[int]:
    """Forget keys that ended before then, some at a time; how many."""
    return len((yield _DELETE_EXPIRED(before=before)))


def _key(row: Row) -> ApiKey:
    values = list(row)
    values[4] = tuple(json.loads(values[4]))  # scopes
    values[5] = tuple(json.loads(values[5]))  # networks
    return ApiKey(*values)

"""SQL of the users room: tables users, identifier and deletion."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, delete, literal_column, select, update
from sqlalchemy import bindparam as p

from doorward.kernel.ids import new_id
from doorward.kernel.instant import Instant
from doorward.kernel.text import email_key, uid_key
from doorward.sql import Row, Statement, Work, insert
from doorward.sql.tables import deletion, identifier, users
from doorward.users.fields import INT64
from doorward.users.model import ACTIVE, ContactKind, Departure, NewUser, User

_INT64_DIGITS = 20  # with a sign

COLUMNS = (
    users.c.id,
    users.c.uid,
    users.c.name,
    identifier.c.value,
    identifier.c.verified_at,
    users.c.dob,
    users.c.status,
    users.c.roles,
    users.c.fields,
    users.c.legacy_id,
    users.c.version,
    users.c.created_at,
    users.c.updated_at,
    users.c.locale,
)
# A user has one e-mail address at most (see `replace_email`).
WITH_EMAIL = users.outerjoin(identifier, and_(identifier.c.user_id == users.c.id, identifier.c.kind == "email"))

_USERS = select(*COLUMNS).select_from(WITH_EMAIL)
_FIND_BY_ID = Statement(_USERS.where(users.c.id == p("user_id")))
_FIND_BY_ID_LOCKED = Statement(_USERS.where(users.c.id == p("user_id")).with_for_update(of=users))
_FIND_BY_UID = Statement(_USERS.where(users.c.uid_key == p("key")))
_FIND_BY_EMAIL = Statement(_USERS.where(identifier.c.value_key == p("key"), identifier.c.verified_at.is_not(None)))
_LIST_NAMES = Statement(
    select(users.c.uid_key.label("name"))
    .where(users.c.id == p("user_id"))
    .union_all(
        select(identifier.c.value_key).where(
            identifier.c.user_id == p("user_id"), identifier.c.kind == "email", identifier.c.verified_at.is_not(None)
        )
    )
)
_FIND_ID_BY_UID = Statement(select(users.c.id).where(users.c.uid_key == p("key")))
_FIND_ID_BY_LEGACY = Statement(select(users.c.id).where(users.c.legacy_id == p("legacy_id")))
_INSERT = Statement(
    insert(users)
    .values({column.name: p(column.name) for column in users.columns})
    .on_conflict_do_nothing()
    .returning(users.c.id)
)
_UPDATE = Statement(
    update(users)
    .where(users.c.id == p("user_id"))
    .values(
        uid=p("new_uid"),
        uid_key=p("new_uid_key"),
        name=p("new_name"),
        dob=p("new_dob"),
        status=p("new_status"),
        roles=p("new_roles"),
        fields=p("new_fields"),
        version=users.c.version + 1,
        updated_at=p("now"),
    )
    .returning(users.c.id)
)
_COUNT_UP = Statement(
    update(users).where(users.c.id == p("user_id")).values(version=users.c.version + 1, updated_at=p("now"))
)
_DELETE = Statement(delete(users).where(users.c.id == p("user_id")).returning(users.c.id))
# Those with a role are few: a partial index of their own finds them.
WITH_ROLES = users.c.roles != literal_column("'[]'")
_LIST_WITH_ROLES = Statement(select(users.c.id, users.c.status, users.c.roles).where(WITH_ROLES).order_by(users.c.id))
_LIST_WITH_ROLES_LOCKED = Statement(
    select(users.c.id, users.c.status, users.c.roles).where(WITH_ROLES).order_by(users.c.id).with_for_update()
)
_INSERT_EMAIL = Statement(
    insert(identifier).values({column.name: p(column.name) for column in identifier.columns}).returning(identifier.c.id)
)
_DELETE_EMAILS = Statement(
    delete(identifier)
    .where(identifier.c.user_id == p("owner"), identifier.c.kind == "email")
    .returning(identifier.c.id)
)
_FIND_PROVEN_OWNER = Statement(
    select(identifier.c.user_id).where(
        identifier.c.kind == p("wanted"), identifier.c.value_key == p("key"), identifier.c.verified_at.is_not(None)
    )
)
_DELETE_OF_OTHERS = Statement(
    delete(identifier)
    .where(identifier.c.kind == p("wanted"), identifier.c.value_key == p("key"), identifier.c.user_id != p("owner"))
    .returning(identifier.c.user_id)
)
_DELETE_OWN = Statement(
    delete(identifier)
    .where(identifier.c.user_id == p("owner"), identifier.c.kind == p("wanted"))
    .returning(identifier.c.value)
)
_FIND_OWN = Statement(
    select(identifier.c.value, identifier.c.verified_at).where(
        identifier.c.user_id == p("owner"), identifier.c.kind == p("wanted")
    )
)
_SET_LOCALE = Statement(
    update(users).where(users.c.id == p("user_id")).values(locale=p("new_locale")).returning(users.c.id)
)
_LIST_CONTACTS = Statement(
    select(identifier.c.kind, identifier.c.value, identifier.c.verified_at, identifier.c.created_at)
    .where(identifier.c.user_id == p("owner"))
    .order_by(identifier.c.kind, identifier.c.id)
)

_INSERT_DELETION = Statement(
    insert(deletion).values({column.name: p(column.name) for column in deletion.columns}).returning(deletion.c.user_id)
)
_FIND_DELETION = Statement(
    select(deletion.c.due_at).where(deletion.c.user_id == p("user_id"), deletion.c.due_at > p("now"))
)
# Of coming back and being erased one finds the row: which of them, the clock decides.
_CALL_OFF_DELETION = Statement(
    delete(deletion)
    .where(deletion.c.user_id == p("owner"), deletion.c.due_at > p("now"))
    .returning(deletion.c.asked_at)
)
_TAKE_DUE_DELETION = Statement(
    delete(deletion)
    .where(deletion.c.user_id == p("owner"), deletion.c.due_at <= p("now"))
    .returning(deletion.c.asked_at)
)
_LIST_DUE = Statement(
    select(deletion.c.user_id)
    .where(deletion.c.due_at <= p("now"))
    .order_by(deletion.c.due_at, deletion.c.user_id)
    .limit(p("count"))
)
_LIST_DEPARTURES = Statement(
    select(deletion.c.user_id, users.c.uid, deletion.c.asked_at, deletion.c.due_at)
    .join(users, users.c.id == deletion.c.user_id)
    .order_by(deletion.c.due_at, deletion.c.user_id)
    .limit(p("count"))
)


def find_proven_owner(kind: ContactKind, key: str) -> Work[str | None]:
    """The id of whoever proved that an address or a number is theirs."""
    rows = yield _FIND_PROVEN_OWNER(wanted=kind, key=key)
    return rows[0][0] if rows else None


def delete_contact_of_others(kind: ContactKind, key: str, user_id: str) -> Work[list[str]]:
    """Take an address or a number from everybody but its owner; from whom."""
    return [row[0] for row in (yield _DELETE_OF_OTHERS(wanted=kind, key=key, owner=user_id))]


def replace_contact(user_id: str, kind: ContactKind, value: str | None, key: str, now: Instant) -> Work[str | None]:
    """Put a proven address or number in the place of the one a user has, or nothing; the old one."""
    old = yield _DELETE_OWN(owner=user_id, wanted=kind)
    if value is not None:
        yield _INSERT_EMAIL(
            id=new_id(now), user_id=user_id, kind=kind, value=value, value_key=key, verified_at=now, created_at=now
        )
    return old[0][0] if old else None


def find_contact(user_id: str, kind: ContactKind) -> Work[tuple[str, Instant | None] | None]:
    """A user's address or number, and when it was proven."""
    rows = yield _FIND_OWN(owner=user_id, wanted=kind)
    return (rows[0][0], rows[0][1]) if rows else None


def list_contacts(user_id: str) -> Work[list[tuple[ContactKind, str, Instant | None, Instant]]]:
    """A user's addresses and numbers: kind, value, when it was proven if it was, and since when we have it."""
    return [(row[0], row[1], row[2], row[3]) for row in (yield _LIST_CONTACTS(owner=user_id))]


def update_locale(user_id: str, locale: str) -> Work[None]:
    """Keep the language of a user's messages."""
    yield _SET_LOCALE(user_id=user_id, new_locale=locale)


def find_by_id(user_id: str) -> Work[User | None]:
    """A user by id."""
    return first_user((yield _FIND_BY_ID(user_id=user_id)))


def find_by_id_locked(user_id: str) -> Work[User | None]:
    """A user by id, whom nobody else changes until this transaction ends."""
    return first_user((yield _FIND_BY_ID_LOCKED(user_id=user_id)))


def find_by_uid(uid: str) -> Work[User | None]:
    """A user by handle, however it is written."""
    return first_user((yield _FIND_BY_UID(key=uid_key(uid))))


def find_by_verified_email(address: str) -> Work[User | None]:
    """The user who proved that `address` is theirs."""
    return first_user((yield _FIND_BY_EMAIL(key=email_key(address))))


def list_names(user_id: str) -> Work[list[str]]:
    """The keys (`identifier_key`) of what a user can be signed in by: the handle and the proven e-mail address."""
    return [row[0] for row in (yield _LIST_NAMES(user_id=user_id))]


def find_owner_of_uid(uid: str) -> Work[str | None]:
    """The id of whoever has a handle that looks like `uid`."""
    rows = yield _FIND_ID_BY_UID(key=uid_key(uid))
    return rows[0][0] if rows else None


def find_by_legacy_id(legacy_id: str) -> Work[str | None]:
    """The id of the user who was imported from there."""
    rows = yield _FIND_ID_BY_LEGACY(legacy_id=legacy_id)
    return rows[0][0] if rows else None


def insert_user(user_id: str, new: NewUser, roles: Sequence[str], now: Instant) -> Work[bool]:
    """Add a user with their e-mail claim; False when the handle or the legacy id is taken."""
    added = yield _INSERT(
        id=user_id,
        uid=new.uid,
        uid_key=uid_key(new.uid),
        name=new.name,
        dob=new.dob,
        status=ACTIVE,
        roles=_encode(list(roles)),
        fields=_encode(new.fields),
        legacy_id=new.legacy_id,
        version=1,
        created_at=now,
        updated_at=now,
        locale=new.locale,
    )
    if added and new.email is not None:
        yield from _insert_email(user_id, new.email, now)
    return bool(added)


def update_user(user: User, now: Instant) -> Work[None]:
    """Write every column of `user` but its e-mail address, and count the version up."""
    yield _UPDATE(
        user_id=user.id,
        new_uid=user.uid,
        new_uid_key=uid_key(user.uid),
        new_name=user.name,
        new_dob=user.dob,
        new_status=user.status,
        new_roles=_encode(list(user.roles)),
        new_fields=_encode(user.fields),
        now=now,
    )


def count_up(user_id: str, now: Instant) -> Work[None]:
    """Count a user's version up, because something changed that is kept beside them."""
    yield _COUNT_UP(user_id=user_id, now=now)


def replace_email(user_id: str, address: str | None, now: Instant) -> Work[None]:
    """Forget the user's address, verified or not, and note the new one as a claim."""
    yield _DELETE_EMAILS(owner=user_id)
    if address is not None:
        yield from _insert_email(user_id, address, now)


def delete_user(user_id: str) -> Work[bool]:
    """Remove a user and, by foreign keys, all that hangs on them; False when there was none."""
    return bool((yield _DELETE(user_id=user_id)))


def insert_deletion(user_id: str, now: Instant, due_at: Instant) -> Work[None]:
    """Note that a user asked to be deleted, and when they will be."""
    yield _INSERT_DELETION(user_id=user_id, asked_at=now, due_at=due_at)


def find_deletion(user_id: str, now: Instant) -> Work[Instant | None]:
    """When a user who may still come back is erased."""
    rows = yield _FIND_DELETION(user_id=user_id, now=now)
    return rows[0][0] if rows else None


def delete_deletion(user_id: str, now: Instant) -> Work[bool]:
    """Call a deletion off; False when there is none, or no time left."""
    return bool((yield _CALL_OFF_DELETION(owner=user_id, now=now)))


def delete_due_deletion(user_id: str, now: Instant) -> Work[Instant | None]:
    """Take up a deletion that is due, which one of all who try does; when it was asked for."""
    rows = yield _TAKE_DUE_DELETION(owner=user_id, now=now)
    return rows[0][0] if rows else None


def list_due(now: Instant, count: int) -> Work[list[str]]:
    """The ids of those whose time to come back is over, the longest first, `count` of them."""
    return [row[0] for row in (yield _LIST_DUE(now=now, count=count))]


def list_departures(count: int) -> Work[list[Departure]]:
    """Those who are leaving, the next to be erased first, `count` of them."""
    return [Departure(*row) for row in (yield _LIST_DEPARTURES(count=count))]


def list_holders(role: str, *, locked: bool = False) -> Work[list[str]]:
    """The ids of active users with `role`; `locked`: nobody else changes them until this transaction ends."""
    rows = yield (_LIST_WITH_ROLES_LOCKED if locked else _LIST_WITH_ROLES)()
    return [user_id for user_id, status, roles in rows if status == ACTIVE and role in json.loads(roles)]


def first_user(rows: Sequence[Row]) -> User | None:
    """The user in the first row of COLUMNS, if there is one."""
    return user_of(rows[0]) if rows else None


def user_of(row: Row) -> User:
    """The user in a row of COLUMNS."""
    user_id, uid, name, email, verified_at, dob, status, roles, fields, legacy_id, version, *rest = row
    created_at, updated_at, locale = rest
    return User(
        id=user_id,
        uid=uid,
        name=name,
        email=email,
        email_verified=verified_at is not None,
        dob=dob,
        status=status,
        roles=tuple(json.loads(roles)),
        fields=json.loads(fields, parse_int=_read_integer),
        legacy_id=legacy_id,
        version=version,
        created_at=created_at,
        updated_at=updated_at,
        locale=locale,
    )


def _insert_email(user_id: str, address: str, now: Instant) -> Work[None]:
    yield _INSERT_EMAIL(
        id=new_id(now),
        user_id=user_id,
        kind="email",
        value=address,
        value_key=email_key(address),
        verified_at=None,
        created_at=now,
    )


def _encode(value: Any) -> str:  # noqa: ANN401  any JSON value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _read_integer(digits: str) -> float:
    # PostgreSQL writes 1e300 with all its zeros; as an integer it would no longer equal what was sent.
    fits = len(digits) <= _INT64_DIGITS and -INT64 - 1 <= int(digits) <= INT64
    return int(digits) if fits else float(digits)

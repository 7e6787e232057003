"""SQL of the sessions room: tables session, known_device, revocation."""

import json
from collections.abc import Callable

from sqlalchemy import bindparam as p
from sqlalchemy import delete, func, insert, select, update

from doorward.authenticators import has_factor_column
from doorward.kernel.assurance import Proof
from doorward.kernel.instant import Instant
from doorward.sessions.model import Revocation, Session
from doorward.sql import Row, Statement, Work, purge
from doorward.sql.tables import known_device, revocation, session, users

REVOCATIONS_AT_ONCE = 1_000

_COLUMNS = (
    session.c.id,
    session.c.user_id,
    users.c.uid,
    users.c.name,
    users.c.roles,
    users.c.status,
    session.c.transport,
    session.c.amr,
    session.c.aal,
    session.c.auth_time,
    session.c.created_at,
    session.c.last_seen_at,
    session.c.expires_at,
    session.c.address,
    session.c.user_agent,
    has_factor_column(session.c.user_id),
)
_LIVE = select(*_COLUMNS).join(users, users.c.id == session.c.user_id)

_FIND_BY_DIGEST = Statement(_LIVE.where(session.c.token_digest == p("digest")))
_FIND_BY_ID = Statement(_LIVE.where(session.c.id == p("session_id")))
_FIND_BY_ID_LOCKED = Statement(_LIVE.where(session.c.id == p("session_id")).with_for_update(of=session, read=True))
_LIST_OF_USER = Statement(
    _LIVE.where(session.c.user_id == p("user_id"), session.c.expires_at > p("now")).order_by(
        session.c.last_seen_at.desc()
    )
)
_INSERT = Statement(
    insert(session).values({column.name: p(column.name) for column in session.columns}).returning(session.c.id)
)
_DELETE = Statement(
    delete(session).where(session.c.id == p("session_id"), session.c.user_id == p("owner")).returning(session.c.id)
)
_DELETE_BY_DIGEST = Statement(
    delete(session).where(session.c.token_digest == p("digest")).returning(session.c.id, session.c.user_id)
)
_DELETE_OTHERS = Statement(
    delete(session).where(session.c.user_id == p("owner"), session.c.id != p("kept")).returning(session.c.id)
)
_DELETE_BEYOND = Statement(
    delete(session)
    .where(
        session.c.user_id == p("owner"),
        session.c.id.in_(
            select(session.c.id)
            .where(session.c.user_id == p("owner"))
            .order_by(session.c.created_at.desc(), session.c.id.desc())
            .limit(1000)
            .offset(p("keep"))
            .scalar_subquery()
        ),
    )
    .returning(session.c.id)
)
_DELETE_EXPIRED = purge(session.c.id, session.c.expires_at <= p("now"))
_ROTATE = Statement(
    update(session)
    .where(session.c.id == p("session_id"))
    .values(
        token_digest=p("digest"),
        auth_time=p("auth_time"),
        last_seen_at=p("auth_time"),
        amr=p("amr"),
        aal=p("aal"),
        expires_at=p("expires_at"),
    )
    .returning(session.c.id)
)
_TOUCH = Statement(
    update(session)
    .where(session.c.id == p("session_id"), session.c.last_seen_at < p("now"))
    .values(last_seen_at=p("now"))
    .returning(session.c.id)
)

_INSERT_REVOCATION = Statement(
    insert(revocation).values(kind=p("kind"), id=p("id"), at=p("at")).returning(revocation.c.seq)
)
_LIST_REVOCATIONS = Statement(
    select(revocation.c.seq, revocation.c.kind, revocation.c.id, revocation.c.at)
    .where(revocation.c.seq > p("seq"), revocation.c.at >= p("since"))
    .order_by(revocation.c.seq)
    .limit(REVOCATIONS_AT_ONCE)
)
_LAST_REVOCATION = Statement(select(func.coalesce(func.max(revocation.c.seq), 0)))
_DELETE_OLD_REVOCATIONS = purge(revocation.c.seq, revocation.c.at < p("before"))

_DEVICE_COLUMNS = (known_device.c.id, known_device.c.user_id, known_device.c.failures)
_FIND_DEVICE = Statement(select(*_DEVICE_COLUMNS).where(known_device.c.token_digest == p("digest")))
_LIST_DEVICES = Statement(
    select(known_device.c.created_at, known_device.c.last_used_at)
    .where(known_device.c.user_id == p("owner"))
    .order_by(known_device.c.last_used_at.desc(), known_device.c.id)
)
_INSERT_DEVICE = Statement(
    insert(known_device)
    .values({column.name: p(column.name) for column in known_device.columns})
    .returning(known_device.c.id)
)
_REFRESH_DEVICE = Statement(
    update(known_device)
    .where(known_device.c.id == p("device_id"))
    .values(failures=0, last_used_at=p("now"))
    .returning(known_device.c.id)
)
_FAIL_DEVICE = Statement(
    update(known_device)
    .where(known_device.c.id == p("device_id"))
    .values(failures=known_device.c.failures + 1)
    .returning(known_device.c.failures)
)
_DELETE_DEVICE = Statement(delete(known_device).where(known_device.c.id == p("device_id")).returning(known_device.c.id))
_DELETE_DEVICES_BEYOND = Statement(
    delete(known_device)
    .where(
        known_device.c.id.in_(
            select(known_device.c.id)
            .where(known_device.c.user_id == p("owner"))
            .order_by(known_device.c.last_used_at.desc())
            .limit(1000)
            .offset(p("keep"))
            .scalar_subquery()
        )
    )
    .returning(known_device.c.id)
)
_DELETE_DEVICES = Statement(
    delete(known_device).where(known_device.c.user_id == p("owner")).returning(known_device.c.id)
)


def find_by_digest(digest: bytes) -> Work[Session | None]:
    """The session whose token has this SHA-256, whatever its state."""
    rows = yield _FIND_BY_DIGEST(digest=digest)
    return _session(rows[0]) if rows else None


def find_by_id(session_id: str) -> Work[Session | None]:
    """The session with this public id, whatever its state."""
    rows = yield _FIND_BY_ID(session_id=session_id)
    return _session(rows[0]) if rows else None


def find_by_id_locked(session_id: str) -> Work[Session | None]:
    """The same; whoever ends it waits until this transaction has ended."""
    rows = yield _FIND_BY_ID_LOCKED(session_id=session_id)
    return _session(rows[0]) if rows else None


def list_of_user(user_id: str, now: Instant) -> Work[list[Session]]:
    """A user's sessions that have not passed their absolute end, latest seen first."""
    rows = yield _LIST_OF_USER(user_id=user_id, now=now)
    return [_session(row) for row in rows]


def insert_session(started: Session, digest: bytes) -> Work[None]:
    """Keep a new session; of its token only the digest."""
    yield _INSERT(
        id=started.id,
        token_digest=digest,
        user_id=started.user_id,
        transport=started.transport,
        amr=json.dumps(started.amr),
        aal=started.aal,
        auth_time=started.auth_time,
        created_at=started.created_at,
        last_seen_at=started.last_seen_at,
        expires_at=started.expires_at,
        address=started.address,
        user_agent=started.user_agent,
    )


def delete_session(session_id: str, owner: str) -> Work[bool]:
    """End one session of `owner`; False when there is none."""
    return bool((yield _DELETE(session_id=session_id, owner=owner)))


def delete_by_digest(digest: bytes) -> Work[tuple[str, str] | None]:
    """End the session whose token has this SHA-256: (id, user_id), or None when there is none."""
    rows = yield _DELETE_BY_DIGEST(digest=digest)
    return (str(rows[0][0]), str(rows[0][1])) if rows else None


def delete_others(owner: str, kept: str) -> Work[list[str]]:
    """End all sessions of `owner` but `kept` (empty: all); their ids."""
    return [row[0] for row in (yield _DELETE_OTHERS(owner=owner, kept=kept))]


def delete_beyond(owner: str, keep: int) -> Work[list[str]]:
    """End the oldest sessions of `owner` beyond `keep`; their ids."""
    return [row[0] for row in (yield _DELETE_BEYOND(owner=owner, keep=keep))]


def delete_expired(now: Instant) -> Work[int]:
    """Forget sessions past their absolute end, some at a time; how many."""
    return len((yield _DELETE_EXPIRED(now=now)))


def update_token(session_id: str, digest: bytes, proof: Proof, expires_at: Instant) -> Work[bool]:
    """Give a session a new secret after a fresh authentication, and what was shown by it."""
    rows = yield _ROTATE(
        session_id=session_id,
        digest=digest,
        auth_time=proof.at,
        amr=json.dumps(proof.amr),
        aal=proof.aal,
        expires_at=expires_at,
    )
    return bool(rows)


def update_last_seen(session_id: str, now: Instant) -> Work[None]:
    """Note that a session was used."""
    yield _TOUCH(session_id=session_id, now=now)


def insert_revocation(kind: str, subject: str, at: Instant, committed: Callable[[], None]) -> Work[None]:
    """Tell every cache to drop what it knows. `committed` is called once it is durable."""
    yield _INSERT_REVOCATION(kind=kind, id=subject, at=at).then(committed)


def list_revocations(after_seq: int, since: Instant = 0) -> Work[list[Revocation]]:
    """Revocations later than a sequence number and not before `since`, the lowest REVOCATIONS_AT_ONCE of them."""
    return [Revocation(*row) for row in (yield _LIST_REVOCATIONS(seq=after_seq, since=since))]


def find_last_revocation() -> Work[int]:
    """The highest sequence number so far, 0 when there is none."""
    rows = yield _LAST_REVOCATION()
    return int(rows[0][0])


def delete_old_revocations(before: Instant) -> Work[int]:
    """Forget revocations that no cache can still need, some at a time; how many."""
    return len((yield _DELETE_OLD_REVOCATIONS(before=before)))


def find_device(digest: bytes) -> Work[tuple[str, str, int] | None]:
    """A known device by its token's digest: (id, user_id, failures)."""
    rows = yield _FIND_DEVICE(digest=digest)
    return (str(rows[0][0]), str(rows[0][1]), int(rows[0][2])) if rows else None


def list_devices(owner: str) -> Work[list[tuple[Instant, Instant]]]:
    """When a user's known devices became known and were last used, the latest used first."""
    return [(row[0], row[1]) for row in (yield _LIST_DEVICES(owner=owner))]


def insert_device(device_id: str, user_id: str, digest: bytes, now: Instant) -> Work[None]:
    """Remember a device after a full sign-in."""
    yield _INSERT_DEVICE(
        id=device_id, user_id=user_id, token_digest=digest, failures=0, created_at=now, last_used_at=now
    )


def refresh_device(device_id: str, now: Instant) -> Work[bool]:
    """A right sign-in on a known device; False when it is gone."""
    return bool((yield _REFRESH_DEVICE(device_id=device_id, now=now)))


def fail_device(device_id: str) -> Work[int]:
    """A wrong password on a known device; how many in a row."""
    rows = yield _FAIL_DEVICE(device_id=device_id)
    return int(rows[0][0]) if rows else 0


def delete_device(device_id: str) -> Work[None]:
    """Make a device a stranger again."""
    yield _DELETE_DEVICE(device_id=device_id)


def delete_devices(owner: str) -> Work[None]:
    """Make every device of a user a stranger again."""
    yield _DELETE_DEVICES(owner=owner)


def delete_devices_beyond(owner: str, keep: int) -> Work[None]:
    """Forget the devices least lately used beyond `keep`."""
    yield _DELETE_DEVICES_BEYOND(owner=owner, keep=keep)


def _session(row: Row) -> Session:
    values = list(row)
    values[4] = tuple(json.loads(values[4]))  # roles
    values[7] = tuple(json.loads(values[7]))  # amr
    values[15] = bool(values[15])
    return Session(*values)

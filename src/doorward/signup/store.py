"""SQL of the sign-up room: table reserved_uid."""

from sqlalchemy import bindparam as p
from sqlalchemy import delete, or_, select

from doorward.kernel.instant import Instant
from doorward.kernel.text import uid_key
from doorward.sql import Statement, Work, insert
from doorward.sql.tables import confirmation, reserved_uid

_OVER = or_(confirmation.c.used_at.is_not(None), confirmation.c.voided_at.is_not(None))
_FIND = Statement(
    select(confirmation.c.target_key, confirmation.c.holder_digest)
    .join(reserved_uid, reserved_uid.c.confirmation_id == confirmation.c.id)
    .where(reserved_uid.c.uid_key == p("key"), reserved_uid.c.expires_at > p("now"), ~_OVER)
)
_RELEASE = Statement(
    delete(reserved_uid)
    .where(
        or_(
            reserved_uid.c.confirmation_id.in_(
                select(confirmation.c.id).where(confirmation.c.holder_digest == p("holder"))
            ),
            (reserved_uid.c.uid_key == p("key"))
            & or_(
                reserved_uid.c.expires_at <= p("now"),
                reserved_uid.c.confirmation_id.in_(select(confirmation.c.id).where(_OVER)),
            ),
        )
    )
    .returning(reserved_uid.c.uid_key)
)
_RESERVE = Statement(
    insert(reserved_uid)
    .values({column.name: p(column.name) for column in reserved_uid.columns})
    .on_conflict_do_nothing()
    .returning(reserved_uid.c.uid_key)
)
_DELETE = Statement(
    delete(reserved_uid).where(reserved_uid.c.confirmation_id == p("owner")).returning(reserved_uid.c.uid_key)
)
_NOBODY = b""  # no holder's digest


def find_reservation(uid: str, now: Instant) -> Work[tuple[str, bytes | None] | None]:
    """For whom a handle, or one that looks like it, is kept: the key of the address to prove and who asked."""
    rows = yield _FIND(key=uid_key(uid), now=now)
    return (rows[0][0], rows[0][1]) if rows else None


def reserve(uid: str, confirmation_id: str, holder: bytes | None, now: Instant, until: Instant) -> Work[bool]:
    """Keep a handle for a pending sign-up; False when it is kept for another.

    What the same browser (`holder`) had kept before is given up.
    """
    key = uid_key(uid)
    yield _RELEASE(key=key, holder=holder or _NOBODY, now=now)
    return bool((yield _RESERVE(uid_key=key, confirmation_id=confirmation_id, expires_at=until)))


def release(confirmation_id: str) -> Work[None]:
    """Keep it no longer."""
    yield _DELETE(owner=confirmation_id)

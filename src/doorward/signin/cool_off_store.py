"""SQL of the wait for somebody who lost every second step: table cool_off."""

from dataclasses import dataclass

from sqlalchemy import bindparam as p
from sqlalchemy import delete, select, update

from doorward.kernel.instant import Instant
from doorward.sql import Statement, Work, insert, purge
from doorward.sql.tables import cool_off


@dataclass(frozen=True, slots=True)
class Row:
    """A wait: when it was asked for, when each channel has answered, and when it is over (set once both have)."""

    asked_at: Instant
    email_shown_at: Instant | None
    phone_shown_at: Instant | None
    due_at: Instant | None


_FIND = Statement(
    select(cool_off.c.asked_at, cool_off.c.email_shown_at, cool_off.c.phone_shown_at, cool_off.c.due_at).where(
        cool_off.c.user_id == p("user_id")
    )
)
_INSERT = Statement(
    insert(cool_off)
    .values(user_id=p("user_id"), asked_at=p("now"), email_shown_at=None, phone_shown_at=None, due_at=None)
    .on_conflict_do_nothing(index_elements=[cool_off.c.user_id])
)
_SHOW_EMAIL = Statement(update(cool_off).where(cool_off.c.user_id == p("owner")).values(email_shown_at=p("now")))
_SHOW_PHONE = Statement(update(cool_off).where(cool_off.c.user_id == p("owner")).values(phone_shown_at=p("now")))
_SET_DUE = Statement(
    update(cool_off)
    .where(
        cool_off.c.user_id == p("owner"),
        cool_off.c.email_shown_at.is_not(None),
        cool_off.c.phone_shown_at.is_not(None),
        cool_off.c.due_at.is_(None),
    )
    .values(due_at=p("due_at"))
    .returning(cool_off.c.due_at)
)
_DELETE = Statement(delete(cool_off).where(cool_off.c.user_id == p("owner")).returning(cool_off.c.due_at))
_PURGE = purge(
    cool_off.c.user_id,
    (cool_off.c.due_at < p("overdue")) | (cool_off.c.due_at.is_(None) & (cool_off.c.asked_at < p("old"))),
)


def find_wait(user_id: str) -> Work[Row | None]:
    """A user's wait."""
    rows = yield _FIND(user_id=user_id)
    return Row(*rows[0]) if rows else None


def insert_wait(user_id: str, now: Instant) -> Work[None]:
    """Begin one, unless there is one."""
    yield _INSERT(user_id=user_id, now=now)


def update_shown(owner: str, channel: str, now: Instant) -> Work[None]:
    """A channel, "email" or "phone", has answered."""
    yield (_SHOW_EMAIL if channel == "email" else _SHOW_PHONE)(owner=owner, now=now)


def update_due(owner: str, due_at: Instant) -> Work[bool]:
    """Begin to wait, if both channels have answered; True for exactly one caller."""
    return bool((yield _SET_DUE(owner=owner, due_at=due_at)))


def delete_wait(owner: str) -> Work[Row | None]:
    """End one; a row with what was found of it, or None when there was none."""
    rows = yield _DELETE(owner=owner)
    return Row(0, None, None, rows[0][0]) if rows else None


def delete_old_waits(overdue: Instant, old: Instant) -> Work[int]:
    """Forget those that were due before `overdue` or never began before `old`, some at a time; how many."""
    return len((yield _PURGE(overdue=overdue, old=old)))

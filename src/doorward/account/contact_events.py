"""What a change of an address and one of a number have in common: the audit, the words."""

from typing import Final, Literal, TypeAlias

from doorward.audit import AuditTrail, Event, Outcome
from doorward.kernel.caller import Caller
from doorward.kernel.errors import FieldError, Invalid, NotFound
from doorward.kernel.msgid import msgid
from doorward.sessions import Session
from doorward.sql import Work
from doorward.users import ContactKind, User, UsersService

CODE_MINUTES: Final = 10
PHONE_PAGE: Final = "/account/phone"
_GONE: Final = msgid("This link no longer works, because something newer took its place")
What: TypeAlias = Literal["pending", "called off", "undone"]


async def find_user(users: UsersService, user_id: str) -> User:
    """A user by id. Raises NotFound."""
    user = await users.find(user_id)
    if user is None:
        raise NotFound(reason="no such user")
    return user


def lock_active(users: UsersService, user_id: str | None, field: str) -> Work[User]:
    """Whose link or code it is. Raises Invalid naming `field` when they were disabled or erased meanwhile.

    It comes before the link itself is touched: two links of one user must not wait for each other in a circle.
    """
    try:
        user = yield from users.locked(user_id or "")
    except NotFound:
        raise Invalid([FieldError(field, "void", _GONE)], reason="user is gone") from None
    if user.status != "active":
        raise Invalid([FieldError(field, "void", _GONE)], reason=user.status)
    return user


def record(
    audit: AuditTrail, kind: ContactKind, user_id: str, session: Session | None, caller: Caller, what: What
) -> Work[None]:
    """Audit what became of a change. `session`: whose; None: nobody was signed in."""
    yield from audit.record(
        Event.USER_UPDATED,
        Outcome.SUCCESS,
        caller,
        user_id=user_id,
        actor_id=user_id if session is None else session.user_id,
        session_id=None if session is None else session.id,
        payload={"fields": [kind], kind: what},
    )

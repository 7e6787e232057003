"""Whose record it is."""

from doorward.audit import Event, Refusals
from doorward.kernel.caller import Caller
from doorward.kernel.errors import Forbidden
from doorward.sessions import Session

ADMIN = "admin"


async def check_owner(
    refusals: Refusals, session: Session, user_id: str, caller: Caller, verb: str, *, also_admin: bool = True
) -> None:
    """Raise Forbidden, and write it down, unless the record is the caller's own or they administer (C45)."""
    if user_id == session.user_id or (also_admin and ADMIN in session.roles):
        return
    await refusals.note(
        Event.AUTHZ_FAIL,
        caller,
        {"verb": verb, "resource": "user"},
        user_id=user_id,
        actor_id=session.user_id,
        session_id=session.id,
    )
    raise Forbidden(reason=f"{verb} on somebody else's record")

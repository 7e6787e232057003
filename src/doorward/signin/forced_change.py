"""Another password before a session may begin, for someone whose password others know (C8)."""

from dataclasses import dataclass

from doorward.audit import AuditTrail, Event, Outcome
from doorward.confirmations import Confirmations, Purpose
from doorward.kernel.caller import Caller
from doorward.kernel.instant import Instant
from doorward.sql import Work
from doorward.users import User


@dataclass(frozen=True, slots=True)
class ForcedChange:
    """Hands out what sets another password."""

    confirmations: Confirmations
    audit: AuditTrail

    def hand_over(self, user: User, caller: Caller, now: Instant) -> Work[str]:
        """A token for a browser that has just shown, in the caller's transaction, that it is its owner's."""
        yield from self.confirmations.void_of_user(user.id, now, "password")
        opened = yield from self.confirmations.begin(
            "password", user.uid, f"user:{user.id}", now=now, user_id=user.id, locale=caller.locale
        )
        yield from self.record(user, caller, "password")
        return opened.token

    def record(self, user: User, caller: Caller, purpose: Purpose) -> Work[None]:
        """Note that a sign-in led to it."""
        yield from self.audit.record(
            Event.AUTHN_LOGIN_FAIL,
            Outcome.FAILURE,
            caller,
            user_id=user.id,
            payload={"action": "sign-in", "reason": "password known to others"},
        )
        yield from self.audit.record(
            Event.AUTHN_TOKEN_CREATED, Outcome.SUCCESS, caller, user_id=user.id, payload={"purpose": purpose}
        )

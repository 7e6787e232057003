"""Signing in with a link or a code from one's mailbox, in the browser that asked for it (C14, C16, C17; UX-31).

A link that would sign in whatever browser opens it signs in whoever talks its reader into forwarding it, and one that
approved the browser that asked would let in whoever made the reader click. So it does neither.
"""

from dataclasses import dataclass
from typing import Final

from doorward.audit import AuditTrail, Event, Outcome
from doorward.authenticators import PasswordService
from doorward.confirmations import (
    CODE_SECONDS,
    Completed,
    Confirmation,
    Confirmations,
    Opened,
    State,
    Submitted,
    holder_of_cookie,
)
from doorward.kernel.caller import Caller
from doorward.kernel.errors import Conflict, FieldError, Invalid, NotFound, PasswordChangeRequired
from doorward.kernel.ids import new_token
from doorward.kernel.msgid import msgid
from doorward.messages import Outbox, SendLimits, Values
from doorward.ports import Clock, Database
from doorward.sessions import Sessions, SignInOutcome, Start, describe, email_proof
from doorward.signin.forced_change import ForcedChange
from doorward.signin.record import record_sign_in
from doorward.sql import Work
from doorward.users import User, UsersService, contact_key

ACCOUNT: Final = "/account"
NO_MAIL: Final = msgid("This site cannot send e-mail. Please turn to those who help you here")
ELSEWHERE: Final = msgid("This link works only in the browser that asked for it. Enter the code there instead")
_GONE: Final = msgid("This link no longer works, because something newer took its place")
_PURPOSE: Final = "sign_in"
_MINUTES: Final = CODE_SECONDS // 60


@dataclass(frozen=True, slots=True)
class SignInByEmail:
    """Links and codes in, sessions out. One factor, never two (C24)."""

    db: Database
    clock: Clock
    users: UsersService
    passwords: PasswordService
    sessions: Sessions
    confirmations: Confirmations
    outbox: Outbox
    sends: SendLimits
    audit: AuditTrail

    # Asking -----------------------------------------------------------------------------------------------------

    async def ask(self, address: str, caller: Caller, device_token: str | None = None, path: str = ACCOUNT) -> str:
        """Mail whoever has proven `address` a link and a code; the value of `pending` that ties them to a browser.

        The same work and the same answer where nobody has. `device_token`: a known device of the owner has places of
        its own among the limits; `path`: where a page goes on. Raises Conflict where no mail can be sent, RateLimited,
        Unavailable.
        """
        if not self.outbox.can_mail:
            raise Conflict(NO_MAIL, reason="no mail server")
        owner = await self.users.find_by_identifier(address)
        device_id = await self.sessions.find_own_device(None if owner is None else owner.id, device_token)
        cookie = new_token()
        async with await self.sends.mail("sign_in", address, caller, device_id):
            await self.db.write(lambda: self._begin(address, owner, cookie, caller, path))
        return cookie

    async def resend(self, found: Confirmation, caller: Caller) -> None:
        """Send a newer code with the same link. Raises RateLimited, Unavailable, Invalid (over meanwhile)."""
        async with await self.sends.mail("sign_in", found.target, caller):
            owner = await self.users.find_by_identifier(found.target)
            if found.voided_at is not None:  # its owner called it off, which is not to be seen here
                owner = None

            def work() -> Work[None]:
                opened = yield from self.confirmations.renew(found, self.clock.now())
                yield from self._mail(opened, found.target, owner, caller)

            await self.db.write(work)

    def _begin(self, address: str, owner: User | None, cookie: str, caller: Caller, path: str) -> Work[None]:
        opened = yield from self.confirmations.begin(
            _PURPOSE,
            address,
            contact_key("email", address),
            now=self.clock.now(),
            user_id=None if owner is None else owner.id,
            payload={"user_agent": caller.user_agent, "address": caller.address, "path": path},
            holder=holder_of_cookie(cookie),
            locale=caller.locale,
        )
        yield from self._mail(opened, address, owner, caller)

    def _mail(self, opened: Opened, address: str, owner: User | None, caller: Caller) -> Work[None]:
        known = owner if owner is not None and owner.status == "active" else None
        values: Values = {
            "path": f"/sign-in/link/{opened.token}",
            "code": opened.code,
            "minutes": _MINUTES,
            "device": describe(caller.user_agent),
        }
        if known is None or known.email is None:
            yield from self.outbox.nothing(address, caller.locale, values)
        else:
            language = known.locale or caller.locale
            yield from self.outbox.mail("sign_in_link", known.email, language, values, expires_at=opened.expires_at)
        yield from self.audit.record(
            Event.AUTHN_TOKEN_CREATED,
            Outcome.SUCCESS,
            caller,
            user_id=None if known is None else known.id,
            payload={"purpose": _PURPOSE},
        )

    # Looking ----------------------------------------------------------------------------------------------------

    async def look(self, token: str) -> tuple[State, Confirmation | None]:
        """What a link leads to. Changes nothing."""
        return await self.confirmations.look(token, _PURPOSE)

    async def waiting(self, pending: str | None) -> Confirmation | None:
        """What the browser with this cookie asked for."""
        return await self.confirmations.of_holder(holder_of_cookie(pending), _PURPOSE)

    def is_holder(self, found: Confirmation, pending: str | None) -> bool:
        """Whether the browser with this cookie is the one that asked."""
        return found.held_by(holder_of_cookie(pending))

    # Signing in -------------------------------------------------------------------------------------------------

    async def submit_code(
        self, found: Confirmation | None, code: str, caller: Caller, replaced: str | None = None
    ) -> Completed:
        """Sign in with the code of what `waiting` gave. Raises Invalid naming `code`, RateLimited, Unavailable."""
        right = await self.confirmations.check_code(found, code, caller)
        return await self.confirm(right, Submitted(is_holder=True, replaced=replaced), caller)

    async def submit_link(
        self, token: str, pending: str | None, caller: Caller, replaced: str | None = None
    ) -> Completed:
        """Sign in with the link, in the browser that asked for it. Raises Invalid naming `token`, Unavailable."""
        found = await self.confirmations.by_token(token, _PURPOSE)
        submitted = Submitted(is_holder=self.is_holder(found, pending), replaced=replaced)
        return await self.confirm(found, submitted, caller)

    async def confirm(self, found: Confirmation, submitted: Submitted, caller: Caller) -> Completed:
        """Use it up and start a session. Outside of the browser that asked nothing is used up.

        Raises Invalid, Unavailable, or PasswordChangeRequired: others know the password, so there is another one first.
        """
        if not submitted.is_holder:
            raise Invalid([FieldError("token", "elsewhere", ELSEWHERE)], reason="link opened elsewhere")
        proof = email_proof(self.clock.now())

        def work() -> Work[SignInOutcome | str]:
            user = yield from self._owner(found)  # locked first: two links of one user must not wait in a circle
            yield from self.confirmations.use(found, proof.at)
            yield from self.confirmations.void_of_user(user.id, proof.at, _PURPOSE)
            if (yield from self.passwords.is_compromised(user.id)):
                return (yield from ForcedChange(self.confirmations, self.audit).hand_over(user, caller, proof.at))
            start = Start(replaced=submitted.replaced, path=found.payload["path"])
            outcome = yield from self.sessions.finish(user, proof, caller, start)
            yield from record_sign_in(self.audit, outcome, proof, caller)
            return outcome

        outcome = await self.db.write(work)
        if isinstance(outcome, str):
            raise PasswordChangeRequired(token=outcome)
        return Completed(_PURPOSE, found.user_id or "", found.payload["path"], outcome)

    def _owner(self, found: Confirmation) -> Work[User]:
        """Whose link it is, unless they were disabled or have another address by now."""
        try:
            user = yield from self.users.locked(found.user_id or "")
        except NotFound:
            raise _gone() from None
        same = user.email is not None and contact_key("email", user.email) == found.target_key
        if user.status != "active" or not user.email_verified or not same:
            raise _gone()
        return user

    # Calling off ------------------------------------------------------------------------------------------------

    async def call_off(self, token: str, caller: Caller) -> None:
        """Void a link that its reader did not ask for. Raises Invalid naming `token` when it is over."""
        found = await self.confirmations.by_token(token, _PURPOSE)

        def work() -> Work[None]:
            yield from self.confirmations.void(found, self.clock.now())
            yield from self.audit.record(
                Event.AUTHN_TOKEN_REVOKED,
                Outcome.SUCCESS,
                caller,
                user_id=found.user_id,
                payload={"purpose": _PURPOSE, "why": "not asked for"},
            )

        await self.db.write(work)


def _gone() -> Invalid:
    return Invalid([FieldError("token", "void", _GONE)], reason="link is nobody's")

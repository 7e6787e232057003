"""The phone number of a user: added, proven by a code, removed (C15, C26, C28)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from doorward.account.contact_events import CODE_MINUTES, PHONE_PAGE, find_user, lock_active, record
from doorward.account.ownership import check_owner
from doorward.audit import AuditTrail, Refusals
from doorward.authenticators import SecurityNotices
from doorward.confirmations import Completed, Confirmation, Confirmations, Opened, Submitted, holder_of_session
from doorward.kernel.caller import Caller
from doorward.kernel.errors import Conflict, FieldError, Invalid, NotFound
from doorward.kernel.instant import Instant
from doorward.kernel.msgid import msgid
from doorward.messages import Outbox, SendLimits, Values
from doorward.ports import Clock, Database
from doorward.sessions import Session, Sessions, describe
from doorward.sql import Work
from doorward.users import User, UsersService, normalise_phone

_NOTHING: Final = msgid("There is no number to confirm any more")
_NEEDED: Final = msgid("Enter a phone number")
_UNCHANGED: Final = msgid("This is your number already")
_ANOTHER_BROWSER: Final = msgid("Enter the code where you asked for it")


@dataclass(frozen=True, slots=True)
class PhoneState:
    """A user's proven number, and the one that this session wants to put in its place."""

    number: str | None
    pending: str | None
    code_expires_at: Instant


@dataclass(frozen=True, slots=True)
class Phones:
    """Phone numbers. `countries`: whose numbers are taken, as ISO 3166 codes; empty: of all."""

    db: Database
    clock: Clock
    users: UsersService
    sessions: Sessions
    confirmations: Confirmations
    outbox: Outbox
    sends: SendLimits
    notices: SecurityNotices
    audit: AuditTrail
    refusals: Refusals
    countries: Sequence[str]

    @property
    def offered(self) -> bool:
        """Whether text messages arrive anywhere."""
        return self.outbox.can_text

    async def state(self, session: Session) -> PhoneState:
        """What the caller's own page shows. Raises NotFound where numbers are not offered."""
        self._check_offered()
        contact = await self.users.contact(session.user_id, "phone")
        found = await self._asked_by(session)
        number = None if contact is None else contact[0]
        if found is None:
            return PhoneState(number, None, 0)
        return PhoneState(number, found.target, found.code_expires_at)

    async def ask(self, session: Session, user_id: str, typed: object, caller: Caller) -> None:
        """Send a code to a number, whoever else may have it.

        Raises ReauthenticationNeeded, Forbidden, NotFound (not offered), Invalid, RateLimited, Unavailable.
        """
        self._check_offered()
        await check_owner(self.refusals, session, user_id, caller, "update", also_admin=False)
        session.require_fresh(self.clock.now())
        if typed is None or typed == "":
            raise Invalid([FieldError("phone", "required", _NEEDED)])
        number = normalise_phone(typed, self.countries)
        user = await find_user(self.users, user_id)
        contact = await self.users.contact(user_id, "phone")
        if contact is not None and contact[0] == number:
            raise Invalid([FieldError("phone", "unchanged", _UNCHANGED)])
        async with await self.sends.of_account(user_id, caller), await self.sends.text(number, caller):
            now = self.clock.now()

            def work() -> Work[None]:
                yield from self.users.locked(user_id)
                yield from self.sessions.require_live(session)
                yield from self.confirmations.void_of_user(user_id, now, "phone")
                opened = yield from self.confirmations.begin(
                    "phone",
                    number,
                    number,
                    now=now,
                    user_id=user_id,
                    holder=holder_of_session(session.id),
                    locale=caller.locale,
                )
                yield from self._send(opened, number, user, caller)
                yield from record(self.audit, "phone", user_id, session, caller, "pending")

            await self.db.write(work)

    async def resend(self, session: Session, caller: Caller) -> None:
        """Send a newer code; the old one is dead, wrong tries stay counted. Raises Conflict, RateLimited."""
        self._check_offered()
        found = await self._asked_by(session)
        if found is None:
            raise Conflict(_NOTHING, reason="nothing pending")
        await self.renew(found, caller)

    async def renew(self, found: Confirmation, caller: Caller) -> None:
        """The same for what `found` is, whoever found it."""
        user = await find_user(self.users, found.user_id or "")
        async with await self.sends.of_account(user.id, caller), await self.sends.text(found.target, caller):
            now = self.clock.now()

            def work() -> Work[None]:
                opened = yield from self.confirmations.renew(found, now)
                yield from self._send(opened, found.target, user, caller)

            await self.db.write(work)

    async def submit_code(self, session: Session, code: str, caller: Caller) -> Completed:
        """Prove the number that this session asked for. Raises Invalid naming `code`, RateLimited, NotFound."""
        self._check_offered()
        found = await self.confirmations.check_code(await self._asked_by(session), code, caller)
        return await self.confirm(found, Submitted(is_holder=True, session_id=session.id), caller)

    async def confirm(self, found: Confirmation, submitted: Submitted, caller: Caller) -> Completed:
        """Note a proven number. Whoever had it before loses it, for operators give numbers out again; both are told.

        Raises Invalid when it is over or comes from elsewhere than the session that asked.
        """
        if not submitted.is_holder:
            raise Invalid([FieldError("code", "wrong", _ANOTHER_BROWSER)], reason="not the session that asked")
        now = self.clock.now()

        def work() -> Work[str]:
            user = yield from lock_active(self.users, found.user_id, "code")
            yield from self.confirmations.use(found, now)
            before = yield from self.users.owner_of("phone", found.target)
            yield from self.users.prove(user.id, "phone", found.target, caller, now)
            yield from self.confirmations.void_of_user(user.id, now, "phone")
            yield from self.notices.phone_changed(user, found.target, describe(caller.user_agent), now)
            if before is not None and before.id != user.id:  # whose device it was is not for them to know
                yield from self.notices.phone_changed(before, found.target, "", now)
            return user.id

        return Completed("phone", await self.db.write(work), f"{PHONE_PAGE}?confirmed=1")

    async def remove(self, session: Session, user_id: str, caller: Caller) -> None:
        """Forget one's own number and what is on its way to it. Raises ReauthenticationNeeded, Forbidden, NotFound."""
        await check_owner(self.refusals, session, user_id, caller, "update", also_admin=False)
        now = self.clock.now()
        session.require_fresh(now)

        def work() -> Work[None]:
            user = yield from self.users.locked(user_id)
            yield from self.confirmations.void_of_user(user_id, now, "phone")
            number = yield from self.users.remove_contact(user_id, "phone", caller, now)
            if number is not None:
                yield from self.notices.phone_changed(user, number, describe(caller.user_agent), now)

        await self.db.write(work)

    def _send(self, opened: Opened, number: str, user: User, caller: Caller) -> Work[None]:
        values: Values = {"code": opened.code, "minutes": CODE_MINUTES}
        language = user.locale or caller.locale
        yield from self.outbox.text("confirm_phone", number, language, values, expires_at=opened.code_expires_at)

    async def _asked_by(self, session: Session) -> Confirmation | None:
        return await self.confirmations.of_holder(holder_of_session(session.id), "phone")

    def _check_offered(self) -> None:
        if not self.offered:
            raise NotFound(reason="no text messages are sent")

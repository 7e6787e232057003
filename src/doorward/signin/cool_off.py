"""A way in for somebody who has lost every second step, after 72 hours in which everybody was told (C22).

Off by default. It takes the password, a proven address and a proven number that both answer, and time: every address,
number and session of the user hears of it at once, and each can call it off. So does whoever shows a second factor, or
sets a new password. What was lost goes when another factor takes its place.
"""

import hashlib
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal, TypeAlias

from doorward.audit import AuditTrail, Event, Outcome
from doorward.authenticators import Factors
from doorward.confirmations import CODE_SECONDS, Confirmation, Confirmations, Purpose, State
from doorward.kernel.assurance import Proof
from doorward.kernel.caller import Caller
from doorward.kernel.devices import describe
from doorward.kernel.errors import Conflict, NotFound
from doorward.kernel.instant import DAY, HOUR, Instant
from doorward.kernel.msgid import msgid
from doorward.messages import Outbox, SendLimits, Values
from doorward.ports import Clock, Database
from doorward.sessions import NeedsStep, Session, Sessions, Start, Ticket
from doorward.signin import cool_off_store as store
from doorward.sql import PURGE_AT_ONCE, Work
from doorward.users import User, UsersService, contact_key

Channel: TypeAlias = Literal["email", "phone"]
WAIT_HOURS: Final = 72
GIVEN_UP_AFTER: Final = 7 * DAY  # beyond its end; whoever comes later begins again
ANSWERS_WITHIN: Final = HOUR
SHOWN: Final = ("mca", "mfa")  # RFC 8176: several channels have answered; it takes the place of a factor
STOP: Final[Purpose] = "cool_off_stop"
PURPOSES: Final[Mapping[Channel, Purpose]] = {"email": "cool_off_email", "phone": "cool_off_phone"}
NOT_HERE: Final = msgid("This way in is not open to you. It needs a confirmed e-mail address and a confirmed number")
NOT_YET: Final = msgid("The wait is not over yet")
_MINUTES: Final = CODE_SECONDS // 60


@dataclass(frozen=True, slots=True)
class Wait:
    """Where somebody stands. `email`, `phone`: what would be asked; None where nothing is proven."""

    email: str | None
    phone: str | None
    has_begun: bool
    email_shown: bool
    phone_shown: bool
    due_at: Instant | None

    @property
    def is_open(self) -> bool:
        """Whether both channels are there."""
        return self.email is not None and self.phone is not None


@dataclass(frozen=True, slots=True)
class CoolOff:
    """Waits. `enabled`: whether the configuration allows them."""

    db: Database
    clock: Clock
    users: UsersService
    sessions: Sessions
    factors: Factors
    confirmations: Confirmations
    outbox: Outbox
    sends: SendLimits
    audit: AuditTrail
    enabled: bool

    # Looking ----------------------------------------------------------------------------------------------------

    async def state(self, user_id: str) -> Wait:
        """Where a user stands."""
        email, phone = [await self._proven(user_id, channel) for channel in ("email", "phone")]
        row = await self.db.read(store.find_wait(user_id))
        if row is None or self._is_stale(row):
            return Wait(email, phone, has_begun=False, email_shown=False, phone_shown=False, due_at=None)
        shown = row.email_shown_at is not None, row.phone_shown_at is not None
        return Wait(email, phone, has_begun=True, email_shown=shown[0], phone_shown=shown[1], due_at=row.due_at)

    async def pending(self, session: Session) -> Instant | None:
        """When somebody could get in without the caller's second step; None while nobody has asked for it."""
        if not self.enabled:
            return None
        row = await self.db.read(store.find_wait(session.user_id))
        return None if row is None or self._is_stale(row) else row.due_at

    def _is_stale(self, row: store.Row) -> bool:
        now = self.clock.now()
        if row.due_at is None:
            return now >= row.asked_at + ANSWERS_WITHIN
        return now >= row.due_at + GIVEN_UP_AFTER

    async def _proven(self, user_id: str, channel: Channel) -> str | None:
        if not (self.outbox.can_mail if channel == "email" else self.outbox.can_text):
            return None
        contact = await self.users.contact(user_id, channel)
        return contact[0] if contact is not None and contact[1] is not None else None

    # Asking -----------------------------------------------------------------------------------------------------

    async def begin(self, ticket: Ticket, caller: Caller) -> None:
        """Send a code to each channel that has not answered yet. Raises NotFound, Conflict, RateLimited."""
        state = await self._open(ticket)
        async with AsyncExitStack() as places:
            if not state.email_shown:
                await places.enter_async_context(await self.sends.mail("cool_off", state.email or "", caller))
            if not state.phone_shown:
                await places.enter_async_context(await self.sends.text(state.phone or "", caller))
            await self.db.write(lambda: self._begin(ticket, state, caller))

    def _begin(self, ticket: Ticket, state: Wait, caller: Caller) -> Work[None]:
        now = self.clock.now()
        user = yield from self.users.locked(ticket.user_id)
        if not state.has_begun:
            yield from store.delete_wait(user.id)
            yield from store.insert_wait(user.id, now)
            yield from self._record(user.id, "asked for", caller)
        for channel, to, shown in (
            ("email", state.email, state.email_shown),
            ("phone", state.phone, state.phone_shown),
        ):
            if to is not None and not shown:
                yield from self._send(ticket, user, "email" if channel == "email" else "phone", to, caller, now)

    def _send(self, ticket: Ticket, user: User, channel: Channel, to: str, caller: Caller, now: Instant) -> Work[None]:
        opened = yield from self.confirmations.begin(
            PURPOSES[channel], to, contact_key(channel, to), now=now, user_id=user.id, holder=_holder(ticket, channel),
            locale=caller.locale,
        )  # fmt: skip
        language, until = user.locale or caller.locale, opened.code_expires_at
        values: Values = {"code": opened.code, "minutes": _MINUTES}
        if channel == "email":
            device = {"device": describe(caller.user_agent)}
            yield from self.outbox.mail("factor_code", to, language, {**values, **device}, expires_at=until)
        else:
            yield from self.outbox.text("step_code", to, language, values, expires_at=until)

    async def submit(self, ticket: Ticket, channel: Channel, code: str, caller: Caller) -> None:
        """Take the code of one channel; after both the wait begins and everybody is told.

        Raises Invalid naming `code`, NotFound, Conflict, RateLimited, Unavailable.
        """
        await self._open(ticket)
        found = await self.confirmations.of_holder(_holder(ticket, channel), PURPOSES[channel])
        right = await self.confirmations.check_code(found, code, caller)
        now = self.clock.now()

        def work() -> Work[None]:
            user = yield from self.users.locked(ticket.user_id)
            yield from self.confirmations.use(right, now)
            yield from store.update_shown(user.id, channel, now)
            due_at = now + WAIT_HOURS * HOUR
            if (yield from store.update_due(user.id, due_at)):
                yield from self._record(user.id, "begun", caller)
                yield from self._tell_everybody(user, due_at, caller, now)

        await self.db.write(work)

    def _tell_everybody(self, user: User, due_at: Instant, caller: Caller, now: Instant) -> Work[None]:
        if user.email is not None and user.email_verified:
            opened = yield from self.confirmations.begin(
                STOP, user.email, contact_key("email", user.email), now=now, user_id=user.id, locale=user.locale or ""
            )
            values: Values = {
                "path": f"/cool-off/{opened.token}",
                "name": user.name,
                "device": describe(caller.user_agent),
                "due_at": due_at,
                "hours": WAIT_HOURS,
            }
            yield from self.outbox.mail("cool_off_begun", user.email, user.locale, values)
        phone = yield from self.users.contact_of(user.id, "phone")
        if phone is not None and phone[1] is not None:
            yield from self.outbox.text("cool_off_text", phone[0], user.locale, {"hours": WAIT_HOURS})

    # Calling off ------------------------------------------------------------------------------------------------

    async def look(self, token: str) -> tuple[State, Confirmation | None]:
        """What the link of the mail leads to. Changes nothing."""
        return await self.confirmations.look(token, STOP)

    async def call_off_by_link(self, token: str, caller: Caller) -> None:
        """End a wait. Raises Invalid naming `token` when the link is over."""
        found = await self.confirmations.by_token(token, STOP)
        now = self.clock.now()

        def work() -> Work[None]:
            user = yield from self.users.locked(found.user_id or "")
            yield from self.confirmations.use(found, now)
            yield from self.end(user.id, caller)

        await self.db.write(work)

    async def call_off(self, session: Session, caller: Caller) -> None:
        """End one's own, signed in."""

        def work() -> Work[None]:
            yield from self.users.locked(session.user_id)
            yield from self.sessions.require_live(session)
            yield from self.end(session.user_id, caller)

        await self.db.write(work)

    def end(self, user_id: str, caller: Caller) -> Work[None]:
        """End a user's wait, if there is one, inside the caller's transaction."""
        if (yield from store.delete_wait(user_id)) is not None:
            yield from self._record(user_id, "called off", caller)

    # The end of the wait ----------------------------------------------------------------------------------------

    async def finish(self, ticket: Ticket, caller: Caller) -> NeedsStep:
        """Set up another factor now that the wait is over. Raises Conflict (not over), NotFound."""
        await self._open(ticket)
        now = self.clock.now()

        def work() -> Work[NeedsStep]:
            proof = Proof(ticket.amr, now).with_more(SHOWN, now)
            standing = yield from self.factors.standing(ticket.user_id, proof)
            row = yield from store.find_wait(ticket.user_id)
            if row is None or row.due_at is None or now < row.due_at or self._is_stale(row):
                raise Conflict(NOT_YET, reason="not due")
            yield from store.delete_wait(ticket.user_id)
            yield from self.sessions.use_ticket(ticket)
            yield from self._record(ticket.user_id, "over", caller)
            start = Start(ticket.transport, ticket.device_id, None, ticket.path, ticket.wants_jwt)
            return (yield from self.sessions.open_ticket(standing, proof, caller, start, "enrolment"))

        return await self.db.write(work)

    async def _open(self, ticket: Ticket) -> Wait:
        if not self.enabled or ticket.reauthenticates:
            raise NotFound(reason="not offered")
        state = await self.state(ticket.user_id)
        if not state.is_open:
            raise Conflict(NOT_HERE, reason="not two proven channels")
        return state

    def _record(self, user_id: str, what: str, caller: Caller) -> Work[None]:
        yield from self.audit.record(
            Event.AUTHN_TOKEN_CREATED if what in {"asked for", "begun"} else Event.AUTHN_TOKEN_REVOKED,
            Outcome.SUCCESS,
            caller,
            user_id=user_id,
            payload={"purpose": "cool-off", "what": what},
        )

    async def purge(self) -> None:
        """Forget waits that nobody came back for."""
        now = self.clock.now()
        forget = partial(store.delete_old_waits, now - GIVEN_UP_AFTER, now - ANSWERS_WITHIN)
        while await self.db.write(forget) == PURGE_AT_ONCE:
            pass


def _holder(ticket: Ticket, channel: Channel) -> bytes:
    return hashlib.sha256(f"cool-off:{channel}:{ticket.id}".encode()).digest()

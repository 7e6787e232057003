"""The e-mail address of a user: proven before it counts, and given back to whoever lost it (C26, C27, C28; UX-34)."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from doorward.account.contact_events import CODE_MINUTES, find_user, lock_active, record
from doorward.account.ownership import check_owner
from doorward.audit import AuditTrail, Event, Outcome, Refusals
from doorward.authenticators import PasswordService, SecurityNotices, UndoSince
from doorward.confirmations import (
    LIFETIME_SECONDS,
    Completed,
    Confirmation,
    Confirmations,
    Opened,
    Purpose,
    Submitted,
    holder_of_session,
)
from doorward.confirmations import State as LinkState
from doorward.kernel.caller import Caller
from doorward.kernel.errors import Conflict, FieldError, Invalid, NotFound
from doorward.kernel.instant import DAY, SECOND, Instant
from doorward.kernel.msgid import msgid
from doorward.messages import Outbox, SendLimits, Values
from doorward.ports import Clock, Database
from doorward.sessions import Session, Sessions, describe
from doorward.sql import Work
from doorward.users import Changes, User, UsersService, contact_key
from doorward.web.conditions import Versions

PAGE: Final = "/account/email"
_SIGN_IN: Final = "/sign-in?verified=1"
_OF_A_USER: Final[Sequence[Purpose]] = ("email", "phone", "recovery", "sign_in", "password")
_UNDO_DAYS: Final = LIFETIME_SECONDS["email_undo"] * SECOND // DAY
_LINK_HOURS: Final = LIFETIME_SECONDS["email"] // 3600
_NO_MAIL: Final = msgid("No mail can be sent at present, so a new address cannot be confirmed")
_NOTHING: Final = msgid("There is no address to confirm any more")
_UNCHANGED: Final = msgid("This is your address already")
_NEEDED: Final = msgid("Enter an e-mail address")
_TAKEN_SINCE: Final = msgid(
    "Meanwhile your old address was confirmed for another account. Please turn to those who help you here"
)


@dataclass(frozen=True, slots=True)
class Pending:
    """An address that has yet to be proven. `here`: asked for in this session, the only one that can take the code."""

    address: str
    here: bool
    code_expires_at: Instant
    expires_at: Instant


@dataclass(frozen=True, slots=True)
class EmailState:
    """A user's address, proven or a claim, and the one that may take its place."""

    address: str | None
    proven: bool
    pending: Pending | None


@dataclass(frozen=True, slots=True)
class Contacts:
    """E-mail addresses. `required`: nobody can be without one, for it is what they sign in with.

    `rule`: why members may not have an address of that domain, if they may not; administrators may give any.
    `undo_since`: what else an undo takes away; see `UndoSince`.
    """

    db: Database
    clock: Clock
    users: UsersService
    passwords: PasswordService
    sessions: Sessions
    confirmations: Confirmations
    outbox: Outbox
    sends: SendLimits
    notices: SecurityNotices
    audit: AuditTrail
    refusals: Refusals
    rule: Callable[[str], FieldError | None]
    required: bool
    undo_since: Sequence[UndoSince] = ()

    # Looking ----------------------------------------------------------------------------------------------------

    async def state(self, session: Session) -> EmailState:
        """What the caller's own page shows."""
        user = await self._find(session.user_id)
        found = await self._pending(user.id)
        pending = None
        if found is not None:
            here = found.held_by(holder_of_session(session.id))
            pending = Pending(found.target, here, found.code_expires_at, found.expires_at)
        return EmailState(user.email, user.email_verified, pending)

    async def unconfirmed(self, session: Session) -> str | None:
        """The caller's address while it is a mere claim that could be confirmed (UX-33)."""
        if not self.outbox.can_mail:
            return None
        contact = await self.users.contact(session.user_id, "email")
        return contact[0] if contact is not None and contact[1] is None else None

    # Asking for another -----------------------------------------------------------------------------------------

    async def ask(self, session: Session, user_id: str, address: object, caller: Caller) -> None:
        """Begin to change an address: a link and a code go to the new one, whoever else may have it.

        Raises ReauthenticationNeeded, Forbidden, NotFound, Invalid, RateLimited, Conflict (no mail can be sent).
        """
        await check_owner(self.refusals, session, user_id, caller, "update")
        session.require_fresh(self.clock.now())
        if address is None or address == "":
            raise Invalid([FieldError("email", "required", _NEEDED)])
        asked = self.users.validate_update({"email": address}, "admin", user_id)
        user = await self._find(user_id)
        if user.email_verified and asked.core["email"] == user.email:
            raise Invalid([FieldError("email", "unchanged", _UNCHANGED)])
        if not self.outbox.can_mail:
            raise Conflict(_NO_MAIL, reason="no mail server")
        await self._change(session, user, asked, caller)

    async def update(
        self, session: Session, user_id: str, asked: Changes, caller: Caller, versions: Versions = None
    ) -> User:
        """Write what was asked; of an address that has to be proven first, only the change begins. All or nothing.

        Raises what `ask` and `UsersService.update` raise.
        """
        if "email" in asked.core:
            user = await self._find(user_id)
            if asked.core["email"] != user.email:
                return await self._change(session, user, asked, caller, versions)
        return await self.users.update(user_id, _without_email(asked), session.user_id, caller, versions=versions)

    async def _change(
        self, session: Session, user: User, asked: Changes, caller: Caller, versions: Versions = None
    ) -> User:
        address = asked.core["email"]
        if address is None and self.required:
            raise Invalid([FieldError("email", "required", _NEEDED)])
        if address is not None and session.user_id == user.id and (error := self.rule(address)):
            raise Invalid([error])
        self._check_fresh(session, user)
        write = partial(self.users.update, user.id, asked, session.user_id, caller, versions=versions)
        if address is None or not self.outbox.can_mail:
            return await write(adapt=partial(self._adapt, session, asked, user, caller))
        async with await self.sends.of_account(user.id, caller), await self.sends.mail("email", address, caller):
            owner = await self._owner_of(address, user)
            return await write(adapt=partial(self._adapt, session, asked, owner, caller))

    def _adapt(
        self, session: Session, asked: Changes, owner: User, caller: Caller, user: User, now: Instant
    ) -> Work[Changes]:
        """What of `asked` is written at once. `user` is locked: a claim that was just proven is a claim no more."""
        address = asked.core["email"]
        self._check_fresh(session, user)
        yield from self.sessions.require_live(session)
        if address is None:
            yield from self._remove(user, session, caller, now)
        elif self.outbox.can_mail:
            yield from self._open(session, user, address, owner, caller, now)
        elif user.email_verified:
            raise Conflict(_NO_MAIL, reason="no mail server")
        return _without_email(asked) if user.email_verified else asked

    def _check_fresh(self, session: Session, user: User) -> None:
        # A claim, too: once it is proven it is a way back into the account (C20, C26).
        if user.email_verified or self.outbox.can_mail:
            session.require_fresh(self.clock.now())

    async def resend(self, session: Session, caller: Caller) -> None:
        """Send a newer code for what this session asked, or begin anew for one's pending or claimed address.

        Raises Conflict when there is nothing to confirm, RateLimited, Unavailable.
        """
        user = await self._find(session.user_id)
        found = await self._pending(user.id)
        claim = None if user.email_verified else user.email
        address = claim if found is None else found.target
        if address is None or not self.outbox.can_mail:
            raise Conflict(_NOTHING, reason="nothing pending")
        if found is None or not found.held_by(holder_of_session(session.id)):
            await self._begin(session, user, address, caller)
            return
        await self.renew(found, caller)

    async def renew(self, found: Confirmation, caller: Caller) -> None:
        """Send a newer code with the same link; wrong tries stay counted. Raises Invalid, RateLimited, Unavailable."""
        user = await self._find(found.user_id or "")
        async with await self.sends.of_account(user.id, caller), await self.sends.mail("email", found.target, caller):
            owner = await self._owner_of(found.target, user)
            now = self.clock.now()

            def work() -> Work[None]:
                opened = yield from self.confirmations.renew(found, now)
                yield from self._send(opened, found.target, user, owner, caller)

            await self.db.write(work)

    async def call_off(self, session: Session, user_id: str, caller: Caller) -> None:
        """Keep the old address. Raises Forbidden, NotFound."""
        await check_owner(self.refusals, session, user_id, caller, "update")
        user = await self._find(user_id)
        if await self._pending(user.id) is None:
            return
        now = self.clock.now()

        def work() -> Work[None]:
            yield from self.users.locked(user.id)
            yield from self.confirmations.void_of_user(user.id, now, "email")
            yield from record(self.audit, "email", user.id, session, caller, "called off")

        await self.db.write(work)

    async def _begin(self, session: Session, user: User, address: str, caller: Caller) -> None:
        async with await self.sends.of_account(user.id, caller), await self.sends.mail("email", address, caller):
            owner = await self._owner_of(address, user)
            now = self.clock.now()

            def work() -> Work[None]:
                locked = yield from self.users.locked(user.id)
                yield from self._open(session, locked, address, owner, caller, now)

            await self.db.write(work)

    def _open(
        self, session: Session, user: User, address: str, owner: User, caller: Caller, now: Instant
    ) -> Work[None]:
        """Void what was asked before, and send; the same rows and reads whoever has the address (C16)."""
        yield from self.sessions.require_live(session)
        yield from self.confirmations.void_of_user(user.id, now, "email")
        opened = yield from self.confirmations.begin(
            "email",
            address,
            contact_key("email", address),
            now=now,
            user_id=user.id,
            holder=holder_of_session(session.id) if session.user_id == user.id else None,
            locale=caller.locale,
        )
        yield from self._send(opened, address, user, owner, caller)
        yield from record(self.audit, "email", user.id, session, caller, "pending")

    async def _owner_of(self, address: str, user: User) -> User:
        """Whoever has proven the address, else `user`; always with two look-ups."""
        owner_id = await self.users.proven_owner("email", address)
        return await self._find(user.id if owner_id is None else owner_id)

    def _send(self, opened: Opened, address: str, user: User, owner: User, caller: Caller) -> Work[None]:
        if owner.id == user.id:
            sent: Values = {
                "path": f"/verify/{opened.token}",
                "code": opened.code,
                "hours": _LINK_HOURS,
                "minutes": CODE_MINUTES,
                "name": user.name,
            }
            language = user.locale or caller.locale
            yield from self.outbox.mail("confirm_email", address, language, sent, expires_at=opened.expires_at)
        else:
            device = describe(caller.user_agent)
            told: Values = {"path": "/sign-in", "recovery_path": "/recovery", "device": device}
            yield from self.outbox.mail("known_sign_up", address, owner.locale, told, expires_at=opened.expires_at)

    # Proving ----------------------------------------------------------------------------------------------------

    async def submit_code(self, session: Session, code: str, caller: Caller) -> Completed:
        """Prove the address that this session asked for. Raises Invalid naming `code`, RateLimited, Conflict."""
        holder = holder_of_session(session.id)
        found = await self.confirmations.of_holder(holder, "email")
        found = await self.confirmations.check_code(found, code, caller)
        return await self.confirm(found, Submitted(is_holder=True, session_id=session.id), caller)

    async def confirm(self, found: Confirmation, submitted: Submitted, caller: Caller) -> Completed:
        """Put a proven address in the place of the old one, whose owner is told and can undo it for seven days.

        No session begins. Raises Invalid when it is over, Conflict when somebody else has proven the address.
        """
        now = self.clock.now()

        def work() -> Work[str]:
            user = yield from self._use(found, now)
            yield from self.users.prove(user.id, "email", found.target, caller, now)
            # What was sent to the old address opens nothing any more (C23). What others began with this one goes on
            # looking as before, though it can come to nothing: else they would see that its owner is here.
            yield from self.confirmations.void_of_user(user.id, now, "recovery", "sign_in", "password", "email")
            yield from self._settle_undos(user, found, now)
            return user.id

        user_id = await self.db.write(work)
        return Completed("email", user_id, _SIGN_IN if submitted.session_id is None else f"{PAGE}?confirmed=1")

    def _use(self, found: Confirmation, now: Instant) -> Work[User]:
        user = yield from lock_active(self.users, found.user_id, "token")
        yield from self.confirmations.use(found, now)
        return user

    def _settle_undos(self, user: User, found: Confirmation, now: Instant) -> Work[None]:
        """Tell the old address; but whoever returns to an address that was theirs undoes by it what came after.

        The addresses in between may be a thief's, who must not take back what the owner took back. What came before
        stays: the thief may be the one who goes back and forth.
        """
        undos = yield from self.confirmations.live_of_user(user.id, "email_undo", now)
        left_at = min((one.created_at for one in undos if one.target_key == found.target_key), default=None)
        if left_at is not None:
            yield from self._void_undos(user, left_at, now, kept=found.target_key)
        elif user.email is not None and user.email_verified and user.email != found.target:
            yield from self._tell_old(user, user.email, found.target, now)

    def _void_undos(self, user: User, since: Instant, now: Instant, kept: str = "") -> Work[None]:
        for one in (yield from self.confirmations.live_of_user(user.id, "email_undo", now)):
            if one.created_at > since and one.target_key != kept:
                yield from self.confirmations.void(one, now)

    def _tell_old(self, user: User, old: str, new: str, now: Instant) -> Work[None]:
        opened = yield from self.confirmations.begin(
            "email_undo",
            old,
            contact_key("email", old),
            now=now,
            user_id=user.id,
            payload={"old": old, "new": new},
            locale=user.locale or "",
        )
        values: Values = {"path": f"/undo/{opened.token}", "days": _UNDO_DAYS, "name": user.name, "new_email": new}
        yield from self.outbox.mail("email_changed", old, user.locale, values, expires_at=opened.expires_at)

    def _remove(self, user: User, session: Session, caller: Caller, now: Instant) -> Work[None]:
        """Forget a proven address; who had it is told and can undo it. A claim is left for `users.update`.

        One that came in the place of another within the last days gets no such link: it may be a thief's, and the
        link of the one before it still works.
        """
        yield from self.confirmations.void_of_user(user.id, now, "email", "recovery", "sign_in")
        if user.email is not None and user.email_verified:
            earlier = yield from self.confirmations.live_of_user(user.id, "email_undo", now)
            yield from self.users.remove_contact(user.id, "email", caller, now, session.user_id)
            if not earlier:
                yield from self._tell_old(user, user.email, "", now)

    # Undoing ----------------------------------------------------------------------------------------------------

    async def look_undo(self, token: str) -> tuple[LinkState, Confirmation | None]:
        """What a link to the old address leads to. Changes nothing."""
        return await self.confirmations.look(token, "email_undo")

    async def undo(self, token: str, caller: Caller) -> Completed:
        """Give the old address back, end every session, and begin a recovery; the page where it goes on.

        Whoever changed the address has known the password: it opens nothing any more until another is set. A number
        that was proven since, or an authenticator that was bound, may be theirs and goes; its owner can have it again.
        A deletion that was asked for since is called off (docs/leaving.md). Raises Invalid when the link is over,
        Conflict when the old address has meanwhile been proven for somebody else.
        """
        found = await self.confirmations.by_token(token, "email_undo")
        now = self.clock.now()
        try:
            return await self.db.write(partial(self._undo, found, caller, now))
        except Conflict as conflict:
            raise Conflict(_TAKEN_SINCE, reason=conflict.reason) from None

    def _undo(self, found: Confirmation, caller: Caller, now: Instant) -> Work[Completed]:
        yield from self._call_back(found, caller, now)
        user = yield from self._use(found, now)
        yield from self.users.prove(user.id, "email", found.target, caller, now)
        yield from self._forget_number(replace(user, email=found.target, email_verified=True), found, caller, now)
        for undo in self.undo_since:
            yield from undo(user.id, found.created_at, caller, now)
        yield from self.sessions.end_all(user.id, caller, now)
        yield from self.sessions.forget_devices(user.id)
        yield from self.confirmations.void_of_user(user.id, now, *_OF_A_USER)
        # What was left earlier keeps its own way back: this may be a thief, who undoes their own second change.
        yield from self._void_undos(user, found.created_at, now)
        yield from self.passwords.flag_compromised(user.id)
        opened = yield from self.confirmations.begin(
            "recovery", found.target, found.target_key, now=now, user_id=user.id, locale=caller.locale
        )
        yield from record(self.audit, "email", user.id, None, caller, "undone")
        yield from self.audit.record(
            Event.ACCOUNT_REPORTED,
            Outcome.SUCCESS,
            caller,
            user_id=user.id,
            actor_id=user.id,
            payload={"by": "link", "what": "email_changed", "since": found.created_at},
        )
        return Completed("email_undo", user.id, f"/recovery/{opened.token}")

    def _call_back(self, found: Confirmation, caller: Caller, now: Instant) -> Work[None]:
        # Else a thief who deletes the account once the address is theirs would have closed the owner's way back.
        with suppress(Conflict, NotFound):  # they are not leaving, or gone
            yield from self.users.restore(found.user_id or "", caller, now)

    def _forget_number(self, user: User, found: Confirmation, caller: Caller, now: Instant) -> Work[None]:
        number = yield from self.users.remove_contact_since(user.id, "phone", found.created_at, caller, now)
        if number is not None:
            yield from self.notices.phone_changed(user, number, describe(caller.user_agent), now)

    # Shared -----------------------------------------------------------------------------------------------------

    async def _find(self, user_id: str) -> User:
        return await find_user(self.users, user_id)

    async def _pending(self, user_id: str) -> Confirmation | None:
        return next(iter(await self.confirmations.of_user(user_id, "email")), None)


def _without_email(changes: Changes) -> Changes:
    return replace(changes, core={name: value for name, value in changes.core.items() if name != "email"})

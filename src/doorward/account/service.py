"""What people do with their own account: profile, password, the end."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from doorward.account.contacts import Contacts
from doorward.account.leaving import Leaving, Proven, by_freshness
from doorward.account.ownership import ADMIN, check_owner
from doorward.audit import AuditTrail, Event, Outcome, Refusals
from doorward.authenticators import PasswordService, SecurityNotices
from doorward.kernel.caller import Caller
from doorward.kernel.errors import FieldError, Invalid, InvalidCredentials, NotFound, NotSignedIn
from doorward.kernel.msgid import msgid
from doorward.kernel.text import uid_key
from doorward.ports import Clock, Database
from doorward.sessions import Session, Sessions, describe
from doorward.sql import Work
from doorward.users import User, UsersService, Writer
from doorward.web.conditions import Versions

__all__ = ["ADMIN", "CONFIRM_NEEDED", "CURRENT_NEEDED", "Account"]

CURRENT_NEEDED: Final = msgid("Enter your password")
CONFIRM_NEEDED: Final = msgid("Type your username if you want to delete your account")
_ANOTHER_NAME: Final = msgid("This is not your username")


@dataclass(frozen=True, slots=True)
class Account:
    """A signed-in user on their own record, or an administrator on anybody's."""

    db: Database
    clock: Clock
    users: UsersService
    passwords: PasswordService
    sessions: Sessions
    audit: AuditTrail
    refusals: Refusals
    contacts: Contacts
    notices: SecurityNotices
    departures: Leaving

    async def find(self, session: Session, user_id: str) -> User:
        """A user by id, for whoever may see the directory. Raises NotFound."""
        user = await self.users.find(user_id)
        if user is None or (user.status != "active" and user_id != session.user_id and ADMIN not in session.roles):
            raise NotFound
        return user

    async def update(
        self, session: Session, user_id: str, body: Mapping[str, Any], caller: Caller,
        versions: Versions = None, *, may_increment: bool = False,
    ) -> User:  # fmt: skip
        """Change a record. Another e-mail address has to be proven first: until then the answer shows the old one.

        `versions`: those that the change is meant for; `may_increment`: see `Schema.validate_update`.

        Raises Forbidden on somebody else's, Invalid naming every bad field, NotFound, PreconditionFailed, and for an
        address what `Contacts.update` raises; then nothing has changed.
        """
        writer = await self._writer(session, user_id, caller)
        asked = self.users.validate_update(body, writer, user_id, may_increment=may_increment)
        if session.scopes is not None and "email" in asked.core:
            session.require_fresh(self.clock.now())  # no key is: an address is a way into the account
        return await self.contacts.update(session, user_id, asked, caller, versions)

    async def _writer(self, session: Session, user_id: str, caller: Caller) -> Writer:
        """As whom the caller writes: an API key writes its owner's record as they do, and anybody's as an app does."""
        scopes, is_own = session.scopes, user_id == session.user_id
        as_app = scopes is not None and "users:write" in scopes and not (is_own and "profile:write" in scopes)
        may_others = ADMIN in session.roles and (scopes is None or as_app)
        await check_owner(self.refusals, session, user_id, caller, "update", also_admin=may_others)
        if as_app:
            return "app"
        return "admin" if ADMIN in session.roles and scopes is None else "user"

    async def delete(
        self, session: Session, user_id: str, password: str | None, caller: Caller, versions: Versions = None
    ) -> None:
        """Erase somebody else at once, as an administrator; oneself in 14 days, see `Leaving`.

        Both need a password given now or an authentication of the last ten minutes, and whoever has a second factor
        the latter. Raises ReauthenticationNeeded, InvalidCredentials, Forbidden, NotSignedIn, NotFound, Conflict (the
        last administrator), PreconditionFailed (not one of `versions`).
        """
        await check_owner(self.refusals, session, user_id, caller, "delete")
        if session.has_factor:  # a password alone is not enough for them (C26)
            session.require_fresh(self.clock.now())
        shown = await self._proven(session, password, caller)

        def proven() -> Work[None]:
            yield from self.users.require_version(user_id, versions)
            yield from shown()

        if user_id == session.user_id:
            await self.departures.leave(session, caller, proven)
            return
        await self.users.delete(user_id, session.user_id, caller, first=proven)

    async def is_told(self, session: Session) -> bool:
        """Whether mails about the end of the account reach its owner."""
        contact = await self.users.contact(session.user_id, "email")
        return self.departures.outbox.can_mail and contact is not None and contact[1] is not None

    async def delete_by_name(self, session: Session, typed: str, caller: Caller) -> None:
        """Delete one's own account from the page; `typed` is one's own handle, so that nobody does it by mistake.

        Raises Invalid naming `confirm`, and what `delete` raises.
        """
        if not typed.strip():
            raise Invalid([FieldError("confirm", "required", CONFIRM_NEEDED)])
        if uid_key(typed.strip()) != uid_key(session.uid):
            raise Invalid([FieldError("confirm", "mismatch", _ANOTHER_NAME)])
        await self.delete(session, session.user_id, None, caller)

    async def change_password(self, session: Session, current: str, new: str, caller: Caller) -> str:
        """Set a new password, give this session a new secret and end all others (C9). The new secret.

        Raises ReauthenticationNeeded where there is a second factor, Invalid (current password wrong, or the new one
        not good enough), RateLimited, Unavailable.
        """
        if session.has_factor:
            # The password that is asked for here is not enough for them (C26).
            session.require_fresh(self.clock.now())
        user = await self._own(session)
        context = _context(user)
        self.passwords.policy.check(new, context=context, field="new_password")
        try:
            correct = await self.passwords.verify(
                user, user.uid, current, caller, action="reauthenticate", failure=Event.AUTHN_PASSWORD_CHANGE_FAIL
            )
        except InvalidCredentials as refusal:
            wrong = FieldError("current_password", "wrong", msgid("This is not your current password"))
            raise Invalid([wrong], reason=refusal.reason) from None
        if current == new:
            raise Invalid([FieldError("new_password", "unchanged", msgid("Choose a password you do not use yet"))])
        digest = await self.passwords.hash_new(new, context=context, field="new_password")

        def work() -> Work[str]:
            yield from correct.succeeded()
            return (yield from self._set_password(session, user, digest, caller))

        return await self.db.write(work)

    async def set_first_password(self, session: Session, new: str, caller: Caller) -> str:
        """The same for somebody who has none yet, such as who signed up with a passkey: nothing is there to ask for.

        So it needs a fresh authentication, and the password that there is may not be passed by in this way. Raises
        Invalid naming `current_password` when there is one, ReauthenticationNeeded, Invalid, Unavailable.
        """
        if await self.passwords.has_password(session.user_id):
            raise _has_password()
        session.require_fresh(self.clock.now())
        user = await self._own(session)
        digest = await self.passwords.hash_new(new, context=_context(user), field="new_password")

        def work() -> Work[str]:
            yield from self.users.locked(user.id)
            yield from self.sessions.require_live(session)
            if (yield from self.passwords.has_password_now(user.id)):
                raise _has_password()
            return (yield from self._set_password(session, user, digest, caller))

        return await self.db.write(work)

    def _set_password(self, session: Session, user: User, digest: str, caller: Caller) -> Work[str]:
        now = self.clock.now()
        yield from self.passwords.set_password(user.id, digest)
        yield from self.sessions.end_all(user.id, caller, now, kept=session.id)
        yield from self.sessions.end_of_user(user.id, "", now)  # apps ask again in the session that is kept, too (C9)
        yield from self.sessions.forget_devices(user.id)
        token = yield from self.sessions.rotate(session, caller, now)
        yield from self.audit.record(
            Event.AUTHN_PASSWORD_CHANGE,
            Outcome.SUCCESS,
            caller,
            user_id=user.id,
            actor_id=user.id,
            session_id=session.id,
        )
        yield from self.notices.changed(user, describe(caller.user_agent), now)
        return token

    async def speak(self, session: Session, locale: str) -> None:
        """Keep the language of messages to the caller."""
        await self.users.set_locale(session.user_id, locale)

    async def _proven(self, session: Session, password: str | None, caller: Caller) -> Proven:
        """That the caller is who they say: by a password, if one was given, else by having shown it lately."""
        if password is None:
            session.require_fresh(self.clock.now())
            return by_freshness
        user = await self._own(session)
        return (await self.passwords.verify(user, user.uid, password, caller, action="reauthenticate")).succeeded

    async def _own(self, session: Session) -> User:
        user = await self.users.find(session.user_id)
        if user is None:
            raise NotSignedIn(reason="user is gone")
        return user


def _context(user: User) -> list[str]:
    return [text for text in (user.uid, user.name, user.email) if text]


def _has_password() -> Invalid:
    return Invalid([FieldError("current_password", "required", CURRENT_NEEDED)], reason="has a password")

"""What people do with their own account: profile, password, the end."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from doorward.account.contacts import Contacts
from doorward.account.ownership import ADMIN, check_owner
from doorward.audit import AuditTrail, Event, Outcome, Refusals
from doorward.authenticators import PasswordService, SecurityNotices
from doorward.kernel.caller import Caller
from doorward.kernel.errors import FieldError, Invalid, InvalidCredentials, NotFound, NotSignedIn
from doorward.kernel.msgid import msgid
from doorward.ports import Clock, Database
from doorward.sessions import Session, Sessions, describe
from doorward.sql import Work
from doorward.users import User, UsersService, Writer

__all__ = ["ADMIN", "Account"]


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

    async def find(self, session: Session, user_id: str) -> User:
        """A user by id, for whoever may see the directory. Raises NotFound."""
        user = await self.users.find(user_id)
        if user is None or (user.status != "active" and user_id != session.user_id and ADMIN not in session.roles):
            raise NotFound
        return user

    async def update(self, session: Session, user_id: str, body: Mapping[str, Any], caller: Caller) -> User:
        """Change a record. Another e-mail address has to be proven first: until then the answer shows the old one.

        Raises Forbidden on somebody else's, Invalid naming every bad field, NotFound, and for an address what
        `Contacts.update` raises; then nothing has changed.
        """
        await check_owner(self.refusals, session, user_id, caller, "update")
        writer: Writer = "admin" if ADMIN in session.roles else "user"
        asked = self.users.validate_update(body, writer, user_id)
        return await self.contacts.update(session, user_id, asked, caller)

    async def delete(self, session: Session, user_id: str, password: str | None, caller: Caller) -> None:
        """Erase a user and all that hangs on them.

        The owner needs a password given now or within ten minutes, an administrator a fresh authentication. Raises
        ReauthenticationNeeded, InvalidCredentials, Forbidden, NotFound, Conflict (the last administrator).
        """
        await check_owner(self.refusals, session, user_id, caller, "delete")
        if password is not None:
            await self._verify(session, password, caller)
        else:
            session.require_fresh(self.clock.now())
        await self.users.delete(user_id, session.user_id, caller)

    async def delete_with_password(self, session: Session, password: str, caller: Caller) -> None:
        """Erase one's own account from the page. Raises Invalid when the password is wrong, RateLimited, Conflict."""
        try:
            await self.delete(session, session.user_id, password, caller)
        except InvalidCredentials as refusal:
            wrong = FieldError("password", "wrong", msgid("This is not your password"))
            raise Invalid([wrong], reason=refusal.reason) from None

    async def change_password(self, session: Session, current: str, new: str, caller: Caller) -> str:
        """Set a new password, give this session a new secret and end all others (C9). The new secret.

        Raises Invalid (current password wrong, or the new one not good enough), RateLimited, Unavailable.
        """
        user = await self._own(session)
        context = [text for text in (user.uid, user.name, user.email) if text]
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
        now = self.clock.now()

        def work() -> Work[str]:
            yield from correct.succeeded()
            yield from self.passwords.set_password(user.id, digest)
            yield from self.sessions.end_all(user.id, caller, now, kept=session.id)
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

        return await self.db.write(work)

    async def speak(self, session: Session, locale: str) -> None:
        """Keep the language of messages to the caller."""
        await self.users.set_locale(session.user_id, locale)

    async def _verify(self, session: Session, password: str, caller: Caller) -> None:
        user = await self._own(session)
        correct = await self.passwords.verify(user, user.uid, password, caller, action="reauthenticate")
        await self.db.write(correct.succeeded)

    async def _own(self, session: Session) -> User:
        user = await self.users.find(session.user_id)
        if user is None:
            raise NotSignedIn(reason="user is gone")
        return user

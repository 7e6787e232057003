"""Signing up in mode "uid": a handle and a password, signed in at once; an e-mail address stays a claim."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from doorward.audit import AuditTrail
from doorward.authenticators import PasswordService
from doorward.kernel.caller import Caller
from doorward.kernel.errors import FieldError, Invalid, RateLimited
from doorward.kernel.instant import Instant
from doorward.kernel.msgid import msgid
from doorward.ports import Admission, Clock, Limiter
from doorward.sessions import Sessions, SignedIn, password_proof
from doorward.sql import Work
from doorward.users import NewUser, User, UsersService

SIGN_UP = "sign-up"
TAKEN = "taken"
PASSWORD = "password"  # noqa: S105  the name of a field


@dataclass(frozen=True, slots=True)
class SignUp:
    """New users."""

    clock: Clock
    limiter: Limiter
    users: UsersService
    passwords: PasswordService
    sessions: Sessions
    audit: AuditTrail

    async def sign_up(
        self, body: Mapping[str, Any], caller: Caller, replaced: str | None = None
    ) -> tuple[User, SignedIn]:
        """Create a user and start their session, in one transaction; `replaced` is a token that gives way to it.

        Raises Invalid naming every bad field, a taken handle among them; RateLimited; Unavailable.
        """
        try:
            new, password = await self.check(body)
        except Invalid as invalid:
            if any(error.code == TAKEN for error in invalid.errors):
                # Each name that an answer gives away costs a place, so that nobody reads the list of members here.
                async with await self._admit(caller):
                    raise
            raise
        async with await self._admit(caller):
            return await self.create(new, password, caller, replaced=replaced)

    async def _admit(self, caller: Caller) -> Admission:
        try:
            return await self.limiter.admit(SIGN_UP, caller.address)
        except RateLimited as refusal:
            await self.passwords.refusals.limited(SIGN_UP, refusal, caller)
            raise

    async def check(self, body: Mapping[str, Any]) -> tuple[NewUser, str]:
        """Validate everything before anything is written or hashed. Raises Invalid naming every bad field."""
        profile = {name: value for name, value in body.items() if name != PASSWORD}
        errors: list[FieldError] = []
        new: NewUser | None = None
        try:
            new = self.users.validate_sign_up(profile)
        except Invalid as invalid:
            errors.extend(invalid.errors)
        uid = body.get("uid")
        if isinstance(uid, str) and not any(error.field == "uid" for error in errors) and await self.users.taken(uid):
            errors.append(FieldError("uid", TAKEN, msgid("This username is taken; choose another")))
        password = body.get(PASSWORD)
        errors.extend(self._password_errors(password, profile))
        if errors or new is None or not isinstance(password, str):
            raise Invalid(errors)
        return new, password

    async def create(
        self,
        new: NewUser,
        password: str,
        caller: Caller,
        *,
        roles: tuple[str, ...] = (),
        first: Callable[[], Work[None]] | None = None,
        replaced: str | None = None,
    ) -> tuple[User, SignedIn]:
        """Hash outside any transaction, then write user, password and session in one.

        `first`: what must hold or be consumed in that transaction; it raises to stop it.
        """
        digest = await self.passwords.hash_new(password, context=())

        def also(user: User, now: Instant) -> Work[SignedIn]:
            if first is not None:
                yield from first()
            yield from self.passwords.set_password(user.id, digest)
            return (yield from self.sessions.finish(user, password_proof(now), caller, "cookie", replaced=replaced))

        return await self.users.create(new, caller, also=also, roles=roles)

    def _password_errors(self, password: object, profile: Mapping[str, Any]) -> tuple[FieldError, ...]:
        if password is None or password == "":
            return (FieldError(PASSWORD, "required", msgid("Enter a password")),)
        if not isinstance(password, str):
            return (FieldError(PASSWORD, "wrong_type", msgid("This must be text")),)
        context = [value for name in ("uid", "name", "email") if isinstance(value := profile.get(name), str)]
        try:
            self.passwords.policy.check(password, context=context)
        except Invalid as invalid:
            return invalid.errors
        return ()

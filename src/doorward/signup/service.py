"""Signing up in mode "uid": a handle and a password, signed in at once; an address stays a claim until proven."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from doorward.audit import AuditTrail
from doorward.authenticators import PasswordService
from doorward.confirmations import Confirmations, holder_of_session
from doorward.kernel.assurance import Proof
from doorward.kernel.caller import Caller
from doorward.kernel.errors import FieldError, Invalid
from doorward.kernel.instant import HOUR, MINUTE, Instant
from doorward.kernel.msgid import msgid
from doorward.messages import Outbox, SendLimits, Values
from doorward.ports import NOTHING, Clock
from doorward.sessions import Sessions, SignedIn, SignInOutcome, Start, password_proof
from doorward.signup.guard import TAKEN, SignUpGuard
from doorward.signup.passwords import PASSWORD, password_errors
from doorward.signup.rules import RegistrationRules
from doorward.sql import Work
from doorward.users import NewUser, User, UsersService, contact_key

ACCOUNT = "/account?welcome=1"


@dataclass(frozen=True, slots=True)
class SignUp:
    """New users."""

    clock: Clock
    guard: SignUpGuard
    users: UsersService
    passwords: PasswordService
    sessions: Sessions
    audit: AuditTrail
    confirmations: Confirmations
    outbox: Outbox
    sends: SendLimits
    rules: RegistrationRules

    async def sign_up(
        self,
        body: Mapping[str, Any],
        caller: Caller,
        replaced: str | None = None,
        proof: Mapping[str, str] = NOTHING,
        path: str = ACCOUNT,
        confirmation: str | None = None,
    ) -> tuple[User, SignInOutcome]:
        """Create a user and start their session, in one transaction; `replaced` is a token that gives way to it.

        `path`: where a page goes on; `proof`: see `SignUpGuard.admit`; `confirmation`: see `password_errors`. Raises
        Invalid naming every bad field, a taken handle among them; ChallengeNeeded; RateLimited; Unavailable.
        """
        async with self.guard.telling(caller):
            new, password = await self.check(body, confirmation=confirmation)
        new = replace(new, locale=caller.locale or None)
        await self.guard.admit(proof, caller)
        async with await self.guard.place(caller), self.mailing(new, caller):
            return await self.create(new, password, caller, start=Start(replaced=replaced, path=path))

    @asynccontextmanager
    async def mailing(self, new: NewUser, caller: Caller) -> AsyncIterator[None]:
        """Take the places of the mail that somebody new is sent, if they are. Raises RateLimited, Unavailable."""
        async with AsyncExitStack() as places:
            if new.email is not None and self.outbox.can_mail:
                await places.enter_async_context(await self.sends.mail("email", new.email, caller))
            yield

    async def check(
        self, body: Mapping[str, Any], *, by_operator: bool = False, confirmation: str | None = None
    ) -> tuple[NewUser, str]:
        """Validate everything before anything is written or hashed. Raises Invalid naming every bad field.

        `by_operator`: whoever runs the site may use the handles that are reserved.
        """
        profile = {name: value for name, value in body.items() if name != PASSWORD}
        new, errors = await self._checked(profile, by_operator=by_operator)
        password = body.get(PASSWORD)
        errors.extend(self._password_errors(password, profile, confirmation))
        if errors or new is None or not isinstance(password, str):
            raise Invalid(errors)
        return new, password

    async def check_profile(self, profile: Mapping[str, Any]) -> NewUser:
        """The same of somebody who signs up without a password. Raises Invalid naming every bad field."""
        new, errors = await self._checked(profile, by_operator=False)
        if errors or new is None:
            raise Invalid(errors)
        return new

    async def _checked(
        self, profile: Mapping[str, Any], *, by_operator: bool
    ) -> tuple[NewUser | None, list[FieldError]]:  # fmt: skip
        errors: list[FieldError] = []
        new: NewUser | None = None
        try:
            new = self.users.validate_sign_up(profile)
        except Invalid as invalid:
            errors.extend(invalid.errors)
        uid, email = profile.get("uid"), profile.get("email")
        named = {error.field for error in errors}
        if isinstance(uid, str) and "uid" not in named and await self._is_taken(uid, by_operator=by_operator):
            errors.append(FieldError("uid", TAKEN, msgid("This username is taken; choose another")))
        if not by_operator and isinstance(email, str) and "email" not in named and (error := self.rules.error(email)):
            errors.append(error)
        return new, errors

    async def _is_taken(self, uid: str, *, by_operator: bool) -> bool:
        # Reserved handles are answered like taken ones: what is reserved is nobody's business.
        return (not by_operator and self.users.is_reserved(uid)) or await self.users.taken(uid)

    async def create(
        self,
        new: NewUser,
        password: str,
        caller: Caller,
        *,
        roles: tuple[str, ...] = (),
        first: Callable[[], Work[None]] | None = None,
        start: Start | None = None,
    ) -> tuple[User, SignInOutcome]:
        """Hash outside any transaction, then write user, password and session in one.

        `first`: what must hold or be consumed in that transaction; it raises to stop it.
        """
        digest = await self.passwords.hash_new(password, context=())

        def bind(user: User, now: Instant) -> Work[Proof]:
            yield from self.passwords.set_password(user.id, digest)
            return password_proof(now)

        return await self.create_with(new, bind, caller, roles=roles, first=first, start=start)

    async def create_with(
        self,
        new: NewUser,
        bind: Callable[[User, Instant], Work[Proof]],
        caller: Caller,
        *,
        roles: tuple[str, ...] = (),
        first: Callable[[], Work[None]] | None = None,
        start: Start | None = None,
    ) -> tuple[User, SignInOutcome]:
        """The same with whatever `bind` gives the new user to sign in with; it says what of it was shown just now."""
        owner = None if new.email is None else await self.users.find_by_identifier(new.email)

        def also(user: User, now: Instant) -> Work[SignInOutcome]:
            if first is not None:
                yield from first()
            proof = yield from bind(user, now)
            outcome = yield from self.sessions.finish(user, proof, caller, start)
            if user.email is not None and self.outbox.can_mail:
                yield from self._ask(user, user.email, outcome, caller, now, is_known=owner is not None)
            return outcome

        return await self.users.create(new, caller, also=also, roles=roles)

    def _ask(
        self, user: User, address: str, outcome: SignInOutcome, caller: Caller, now: Instant, *, is_known: bool
    ) -> Work[None]:
        """Ask whoever reads at the address whether it is theirs.

        The owner of a known one is not bothered: the same rows are written, and nothing is sent.
        """
        opened = yield from self.confirmations.begin(
            "email",
            address,
            contact_key("email", address),
            now=now,
            user_id=user.id,
            holder=holder_of_session(outcome.session.id) if isinstance(outcome, SignedIn) else None,
            locale=caller.locale,
        )
        values: Values = {
            "path": f"/verify/{opened.token}",
            "code": opened.code,
            "hours": (opened.expires_at - now) // HOUR,
            "minutes": (opened.code_expires_at - now) // MINUTE,
            "name": user.name,
        }
        if is_known:
            yield from self.outbox.nothing(address, caller.locale, values)
        else:
            yield from self.outbox.mail("confirm_email", address, caller.locale, values, expires_at=opened.expires_at)

    def _password_errors(
        self, password: object, profile: Mapping[str, Any], confirmation: str | None
    ) -> tuple[FieldError, ...]:
        context = [value for name in ("uid", "name", "email") if isinstance(value := profile.get(name), str)]
        return password_errors(self.passwords.policy, password, context, confirmation)

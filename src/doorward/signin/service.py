"""Signing in: the order is the security (docs/architecture.md)."""

from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from typing import Final

from doorward.audit import AuditTrail
from doorward.authenticators import COMPROMISED, Correct, KnownDevice, PasswordService
from doorward.confirmations import LIFETIME_SECONDS, Confirmations
from doorward.kernel.caller import Caller
from doorward.kernel.errors import NotSignedIn, PasswordChangeRequired, RateLimited
from doorward.messages import Outbox, SendLimits
from doorward.ports import Clock, Database
from doorward.sessions import NeedsStep, Session, Sessions, SignInOutcome, Start, password_proof
from doorward.signin.forced_change import ForcedChange
from doorward.signin.model import Credentials, Renewed
from doorward.signin.record import record_sign_in
from doorward.sql import Work
from doorward.users import User, UsersService, contact_key

_RECOVERY_MINUTES: Final = LIFETIME_SECONDS["recovery"] // 60


@dataclass(frozen=True, slots=True)
class Welcome:
    """The right password. `change_wanted`: why it should be replaced, if it should."""

    user: User
    outcome: SignInOutcome
    change_wanted: str | None


@dataclass(frozen=True, slots=True)
class SignIn:
    """Passwords in, sessions out."""

    db: Database
    clock: Clock
    users: UsersService
    passwords: PasswordService
    sessions: Sessions
    confirmations: Confirmations
    outbox: Outbox
    sends: SendLimits
    audit: AuditTrail

    async def sign_in(
        self, sent: Credentials, caller: Caller, device_token: str | None, start: Start | None = None
    ) -> Welcome:
        """Check credentials and start a session, or say what is still owed before one starts.

        Raises InvalidCredentials (the same for every reason), PasswordChangeRequired (right, but others know it),
        RateLimited or Unavailable.
        """
        user = await self.users.find_by_identifier(sent.identifier)
        device = await self.device_of(user, device_token)
        correct = await self.passwords.verify(user, sent.identifier, sent.password, caller, device=device)
        if correct.change_wanted == COMPROMISED:
            raise await self._require_change(correct, caller, device)
        proof = password_proof(self.clock.now())
        begins = replace(start or Start(), transport=sent.transport, device_id=None if device is None else device.id)

        def work() -> Work[SignInOutcome]:
            yield from correct.succeeded()
            outcome = yield from self.sessions.finish(correct.user, proof, caller, begins)
            yield from record_sign_in(self.audit, outcome, proof, caller, failures=correct.failures)
            return outcome

        return Welcome(correct.user, await self.db.write(work), correct.change_wanted)

    async def reauthenticate(
        self, session: Session, password: str, caller: Caller, path: str = "/account"
    ) -> Renewed | NeedsStep:
        """Prove anew who one is, by password and then, where there is one, by the second factor (ASVS 7.5.3).

        The session gets a new secret. `path`: where a page goes on. Raises InvalidCredentials, RateLimited,
        Unavailable.
        """
        user = await self.users.find(session.user_id)
        if user is None:
            raise NotSignedIn(reason="user is gone")
        correct = await self.passwords.verify(user, user.uid, password, caller, action="reauthenticate")
        proof = password_proof(self.clock.now())

        def work() -> Work[Renewed | NeedsStep]:
            yield from correct.succeeded()
            standing = yield from self.sessions.factors.standing(user.id, proof)
            yield from self.sessions.require_live(session)
            if standing.owes == "authenticator":
                start = Start(session.transport, path=path)
                return (
                    yield from self.sessions.open_ticket(standing, proof, caller, start, "authenticator", session.id)
                )
            return Renewed(session, (yield from self.sessions.rotate(session, caller, proof.at)))

        return await self.db.write(work)

    # Passwords that others know ---------------------------------------------------------------------------------

    async def _require_change(
        self, correct: Correct, caller: Caller, device: KnownDevice | None
    ) -> PasswordChangeRequired:
        """No session: a link goes to the owner's proven address, or to this browser where they have none (C8)."""
        user = correct.user
        if not (self.outbox.can_mail and user.email is not None and user.email_verified):
            return PasswordChangeRequired(token=await self._hand_over(correct, caller))
        async with AsyncExitStack() as places:
            with suppress(RateLimited):  # they have had several; whoever knows the password learns nothing from it
                place = await self.sends.mail("compromised", user.id, caller, None if device is None else device.id)
                await places.enter_async_context(place)
                await self.db.write(lambda: self._mail_link(correct, user.email or "", caller))
        return PasswordChangeRequired()

    def _mail_link(self, correct: Correct, address: str, caller: Caller) -> Work[None]:
        user = correct.user
        yield from correct.succeeded()
        opened = yield from self.confirmations.begin(
            "recovery",
            address,
            contact_key("email", address),
            now=self.clock.now(),
            user_id=user.id,
            locale=caller.locale,
        )
        yield from self.outbox.mail(
            "password_compromised",
            address,
            user.locale or caller.locale,
            {"path": f"/recovery/{opened.token}", "minutes": _RECOVERY_MINUTES, "name": user.name},
            expires_at=opened.expires_at,
        )
        yield from self._change.record(user, caller, "recovery")

    async def _hand_over(self, correct: Correct, caller: Caller) -> str:
        """A token for whoever has just shown the old password: nothing else is left to know the owner by."""
        user, now = correct.user, self.clock.now()

        def work() -> Work[str]:
            yield from correct.succeeded()
            return (yield from self._change.hand_over(user, caller, now))

        return await self.db.write(work)

    @property
    def _change(self) -> ForcedChange:
        return ForcedChange(self.confirmations, self.audit)

    async def device_of(self, user: User | None, token: str | None) -> KnownDevice | None:
        """The known device behind a cookie, if it is this user's."""
        found = await self.sessions.find_device(token)
        if found is None or user is None or found[1] != user.id:
            return None
        return KnownDevice(*found)

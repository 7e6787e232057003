"""Signing in: the order is the security (docs/architecture.md)."""

from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Final

from doorward.audit import AuditTrail, Event, Outcome
from doorward.authenticators import COMPROMISED, Correct, KnownDevice, PasswordService
from doorward.confirmations import LIFETIME_SECONDS, Confirmations
from doorward.kernel.caller import Caller
from doorward.kernel.errors import NotSignedIn, PasswordChangeRequired, RateLimited
from doorward.messages import Outbox, SendLimits
from doorward.ports import Clock, Database
from doorward.sessions import Session, Sessions, SignedIn, password_proof
from doorward.signin.forced_change import ForcedChange
from doorward.signin.model import Credentials
from doorward.sql import Work
from doorward.users import User, UsersService, contact_key

_RECOVERY_MINUTES: Final = LIFETIME_SECONDS["recovery"] // 60


@dataclass(frozen=True, slots=True)
class Welcome:
    """A sign-in that went through. `change_wanted`: why the password should be replaced, if it should."""

    user: User
    signed_in: SignedIn
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
        self, sent: Credentials, caller: Caller, device_token: str | None, replaced: str | None = None
    ) -> Welcome:
        """Check credentials and start a session; `replaced` is the token of one that a browser gives up for it.

        Raises InvalidCredentials (the same for every reason), PasswordChangeRequired (right, but others know it),
        RateLimited or Unavailable.
        """
        user = await self.users.find_by_identifier(sent.identifier)
        device = await self._device_of(user, device_token)
        correct = await self.passwords.verify(user, sent.identifier, sent.password, caller, device=device)
        if correct.change_wanted == COMPROMISED:
            raise await self._require_change(correct, caller, device)
        proof = password_proof(self.clock.now())
        event = Event.AUTHN_LOGIN_SUCCESSAFTERFAIL if correct.failures else Event.AUTHN_LOGIN_SUCCESS

        def work() -> Work[SignedIn]:
            yield from correct.succeeded()
            signed_in = yield from self.sessions.finish(
                correct.user, proof, caller, sent.transport, None if device is None else device.id, replaced
            )
            yield from self.audit.record(
                event,
                Outcome.SUCCESS,
                caller,
                user_id=correct.user.id,
                actor_id=correct.user.id,
                session_id=signed_in.session.id,
                payload={"amr": list(proof.amr), "failures": correct.failures},
            )
            return signed_in

        return Welcome(correct.user, await self.db.write(work), correct.change_wanted)

    async def reauthenticate(self, session: Session, password: str, caller: Caller) -> str:
        """Prove anew who one is; the session gets a new secret, which is returned (ASVS 7.5.3)."""
        user = await self.users.find(session.user_id)
        if user is None:
            raise NotSignedIn(reason="user is gone")
        correct = await self.passwords.verify(user, user.uid, password, caller, action="reauthenticate")
        now = self.clock.now()

        def work() -> Work[str]:
            yield from correct.succeeded()
            return (yield from self.sessions.rotate(session, caller, now))

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

    async def _device_of(self, user: User | None, token: str | None) -> KnownDevice | None:
        found = await self.sessions.find_device(token)
        if found is None or user is None or found[1] != user.id:
            return None
        return KnownDevice(*found)

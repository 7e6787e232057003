"""Signing in: the order is the security (docs/architecture.md)."""

from dataclasses import dataclass

from doorward.audit import AuditTrail, Event, Outcome
from doorward.authenticators import KnownDevice, PasswordService
from doorward.kernel.caller import Caller
from doorward.kernel.errors import NotSignedIn
from doorward.ports import Clock, Database
from doorward.sessions import Session, Sessions, SignedIn, password_proof
from doorward.signin.model import Credentials
from doorward.sql import Work
from doorward.users import User, UsersService


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
    audit: AuditTrail

    async def sign_in(
        self, sent: Credentials, caller: Caller, device_token: str | None, replaced: str | None = None
    ) -> Welcome:
        """Check credentials and start a session; `replaced` is the token of one that a browser gives up for it.

        Raises InvalidCredentials (the same for every reason), RateLimited or Unavailable.
        """
        user = await self.users.find_by_identifier(sent.identifier)
        device = await self._device_of(user, device_token)
        correct = await self.passwords.verify(user, sent.identifier, sent.password, caller, device=device)
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

    async def _device_of(self, user: User | None, token: str | None) -> KnownDevice | None:
        found = await self.sessions.find_device(token)
        if found is None or user is None or found[1] != user.id:
            return None
        return KnownDevice(*found)

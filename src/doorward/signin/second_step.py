"""What comes between the first thing somebody shows and their session (ASVS 6.3.3, 6.3.4; C22, C25).

A ticket says what was shown and what is owed. It is bound to the browser, or to the program, that has shown it, lives
for ten minutes and is used up by whatever ends it: a session, a newer ticket, or the end of all sessions of its user.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from doorward.audit import AuditTrail
from doorward.authenticators import (
    PASSKEY,
    RECOVERY,
    TOTP,
    AppOffer,
    Binding,
    Claimant,
    Factors,
    KnownDevice,
    Proven,
    Shown,
    has_factor,
)
from doorward.confirmations import holder_of_session
from doorward.kernel.assurance import MFA, Proof
from doorward.kernel.caller import Caller
from doorward.kernel.errors import Conflict, FieldError, Invalid, NotFound, NotSignedIn
from doorward.kernel.instant import Instant
from doorward.kernel.msgid import msgid
from doorward.ports import Clock, Database
from doorward.sessions import NeedsStep, Owes, Session, Sessions, SignInOutcome, Start, Ticket
from doorward.signin.model import Renewed
from doorward.signin.record import record_sign_in
from doorward.sql import Work
from doorward.users import User, UsersService

NOT_NOW: Final = msgid("Something else comes first")
HAS_TO: Final = msgid("You have to have a second step here")
_CHOICES: Final = (TOTP, PASSKEY)  # what can be set up before there is a session


@dataclass(frozen=True, slots=True)
class SecondStep:
    """From tickets to sessions."""

    db: Database
    clock: Clock
    users: UsersService
    sessions: Sessions
    factors: Factors
    binding: Binding
    audit: AuditTrail

    # Looking ----------------------------------------------------------------------------------------------------

    async def ticket(self, token: str | None, owes: Owes | None = None) -> Ticket:
        """What a token leads to. Raises NotSignedIn when it is over, Conflict when something else is owed first."""
        found = await self.sessions.find_ticket(token)
        if found is None:
            raise NotSignedIn(reason="no ticket")
        if owes is not None and found.owes != owes:
            raise Conflict(NOT_NOW, reason=f"owes {found.owes}")
        return found

    async def user(self, ticket: Ticket) -> User:
        """Whose it is. Raises NotSignedIn when they are gone."""
        user = await self.users.find(ticket.user_id)
        if user is None:
            raise NotSignedIn(reason="user is gone")
        return user

    async def kinds(self, ticket: Ticket) -> Sequence[str]:
        """The authenticators that would do now, the one used last first."""
        user, bound = await self.user(ticket), await self.factors.list_of(ticket.user_id)
        return await self.db.read(self.factors.usable(user, bound, ticket.amr))

    async def claimant(self, ticket: Ticket, device_token: str | None) -> Claimant:
        """Whoever holds the ticket."""
        found = await self.sessions.find_device(device_token)
        device = None if found is None or found[1] != ticket.user_id else KnownDevice(*found)
        return Claimant(ticket.user_id, holder_of(ticket), device)

    async def may_give_up(self, ticket: Ticket) -> bool:
        """Whether its holder, who has shown a recovery code, may sign in without a second step from now on."""
        user = await self.user(ticket)
        return _has_recovered(ticket) and not self.factors.policy.wants(user.roles)

    # The second factor ------------------------------------------------------------------------------------------

    async def verify(
        self, ticket: Ticket, claimant: Claimant, kind: str, answer: object, caller: Caller, replaced: str | None = None
    ) -> SignInOutcome | Renewed:
        """Take an answer and go on: to the session, to one that has a new secret, or to what is owed then.

        A recovery code stands in for a factor that is lost, so that another one is set up before the session begins.
        Raises Invalid naming `code`, `credential` or `kind`, RateLimited, Unavailable, NotSignedIn (over meanwhile).
        """
        shown = await self.factors.verify(claimant, kind, answer, caller, ticket.amr)
        proof = Proof(ticket.amr, ticket.created_at).with_more(shown.amr, self.clock.now())
        if ticket.session_id is not None:
            return await self._renew(ticket, ticket.session_id, proof, caller)
        if shown.kind == RECOVERY:
            return await self._enrol_anew(ticket, proof, caller)
        return await self._finish(ticket, proof, caller, replaced)

    async def _finish(
        self,
        ticket: Ticket,
        proof: Proof,
        caller: Caller,
        replaced: str | None,
        first: Callable[[User], Work[None]] | None = None,
    ) -> SignInOutcome:
        """Use the ticket up for a session. `first`: what else is done in that transaction; it raises to stop it."""

        def work() -> Work[SignInOutcome]:
            user = yield from self._locked(ticket)
            yield from self.sessions.use_ticket(ticket)
            if first is not None:
                yield from first(user)
            start = Start(ticket.transport, ticket.device_id, replaced, ticket.path, ticket.wants_jwt)
            outcome = yield from self.sessions.finish(user, proof, caller, start)
            yield from record_sign_in(self.audit, outcome, proof, caller)
            return outcome

        return await self.db.write(work)

    async def _renew(self, ticket: Ticket, session_id: str, proof: Proof, caller: Caller) -> Renewed | NeedsStep:
        session = await self.sessions.find_by_id(session_id)
        if session is None:
            raise NotSignedIn(reason="session ended meanwhile")

        def work() -> Work[Renewed | NeedsStep]:
            yield from self._locked(ticket)
            yield from self.sessions.use_ticket(ticket)
            return (yield from self._proven_anew(session, proof, caller, ticket.path))

        return await self.db.write(work)

    def _proven_anew(self, session: Session, proof: Proof, caller: Caller, path: str) -> Work[Renewed | NeedsStep]:
        """Rotate the session, unless what was shown just now is not enough: what it began with does not count (C26)."""
        standing = yield from self.factors.standing(session.user_id, proof)
        if standing.owes == "authenticator":
            start = Start(session.transport, path=path)
            return (yield from self.sessions.open_ticket(standing, proof, caller, start, "authenticator", session.id))
        amr = tuple(dict.fromkeys((*session.amr, *proof.amr)))
        return Renewed(session, (yield from self.sessions.rotate(session, caller, proof.at, amr)))

    async def _enrol_anew(self, ticket: Ticket, proof: Proof, caller: Caller) -> NeedsStep:
        def work() -> Work[NeedsStep]:
            standing = yield from self.factors.standing(ticket.user_id, proof)
            yield from self.sessions.use_ticket(ticket)
            start = Start(ticket.transport, ticket.device_id, None, ticket.path, ticket.wants_jwt)
            return (yield from self.sessions.open_ticket(standing, proof, caller, start, "enrolment"))

        return await self.db.write(work)

    # Enrolment --------------------------------------------------------------------------------------------------

    async def offer_app(self, ticket: Ticket) -> None:
        """Make a key for an authenticator app."""
        await self.binding.offer_app(ticket.user_id, holder_of(ticket))

    async def offered_app(self, ticket: Ticket) -> AppOffer | None:
        """The key that was offered."""
        return await self.binding.offered_app(ticket.user_id, holder_of(ticket))

    async def offer_passkey(self, ticket: Ticket) -> Mapping[str, Any]:
        """What to hand to `navigator.credentials.create`."""
        return await self.binding.offer_passkey(ticket.user_id, holder_of(ticket))

    async def enrol(
        self, ticket: Ticket, kind: str, answer: object, caller: Caller, replaced: str | None = None
    ) -> SignInOutcome:
        """Prove and bind an app or a passkey, and start the session. Every other session of the user ends.

        Raises Invalid naming `code`, `credential` or `kind`, NotSignedIn (over meanwhile), Unavailable.
        """
        if kind not in _CHOICES:
            raise Invalid([FieldError("kind", "not_offered", NOT_NOW)], reason="cannot be enrolled here")
        holder = holder_of(ticket)
        if kind == TOTP:
            proven = await self.binding.prove_app(ticket.user_id, holder, answer)
        else:
            proven = await self.binding.prove_passkey(holder, answer)
        proof = Proof(ticket.amr, ticket.created_at).with_more(proven.amr, self.clock.now())

        def bind(user: User) -> Work[None]:
            return self._bind(ticket, user, proven, caller, proof.at)

        return await self._finish(ticket, proof, caller, replaced, bind)

    def _bind(self, ticket: Ticket, user: User, proven: Proven, caller: Caller, now: Instant) -> Work[None]:
        if has_factor((yield from self.factors.bound(user.id))) and not _has_recovered(ticket):
            # Somebody has bound one since the ticket was made: it may be the owner, and this one a thief.
            raise Conflict(NOT_NOW, reason="a factor was bound meanwhile")
        if _has_waited(ticket):
            yield from self.binding.reset(user.id, user.id, caller, now, "lost")
        yield from self.binding.bind(user.id, proven, caller, now)
        # They began without the factor that is owed from now on, or before it was lost.
        yield from self.sessions.end_all(user.id, caller, now)

    async def give_up(self, ticket: Ticket, caller: Caller, replaced: str | None = None) -> SignInOutcome:
        """Sign in without a second step from now on, after password and recovery code, where nobody has to have one.

        Raises Conflict, NotSignedIn (over meanwhile).
        """
        if not await self.may_give_up(ticket):
            raise Conflict(HAS_TO, reason="has to have a second factor")
        now = self.clock.now()

        def reset(user: User) -> Work[None]:
            if self.factors.policy.wants(user.roles):
                raise Conflict(HAS_TO, reason="has to have a second factor")
            yield from self.binding.reset(user.id, user.id, caller, now, "given up")
            yield from self.sessions.end_all(user.id, caller, now)

        return await self._finish(ticket, Proof(ticket.amr, now), caller, replaced, reset)

    # Coming back ------------------------------------------------------------------------------------------------

    async def leaving_until(self, ticket: Ticket) -> Instant | None:
        """When the account of somebody who asked for it is erased."""
        return await self.users.leaving(ticket.user_id)

    async def restore(self, ticket: Ticket, caller: Caller, replaced: str | None = None) -> SignInOutcome:
        """Keep an account that was about to be erased. Raises NotSignedIn (over meanwhile, or erased)."""
        now = self.clock.now()

        def keep(user: User) -> Work[None]:
            yield from self.users.restore(user.id, caller, now)

        return await self._finish(ticket, Proof(ticket.amr, now), caller, replaced, keep)

    # Passkeys alone ---------------------------------------------------------------------------------------------

    async def ask_anybody(self, cookie: str, caller: Caller) -> Mapping[str, Any]:
        """What to hand to `navigator.credentials.get` for whoever comes. Raises RateLimited, Unavailable."""
        return await self.factors.ask_anybody(holder_of_browser(cookie), caller)

    async def sign_in(
        self, cookie: str | None, credential: object, caller: Caller, device_token: str | None, start: Start
    ) -> SignInOutcome:
        """Sign in with a passkey alone, which is two factors when the device has checked its user (C30).

        `cookie`: of the browser that asked. Raises Invalid naming `credential`, InvalidCredentials (disabled),
        RateLimited, Unavailable.
        """
        device = await self.sessions.find_device(device_token)

        def work(user: User, shown: Shown) -> Work[SignInOutcome]:
            proof = Proof(shown.amr, self.clock.now())
            device_id = device[0] if device is not None and device[1] == user.id else None
            begins = Start(start.transport, device_id, start.replaced, start.path)
            outcome = yield from self.sessions.finish(user, proof, caller, begins)
            yield from record_sign_in(self.audit, outcome, proof, caller)
            return outcome

        return await self.factors.verify_anybody(holder_of_browser(cookie or ""), credential, caller, work)

    async def ask_again(self, session: Session, caller: Caller) -> Mapping[str, Any]:
        """What to hand to `navigator.credentials.get` for somebody signed in who is to prove who they are."""
        return await self.factors.ask_passkey(claimant_of(session), caller, alone=True)

    async def reauthenticate(
        self, session: Session, credential: object, caller: Caller, path: str = "/account"
    ) -> Renewed | NeedsStep:
        """Prove anew who one is by a passkey alone, and by another factor where it is worth only one.

        `path`: where a page goes on. Raises Invalid naming `credential`, RateLimited, Unavailable.
        """
        beside = not {"pwd", "otp", MFA}.isdisjoint(session.amr)
        shown = await self.factors.verify_alone(claimant_of(session), credential, caller, beside_another=beside)
        proof = Proof(shown.amr, self.clock.now())

        def work() -> Work[Renewed | NeedsStep]:
            yield from self.users.locked(session.user_id)
            yield from self.sessions.require_live(session)
            return (yield from self._proven_anew(session, proof, caller, path))

        return await self.db.write(work)

    async def has_passkey(self, session: Session) -> bool:
        """Whether somebody signed in has one to confirm with."""
        return any(one.kind == PASSKEY for one in await self.factors.list_of(session.user_id))

    def _locked(self, ticket: Ticket) -> Work[User]:
        # Locked first: two tickets of one user must not wait for each other in a circle.
        try:
            return (yield from self.users.locked(ticket.user_id))
        except NotFound:
            raise NotSignedIn(reason="user is gone") from None


def holder_of(ticket: Ticket) -> bytes:
    """What a challenge or a code is bound to that was asked for with a ticket."""
    return hashlib.sha256(f"ticket:{ticket.id}".encode()).digest()


def holder_of_browser(cookie: str) -> bytes:
    """The same for a browser that nobody is signed in with."""
    return hashlib.sha256(f"passkey:{cookie}".encode("utf-8", "surrogatepass")).digest()


def claimant_of(session: Session) -> Claimant:
    """Somebody signed in."""
    return Claimant(session.user_id, holder_of_session(session.id))


def _has_waited(ticket: Ticket) -> bool:
    # Several channels have answered in the place of a factor, see `CoolOff`: those that were lost are worth nothing.
    return "mca" in ticket.amr


def _has_recovered(ticket: Ticket) -> bool:
    # A ticket that owes an enrolment although two factors were shown comes from a recovery code.
    return ticket.owes == "enrolment" and Proof(ticket.amr, 0).aal > 1

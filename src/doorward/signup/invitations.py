"""Invitations: an address that the operator names may become a user (UX-13). The link proves whose the mailbox is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from doorward.audit import AuditTrail, Event, Outcome
from doorward.authenticators import PasswordService
from doorward.confirmations import LIFETIME_SECONDS, Confirmation, Confirmations, State
from doorward.kernel.caller import Caller
from doorward.kernel.errors import Conflict, FieldError, Invalid, NotFound
from doorward.kernel.instant import Instant
from doorward.kernel.msgid import msgid
from doorward.messages import Outbox, Values
from doorward.ports import Clock, Database
from doorward.sessions import Sessions, SignInOutcome, Start, password_proof
from doorward.signup import store
from doorward.signup.by_email import ALREADY, new_handle
from doorward.signup.guard import TAKEN
from doorward.signup.passwords import PASSWORD, password_errors
from doorward.sql import Work
from doorward.users import NewUser, User, UsersService, contact_key, core_rule

ADMIN: Final = "admin"
INVITATION: Final = "invitation"
WELCOME: Final = "/account?welcome=1"
_DAY_SECONDS: Final = 86_400
_NO_MAIL: Final = msgid("Invitations go out by mail, and no mail server is configured")
_VOID: Final = msgid("This link no longer works")
_HAS_ACCOUNT: Final = msgid("This address has an account already")


@dataclass(frozen=True, slots=True)
class Invitations:
    """Invites, and takes in those who come."""

    db: Database
    clock: Clock
    users: UsersService
    passwords: PasswordService
    sessions: Sessions
    audit: AuditTrail
    confirmations: Confirmations
    outbox: Outbox

    async def invite(
        self, address: object, roles: Sequence[str], actor_id: str | None, caller: Caller, locale: str = ""
    ) -> None:
        """Mail an invitation; earlier ones to the address are void. The operator asks, so nothing is hidden from them.

        Raises Invalid naming `email` (no address, or one that has an account), Conflict where no mail can be sent.
        """
        if error := core_rule("email").error(address if address is not None else ""):
            raise Invalid([error])
        to = str(address)
        if not self.outbox.can_mail:
            raise Conflict(_NO_MAIL, reason="no mail server")
        if await self.users.proven_owner("email", to) is not None:
            raise Invalid([FieldError("email", "known", _HAS_ACCOUNT)])
        given = sorted(set(roles))
        await self.db.write(lambda: self._invite(to, given, actor_id, caller, locale))

    def _invite(self, to: str, roles: Sequence[str], actor_id: str | None, caller: Caller, locale: str) -> Work[None]:
        now, key = self.clock.now(), contact_key("email", to)
        yield from self.confirmations.void_of_target(key, now, INVITATION)
        opened = yield from self.confirmations.begin(
            INVITATION, to, key, now=now, payload={"roles": list(roles), "by": actor_id}, locale=locale
        )
        values: Values = {"path": f"/invitation/{opened.token}", "days": LIFETIME_SECONDS[INVITATION] // _DAY_SECONDS}
        yield from self.outbox.mail(INVITATION, to, locale, values, expires_at=opened.expires_at)
        yield from self.audit.record(
            Event.AUTHN_TOKEN_CREATED,
            Outcome.SUCCESS,
            caller,
            actor_id=actor_id,
            payload={"purpose": INVITATION, "roles": list(roles)},
        )

    async def call_off(self, address: str, actor_id: str | None, caller: Caller) -> int:
        """Make the invitations to an address void; how many still worked."""
        now = self.clock.now()

        def work() -> Work[int]:
            ended = yield from self.confirmations.void_of_target(contact_key("email", address), now, INVITATION)
            if ended:
                yield from self.audit.record(
                    Event.AUTHN_TOKEN_REVOKED,
                    Outcome.SUCCESS,
                    caller,
                    actor_id=actor_id,
                    payload={"purpose": INVITATION, "why": "called off"},
                )
            return ended

        return await self.db.write(work)

    async def look(self, token: str) -> tuple[State, Confirmation | None]:
        """What a link leads to. Changes nothing."""
        state, found = await self.confirmations.look(token, INVITATION)
        if state == "live" and found is not None and (inviter := found.payload.get("by")) is not None:
            user = await self.users.find(inviter)
            state = state if user is not None and _may_invite(user) else "void"
        return state, found

    async def accept(
        self, token: str, body: Mapping[str, Any], caller: Caller, replaced: str | None = None
    ) -> tuple[User, SignInOutcome]:
        """Make a user of whoever followed the link and start their session.

        `body`: what sign-up takes, without an address, which is the invited one; `replaced`: a session token that gives
        way. Raises Invalid naming every bad field, or `token`, also when whoever invited them is no administrator any
        more; then nothing is used up. Unavailable.
        """
        found = await self.confirmations.by_token(token, INVITATION)
        new, password = await self._check(found, body)
        digest = await self.passwords.hash_new(password, self._context(new, found.target))
        roles = tuple(found.payload["roles"])

        def also(user: User, now: Instant) -> Work[SignInOutcome]:
            yield from self.users.prove(user.id, "email", found.target, caller, now)
            yield from self.passwords.set_password(user.id, digest)
            start = Start(replaced=replaced, path=WELCOME)
            return (yield from self.sessions.finish(user, password_proof(now), caller, start))

        def first() -> Work[None]:
            yield from self.confirmations.use(found, self.clock.now())
            yield from self._check_inviter(found.payload.get("by"))

        try:
            return await self.users.create(new, caller, also=also, roles=roles, first=first)
        except Conflict:
            raise Invalid([FieldError("email", "known", ALREADY)], reason="address proven by somebody else") from None

    def _check_inviter(self, inviter: str | None) -> Work[None]:
        """Give no role in the name of somebody who could not any more. Nobody: the operator had invited them."""
        if inviter is None:
            return
        try:
            user = yield from self.users.locked(inviter)
        except NotFound:
            raise _void() from None
        if not _may_invite(user):
            raise _void()

    async def _check(self, found: Confirmation, body: Mapping[str, Any]) -> tuple[NewUser, str]:
        profile = {name: value for name, value in body.items() if name != PASSWORD}
        errors: list[FieldError] = []
        new: NewUser | None = None
        if "email" in profile:
            errors.append(FieldError("email", "not_writable", "%(name)s cannot be set here", {"name": "email"}))
        try:
            new = self.users.validate_sign_up_by_email({**profile, "email": found.target})
        except Invalid as invalid:
            errors.extend(invalid.errors)
        if new is not None and new.uid and await self._is_taken(new.uid, found.target_key):
            errors.append(core_rule("uid").refuse(TAKEN))
        password = body.get(PASSWORD)
        context = [found.target] if new is None else self._context(new, found.target)
        errors.extend(password_errors(self.passwords.policy, password, context))
        if errors or new is None or not isinstance(password, str):
            raise Invalid(errors)
        uid = new.uid or new_handle()
        return replace(new, uid=uid, name=new.name or uid, email=None, locale=found.locale or None), password

    async def _is_taken(self, uid: str, target_key: str) -> bool:
        if self.users.is_reserved(uid) or await self.users.taken(uid):
            return True
        kept = await self.db.read(store.find_reservation(uid, self.clock.now()))
        return kept is not None and kept[0] != target_key

    def _context(self, new: NewUser, address: str) -> list[str]:
        return [word for word in (new.uid, new.name, address) if word]


def _may_invite(user: User) -> bool:
    return user.status == "active" and ADMIN in user.roles


def _void() -> Invalid:
    return Invalid([FieldError("token", "void", _VOID)], reason="whoever invited them may not any more")

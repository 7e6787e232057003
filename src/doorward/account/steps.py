"""A member's own second factors and passkeys: bound, renamed, removed (C20, C26, C28, C31; UX-40 to UX-43)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from doorward.account.ownership import check_owner
from doorward.audit import Refusals
from doorward.authenticators import (
    PASSKEY,
    RECOVERY,
    TOTP,
    AppOffer,
    Binding,
    Bound,
    Claimant,
    Factors,
    PasswordService,
    Proven,
    all_kinds,
    has_factor,
)
from doorward.confirmations import holder_of_session
from doorward.kernel.caller import Caller
from doorward.kernel.errors import Conflict, FieldError, Forbidden, Invalid
from doorward.kernel.instant import Instant
from doorward.kernel.msgid import msgid
from doorward.ports import Clock, Database
from doorward.sessions import Session, Sessions
from doorward.sql import Work
from doorward.users import UsersService

NOBODY_GETS_IN = msgid(
    "This account has no password and no confirmed e-mail address, so without its passkeys nobody could sign in to it"
)
NO_KIND = msgid("Choose one of the ways that are offered")
_SENT = ("sms_code", "email_code")


@dataclass(frozen=True, slots=True)
class Changed:
    """Something was bound or removed. `token`: the session's new secret, where it has one."""

    id: str
    token: str | None


@dataclass(frozen=True, slots=True)
class Overview:
    """What a member has and could have. `grace_until`: when they can no longer sign in without a factor."""

    bound: Sequence[Bound]
    offered: Sequence[str]
    has_password: bool
    has_factor: bool
    grace_until: Instant | None
    email: str | None
    phone: str | None


@dataclass(frozen=True, slots=True)
class Steps:
    """A signed-in user on their own authenticators. Everything but looking needs a fresh authentication."""

    db: Database
    clock: Clock
    users: UsersService
    passwords: PasswordService
    sessions: Sessions
    factors: Factors
    binding: Binding
    refusals: Refusals

    async def overview(self, session: Session) -> Overview:
        """What the page shows."""
        user = await self.binding.user(session.user_id)
        bound = await self.factors.list_of(user.id)
        phone = await self.users.contact(user.id, "phone")
        return Overview(
            bound=bound,
            offered=[kind for kind in all_kinds() if self._offers(kind)],
            has_password=await self.passwords.has_password(user.id),
            has_factor=has_factor(bound),
            grace_until=await self.factors.grace_until(user),
            email=user.email if user.email_verified else None,
            phone=phone[0] if phone is not None and phone[1] is not None else None,
        )

    async def may_upgrade(self, session: Session) -> bool:
        """Whether the browser may make a passkey by itself: the password was just typed, and there is none (UX-27)."""
        if not (self.factors.party.takes_passkeys and "pwd" in session.amr and session.is_fresh(self.clock.now())):
            return False
        return all(one.kind != PASSKEY for one in await self.factors.list_of(session.user_id))

    def _offers(self, kind: str) -> bool:
        if kind == PASSKEY:
            return self.factors.party.takes_passkeys
        return kind not in _SENT or kind in self.factors.policy.offered

    # Offering ---------------------------------------------------------------------------------------------------

    async def offer_app(self, session: Session) -> None:
        """Make a key for an authenticator app. Raises ReauthenticationNeeded."""
        session.require_fresh(self.clock.now())
        await self.binding.offer_app(session.user_id, holder_of_session(session.id))

    async def offered_app(self, session: Session) -> AppOffer | None:
        """The key that was offered to this session."""
        return await self.binding.offered_app(session.user_id, holder_of_session(session.id))

    async def offer_passkey(self, session: Session, *, conditional: bool = False) -> Mapping[str, Any]:
        """What to hand to `navigator.credentials.create`. Raises ReauthenticationNeeded, Conflict (too many)."""
        session.require_fresh(self.clock.now())
        holder = holder_of_session(session.id)
        return await self.binding.offer_passkey(session.user_id, holder, conditional=conditional)

    async def offer_codes(self, session: Session, caller: Caller) -> Sequence[str]:
        """Ten recovery codes, shown once. Raises ReauthenticationNeeded, RateLimited, Unavailable."""
        session.require_fresh(self.clock.now())
        return await self.binding.offer_codes(session.user_id, holder_of_session(session.id), caller)

    # Binding ----------------------------------------------------------------------------------------------------

    async def bind(
        self, session: Session, kind: str, answer: object, caller: Caller, label: object = None, *, kept: bool = False
    ) -> Changed:
        """Prove and bind what was offered to this session.

        `answer`: a code, or what the browser gave for a passkey; `kept`: recovery codes are kept. Raises
        ReauthenticationNeeded, Invalid, Conflict, NotSignedIn (ended meanwhile).
        """
        session.require_fresh(self.clock.now())
        holder = holder_of_session(session.id)
        if kind == TOTP:
            proven = await self.binding.prove_app(session.user_id, holder, answer)
        elif kind == PASSKEY:
            proven = await self.binding.prove_passkey(holder, answer, label)
        elif kind == RECOVERY:
            code = answer if isinstance(answer, str) else ""
            proven = await self.binding.prove_codes(session.user_id, holder, caller, kept=kept, code=code)
        elif kind in _SENT:
            proven = await self.binding.prove_sent(Claimant(session.user_id, holder), kind)
        else:
            raise Invalid([FieldError("kind", "not_offered", NO_KIND)], reason="no such kind")
        return await self._bind(session, proven, caller)

    async def bind_by_itself(self, session: Session, credential: object, caller: Caller) -> None:
        """Bind a passkey that the browser has made by itself after the password (UX-27). As `bind`."""
        session.require_fresh(self.clock.now())
        holder = holder_of_session(session.id)
        proven = await self.binding.prove_passkey(holder, credential, conditional=True)
        await self._bind(session, proven, caller)

    async def _bind(self, session: Session, proven: Proven, caller: Caller) -> Changed:
        now = self.clock.now()

        def work() -> Work[Changed]:
            yield from self.users.locked(session.user_id)
            yield from self.sessions.require_live(session)
            bound_id, is_first = yield from self.binding.bind(session.user_id, proven, caller, now)
            rises = proven.step and bool(proven.amr)
            if is_first:
                # They began with a password alone, which is not enough any more (ASVS 7.4.3). So did this one, and a
                # number that was proven some time ago does not lift it.
                kept = session.id if rises or session.aal > 1 else ""
                yield from self.sessions.end_all(session.user_id, caller, now, kept=kept)
            token = None
            if rises:
                # What was just shown is a factor more: the session rises, and so its secret changes (ASVS 7.2.4).
                amr = tuple(dict.fromkeys((*session.amr, *proven.amr)))
                token = yield from self.sessions.rotate(session, caller, now, amr)
            yield from self.sessions.revoke_user(session.user_id, now)
            return Changed(bound_id, token)

        return await self.db.write(work)

    # Changing ---------------------------------------------------------------------------------------------------

    async def rename(self, session: Session, bound_id: str, label: object, caller: Caller) -> None:
        """Call one's own something else. Raises Invalid naming `label`, NotFound."""

        def work() -> Work[None]:
            yield from self.users.locked(session.user_id)
            yield from self.sessions.require_live(session)
            yield from self.binding.rename(session.user_id, bound_id, label, caller)

        await self.db.write(work)

    async def remove(self, session: Session, bound_id: str, caller: Caller) -> None:
        """Remove one's own. Raises ReauthenticationNeeded, NotFound, Conflict (what they cannot be without)."""
        now = self.clock.now()
        session.require_fresh(now)

        def work() -> Work[None]:
            yield from self.users.locked(session.user_id)
            yield from self.sessions.require_live(session)
            has_password = yield from self.passwords.has_password_now(session.user_id)
            yield from self.binding.remove(session.user_id, bound_id, caller, now, has_password=has_password)
            yield from self.sessions.revoke_user(session.user_id, now)

        await self.db.write(work)

    async def reset(self, session: Session, user_id: str, caller: Caller) -> int:
        """Remove everything that another user has bound, for an administrator; how many. Their sessions end.

        Raises Forbidden, ReauthenticationNeeded, NotFound, Conflict (nobody could sign in any more).
        """
        await check_owner(self.refusals, session, user_id, caller, "reset authenticators of")
        session.require_fresh(self.clock.now())
        if user_id == session.user_id:  # who has them removes one by one, and keeps the last that they have to have
            raise Forbidden(reason="one's own")
        return await self.reset_for(user_id, session.user_id, caller)

    async def reset_for(self, user_id: str, actor_id: str | None, caller: Caller) -> int:
        """The same for the operator. Raises NotFound, Conflict."""
        now = self.clock.now()

        def work() -> Work[int]:
            user = yield from self.users.locked(user_id)
            if not user.email_verified and not (yield from self.passwords.has_password_now(user_id)):
                raise Conflict(NOBODY_GETS_IN, reason="neither a password nor a proven address")
            removed = yield from self.binding.reset(user_id, actor_id, caller, now)
            yield from self.sessions.end_all(user_id, caller, now)
            yield from self.sessions.forget_devices(user_id)
            return removed

        return await self.db.write(work)

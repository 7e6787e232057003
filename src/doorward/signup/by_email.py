"""Signing up in mode "email": nobody becomes a user before their address has answered (docs/adr/0008).

Order is the security here. What is wrong with the body is said before anything depends on who is registered. After that
a known and an unknown address cost the same places, the same hash, the same reads and the same rows in one transaction,
and get the same answer (C16; ASVS 6.3.8).
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from doorward.audit import AuditTrail, Event, Outcome
from doorward.authenticators import FirstPasskey, FirstPasskeys, PasswordService, read_first_passkey
from doorward.confirmations import Completed, Confirmation, Confirmations, Opened, Submitted, holder_of_cookie
from doorward.kernel.assurance import Proof
from doorward.kernel.caller import Caller
from doorward.kernel.errors import Conflict, FieldError, Invalid
from doorward.kernel.ids import new_token
from doorward.kernel.instant import HOUR, MINUTE, SECOND, Instant
from doorward.kernel.msgid import msgid
from doorward.messages import Outbox, SendLimits
from doorward.ports import NOTHING, Clock, Database
from doorward.sessions import (
    FRESH_SECONDS,
    Sessions,
    SignInOutcome,
    Start,
    describe,
    email_proof,
    password_proof,
)
from doorward.signup import store
from doorward.signup.guard import TAKEN, SignUpGuard
from doorward.signup.passwords import PASSWORD, password_errors
from doorward.signup.rules import RegistrationRules
from doorward.sql import Work
from doorward.users import NewUser, User, UsersService, contact_key

WELCOME: Final = "/account?welcome=1"
VERIFIED: Final = "/sign-in?verified=1"
ALREADY: Final = msgid("This address has an account already. Sign in, or choose a new password if you forgot it")
_NAME_TAKEN: Final = msgid("This username is taken; choose another")
_HANDLE_SIGNS: Final = "abcdefghijkmnpqrstuvwxyz23456789"  # none that reads like another
_HANDLE_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class _Pending:
    """What waits, sealed, for the proof of its address. Empty handle and name: ours to choose.

    `digest` of the password, or `passkey`: what whoever began signs in with.
    """

    uid: str
    name: str
    dob: str | None
    fields: Mapping[str, Any]
    path: str
    digest: str | None = None
    passkey: FirstPasskey | None = None

    def as_payload(self) -> Mapping[str, Any]:
        return {
            "uid": self.uid,
            "name": self.name,
            "dob": self.dob,
            "fields": dict(self.fields),
            "path": self.path,
            "digest": self.digest,
            "passkey": None if self.passkey is None else self.passkey.as_json(),
        }


@dataclass(frozen=True, slots=True)
class SignUpByEmail:
    """Pending sign-ups."""

    db: Database
    clock: Clock
    guard: SignUpGuard
    users: UsersService
    passwords: PasswordService
    sessions: Sessions
    audit: AuditTrail
    confirmations: Confirmations
    outbox: Outbox
    sends: SendLimits
    site_name: str
    rules: RegistrationRules
    first: FirstPasskeys

    # Beginning --------------------------------------------------------------------------------------------------

    async def begin(
        self,
        body: Mapping[str, Any],
        caller: Caller,
        held: str | None = None,
        path: str = WELCOME,
        proof: Mapping[str, str] = NOTHING,
        confirmation: str | None = None,
    ) -> str:
        """Keep a sign-up until its address is proven, and mail whoever reads there; the new value of `pending`.

        `held`: the cookie of an earlier try of the same browser; `path`: where it goes on once it is signed in;
        `proof`: see `SignUpGuard.admit`; `confirmation`: see `password_errors`. Raises Invalid naming every bad field,
        a taken handle among them; ChallengeNeeded; RateLimited; Unavailable.
        """
        holder = holder_of_cookie(held)
        async with self.guard.telling(caller):
            new, password, address = await self._check(body, holder, confirmation)
        await self.guard.admit(proof, caller)
        async with await self.guard.place(caller), await self.sends.mail("sign_up", address, caller):
            digest = await self.passwords.hash_new(password, self._context(new, address))
            return await self._keep(
                _Pending(new.uid, new.name, new.dob, new.fields, path, digest), address, held, caller
            )

    async def begin_with_passkey(
        self,
        new: NewUser,
        passkey: FirstPasskey,
        caller: Caller,
        held: str | None,
        path: str,
        first: Callable[[], Work[None]],
    ) -> str:
        """The same for somebody who has made a passkey; `new` has an address and was checked by `check_profile`.

        `first`: see `users.create`. Raises Invalid (the handle went to another meanwhile), RateLimited, Unavailable.
        """
        address = new.email or ""
        async with await self.sends.mail("sign_up", address, caller):
            pending = _Pending(new.uid, new.name, new.dob, new.fields, path, passkey=passkey)
            return await self._keep(pending, address, held, caller, first)

    async def _keep(
        self,
        pending: _Pending,
        address: str,
        held: str | None,
        caller: Caller,
        first: Callable[[], Work[None]] | None = None,
    ) -> str:
        owner = await self.users.find_by_identifier(address)
        cookie = new_token()

        def work() -> Work[None]:
            if first is not None:
                yield from first()
            yield from self._begin(pending, address, owner, holder_of_cookie(held), cookie, caller)

        await self.db.write(work)
        return cookie

    async def resend(self, found: Confirmation, caller: Caller) -> None:
        """Send a newer code with the same link. Raises RateLimited, Unavailable, Invalid (over meanwhile)."""
        async with await self.sends.mail("sign_up", found.target, caller):
            owner = await self.users.find_by_identifier(found.target)

            def work() -> Work[None]:
                opened = yield from self.confirmations.renew(found, self.clock.now())
                yield from self._mail(opened, found.target, owner, found.locale, caller)

            await self.db.write(work)

    def _begin(
        self, pending: _Pending, address: str, owner: User | None, holder: bytes | None, cookie: str, caller: Caller
    ) -> Work[None]:
        now = self.clock.now()
        opened = yield from self.confirmations.begin(
            "sign_up",
            address,
            contact_key("email", address),
            now=now,
            payload=pending.as_payload(),
            holder=holder_of_cookie(cookie),
            locale=caller.locale,
        )
        if pending.uid and not (yield from store.reserve(pending.uid, opened.id, holder, now, opened.expires_at)):
            raise Invalid([FieldError("uid", TAKEN, _NAME_TAKEN)], reason="uid reserved meanwhile")
        yield from self._mail(opened, address, owner, caller.locale, caller)

    def _mail(self, opened: Opened, address: str, owner: User | None, locale: str, caller: Caller) -> Work[None]:
        """Tell the newcomer, or the owner that somebody tried; one row either way."""
        now = self.clock.now()
        if owner is None or owner.email is None:
            yield from self.outbox.mail(
                "confirm_sign_up",
                address,
                locale,
                {
                    "path": f"/verify/{opened.token}",
                    "code": opened.code,
                    "hours": _whole(opened.expires_at - now, HOUR),
                    "minutes": _whole(opened.code_expires_at - now, MINUTE),
                },
                expires_at=opened.expires_at,
            )
        else:
            yield from self.outbox.mail(
                "known_sign_up",
                owner.email,
                owner.locale or locale,
                {"path": "/sign-in", "recovery_path": "/recovery", "device": describe(caller.user_agent)},
                expires_at=opened.expires_at,
            )
        yield from self.audit.record(
            Event.AUTHN_TOKEN_CREATED,
            Outcome.SUCCESS,
            caller,
            user_id=None if owner is None else owner.id,
            payload={"purpose": "sign_up"},
        )

    # Confirming -------------------------------------------------------------------------------------------------

    async def confirm(self, found: Confirmation, submitted: Submitted, caller: Caller) -> Completed:
        """Make a user of a pending sign-up whose address has answered.

        The password typed then, or the passkey made, counts only in the browser where that was: anybody can sign up
        with the address of somebody else and wait for them to follow the link. Anywhere else a new password is asked
        for, and no session begins.

        Raises Invalid naming `password` (missing, or not good enough; nothing is used up), `token` (somebody was
        quicker) or `email` (the address has an account by now); Unavailable.
        """
        kept = found.payload
        new = NewUser(kept["uid"], kept["name"], None, kept["dob"], kept["fields"], locale=found.locale or None)
        made = kept.get("passkey") if submitted.is_holder else None
        passkey = None if made is None else read_first_passkey(made)
        digest = kept["digest"] if submitted.is_holder else await self._new_digest(new, found.target, submitted)
        if await self._is_kept_for_others(new.uid, found):
            new = replace(new, uid="")

        def also(user: User, now: Instant) -> Work[SignInOutcome | None]:
            yield from self.users.prove(user.id, "email", found.target, caller, now)
            if digest is not None:
                yield from self.passwords.set_password(user.id, digest)
            if passkey is not None:
                yield from self.first.bind(user, passkey, caller, now)
            yield from store.release(found.id)
            if not submitted.is_holder:
                return None
            proof = password_proof(now) if passkey is None else _passkey_proof(found, passkey, now)
            start = Start(replaced=submitted.replaced, path=kept["path"])
            return (yield from self.sessions.finish(user, proof, caller, start))

        try:
            user, outcome = await self._create(new, found, caller, also)
        except Conflict:
            raise Invalid([FieldError("email", "known", ALREADY)], reason="address proven by somebody else") from None
        return Completed("sign_up", user.id, VERIFIED if outcome is None else kept["path"], outcome)

    async def _create(
        self,
        new: NewUser,
        found: Confirmation,
        caller: Caller,
        also: Callable[[User, Instant], Work[SignInOutcome | None]],
    ) -> tuple[User, SignInOutcome | None]:
        """Use it up and create the user, in one transaction; a handle that went to another is no dead end."""
        for _ in range(_HANDLE_TRIES):
            chosen = new.uid or new_handle()
            named = replace(new, uid=chosen, name=new.name or chosen)
            try:
                return await self.users.create(
                    named, caller, also=also, first=lambda: self.confirmations.use(found, self.clock.now())
                )
            except Invalid as invalid:
                if not any(error.code == TAKEN for error in invalid.errors):
                    raise
                new = replace(new, uid="")
        raise RuntimeError("no handle is free")

    async def _new_digest(self, new: NewUser, address: str, submitted: Submitted) -> str:
        context = self._context(new, address)
        if errors := password_errors(self.passwords.policy, submitted.password, context):
            raise Invalid(errors)
        return await self.passwords.hash_new(submitted.password or "", context)

    async def _is_kept_for_others(self, uid: str, found: Confirmation) -> bool:
        if not uid:
            return False
        kept = await self.db.read(store.find_reservation(uid, self.clock.now()))
        return kept is not None and kept[0] != found.target_key

    # Checking ---------------------------------------------------------------------------------------------------

    async def _check(
        self, body: Mapping[str, Any], holder: bytes | None, confirmation: str | None
    ) -> tuple[NewUser, str, str]:
        """Everything that can be wrong with a body, before anything is written or hashed."""
        profile = {name: value for name, value in body.items() if name != PASSWORD}
        new, errors = await self._checked(profile, holder)
        password = body.get(PASSWORD)
        context = [value for name in ("uid", "name", "email") if isinstance(value := profile.get(name), str)]
        errors.extend(password_errors(self.passwords.policy, password, [*context, self.site_name], confirmation))
        if errors or new is None or new.email is None or not isinstance(password, str):
            raise Invalid(errors)
        return new, password, new.email

    async def check_profile(self, profile: Mapping[str, Any], held: str | None) -> NewUser:
        """The same of somebody who signs up without a password. Raises Invalid naming every bad field."""
        new, errors = await self._checked(profile, holder_of_cookie(held))
        if errors or new is None:
            raise Invalid(errors)
        return new

    async def _checked(
        self, profile: Mapping[str, Any], holder: bytes | None
    ) -> tuple[NewUser | None, list[FieldError]]:  # fmt: skip
        errors: list[FieldError] = []
        new: NewUser | None = None
        try:
            new = self.users.validate_sign_up_by_email(profile)
        except Invalid as invalid:
            errors.extend(invalid.errors)
        named = {error.field for error in errors}
        email, uid = profile.get("email"), profile.get("uid")
        if isinstance(email, str) and "email" not in named and (error := self.rules.error(email)):
            errors.append(error)
        if isinstance(uid, str) and "uid" not in named and await self._is_taken(uid, holder):
            errors.append(FieldError("uid", TAKEN, _NAME_TAKEN))
        return new, errors

    async def _is_taken(self, uid: str, holder: bytes | None) -> bool:
        # Reserved handles are answered like taken ones: what is reserved is nobody's business.
        if self.users.is_reserved(uid) or await self.users.taken(uid):
            return True
        kept = await self.db.read(store.find_reservation(uid, self.clock.now()))
        return kept is not None and (holder is None or kept[1] != holder)

    def _context(self, new: NewUser, address: str) -> list[str]:
        return [word for word in (new.uid, new.name, address, self.site_name) if word]


def new_handle() -> str:
    """A handle for whoever chose none; nothing in it comes from them."""
    return "member-" + "".join(secrets.choice(_HANDLE_SIGNS) for _ in range(8))


def _passkey_proof(found: Confirmation, passkey: FirstPasskey, now: Instant) -> Proof:
    # Who answers hours later, maybe on a browser that others use, shows the passkey once more (ASVS 7.5.1).
    is_fresh = now - found.created_at <= FRESH_SECONDS * SECOND
    return Proof(passkey.proven.amr, now) if is_fresh else email_proof(now)


def _whole(duration: Instant, unit: Instant) -> int:
    return max(1, (duration + SECOND) // unit)

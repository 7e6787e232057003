"""Binding, renaming and removing second factors and passkeys (C20; NIST SP 800-63B §4.1.2).

A new one is offered, proven once, and only then bound. What is offered waits sealed for whoever was offered it, a
session or a half signed-in state, and the flow that calls binds it in its own transaction, with what it asks before.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from doorward.audit import AuditTrail, Event, Outcome
from doorward.authenticators import factor_store as store
from doorward.authenticators.challenges import BINDING_SECONDS, Challenges, Waiting
from doorward.authenticators.factors import NOT_OFFERED, Claimant, Factors
from doorward.authenticators.kind import MFA, Bound, Refused, Secret, Sent, State
from doorward.authenticators.kinds import all_kinds, passkey, recovery_code, totp
from doorward.authenticators.policy import PASSKEY, RECOVERY, TOTP, has_factor
from doorward.kernel import base64url
from doorward.kernel.caller import Caller
from doorward.kernel.devices import describe
from doorward.kernel.errors import Conflict, FieldError, Invalid, NotFound
from doorward.kernel.ids import new_id
from doorward.kernel.instant import Instant
from doorward.kernel.msgid import msgid
from doorward.ports import Clock, Database, Hasher
from doorward.sql import Work, purpose_of
from doorward.users import User, UsersService

LABEL_LONGEST: Final = 60
HANDLE_BYTES: Final = 64
RECOVERY_LIMIT: Final = "recovery-codes"  # the table of limits.toml
NOTHING_WAITS: Final = msgid("That took too long. Please begin again")
WRONG_CODE: Final = msgid("This code does not fit. Check the clock of your device and enter the newest code")
WRONG_RECOVERY: Final = msgid("This is not one of the new codes. Copy one of them, or tick the box")
PASSKEY_REFUSED: Final = msgid("This passkey was not accepted. Please try again")
PASSKEY_KNOWN: Final = msgid("This passkey is registered already")
TOO_MANY: Final = msgid("You have as many of these as there can be. Remove one first")
LAST_FACTOR: Final = msgid("You have to have a second step. Set another one up before you remove this one")
LAST_WAY: Final = msgid("This passkey is your only way in. Set a password or another passkey before you remove it")
NO_NAME: Final = msgid("Enter a name")
LONG_NAME: Final = msgid("Use at most %(maximum)s characters")
_TICK_OR_CODE: Final = msgid("Tick the box, or enter one of the codes, when you have kept them")
_NO_CODE: Final = msgid("Enter the code")


@dataclass(frozen=True, slots=True)
class AppOffer:
    """A key for an authenticator app. `key`: as people type it; `uri`: what the QR code says."""

    key: str = field(repr=False)
    uri: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Proven:
    """Something that was proven to work and can be bound. `amr`: what proving it has shown."""

    kind: str
    label: str
    secret: Secret = field(repr=False)
    state: State
    amr: tuple[str, ...]
    step: bool = True
    lookup: bytes | None = None
    waiting: Waiting | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Binding:
    """What changes about the authenticators of users."""

    db: Database
    clock: Clock
    hasher: Hasher
    audit: AuditTrail
    users: UsersService
    factors: Factors
    challenges: Challenges
    site_name: str

    # Authenticator apps -----------------------------------------------------------------------------------------

    async def offer_app(self, user_id: str, holder: bytes) -> None:
        """Make a key for an app. What was offered before is void."""
        content = dict(totp.new_secret())
        await self.challenges.keep(f"bind_{TOTP}", holder, user_id, content, BINDING_SECONDS)

    async def offered_app(self, user_id: str, holder: bytes) -> AppOffer | None:
        """The key that was offered, until it is bound or too old."""
        waiting = await self.challenges.find(f"bind_{TOTP}", holder)
        if waiting is None or waiting.user_id != user_id:
            return None
        user = await self.user(user_id)
        account = user.email if user.email is not None and user.email_verified else user.uid
        return AppOffer(totp.grouped(waiting.content), totp.uri(waiting.content, self.site_name, account))

    async def prove_app(self, user_id: str, holder: bytes, code: object) -> Proven:
        """Check that the app shows what we expect. Raises Invalid naming `code`."""
        waiting = await self._waiting(TOTP, holder, user_id)
        if not isinstance(code, str) or not code.strip():
            raise Invalid([FieldError("code", "required", _NO_CODE)])
        try:
            passed = totp.KIND.verify(waiting.content, totp.FRESH, code, self.clock.now())
        except Refused as refusal:
            raise Invalid([FieldError("code", "wrong", WRONG_CODE)], reason=refusal.reason) from None
        return Proven(
            TOTP, totp.KIND.title, waiting.content, passed.state, (*passed.amr, MFA), waiting=waiting
        )  # fmt: skip

    # Passkeys ---------------------------------------------------------------------------------------------------

    async def offer_passkey(self, user_id: str, holder: bytes, *, conditional: bool = False) -> Mapping[str, Any]:
        """What to hand to `navigator.credentials.create`. Raises Conflict when there are too many."""
        user = await self.user(user_id)
        own = [one for one in await self.factors.list_of(user_id) if one.kind == PASSKEY]
        if len(own) >= all_kinds()[PASSKEY].per_user:
            raise Conflict(TOO_MANY, reason="too many passkeys")
        handle = await self.handle_of(user_id)
        nonce = await self.challenges.begin(self._purpose(conditional=conditional), holder, user_id)
        return passkey.creation_options(
            self.factors.party,
            challenge=nonce,
            user_handle=handle,
            user_name=user.uid,
            display_name=user.name,
            exclude=[one.secret for one in own],
            conditional=conditional,
        )

    async def offer_first(
        self, holder: bytes, handle: bytes, user_name: str, display_name: str
    ) -> Mapping[str, Any]:  # fmt: skip
        """The same for somebody who is no user yet; see `FirstPasskeys`."""
        nonce = await self.challenges.begin(self._purpose(conditional=False), holder, None)
        return passkey.creation_options(
            self.factors.party, challenge=nonce, user_handle=handle, user_name=user_name, display_name=display_name
        )

    async def prove_passkey(
        self, holder: bytes, credential: object, label: object = None, *, conditional: bool = False
    ) -> Proven:
        """Check what the browser made; the challenge is used up. Raises Invalid naming `credential` or `label`.

        `conditional`: the browser made it by itself, after a password. Such a one is for signing in only: it must not
        ask its owner for itself on a device where it is not (UX-27).
        """
        name = None if label is None or label == "" else read_label(label)
        try:
            answer = passkey.read_credential(credential) if isinstance(credential, str) else credential
            asked = passkey.challenge_of(answer)
            nonce = await self.challenges.take(self._purpose(conditional=conditional), holder, asked)
            if nonce is None:
                raise Refused("no challenge")  # noqa: TRY301  one refusal for all reasons
            made = passkey.verify_creation(self.factors.party, nonce, answer, conditional=conditional)
        except Refused as refusal:
            raise Invalid([FieldError("credential", "wrong", PASSKEY_REFUSED)], reason=refusal.reason) from None
        return Proven(
            PASSKEY,
            name or made.label,
            made.secret,
            made.state,
            (*passkey.amr_of(made.secret), MFA) if made.user_verified else (),
            step=not conditional,
            lookup=passkey.lookup(made.credential_id),
        )

    async def handle_of(self, user_id: str) -> bytes:
        """What authenticators know a user by: 64 random bytes, made at the first passkey (WebAuthn §14.6.1)."""
        return await self.db.write(lambda: store.insert_handle(user_id, secrets.token_bytes(HANDLE_BYTES)))

    async def shown_handle(self, user_id: str) -> str:
        """The same as browsers write it, in base64url."""
        return base64url.encode(await self.handle_of(user_id))

    def _purpose(self, *, conditional: bool) -> str:
        return "bind_passkey_conditional" if conditional else "bind_passkey"

    # Codes that we send -----------------------------------------------------------------------------------------

    async def prove_sent(self, claimant: Claimant, kind_name: str) -> Proven:
        """A proven number or address becomes a second step; proving it was the proof. Raises Invalid naming `kind`."""
        kind = all_kinds().get(kind_name)
        user = await self.user(claimant.user_id)
        offered = isinstance(kind, Sent) and kind_name in self.factors.policy.offered
        to = await self.db.read(self.users.contact_of(user.id, kind.channel)) if isinstance(kind, Sent) else None
        if not isinstance(kind, Sent) or not offered or to is None or to[1] is None:
            raise Invalid([FieldError("kind", "not_offered", NOT_OFFERED)], reason="not offered, or nothing proven")
        return Proven(kind_name, kind.title, {}, {}, ())

    # Recovery codes ---------------------------------------------------------------------------------------------

    async def offer_codes(self, user_id: str, holder: bytes, caller: Caller) -> Sequence[str]:
        """Make ten codes, to be shown once. Those of before go on working until the new ones are kept.

        Raises RateLimited, Unavailable when the hasher is busy.
        """
        await self._place(user_id, caller)
        codes, salt, cost = recovery_code.new_codes(), recovery_code.new_salt(), self.hasher.cost
        digests = [await self.hasher.derive(recovery_code.normalise(code), salt, cost) for code in codes]
        secret = recovery_code.secret_of(salt, cost, digests)
        await self.challenges.keep(f"bind_{RECOVERY}", holder, user_id, secret, BINDING_SECONDS)
        return codes

    async def prove_codes(self, user_id: str, holder: bytes, caller: Caller, *, kept: bool, code: str = "") -> Proven:
        """Their owner says that they have kept them, or shows it by one of them, which stays good (UX-41).

        Raises Invalid naming `code` or `kept`, RateLimited, Unavailable.
        """
        waiting = await self._waiting(RECOVERY, holder, user_id)
        state = recovery_code.fresh(waiting.content)
        if code.strip():
            await self._place(user_id, caller)
            await self._check_copied(waiting.content, state, code)
        elif not kept:
            raise Invalid([FieldError("kept", "required", _TICK_OR_CODE)])
        return Proven(RECOVERY, all_kinds()[RECOVERY].title, waiting.content, state, (), step=False, waiting=waiting)

    async def _place(self, user_id: str, caller: Caller) -> None:
        # Slow digests are what everybody's sign-ins wait for.
        async with await self.factors.tries.admit(RECOVERY_LIMIT, caller, {"account": user_id}):
            pass

    async def _check_copied(self, secret: Secret, state: State, code: str) -> None:
        try:
            derivation = recovery_code.KIND.derivation(secret, code)
            given = await self.hasher.derive(derivation.text, derivation.salt, derivation.cost)
            recovery_code.KIND.verify(secret, state, given.hex(), self.clock.now())
        except Refused as refusal:
            raise Invalid([FieldError("code", "wrong", WRONG_RECOVERY)], reason=refusal.reason) from None

    # Binding ----------------------------------------------------------------------------------------------------

    def bind(self, user_id: str, proven: Proven, caller: Caller, now: Instant) -> Work[tuple[str, bool]]:
        """Bind what was proven, inside the caller's transaction; its id, and whether it is the first second factor.

        Raises Invalid when it has been bound or replaced meanwhile, or belongs to somebody; Conflict.
        """
        user = yield from self.users.locked(user_id)
        before = yield from self.factors.bound(user_id)
        if proven.waiting is not None and not (yield from self.challenges.use(proven.waiting)):
            raise Invalid([FieldError("code", "void", NOTHING_WAITS)], reason="bound or replaced meanwhile")
        yield from self._make_room(user_id, proven, before)
        bound_id = yield from self.insert(user_id, proven, caller, now)
        device = describe(caller.user_agent)
        if proven.kind == RECOVERY:
            yield from self.factors.notices.recovery_codes_made(user, device, now)
        else:
            title = all_kinds()[proven.kind].title
            yield from self.factors.notices.factor_added(user, title, proven.label, device, now)
        return bound_id, _counts(proven) and not has_factor(before)

    def insert(self, user_id: str, proven: Proven, caller: Caller, now: Instant) -> Work[str]:
        """Write down what was proven, for `bind` and `FirstPasskeys`; its id. Raises Invalid, Conflict (registered)."""
        if proven.lookup is not None and (yield from store.find_by_lookup(proven.lookup)) is not None:
            raise Invalid([FieldError("credential", "known", PASSKEY_KNOWN)], reason="credential id is registered")
        bound_id = new_id(now)
        yield from store.insert_authenticator(self._row(bound_id, user_id, proven, now))
        if _counts(proven):  # whatever else one binds prolongs no days of grace
            yield from store.delete_grace(user_id)
        yield from self._record(user_id, proven.kind, "bound", caller)
        return bound_id

    def _make_room(self, user_id: str, proven: Proven, before: Sequence[Bound]) -> Work[None]:
        per_user = all_kinds()[proven.kind].per_user
        if per_user == 1:
            yield from store.delete_of_kind(user_id, proven.kind)
        elif sum(one.kind == proven.kind for one in before) >= per_user:
            raise Conflict(TOO_MANY, reason=f"too many of {proven.kind}")

    def _row(self, bound_id: str, user_id: str, proven: Proven, now: Instant) -> Mapping[str, Any]:
        text = json.dumps(dict(proven.secret), separators=(",", ":")).encode()
        return {
            "id": bound_id,
            "user_id": user_id,
            "kind": proven.kind,
            "label": proven.label,
            "lookup": proven.lookup,
            "secret_sealed": self.factors.sealer.seal(text, purpose_of("authenticator", bound_id)),
            "state": json.dumps(dict(proven.state)),
            "version": 0,
            "step": int(proven.step),
            "bound_at": now,
            "last_used_at": None,
        }

    # Changing ---------------------------------------------------------------------------------------------------

    def rename(self, user_id: str, bound_id: str, label: object, caller: Caller) -> Work[None]:
        """Call one of the user's own something else. Raises Invalid naming `label`, NotFound."""
        name = read_label(label)
        kind = yield from store.update_label(bound_id, user_id, name)
        if kind is None:
            raise NotFound(reason="no such authenticator")
        yield from self._record(user_id, kind, "renamed", caller)

    def remove(self, user_id: str, bound_id: str, caller: Caller, now: Instant, *, has_password: bool) -> Work[str]:
        """Forget one of the user's own; its kind. Raises NotFound; Conflict for what they cannot be without (C31)."""
        user = yield from self.users.locked(user_id)
        before = yield from self.factors.bound(user_id)
        after = [one for one in before if one.id != bound_id]
        if len(after) == len(before):
            raise NotFound(reason="no such authenticator")
        if self.factors.policy.wants(user.roles) and has_factor(before) and not has_factor(after):
            raise Conflict(LAST_FACTOR, reason="the last second factor of somebody who has to have one")
        if not has_password and not any(one.kind == PASSKEY for one in after):
            raise Conflict(LAST_WAY, reason="the last way in")
        removed = yield from store.delete_authenticator(bound_id, user_id)
        if removed is None:
            raise NotFound(reason="removed at the same moment")
        yield from self._told_of_removal(user, [removed], caller, now)
        return removed[0]

    def remove_of_kind(self, user: User, kind: str, caller: Caller, now: Instant) -> Work[None]:
        """Forget what a user has of one kind, if anything: what it depends on is gone."""
        if (yield from store.delete_of_kind(user.id, kind)):
            yield from self._told_of_removal(user, [(kind, all_kinds()[kind].title)], caller, now)

    def remove_since(self, user_id: str, since: Instant, caller: Caller, now: Instant) -> Work[None]:
        """Forget what was bound at `since` or later: whoever bound it may not have been the owner."""
        user = yield from self.users.locked(user_id)
        removed = yield from store.delete_since(user_id, since)
        yield from store.delete_challenges(user_id)
        yield from self._told_of_removal(user, removed, caller, now)

    def reset(self, user_id: str, actor_id: str | None, caller: Caller, now: Instant, why: str = "reset") -> Work[int]:
        """Forget everything a user has bound, recovery codes included; how many. The user is told."""
        user = yield from self.users.locked(user_id)
        removed = yield from store.delete_since(user_id, 0)
        yield from store.delete_grace(user_id)
        yield from self.audit.record(
            Event.AUTHZ_CHANGE, Outcome.SUCCESS, caller, user_id=user_id, actor_id=actor_id,
            payload={"fields": ["authenticators"], "what": why, "kinds": sorted({kind for kind, _ in removed})},
        )  # fmt: skip
        yield from self.factors.notices.factors_reset(user, now)
        return len(removed)

    def _told_of_removal(
        self, user: User, removed: Sequence[tuple[str, str]], caller: Caller, now: Instant
    ) -> Work[None]:
        for kind, label in removed:
            yield from self._record(user.id, kind, "removed", caller)
            title = all_kinds()[kind].title
            yield from self.factors.notices.factor_removed(user, title, label, describe(caller.user_agent), now)

    # Shared -----------------------------------------------------------------------------------------------------

    async def user(self, user_id: str) -> User:
        """A user by id. Raises NotFound."""
        user = await self.users.find(user_id)
        if user is None:
            raise NotFound(reason="no such user")
        return user

    async def _waiting(self, kind: str, holder: bytes, user_id: str) -> Waiting:
        waiting = await self.challenges.find(f"bind_{kind}", holder)
        if waiting is None or waiting.user_id != user_id:
            raise Invalid([FieldError("code", "expired", NOTHING_WAITS)], reason="nothing was offered")
        return waiting

    def _record(self, user_id: str, kind: str, what: str, caller: Caller) -> Work[None]:
        yield from self.audit.record(
            Event.USER_UPDATED, Outcome.SUCCESS, caller, user_id=user_id, actor_id=user_id,
            payload={"fields": ["authenticators"], "authenticator": kind, "what": what},
        )  # fmt: skip


def _counts(proven: Proven) -> bool:
    return proven.step and all_kinds()[proven.kind].raises_assurance


def read_label(label: object) -> str:
    """A name that somebody gives to one of theirs. Raises Invalid naming `label`."""
    text = " ".join(label.split()) if isinstance(label, str) else ""
    if not text or not text.isprintable():
        raise Invalid([FieldError("label", "required", NO_NAME)])
    if len(text) > LABEL_LONGEST:
        raise Invalid([FieldError("label", "too_long", LONG_NAME, {"maximum": LABEL_LONGEST})])
    return text

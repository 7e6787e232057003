"""What users have bound: what is owed at a sign-in, and whether an answer counts.

One service for all kinds: it throttles, keeps what was used, opens what is sealed and writes down what happened, so
that no kind can forget it. An answer that counts is spent at once, whatever comes of the sign-in.
"""

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, TypeVar

from doorward.audit import AuditTrail, Event, Outcome, Payload
from doorward.authenticators import factor_store as store
from doorward.authenticators.challenges import Challenges
from doorward.authenticators.kind import MFA, Bound, Computed, Passed, Refused, Secret, Sent, Slow
from doorward.authenticators.kinds import all_kinds, passkey, recovery_code
from doorward.authenticators.kinds.passkey import Verification
from doorward.authenticators.model import KnownDevice
from doorward.authenticators.notices import SecurityNotices
from doorward.authenticators.policy import PASSKEY, RECOVERY, FactorPolicy, has_factor
from doorward.authenticators.relying_party import RelyingParty
from doorward.authenticators.tries import Tries
from doorward.confirmations import CODE_SECONDS, Confirmations, Opened
from doorward.kernel.assurance import Proof
from doorward.kernel.caller import Caller
from doorward.kernel.devices import describe
from doorward.kernel.errors import FieldError, Invalid, NotFound
from doorward.kernel.instant import Instant
from doorward.kernel.msgid import msgid
from doorward.messages import Outbox, SendLimits, Values
from doorward.ports import Clock, Database, Hasher, Sealer
from doorward.sql import Work, purpose_of
from doorward.users import User, UsersService, contact_key, identifier_key

FACTOR: Final = "factor"  # the table of limits.toml, and the purpose of a code that is sent
PASSKEY_LIMIT: Final = "passkey"
STEP: Final = "passkey_step"  # purposes of challenges
ALONE: Final = "passkey_alone"
SIGN_IN: Final = "passkey_sign_in"
WRONG: Final = msgid("This code is not right, or it has been used before. Wait for the next one, or try another way")
WRONG_RECOVERY: Final = msgid("This recovery code is not right, or it has been used before")
WRONG_PASSKEY: Final = msgid("This passkey was not accepted. Try again, or choose another way")
UNKNOWN_PASSKEY: Final = msgid("This site does not know this passkey any more. Sign in another way")
NOT_OFFERED: Final = msgid("Choose one of the ways that are offered")
_NO_CODE: Final = msgid("Enter the code")
_MINUTES: Final = CODE_SECONDS // 60

T = TypeVar("T")
Owed: TypeAlias = Literal["authenticator", "enrolment"]


@dataclass(frozen=True, slots=True)
class Standing:
    """A user as the caller's transaction sees them, locked, and what they owe after what they have shown.

    `kinds`: the authenticators that would do, the one used last first. `owes`: None when nothing is owed; "enrolment":
    they have to have a second factor and have none.
    """

    user: User
    kinds: tuple[str, ...]
    owes: Owed | None
    has_factor: bool


@dataclass(frozen=True, slots=True)
class Claimant:
    """Whoever answers. `holder`: a digest of what they hold, a ticket or a session; `device`: a known one of the user.

    What was asked of one holder is answered by no other: a challenge is of no use in another browser.
    """

    user_id: str
    holder: bytes = field(repr=False)
    device: KnownDevice | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """An answer that counted. `left`: how many recovery codes are left, where it was one."""

    kind: str
    amr: tuple[str, ...]
    left: int | None = None


@dataclass(frozen=True, slots=True)
class Factors:
    """The second factors and passkeys of users."""

    db: Database
    clock: Clock
    sealer: Sealer
    hasher: Hasher
    tries: Tries
    audit: AuditTrail
    users: UsersService
    confirmations: Confirmations
    outbox: Outbox
    sends: SendLimits
    notices: SecurityNotices
    policy: FactorPolicy
    party: RelyingParty
    challenges: Challenges

    # Looking ----------------------------------------------------------------------------------------------------

    async def list_of(self, user_id: str) -> list[Bound]:
        """What a user has bound, in the order in which they did."""
        return await self.db.search(self.bound(user_id))

    def bound(self, user_id: str) -> Work[list[Bound]]:
        """The same, as the caller's transaction sees it."""
        return [self.opened(row) for row in (yield from store.list_authenticators(user_id))]

    def opened(self, row: store.Sealed) -> Bound:
        """A row with its secret."""
        bound_id, user_id, kind, label, sealed, state, version, step, bound_at, last_used_at = row
        secret = json.loads(self.sealer.open(sealed, purpose_of("authenticator", bound_id)))
        return Bound(bound_id, user_id, kind, label, secret, state, version, step, bound_at, last_used_at)

    def standing(self, user_id: str, proof: Proof) -> Work[Standing]:
        """What a user owes who has shown `proof`; inside the transaction that starts their session (C25).

        The user is locked: whoever binds a factor at the same moment comes before or after as a whole. Raises NotFound.
        """
        user = yield from self.users.locked(user_id)
        bound = yield from self.bound(user_id)
        names = yield from self.usable(user, bound, proof.amr)
        owes = yield from self._owed(user, bound, proof)
        return Standing(user, names, owes, has_factor(bound))

    def _owed(self, user: User, bound: Sequence[Bound], proof: Proof) -> Work[Owed | None]:
        if proof.aal > 1:
            return None
        if has_factor(bound):
            return "authenticator"
        # A code by e-mail is no factor, but its owner has asked for it beside the password.
        if any(one.step for one in bound) and "otp" not in proof.amr:
            return "authenticator"
        if self.policy.wants(user.roles) and (yield from self._grace_is_over(user.id, proof.at)):
            return "enrolment"
        return None

    def _grace_is_over(self, user_id: str, now: Instant) -> Work[bool]:
        since = yield from store.find_grace(user_id)
        if since is None:
            yield from store.insert_grace(user_id, now)
        return now >= (now if since is None else since) + self.policy.grace

    async def grace_until(self, user: User) -> Instant | None:
        """Until when a user may sign in without the factor that they have to have; None when nothing is owed."""
        if not self.policy.wants(user.roles) or has_factor(await self.list_of(user.id)):
            return None
        since = await self.db.read(store.find_grace(user.id))
        return (self.clock.now() if since is None else since) + self.policy.grace

    def usable(self, user: User, bound: Sequence[Bound], shown: Sequence[str]) -> Work[tuple[str, ...]]:
        """The kinds that would do at this moment, the one used last first; recovery codes come last.

        `shown`: the methods that were shown before; to one passkey another adds nothing.
        """
        found: dict[str, Instant] = {}
        for one in bound:
            if one.kind == PASSKEY and passkey.is_shown(shown):
                continue
            if (yield from self._works(user, one)):
                found[one.kind] = max(found.get(one.kind, 0), one.last_used_at or 0)
        return tuple(sorted(found, key=lambda kind: (kind == RECOVERY, -found[kind], kind != PASSKEY, kind)))

    def _works(self, user: User, one: Bound) -> Work[bool]:
        kind = all_kinds()[one.kind]
        if one.kind == RECOVERY:
            return recovery_code.left(one.state) > 0
        if not isinstance(kind, Sent):
            return True
        return (yield from self._destination(user, kind)) is not None

    def _destination(self, user: User, kind: Sent) -> Work[str | None]:
        """Where a code would go: to what is proven, and nowhere else."""
        if kind.name not in self.policy.offered:
            return None
        if not (self.outbox.can_mail if kind.channel == "email" else self.outbox.can_text):
            return None
        contact = yield from self.users.contact_of(user.id, kind.channel)
        return contact[0] if contact is not None and contact[1] is not None else None

    # Asking -----------------------------------------------------------------------------------------------------

    async def ask_passkey(self, claimant: Claimant, caller: Caller, *, alone: bool = False) -> Mapping[str, Any]:
        """What to hand to `navigator.credentials.get` for one of the user's own. Raises RateLimited, Unavailable.

        `alone`: it is to be all that is shown, so that the device has to check who uses it.
        """
        await self._place(caller)
        own = [one for one in await self.list_of(claimant.user_id) if one.kind == PASSKEY]
        nonce = await self.challenges.begin(ALONE if alone else STEP, claimant.holder, claimant.user_id)
        allow = [one.secret for one in own]
        wanted: Verification = "required" if alone else "preferred"
        return passkey.request_options(self.party, challenge=nonce, verification=wanted, allow=allow)

    async def ask_anybody(self, holder: bytes, caller: Caller) -> Mapping[str, Any]:
        """The same for whoever comes: their passkey says who they are. Raises RateLimited, Unavailable."""
        await self._place(caller)
        nonce = await self.challenges.begin(SIGN_IN, holder, None)
        return passkey.request_options(self.party, challenge=nonce, verification="required")

    async def send(self, claimant: Claimant, kind_name: str, caller: Caller) -> str:
        """Send a code to what the user has proven; where to, so that it can be shown in part.

        A newer code makes the older one void and keeps the wrong tries counted (C14, C17). Raises Invalid naming
        `kind`, RateLimited, Unavailable.
        """
        kind = all_kinds().get(kind_name)
        user = await self._user(claimant.user_id)
        bound = [one for one in await self.list_of(user.id) if one.kind == kind_name]
        to = await self.db.read(self._destination(user, kind)) if isinstance(kind, Sent) and bound else None
        if not isinstance(kind, Sent) or to is None:
            raise Invalid([FieldError("kind", "not_offered", NOT_OFFERED)], reason="not bound, or nowhere to send to")
        waiting = await self.confirmations.of_holder(claimant.holder, FACTOR)
        async with AsyncExitStack() as places:
            device = None if claimant.device is None else claimant.device.id
            by_mail = kind.channel == "email"
            place = self.sends.mail(FACTOR, to, caller, device) if by_mail else self.sends.text(to, caller, device)
            await places.enter_async_context(await place)

            def work() -> Work[None]:
                now = self.clock.now()
                if waiting is not None and waiting.payload.get("kind") == kind.name and waiting.target == to:
                    opened = yield from self.confirmations.renew(waiting, now)
                else:
                    opened = yield from self.confirmations.begin(
                        FACTOR, to, contact_key(kind.channel, to), now=now, user_id=user.id,
                        payload={"kind": kind.name}, holder=claimant.holder, locale=caller.locale,
                    )  # fmt: skip
                yield from self._queue(kind, opened, to, user, caller)

            await self.db.write(work)
        return to

    def _queue(self, kind: Sent, opened: Opened, to: str, user: User, caller: Caller) -> Work[None]:
        language = user.locale or caller.locale
        values: Values = {"code": opened.code, "minutes": _MINUTES}
        until = opened.code_expires_at
        if kind.channel == "email":
            device = {"device": describe(caller.user_agent)}
            yield from self.outbox.mail("factor_code", to, language, {**values, **device}, expires_at=until)
        else:
            yield from self.outbox.text("step_code", to, language, values, expires_at=until)

    async def sent_to(self, claimant: Claimant) -> tuple[str, str, Instant] | None:
        """What was sent to this holder and can still be answered: (kind, where to, until when)."""
        found = await self.confirmations.of_holder(claimant.holder, FACTOR)
        return None if found is None else (found.payload["kind"], found.target, found.code_expires_at)

    async def _place(self, caller: Caller) -> None:
        async with await self.tries.admit(PASSKEY_LIMIT, caller):
            pass

    # Verifying --------------------------------------------------------------------------------------------------

    async def verify(
        self, claimant: Claimant, kind_name: str, answer: object, caller: Caller, shown: Sequence[str]
    ) -> Shown:
        """Tell whether an answer counts beside what was `shown` before, and spend it.

        `answer`: text, or for a passkey what the browser gave. Raises Invalid naming `code` or `credential`, the same
        for every reason, after its audit row is durable; RateLimited; Unavailable.
        """
        kind = all_kinds().get(kind_name)
        if isinstance(kind, Sent | Computed):
            if not isinstance(answer, str) or not answer.strip():
                raise Invalid([FieldError("code", "required", _NO_CODE)])
            return await self._counted(claimant, kind, answer, caller)
        if kind_name != PASSKEY:
            raise Invalid([FieldError("kind", "not_offered", NOT_OFFERED)], reason="no such kind")
        if passkey.is_shown(shown):
            # Whoever found a key has shown it already; the same thing twice is not two things.
            raise Invalid([FieldError("kind", "not_offered", NOT_OFFERED)], reason="a passkey was shown already")
        passed = await self._own_passkey(claimant, STEP, answer, caller, beside_another=True)
        return Shown(PASSKEY, tuple(dict.fromkeys((*passed.amr, MFA))))

    async def verify_alone(
        self, claimant: Claimant, credential: object, caller: Caller, *, beside_another: bool
    ) -> Shown:
        """The same for a passkey that is all that is shown: the device has to have checked its user (C30).

        `beside_another`: whether the session that it is shown in began with something else than this passkey.
        """
        passed = await self._own_passkey(claimant, ALONE, credential, caller, beside_another=beside_another)
        return Shown(PASSKEY, passed.amr)

    async def _own_passkey(
        self, claimant: Claimant, purpose: str, credential: object, caller: Caller, *, beside_another: bool = True
    ) -> Passed:
        async with await self.tries.admit(FACTOR, caller) as admission:
            passed = await self._check_passkey(
                claimant.holder, purpose, credential, claimant.user_id, caller, _only_passed,
                beside_another=beside_another,
            )  # fmt: skip
            admission.succeeded()
        return passed

    async def verify_anybody(
        self, holder: bytes, credential: object, caller: Caller, then: Callable[[User, Shown], Work[T]]
    ) -> T:
        """Whose passkey it is, verified by the device's own check of its user (C30).

        `then` runs in the transaction that spends the answer, with the user locked: whoever takes the passkey away, and
        ends the sessions, comes before or after as a whole. Raises Invalid naming `credential`, RateLimited,
        Unavailable, and what `then` raises.
        """

        def shown(user: User, passed: Passed) -> Work[T]:
            return (yield from then(user, Shown(PASSKEY, passed.amr)))

        async with await self.tries.admit(FACTOR, caller) as admission:
            done = await self._check_passkey(holder, SIGN_IN, credential, None, caller, shown, beside_another=False)
            admission.succeeded()
        return done

    async def _counted(self, claimant: Claimant, kind: Sent | Computed, answer: str, caller: Caller) -> Shown:
        """Count a try of something that can be guessed before looking at it (C11, C14)."""
        lane = self._lane(claimant, kind.name)
        async with AsyncExitStack() as places:
            # A known device waits behind nobody, as at the password.
            admission = None
            if claimant.device is None:
                admission = await places.enter_async_context(await self.tries.admit(FACTOR, caller))
            async with self.tries.reserved(lane, FACTOR, caller) as reserved:
                try:
                    passed = await self._answered(claimant, kind, answer, caller)
                except Refused as refusal:
                    await self._refuse(claimant, kind.name, refusal.reason, reserved.failures, caller)
                    raise _wrong(kind.name, refusal.reason) from None
            await self.db.write(lambda: self.tries.forget([lane]))
            if admission is not None:
                admission.succeeded()
        left = recovery_code.left(passed.state) if kind.name == RECOVERY else None
        amr = (*passed.amr, MFA) if kind.raises_assurance else passed.amr
        return Shown(kind.name, amr, left)

    async def _answered(self, claimant: Claimant, kind: Sent | Computed, answer: str, caller: Caller) -> Passed:
        if isinstance(kind, Sent):
            return await self._check_sent(claimant, kind, answer, caller)
        for one in await self.list_of(claimant.user_id):
            if one.kind == kind.name:
                return await self._check_computed(one, kind, answer, caller)
        raise Refused("not bound")

    async def _check_computed(self, one: Bound, kind: Computed, answer: str, caller: Caller) -> Passed:
        given = answer
        if isinstance(kind, Slow):
            derivation = kind.derivation(one.secret, answer)
            given = (await self.hasher.derive(derivation.text, derivation.salt, derivation.cost)).hex()
        now = self.clock.now()
        passed = kind.verify(one.secret, one.state, given, now)
        await self.db.write(lambda: self._spend(one, passed, now, caller))
        return passed

    async def _check_sent(self, claimant: Claimant, kind: Sent, answer: str, caller: Caller) -> Passed:
        found = await self.confirmations.of_holder(claimant.holder, FACTOR)
        if found is not None and (found.payload.get("kind") != kind.name or found.user_id != claimant.user_id):
            found = None
        try:
            right = await self.confirmations.compare_code(found, answer, caller)
            now = self.clock.now()

            def work() -> Work[None]:
                user = yield from self.users.locked(claimant.user_id)
                yield from self.confirmations.use(right, now)
                # It was sent a while ago: what was removed since, or is somebody else's by now, shows nothing.
                bound = [one for one in (yield from self.bound(user.id)) if one.kind == kind.name]
                if not bound or right.target != (yield from self._destination(user, kind)):
                    raise Refused("not bound any more, or sent elsewhere by now")
                for one in bound:
                    yield from self._spend(one, Passed(one.state, kind.amr), now, caller)

            await self.db.write(work)
        except Invalid as wrong:
            raise Refused(wrong.reason) from None
        return Passed({}, kind.amr)

    # Recovering -------------------------------------------------------------------------------------------------

    async def verify_for_recovery(
        self,
        user: User | None,
        identifier: str,
        code: str,
        caller: Caller,
        device: KnownDevice | None,
        then: Callable[[User, str], Work[T]],
    ) -> T:
        """Take a recovery code of somebody who has shown nothing else; `then` runs in the transaction that spends it.

        `identifier`: as it was typed; `device`: a known one of `user`; `then` gets the user, locked, and the id of the
        set. Nobody, somebody without codes or disabled, and a wrong code cost and answer the same (ASVS 6.3.8; C16).
        Raises Invalid naming `code`, after its audit row is durable; RateLimited; Unavailable.
        """
        # By what was typed and not by whom it names, as at the password: delays must not tell who has which names.
        who = ("name", identifier_key(identifier)) if device is None else ("device", device.id)
        lane = self.tries.lane(FACTOR, RECOVERY, *who)
        async with AsyncExitStack() as places:
            admission = None
            if device is None:
                admission = await places.enter_async_context(await self.tries.admit(FACTOR, caller))
            async with self.tries.reserved(lane, FACTOR, caller) as reserved:
                try:
                    done = await self._recovered(user, code, caller, then)
                except Refused as refusal:
                    payload = _failure(RECOVERY, refusal.reason, reserved.failures, device)
                    await self._note_failure(None if user is None else user.id, payload, caller)
                    raise _wrong(RECOVERY, refusal.reason) from None
            await self.db.write(lambda: self.tries.forget([lane]))
            if admission is not None:
                admission.succeeded()
        return done

    async def _recovered(self, user: User | None, code: str, caller: Caller, then: Callable[[User, str], Work[T]]) -> T:
        found = await self.list_of("" if user is None else user.id)
        codes = next((one for one in found if one.kind == RECOVERY), None)
        secret = self._nobodys_codes() if codes is None else codes.secret
        state = recovery_code.fresh(secret) if codes is None else codes.state
        derivation = recovery_code.KIND.derivation(secret, code)
        given = await self.hasher.derive(derivation.text, derivation.salt, derivation.cost)
        now = self.clock.now()
        if user is None:
            raise Refused("unknown user")
        if codes is None:
            raise Refused("no codes")
        passed = recovery_code.KIND.verify(secret, state, given.hex(), now)

        def work() -> Work[T]:
            # Locked first: a set that is replaced at this moment must not wait for us in a circle.
            owner = yield from self.users.locked(user.id)
            if owner.status != "active":
                raise Refused(owner.status)
            yield from self._spend(codes, passed, now, caller)
            return (yield from then(owner, codes.id))

        try:
            return await self.db.write(work)
        except NotFound:
            raise Refused("user is gone") from None

    def _nobodys_codes(self) -> Secret:
        """What the code of somebody who has none is compared with, at the same cost."""
        digests = [secrets.token_bytes(32) for _ in range(recovery_code.CODES)]
        return recovery_code.secret_of(recovery_code.new_salt(), self.hasher.cost, digests)

    # Spending ---------------------------------------------------------------------------------------------------

    def _spend(self, one: Bound, passed: Passed, now: Instant, caller: Caller) -> Work[None]:
        """Keep what use has changed. Of parallel uses exactly one sees the state that it replaces (C18, C21)."""
        if not (yield from store.update_state(one.id, one.version, passed.state, now)):
            raise Refused("used at the same moment")
        if passed.warning is not None:
            yield from self._record(
                Event.AUTHN_TOKEN_REUSE, Outcome.FAILURE, one.user_id, one.kind, passed.warning, caller
            )
        if one.kind == RECOVERY:
            user = yield from self.users.locked(one.user_id)
            left = recovery_code.left(passed.state)
            yield from self.notices.recovery_code_used(user, left, describe(caller.user_agent), now)
            yield from self._record(Event.USER_UPDATED, Outcome.SUCCESS, one.user_id, one.kind, "used", caller)

    async def _check_passkey(
        self,
        holder: bytes,
        purpose: str,
        credential: object,
        user_id: str | None,
        caller: Caller,
        then: Callable[[User, Passed], Work[T]],
        *,
        beside_another: bool,
    ) -> T:
        """Use up the challenge first: whatever comes of it, it is asked once (C29). `then`: see `verify_anybody`."""
        owner: str | None = user_id
        try:
            answer = passkey.read_credential(credential) if isinstance(credential, str) else credential
            nonce = await self.challenges.take(purpose, holder, passkey.challenge_of(answer))
            if nonce is None:
                raise Refused("no challenge")  # noqa: TRY301  one refusal for all reasons
            row = await self.db.read(store.find_by_lookup(passkey.lookup(passkey.credential_id_of(answer))))
            if row is None:
                raise _unknown(purpose)
            one = self.opened(row)
            if user_id is not None and one.user_id != user_id:
                raise Refused("somebody else's passkey")  # noqa: TRY301  as above
            owner = one.user_id
            handle = await self.db.read(store.find_handle(one.user_id))
            passed = passkey.verify_assertion(
                self.party, nonce, answer, one.secret, one.state,
                user_handle=handle or b"", discovered=purpose == SIGN_IN,
                require_user_verification=purpose != STEP, beside_another=beside_another,
            )  # fmt: skip
            now = self.clock.now()

            def work() -> Work[T]:
                # Locked first: whoever removes it at this moment must not wait for us in a circle.
                user = yield from self.users.locked(one.user_id)
                yield from self._spend(one, passed, now, caller)
                return (yield from then(user, passed))

            return await self.db.write(work)
        except Refused as refusal:
            await self._refuse_passkey(owner, refusal.reason, caller)
            raise Invalid([FieldError("credential", "wrong", WRONG_PASSKEY)], reason=refusal.reason) from None
        except NotFound:
            raise Invalid([FieldError("credential", "wrong", WRONG_PASSKEY)], reason="user is gone") from None

    # Refusing ---------------------------------------------------------------------------------------------------

    async def _refuse(self, claimant: Claimant, kind: str, reason: str, failures: int, caller: Caller) -> None:
        payload = _failure(kind, reason, failures, claimant.device)
        now = self.clock.now()

        def work() -> Work[None]:
            yield from self.audit.record(
                Event.AUTHN_LOGIN_FAIL, Outcome.FAILURE, caller, user_id=claimant.user_id, payload=payload
            )
            if claimant.device is not None:  # all of a user's together would be more lanes than one may have (C11)
                yield from self.tries.fail_device(claimant.device.id)
            user = yield from self.users.locked(claimant.user_id)
            # The first is a slip of the fingers; who goes on may know the password (C28).
            if failures == self.tries.limits.account.free_failures - 1:
                title = all_kinds()[kind].title
                yield from self.notices.factor_failed(user, title, describe(caller.user_agent), now)

        await self.db.write(work)

    async def _refuse_passkey(self, user_id: str | None, reason: str, caller: Caller) -> None:
        await self._note_failure(user_id, {"action": FACTOR, "kind": PASSKEY, "reason": reason}, caller)

    async def _note_failure(self, user_id: str | None, payload: Payload, caller: Caller) -> None:
        await self.db.write(
            lambda: self.audit.record(Event.AUTHN_LOGIN_FAIL, Outcome.FAILURE, caller, user_id=user_id, payload=payload)
        )

    def _record(self, event: Event, outcome: Outcome, user_id: str, kind: str, what: str, caller: Caller) -> Work[None]:
        yield from self.audit.record(
            event, outcome, caller, user_id=user_id, actor_id=user_id,
            payload={"fields": ["authenticators"], "authenticator": kind, "what": what},
        )  # fmt: skip

    def _lane(self, claimant: Claimant, kind: str) -> bytes:
        # By kind, as NIST SP 800-63B §3.2.2 counts; a known device apart, so that a thief who has the password and
        # guesses elsewhere cannot make its owner wait there.
        who = ("user", claimant.user_id) if claimant.device is None else ("device", claimant.device.id)
        return self.tries.lane(FACTOR, kind, *who)

    async def _user(self, user_id: str) -> User:
        user = await self.users.find(user_id)
        if user is None:
            raise NotFound(reason="user is gone")
        return user

    async def purge(self) -> None:
        """Forget challenges that nobody answered."""
        await self.challenges.purge()


def _failure(kind: str, reason: str, failures: int, device: KnownDevice | None) -> Payload:
    """What the audit says of an answer that does not count."""
    return {
        "action": FACTOR,
        "kind": kind,
        "reason": reason,
        "failures": failures,
        "known_device": device is not None,
    }


def _only_passed(_: User, passed: Passed) -> Work[Passed]:
    yield from ()
    return passed


def _wrong(kind: str, reason: str) -> Invalid:
    said = WRONG_RECOVERY if kind == RECOVERY else WRONG
    return Invalid([FieldError("code", "wrong", said)], reason=reason)


def _unknown(purpose: str) -> Exception:
    if purpose == SIGN_IN:
        return Invalid([FieldError("credential", "unknown_passkey", UNKNOWN_PASSKEY)], reason="unknown passkey")
    return Refused("unknown passkey")

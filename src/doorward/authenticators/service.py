"""Verifying and setting passwords. Every try is counted before it is hashed, whoever it is for."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from doorward.audit import AuditTrail, Event, Outcome, Payload, Refusals
from doorward.authenticators import store
from doorward.authenticators.model import COMPROMISED, ChangeWanted, KnownDevice, Reserved, StoredPassword
from doorward.authenticators.password import MAXIMUM_LENGTH, PasswordPolicy
from doorward.authenticators.tries import Tries, nothing_more
from doorward.kernel.caller import OURSELVES, Caller
from doorward.kernel.errors import FieldError, Invalid, InvalidCredentials, Unavailable
from doorward.kernel.instant import Instant
from doorward.kernel.limits import Limits, load_limits
from doorward.kernel.msgid import msgid
from doorward.kernel.text import normalise_password
from doorward.ports import Clock, Database, Hasher, Limiter, Sealer, Verified
from doorward.ports.breach import BreachCheck
from doorward.sql import PURGE_AT_ONCE, Work
from doorward.users import LEAVING, User, identifier_key, list_names

SIGN_IN: Final = "sign-in"
REAUTHENTICATE: Final = "reauthenticate"
_MAY_SIGN_IN: Final = frozenset({"active", LEAVING})  # who is leaving comes back by signing in

Forget: TypeAlias = Callable[[str], Work[None]]
"""What else a new password of a user makes void, such as links under way; runs in its transaction."""
Told: TypeAlias = Callable[[User, int, Instant], Work[None]]
"""Tells a user of so many failures in a row; runs in the transaction that counts the last of them."""
UndoSince: TypeAlias = Callable[[str, Instant, Caller, Instant], Work[None]]
"""Takes away what a user got at or after an instant and that opens their account: (user id, since, caller, now).

An owner has said that it was not them who got it. It runs in the transaction that shuts everybody out, with the user
locked and before the sessions end: a way in that is being used at that moment is waited for.
"""


_LEAKED = msgid(
    "This password has appeared in a data leak, so it is among those that are guessed first. Choose another one"
)


@dataclass(frozen=True, slots=True)
class Correct:
    """A right password. Run `succeeded` in the transaction that acts on it.

    `failures`: tries in a row before this one that were wrong, or still under way. `change_wanted`: why its owner
    should choose another.
    """

    user: User
    change_wanted: ChangeWanted | None
    failures: int
    _stored: StoredPassword
    _new_digest: str | None = field(repr=False)

    def succeeded(self) -> Work[None]:
        """Replace a weak digest, and keep why another password is wanted.

        Makes sure that the password has not been changed, nor reported as known to others, since it was verified.
        Raises InvalidCredentials if it has: else a session could begin with the old one after the others were ended.
        """
        user_id = self.user.id
        old, new = self._stored.digest, self._new_digest or self._stored.digest
        if new != old or self.change_wanted != self._stored.change_wanted:
            yield from store.update_digest(user_id, old, new, self.change_wanted)
        now = yield from store.find_password_locked(user_id)
        if now is None or now.set_at != self._stored.set_at:
            raise InvalidCredentials(reason="password changed meanwhile")
        if now.change_wanted == COMPROMISED != self.change_wanted:
            raise InvalidCredentials(reason="password reported meanwhile")


@dataclass(frozen=True, slots=True)
class _Try:
    """One try: what for, by whom, what its failure is recorded as, and in which lane failures are counted."""

    action: str
    user: User | None
    caller: Caller
    device: KnownDevice | None
    failure: Event
    lane: bytes


class NothingLeaked:
    """The breach check where none is configured."""

    async def is_known(self, password: str) -> bool:  # noqa: ARG002  a port's method
        """No password is."""
        return False


def _tell_nobody(_: User, __: int, ___: Instant) -> Work[None]:
    yield from ()


@dataclass(slots=True)
class PasswordService:
    """Passwords of users.

    `breach` knows passwords that have leaked; `forget` makes void what a new password leaves behind; `told` tells an
    owner of too many failures.
    """

    db: Database
    clock: Clock
    hasher: Hasher
    limiter: Limiter
    sealer: Sealer
    audit: AuditTrail
    refusals: Refusals
    policy: PasswordPolicy
    limits: Limits = field(default_factory=load_limits)
    breach: BreachCheck = field(default_factory=NothingLeaked)
    forget: Forget = nothing_more
    told: Told = _tell_nobody
    tries: Tries = field(init=False)

    def __post_init__(self) -> None:
        """Build what follows from the figures."""
        self.tries = Tries(self.db, self.clock, self.limiter, self.sealer, self.refusals, self.limits)

    # Setting ----------------------------------------------------------------------------------------------------

    async def hash_new(self, password: str, context: Sequence[str], field: str = "password") -> str:
        """Check a new password against the policy and what has leaked, and hash it.

        `context`: see `PasswordPolicy.check`. Raises Invalid naming `field`, or Unavailable. A breach check that does
        not answer keeps nobody from a password; the audit says so, once a minute.
        """
        normal = self.policy.check(password, context=context, field=field)
        is_known = await self.breach.is_known(normal)
        if is_known:
            raise Invalid([FieldError(field, "leaked", _LEAKED)])
        if is_known is None:
            await self.refusals.note(Event.SYS_MONITOR_DISABLED, OURSELVES, {"part": "range api"})
        return await self.hasher.hash(normal)

    def set_password(self, user_id: str, digest: str, change_wanted: ChangeWanted | None = None) -> Work[None]:
        """Set a user's password in the caller's transaction; failures against the old one are forgotten."""
        yield from store.upsert_password(user_id, digest, self.clock.now(), change_wanted)
        yield from self.forget(user_id)
        names = yield from list_names(user_id)
        lanes = [self.tries.lane(SIGN_IN, "name", name) for name in names]
        yield from self.tries.forget([*lanes, self.tries.lane(REAUTHENTICATE, "user", user_id)])

    def flag_compromised(self, user_id: str) -> Work[None]:
        """Note, in the caller's transaction, that others may know a user's password; the next one ends it."""
        yield from store.update_compromised(user_id)

    def is_compromised(self, user_id: str) -> Work[bool]:
        """Whether others are said to know a user's password; that stays so until the caller's transaction ends."""
        stored = yield from store.find_password_locked(user_id)
        return stored is not None and stored.change_wanted == COMPROMISED

    def changed_since(self, user_id: str, at: Instant) -> Work[bool]:
        """Whether a user's password was set later than that, as the caller's transaction sees it."""
        stored = yield from store.find_password_locked(user_id)
        return stored is not None and stored.set_at > at

    async def is_reported(self, user_id: str, password: str) -> bool:
        """Whether this is a user's present password, and one that others are said to know. Raises Unavailable."""
        stored = await self.db.read(store.find_password(user_id))
        if stored is None or stored.change_wanted != COMPROMISED:
            return False
        return (await self.hasher.verify(stored.digest, normalise_password(password))).right

    async def has_password(self, user_id: str) -> bool:
        """Whether somebody can sign in with a password; who signed up with a passkey cannot."""
        return await self.db.read(self.has_password_now(user_id))

    def has_password_now(self, user_id: str) -> Work[bool]:
        """The same, as the caller's transaction sees it."""
        return (yield from store.find_password(user_id)) is not None

    async def change_wanted(self, user_id: str) -> ChangeWanted | None:
        """Why a user should choose another password, as far as it was noticed."""
        stored = await self.db.read(store.find_password(user_id))
        return None if stored is None else stored.change_wanted

    async def purge(self) -> None:
        """Forget failures of long ago."""
        now = self.clock.now()
        while await self.db.write(lambda: store.delete_expired_throttles(now)) == PURGE_AT_ONCE:
            pass

    # Verifying --------------------------------------------------------------------------------------------------

    async def verify(
        self,
        user: User | None,
        identifier: str,
        password: str,
        caller: Caller,
        *,
        device: KnownDevice | None = None,
        action: str = SIGN_IN,
        failure: Event = Event.AUTHN_LOGIN_FAIL,
    ) -> Correct:
        """Check a password; with `user` None, do the same work for nobody (ASVS 6.3.8; C16).

        `action`: whose limits apply and where failures are counted; `failure`: what one is recorded as.
        Raises InvalidCredentials for every failure, after its audit row is durable; RateLimited; Unavailable. A known
        device of the user has a count of its own and does not ask for a place in the buckets that strangers can fill.
        """
        own = self._own_device(device, user)
        attempt = _Try(action, user, caller, own, failure, self._lane_of(action, user, identifier, own))
        if own is not None:
            return await self._try(attempt, password)
        async with await self.tries.admit(action, caller) as admission:
            correct = await self._try(attempt, password)
            admission.succeeded()
            return correct

    async def _try(self, attempt: _Try, password: str) -> Correct:
        async with self.tries.reserved(attempt.lane, attempt.action, attempt.caller) as reserved:
            return await self._judge(attempt, normalise_password(password), reserved)

    async def _judge(self, attempt: _Try, normal: str, reserved: Reserved) -> Correct:
        user = attempt.user
        stored, verified = await self._look(user, normal)
        if user is None or stored is None or not verified.right or user.status not in _MAY_SIGN_IN:
            reason = _reason(user, stored, is_right=verified.right)
            await self.db.write(lambda: self._fail(attempt, reason, reserved.failures))
            raise InvalidCredentials(reason=reason)
        change_wanted = stored.change_wanted or ("short" if self.policy.is_short(normal) else None)
        new_digest = await self._stronger(normal) if verified.outdated else None
        # At once and not with the session: tries of the same owner may be waiting for the outcome of this one. Its own
        # lane alone: that the owner was here must not show under their other name.
        await self.db.write(lambda: self.tries.forget([attempt.lane]))
        return Correct(user, change_wanted, reserved.failures - 1, stored, new_digest)

    async def _look(self, user: User | None, normal: str) -> tuple[StoredPassword | None, Verified]:
        """Compare; the same look-up and the same hash for a user who is not there."""
        stored = await self.db.read(store.find_password("" if user is None else user.id))
        is_too_long = len(normal) > MAXIMUM_LENGTH
        return stored, await self.hasher.verify(None if stored is None or is_too_long else stored.digest, normal)

    async def _stronger(self, normal: str) -> str | None:
        # A full queue is no reason to refuse a right password; the next sign-in tries again.
        with suppress(Unavailable):
            return await self.hasher.hash(normal)
        return None

    def _fail(self, attempt: _Try, reason: str, failures: int) -> Work[None]:
        user_id = None if attempt.user is None else attempt.user.id
        payload: Payload = {
            "action": attempt.action,
            "reason": reason,
            "failures": failures,
            "known_device": attempt.device is not None,
        }
        yield from self.audit.record(attempt.failure, Outcome.FAILURE, attempt.caller, user_id=user_id, payload=payload)
        if failures == self.limits.account.stop_of_name:
            yield from self.audit.record(
                Event.AUTHN_LOGIN_LOCK, Outcome.FAILURE, attempt.caller, user_id=user_id, payload=payload
            )
            if attempt.user is not None:
                yield from self.told(attempt.user, failures, self.clock.now())
        if attempt.device is not None:
            yield from self.tries.fail_device(attempt.device.id)

    # Lanes ------------------------------------------------------------------------------------------------------

    def _own_device(self, device: KnownDevice | None, user: User | None) -> KnownDevice | None:
        if device is None or user is None or device.user_id != user.id:
            return None
        return device if device.failures < self.limits.known_device.void_after else None

    def _lane_of(self, action: str, user: User | None, identifier: str, device: KnownDevice | None) -> bytes:
        if device is not None:
            return self.tries.lane(action, "device", device.id)
        if action == REAUTHENTICATE and user is not None:
            return self.tries.lane(action, "user", user.id)
        # By what was typed and not by whom it names: else delays would tell which names are one person's.
        return self.tries.lane(action, "name", identifier_key(identifier))


def _reason(user: User | None, stored: StoredPassword | None, *, is_right: bool) -> str:
    if user is None:
        return "unknown user"
    if stored is None:
        return "no password"
    return user.status if is_right else "wrong password"

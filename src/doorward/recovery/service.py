"""A new password by e-mail or a recovery code: the order is the security (C14, C16, C21-C23; UX-32; ASVS 6.4.3, 6.3.8).

A recovery code that sets a password ends its whole set. Else the sheet alone would be both the new password and the
second step of the sign-in that follows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from doorward.audit import AuditTrail, Event, Outcome
from doorward.authenticators import RECOVERY, Binding, Factors, KnownDevice, PasswordService, SecurityNotices
from doorward.confirmations import LIFETIME_SECONDS, Confirmation, Confirmations, Purpose, State
from doorward.kernel.caller import Caller
from doorward.kernel.errors import Conflict, FieldError, Invalid, NotFound
from doorward.kernel.msgid import msgid
from doorward.messages import Outbox, SendLimits, Values
from doorward.ports import Clock, Database
from doorward.recovery.model import is_theirs
from doorward.sessions import Sessions, describe
from doorward.sql import Work
from doorward.users import LEAVING, User, UsersService, contact_key

PURPOSES: Final[Sequence[Purpose]] = ("recovery", "password")
# Whoever is leaving can come back by signing in, and may have forgotten what with. A new password brings nobody back.
_HELPED: Final = frozenset({"active", LEAVING})
NO_MAIL: Final = msgid("This site cannot send e-mail. Please turn to those who help you here")
_GONE: Final = msgid("This link no longer works, because something newer took its place")
_UNCHANGED: Final = msgid("Choose a password you do not use yet")
_NO_PASSWORD: Final = msgid("Enter a password")
_NOT_TEXT: Final = msgid("This must be text")
_MINUTES: Final = LIFETIME_SECONDS["recovery"] // 60
_CODES: Final = "codes"  # of the payload: the set whose code is to set a password


EndKeys: TypeAlias = Callable[[str, Caller, str | None], Work[None]]
"""Ends every key for programs of a user, in the caller's transaction: (user id, caller, who does it)."""


def no_keys(_: str, __: Caller, ___: str | None) -> Work[None]:
    """End nothing, where there are no keys."""
    yield from ()


@dataclass(frozen=True, slots=True)
class Recovery:
    """New passwords for whoever cannot use the old one. `end_keys`: see `EndKeys`."""

    db: Database
    clock: Clock
    users: UsersService
    passwords: PasswordService
    notices: SecurityNotices
    sessions: Sessions
    confirmations: Confirmations
    outbox: Outbox
    sends: SendLimits
    audit: AuditTrail
    factors: Factors
    binding: Binding
    end_keys: EndKeys = no_keys

    # Asking -----------------------------------------------------------------------------------------------------

    async def ask(self, address: str, caller: Caller, device_token: str | None = None) -> None:
        """Mail whoever has proven `address` a link, if somebody has; the same work for nobody (C16).

        `device_token`: of the browser; a known device of the owner has places of its own among the limits. Raises
        Conflict where no mail can be sent, RateLimited, Unavailable.
        """
        if not self.outbox.can_mail:
            raise Conflict(NO_MAIL, reason="no mail server")
        owner = await self.users.find_by_identifier(address)
        device_id = await self.sessions.find_own_device(None if owner is None else owner.id, device_token)
        async with await self.sends.mail("recovery", address, caller, device_id):
            await self.db.write(lambda: self._begin(address, owner, caller))

    def _begin(self, address: str, owner: User | None, caller: Caller) -> Work[None]:
        # An earlier link stays: else strangers could make every link void before its owner follows it.
        known = owner if owner is not None and owner.status in _HELPED else None
        user_id = None if known is None else known.id
        opened = yield from self.confirmations.begin(
            "recovery",
            address,
            contact_key("email", address),
            now=self.clock.now(),
            user_id=user_id,
            locale=caller.locale,
        )
        values: Values = {
            "path": f"/recovery/{opened.token}",
            "minutes": _MINUTES,
            "name": "" if known is None else known.name,
            "device": describe(caller.user_agent),
        }
        if known is None or known.email is None:
            yield from self.outbox.nothing(address, caller.locale, values)
        else:  # as they have written it, not as it was typed here
            language = known.locale or caller.locale
            yield from self.outbox.mail("recovery", known.email, language, values, expires_at=opened.expires_at)
        yield from self.audit.record(
            Event.AUTHN_TOKEN_CREATED, Outcome.SUCCESS, caller, user_id=user_id, payload={"purpose": "recovery"}
        )

    # Recovery codes ---------------------------------------------------------------------------------------------

    async def use_code(self, identifier: str, code: str, caller: Caller, device_token: str | None = None) -> str:
        """A token for `complete`, good for a quarter of an hour, for one of somebody's recovery codes, which is spent.

        `device_token`: see `ask`. Raises Invalid naming `code`, the same for nobody and for every reason (C16);
        RateLimited; Unavailable.
        """
        user = await self.users.find_by_identifier(identifier)
        found = await self.sessions.find_device(device_token)
        device = KnownDevice(*found) if found is not None and user is not None and found[1] == user.id else None

        def hand_over(owner: User, codes_id: str) -> Work[str]:
            now = self.clock.now()
            yield from self.confirmations.void_of_user(owner.id, now, "password")
            opened = yield from self.confirmations.begin(
                "password",
                owner.uid,
                f"user:{owner.id}",
                now=now,
                user_id=owner.id,
                payload={_CODES: codes_id},
                locale=caller.locale,
            )
            payload = {"purpose": "password", "by": RECOVERY}
            yield from self.audit.record(
                Event.AUTHN_TOKEN_CREATED, Outcome.SUCCESS, caller, user_id=owner.id, payload=payload
            )
            return opened.token

        return await self.factors.verify_for_recovery(user, identifier, code, caller, device, hand_over)

    # Coming back ------------------------------------------------------------------------------------------------

    async def look(self, token: str) -> tuple[State, Confirmation | None]:
        """What a link leads to. Changes nothing."""
        return await self.confirmations.look(token, *PURPOSES)

    async def complete(self, token: str, password: Any, caller: Caller) -> None:  # noqa: ANN401  whatever a body holds
        """Set a new password; every session, known device and other link of its owner ends. No session begins.

        A password that is not good enough uses nothing up. Raises Invalid naming `token` or `password`, Unavailable.
        """
        found = await self.confirmations.by_token(token, *PURPOSES)
        user = None if found.user_id is None else await self.users.find(found.user_id)
        if user is None or not is_theirs(found, user):
            raise _gone()
        chosen = _decode(password)
        digest = await self.passwords.hash_new(chosen, _context(user))
        if await self.passwords.is_reported(user.id, chosen):
            raise Invalid([FieldError("password", "unchanged", _UNCHANGED)])
        await self.db.write(lambda: self._complete(found, user.id, digest, caller))

    def _complete(self, found: Confirmation, user_id: str, digest: str, caller: Caller) -> Work[None]:
        now = self.clock.now()
        user = yield from self._owner(found, user_id)  # locked first: two links of one user must not wait in a circle
        yield from self.confirmations.use(found, now)
        yield from self.passwords.set_password(user.id, digest)
        if is_by_code(found):
            yield from self.binding.remove_of_kind(user, RECOVERY, caller, now)
        yield from self.sessions.end_all(user.id, caller, now)
        yield from self.end_keys(user.id, caller, user.id)
        yield from self.sessions.forget_devices(user.id)
        yield from self.audit.record(
            Event.AUTHN_PASSWORD_CHANGE,
            Outcome.SUCCESS,
            caller,
            user_id=user.id,
            actor_id=user.id,
            payload={"by": RECOVERY if is_by_code(found) else found.purpose},
        )
        yield from self.notices.changed(user, describe(caller.user_agent), now)

    def _owner(self, found: Confirmation, user_id: str) -> Work[User]:
        """Whose link it is, unless they were disabled or have another address by now."""
        try:
            user = yield from self.users.locked(user_id)
        except NotFound:
            raise _gone() from None
        if not is_theirs(found, user):
            raise _gone()
        # Whoever has new codes, or none any more, has nothing to fear from a sheet that is lost.
        if is_by_code(found):
            bound = yield from self.factors.bound(user.id)
            if found.payload[_CODES] not in {one.id for one in bound}:
                raise _gone()
        return user

    # Passwords that others know -----------------------------------------------------------------------------------

    async def flag_compromised(self, user_id: str, caller: Caller) -> None:
        """Let nobody in with a user's password any more, and end every session that began with it (C8)."""
        now = self.clock.now()

        def work() -> Work[None]:
            # First the flag: a sign-in that goes on at the same time waits for it, or has its session ended here.
            yield from self.passwords.flag_compromised(user_id)
            yield from self.sessions.end_all(user_id, caller, now)
            yield from self.end_keys(user_id, caller, None)
            yield from self.sessions.forget_devices(user_id)
            yield from self.audit.record(
                Event.USER_UPDATED,
                Outcome.SUCCESS,
                caller,
                user_id=user_id,
                payload={"fields": ["password"], "password": "compromised"},
            )

        await self.db.write(work)


def is_by_code(found: Confirmation) -> bool:
    """Whether a recovery code led to it."""
    return _CODES in found.payload


def _context(user: User) -> list[str]:
    return [text for text in (user.uid, user.name, user.email) if text]


def _decode(password: object) -> str:
    if password is None or password == "":
        raise Invalid([FieldError("password", "required", _NO_PASSWORD)])
    if not isinstance(password, str):
        raise Invalid([FieldError("password", "wrong_type", _NOT_TEXT)])
    return password


def _gone() -> Invalid:
    return Invalid([FieldError("token", "void", _GONE)], reason="link is nobody's")

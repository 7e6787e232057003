"""Begin, look at, try and use up confirmations."""

import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from doorward.audit import Event, Refusals
from doorward.confirmations import store
from doorward.confirmations.model import (
    CODE_DIGITS,
    CODE_SECONDS,
    CODED,
    ENDS_WITH_SESSIONS,
    LIFETIME_SECONDS,
    MAX_FAILURES,
    Confirmation,
    Opened,
    Purpose,
    State,
)
from doorward.kernel.caller import Caller
from doorward.kernel.errors import FieldError, Invalid, RateLimited
from doorward.kernel.ids import new_id, new_token, token_digest
from doorward.kernel.instant import DAY, SECOND, Instant
from doorward.kernel.msgid import msgid
from doorward.ports import Clock, Database, Limiter, Sealer
from doorward.sql import PURGE_AT_ONCE, Work, purpose_of

CODE: Final = "code"  # the table of limits.toml
WRONG_CODE: Final = msgid("This code is not right or has expired. Only the newest one works")
EXHAUSTED: Final = msgid("Too many wrong codes. Follow the link in the e-mail instead, or begin again")
_OVER: Final[Mapping[State, str]] = {
    "used": msgid("This link has been used already"),
    "void": msgid("This link no longer works, because something newer took its place"),
    "expired": msgid("This link has expired"),
    "unknown": msgid("This link is not complete, or it has expired"),
}
_KEEP: Final = 7 * DAY  # beyond its end, so that a late visit is told why
_TOKEN: Final = "token"  # noqa: S105  a key of the payload
_LONGEST_TOKEN: Final = 200


@dataclass(frozen=True, slots=True)
class Confirmations:
    """The confirmations room's service. `limiter` counts durably: what it limits must survive a restart."""

    db: Database
    clock: Clock
    sealer: Sealer
    limiter: Limiter
    refusals: Refusals

    # Beginning --------------------------------------------------------------------------------------------------

    def begin(
        self,
        purpose: Purpose,
        target: str,
        target_key: str,
        *,
        now: Instant,
        user_id: str | None = None,
        payload: Mapping[str, Any] | None = None,
        holder: bytes | None = None,
        locale: str = "",
    ) -> Work[Opened]:
        """Begin one inside the caller's transaction. `holder`: see `holder_of_cookie`, `holder_of_session`."""
        confirmation_id, token, code = new_id(now), new_token(), _new_code()
        opened = Opened(
            confirmation_id, token, code, now + LIFETIME_SECONDS[purpose] * SECOND, now + CODE_SECONDS * SECOND
        )
        text = json.dumps({**(payload or {}), _TOKEN: token}, separators=(",", ":")).encode()
        yield from store.insert_confirmation(
            {
                "id": confirmation_id,
                "purpose": purpose,
                "user_id": user_id,
                "target": target,
                "target_key": target_key,
                "token_digest": token_digest(token),
                "code_mac": self._code_mac(confirmation_id, code) if purpose in CODED else None,
                "code_expires_at": opened.code_expires_at,
                "failures": 0,
                "holder_digest": holder,
                "payload_sealed": self.sealer.seal(text, purpose_of("confirmation", confirmation_id)),
                "locale": locale,
                "created_at": now,
                "expires_at": opened.expires_at,
                "used_at": None,
                "voided_at": None,
            }
        )
        return opened

    def renew(self, found: Confirmation, now: Instant) -> Work[Opened]:
        """Make a newer code; the old one is dead, the link stays, wrong tries stay counted (C14, C17).

        Raises Invalid when there is nothing to confirm any more, or after too many wrong codes for another to help.
        """
        if found.failures >= MAX_FAILURES:
            raise Invalid([FieldError("code", "exhausted", EXHAUSTED)], reason="five wrong codes")
        code, until = _new_code(), now + CODE_SECONDS * SECOND
        renewed = yield from store.update_code(found.id, self._code_mac(found.id, code), until, now)
        if not renewed and not _seems_live(found, now):
            raise _over(found.state(now))
        return Opened(found.id, found.payload.get(_TOKEN, ""), code, found.expires_at, until)

    # Looking ----------------------------------------------------------------------------------------------------

    async def look(self, token: str, *purposes: Purpose) -> tuple[State, Confirmation | None]:
        """What a link leads to. Changes nothing: mail scanners follow every link (C23)."""
        if not token or len(token) > _LONGEST_TOKEN:
            return "unknown", None
        found = await self.db.read(store.find_by_token(token_digest(token), self._open))
        if found is None or found.purpose not in purposes:
            return "unknown", None
        return found.state(self.clock.now()), found

    async def by_token(self, token: str, *purposes: Purpose) -> Confirmation:
        """What a link leads to, if it still works. Raises Invalid naming `token`."""
        state, found = await self.look(token, *purposes)
        if found is None or state != "live":
            raise _over(state)
        return found

    async def of_holder(self, holder: bytes | None, *purposes: Purpose) -> Confirmation | None:
        """The latest that one browser or session began and that can still be confirmed.

        A sign-in that its owner called off is among them: whoever asked for it must not see that somebody is there.
        """
        if holder is None:
            return None
        now = self.clock.now()
        found = await self.db.read(store.list_by_holder(holder, self._open))
        return next((one for one in found if one.purpose in purposes and _seems_live(one, now)), None)

    async def of_user(self, user_id: str, purpose: Purpose) -> Sequence[Confirmation]:
        """What a user has yet to confirm, the latest first."""
        return await self.db.read(self.live_of_user(user_id, purpose, self.clock.now()))

    def live_of_user(self, user_id: str, purpose: Purpose, now: Instant) -> Work[Sequence[Confirmation]]:
        """The same, as the caller's transaction sees it."""
        found = yield from store.list_of_user(user_id, purpose, self._open)
        return [one for one in found if one.state(now) == "live"]

    # Confirming -------------------------------------------------------------------------------------------------

    async def check_code(self, found: Confirmation | None, code: str, caller: Caller) -> Confirmation:
        """Compare a code; every try is counted before it is looked at.

        Raises Invalid naming `code`, the same for every reason; RateLimited; Unavailable.
        """
        # Without anything begun, each sender by themselves: strangers must not use up one another's tries.
        recipient = f"nobody {caller.address}" if found is None else found.target_key
        try:
            admission = await self.limiter.admit(CODE, caller.address, {"recipient": recipient})
        except RateLimited as refusal:
            await self.refusals.limited(CODE, refusal, caller)
            raise
        async with admission:
            right = await self.compare_code(found, code, caller)
            admission.succeeded()
            return right

    async def compare_code(self, found: Confirmation | None, code: str, caller: Caller) -> Confirmation:
        """The same for a flow that has counted the try by itself, in lanes that strangers cannot fill.

        Five wrong codes still end it. Raises Invalid naming `code`, Unavailable.
        """
        if found is None or not await self._try(found, code):
            await self._note_wrong(found, caller)
            if found is not None and found.failures >= MAX_FAILURES:
                raise Invalid([FieldError("code", "exhausted", EXHAUSTED)], reason="five wrong codes")
            raise Invalid([FieldError("code", "wrong", WRONG_CODE)], reason="wrong code")
        return found

    def use(self, found: Confirmation, now: Instant) -> Work[None]:
        """Use it up inside the transaction that acts on it. Raises Invalid when somebody was quicker."""
        if not (yield from store.use(found.id, now)):
            raise _over("used")

    def void(self, found: Confirmation, now: Instant) -> Work[None]:
        """Call one off."""
        yield from store.void(found.id, now)

    def void_of_user(self, user_id: str, now: Instant, *purposes: Purpose) -> Work[None]:
        """Call off what a user has not confirmed yet."""
        for purpose in purposes:
            yield from store.void_of_user(user_id, purpose, now)

    def end_of_user(self, user_id: str) -> Work[None]:
        """Call off, in the caller's transaction, what must not outlive a user's sessions; see ENDS_WITH_SESSIONS."""
        yield from self.void_of_user(user_id, self.clock.now(), *ENDS_WITH_SESSIONS)

    def void_of_target(self, target_key: str, now: Instant, *purposes: Purpose) -> Work[int]:
        """Call off what was sent somewhere, whoever began it: an address has found its owner. How many still worked."""
        ended = 0
        for purpose in purposes:
            ended += yield from store.void_of_target(purpose, target_key, now)
        return ended

    async def purge(self) -> None:
        """Forget what ended long ago."""
        now = self.clock.now()
        while await self.db.write(lambda: store.empty_expired(now)) == PURGE_AT_ONCE:
            pass
        before = now - _KEEP
        while await self.db.write(lambda: store.delete_expired(before)) == PURGE_AT_ONCE:
            pass

    async def _try(self, found: Confirmation, code: str) -> bool:
        now = self.clock.now()
        expected = await self.db.write(lambda: store.reserve_try(found.id, now))
        typed = "".join(character for character in code if not character.isspace() and character != "-")
        if expected is None or not hmac.compare_digest(expected, self._code_mac(found.id, typed)):
            return False
        if found.voided_at is not None:
            return False
        await self.db.write(lambda: store.release_try(found.id))
        return True

    async def _note_wrong(self, found: Confirmation | None, caller: Caller) -> None:
        purpose = "none" if found is None else found.purpose
        user_id = None if found is None else found.user_id
        payload = {"action": CODE, "purpose": purpose, "reason": "wrong code"}
        await self.refusals.note(Event.AUTHN_LOGIN_FAIL, caller, payload, user_id=user_id)

    def _code_mac(self, confirmation_id: str, code: str) -> bytes:
        message = f"{confirmation_id}\0{code}".encode("utf-8", "surrogatepass")
        return self.sealer.mac(message, "confirmation code")

    def _open(self, confirmation_id: str, sealed: bytes) -> Mapping[str, Any]:
        payload: Mapping[str, Any] = json.loads(self.sealer.open(sealed, purpose_of("confirmation", confirmation_id)))
        return payload


def holder_of_cookie(cookie: str | None) -> bytes | None:
    """What a browser is known by that holds the cookie of what it began."""
    return token_digest(f"cookie:{cookie}") if cookie else None


def holder_of_session(session_id: str) -> bytes:
    """What a session is known by; its secret may change meanwhile."""
    return token_digest(f"session:{session_id}")


def _seems_live(found: Confirmation, now: Instant) -> bool:
    state = found.state(now)
    return state == "live" or (state == "void" and found.purpose == "sign_in" and now < found.expires_at)


def _over(state: State) -> Invalid:
    return Invalid([FieldError("token", state, _OVER.get(state, _OVER["unknown"]))], reason=f"link is {state}")


def _new_code() -> str:
    return f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}"

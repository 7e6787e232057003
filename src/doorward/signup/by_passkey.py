"""Signing up with a passkey instead of a password (UX-12; C29-C31).

First everything that was filled in is checked and kept for the browser that sent it, then that browser makes a passkey.
In mode "uid" the user is created with it; in mode "email" it waits with the rest for the proof of the address.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from doorward.authenticators import FirstPasskeys, Newcomer, Tries
from doorward.kernel.assurance import Proof
from doorward.kernel.caller import Caller
from doorward.kernel.errors import FieldError, Invalid
from doorward.kernel.ids import new_token
from doorward.kernel.instant import Instant
from doorward.kernel.msgid import msgid
from doorward.ports import NOTHING
from doorward.sessions import SignInOutcome, Start
from doorward.signup.by_email import SignUpByEmail
from doorward.signup.guard import SignUpGuard
from doorward.signup.service import ACCOUNT, SignUp
from doorward.sql import Work
from doorward.users import NewUser, User

BEGIN: Final = msgid("That took too long. Please begin again")
_LIMIT: Final = "passkey"  # the table of limits.toml
_NEW, _PATH = "new", "path"


@dataclass(frozen=True, slots=True)
class SignUpByPasskey:
    """Newcomers and their first passkey. `by_email`: in mode "email"."""

    guard: SignUpGuard
    tries: Tries
    first: FirstPasskeys
    in_mode_uid: SignUp
    by_email: SignUpByEmail | None

    async def begin(
        self,
        profile: Mapping[str, Any],
        caller: Caller,
        *,
        held: str | None = None,
        pending: str | None = None,
        proof: Mapping[str, str] = NOTHING,
        path: str = ACCOUNT,
    ) -> str:
        """Check and keep what somebody has filled in; the value of the cookie `newcomer`, a new one every time.

        `held`: that of an earlier try of the same browser; `pending`: its other cookie (see `SignUpByEmail.begin`);
        `proof`: see `SignUpGuard.admit`; `path`: where a page goes on. Raises Invalid naming every bad field, a taken
        handle among them; ChallengeNeeded; RateLimited; Unavailable.
        """
        async with self.guard.telling(caller):
            if self.by_email is None:
                new = await self.in_mode_uid.check_profile(profile)
            else:
                new = await self.by_email.check_profile(profile, pending)
        await self.guard.admit(proof, caller)
        cookie = new_token()
        async with await self.guard.place(caller):
            before = None if held is None else _holder(held)
            await self.first.keep(_holder(cookie), {_NEW: asdict(new), _PATH: path}, before)
        return cookie

    async def waiting(self, cookie: str | None) -> NewUser | None:
        """What the browser with this cookie has filled in."""
        newcomer = None if cookie is None else await self.first.find(_holder(cookie))
        return None if newcomer is None else _new_user(newcomer)

    async def options(self, cookie: str | None, caller: Caller) -> Mapping[str, Any]:
        """What to hand to `navigator.credentials.create` in the browser with this cookie, for five minutes.

        Raises Invalid naming `credential` when nothing was filled in, RateLimited, Unavailable.
        """
        newcomer = None if cookie is None else await self.first.find(_holder(cookie))
        if cookie is None or newcomer is None:
            raise Invalid([FieldError("credential", "expired", BEGIN)], reason="nobody signs up here")
        async with await self.tries.admit(_LIMIT, caller):
            pass
        new = _new_user(newcomer)
        # In mode "email" both may be left for us to choose; what they sign in with is what they know it by.
        user_name = (new.email if self.by_email is not None else None) or new.uid
        return await self.first.offer(_holder(cookie), newcomer, user_name, new.name or user_name)

    async def finish(
        self, cookie: str | None, credential: object, caller: Caller, replaced: str | None = None
    ) -> tuple[User, SignInOutcome, str]:
        """In mode "uid": create the user with the passkey and start their session; and where a page goes on.

        Raises Invalid naming `credential`, or the handle if it went to another meanwhile; Conflict; RateLimited;
        Unavailable.
        """
        newcomer, passkey = await self.first.prove(_holder(cookie or ""), credential)
        new, path = _new_user(newcomer), newcomer.content[_PATH]

        def bind(user: User, now: Instant) -> Work[Proof]:
            yield from self.first.bind(user, passkey, caller, now)
            return Proof(passkey.proven.amr, now)

        async with self.in_mode_uid.mailing(new, caller):
            user, outcome = await self.in_mode_uid.create_with(
                new, bind, caller, first=lambda: self.first.use(newcomer), start=Start(replaced=replaced, path=path)
            )
        return user, outcome, path

    async def finish_by_email(
        self, by_email: SignUpByEmail, cookie: str | None, credential: object, caller: Caller, pending: str | None
    ) -> str:
        """In mode "email": keep the passkey until the address is proven; the new value of `pending`.

        Raises as `finish`; the answer does not depend on who has the address (C16).
        """
        newcomer, passkey = await self.first.prove(_holder(cookie or ""), credential)
        return await by_email.begin_with_passkey(
            _new_user(newcomer), passkey, caller, pending, newcomer.content[_PATH], lambda: self.first.use(newcomer)
        )


def _holder(cookie: str) -> bytes:
    return hashlib.sha256(f"newcomer:{cookie}".encode("utf-8", "surrogatepass")).digest()


def _new_user(newcomer: Newcomer) -> NewUser:
    return NewUser(**newcomer.content[_NEW])

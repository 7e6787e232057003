"""The passkey of somebody who is no user yet: made at the sign-up, bound in the transaction that creates them (UX-12).

What they have filled in waits sealed for the browser that sent it, with the random bytes that their authenticator will
know them by. Everything else is as for users: a challenge of its own for each try, answered once within five minutes.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from doorward.authenticators import factor_store as store
from doorward.authenticators.binding import HANDLE_BYTES, NOTHING_WAITS, Binding, Proven
from doorward.authenticators.challenges import BINDING_SECONDS, Challenges, Waiting
from doorward.kernel.caller import Caller
from doorward.kernel.errors import FieldError, Invalid
from doorward.kernel.instant import Instant
from doorward.sql import Work
from doorward.users import User

_PURPOSE: Final = "sign_up"
_CONTENT, _HANDLE = "content", "handle"


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Who signs up with a passkey. `content`: what the sign-up gave to be kept; `handle`: see `Binding.handle_of`."""

    content: Mapping[str, Any]
    handle: bytes
    waiting: Waiting = field(repr=False)


@dataclass(frozen=True, slots=True)
class FirstPasskey:
    """A passkey that was proven to work, and whose it is going to be. Sealed it can wait for a proof of its address."""

    proven: Proven
    handle: bytes

    def as_json(self) -> Mapping[str, Any]:
        """What `read_first_passkey` reads. It names the public key, so it is kept sealed like every authenticator."""
        one = self.proven
        return {
            "kind": one.kind,
            "label": one.label,
            "secret": dict(one.secret),
            "state": dict(one.state),
            "amr": list(one.amr),
            "lookup": (one.lookup or b"").hex(),
            "handle": self.handle.hex(),
        }


def read_first_passkey(kept: Mapping[str, Any]) -> FirstPasskey:
    """What `as_json` wrote."""
    amr, lookup = tuple(kept["amr"]), bytes.fromhex(kept["lookup"])
    proven = Proven(kept["kind"], kept["label"], kept["secret"], kept["state"], amr, lookup=lookup)
    return FirstPasskey(proven, bytes.fromhex(kept["handle"]))


@dataclass(frozen=True, slots=True)
class FirstPasskeys:
    """Passkeys of newcomers. `holder`: a digest of what their browser holds."""

    binding: Binding
    challenges: Challenges

    async def keep(self, holder: bytes, content: Mapping[str, Any], before: bytes | None = None) -> None:
        """Keep what somebody has filled in for a quarter of an hour; JSON.

        `before`: the holder of an earlier try of the same browser. Its handle goes on, so that its authenticator
        replaces a passkey that came to nothing instead of keeping two.
        """
        earlier = None if before is None else await self.find(before)
        handle = secrets.token_bytes(HANDLE_BYTES)
        if earlier is not None and await self.challenges.db.write(lambda: self.challenges.use(earlier.waiting)):
            handle = earlier.handle
        kept = {_CONTENT: json.loads(json.dumps(content)), _HANDLE: handle.hex()}
        await self.challenges.keep(_PURPOSE, holder, None, kept, BINDING_SECONDS)

    async def find(self, holder: bytes) -> Newcomer | None:
        """What `holder` has filled in, until it is used or too old."""
        waiting = await self.challenges.find(_PURPOSE, holder)
        if waiting is None:
            return None
        return Newcomer(waiting.content[_CONTENT], bytes.fromhex(waiting.content[_HANDLE]), waiting)

    async def offer(self, holder: bytes, newcomer: Newcomer, user_name: str, display_name: str) -> Mapping[str, Any]:
        """What to hand to `navigator.credentials.create`, for five minutes."""
        return await self.binding.offer_first(holder, newcomer.handle, user_name, display_name)

    async def prove(self, holder: bytes, credential: object) -> tuple[Newcomer, FirstPasskey]:
        """Check what the browser made; the challenge is used up. Raises Invalid naming `credential`."""
        newcomer = await self.find(holder)
        if newcomer is None:
            raise Invalid([FieldError("credential", "expired", NOTHING_WAITS)], reason="nobody signs up here")
        return newcomer, FirstPasskey(await self.binding.prove_passkey(holder, credential), newcomer.handle)

    def use(self, newcomer: Newcomer) -> Work[None]:
        """Use up what was filled in, inside the transaction that acts on it. Raises Invalid if somebody was quicker."""
        if not (yield from self.challenges.use(newcomer.waiting)):
            raise Invalid([FieldError("credential", "void", NOTHING_WAITS)], reason="signed up or replaced meanwhile")

    def bind(self, user: User, passkey: FirstPasskey, caller: Caller, now: Instant) -> Work[None]:
        """Bind it to the user who has just been created, in the same transaction. Nobody is told: they asked for it.

        Raises Invalid when it belongs to somebody already.
        """
        yield from store.insert_handle(user.id, passkey.handle)
        yield from self.binding.insert(user.id, passkey.proven, caller, now)

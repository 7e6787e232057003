"""When sign-ups come thick and fast, who may go on: those whose browser did some work, or who waited."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from doorward.audit import Refusals
from doorward.kernel.addresses import network_of
from doorward.kernel.caller import Caller
from doorward.kernel.errors import Invalid, RateLimited
from doorward.kernel.instant import MINUTE, Instant
from doorward.ports import Admission, Clock, Limiter
from doorward.signup.challenge import PATIENCE_SECONDS, Challenge, ChallengeNeeded, Challenges, Proved, Sent

SIGN_UP: Final = "sign-up"  # tables of limits.toml
FREE: Final = "sign-up-free"
CHALLENGE: Final = "challenge"
PATIENCE: Final = "patience"
PROOF_FIELDS: Final = ("challenge", "challenge_number")  # of a form or a JSON body
TAKEN: Final = "taken"  # the code of an error that gives a handle away
_BUSY: Final = 10 * MINUTE


@dataclass(slots=True)
class SignUpGuard:
    """Asks for a proof beyond `[sign-up-free]`. `durable` counts each proof once among all workers and nodes."""

    challenges: Challenges
    clock: Clock
    limiter: Limiter
    durable: Limiter
    refusals: Refusals
    _busy_until: Instant = field(default=0, init=False)

    async def admit(self, proof: Mapping[str, str], caller: Caller) -> None:
        """Let a sign-up go on. `proof`: the PROOF_FIELDS that were sent.

        Raises ChallengeNeeded with a new challenge, RateLimited, Unavailable.
        """
        try:
            async with await self.limiter.admit(FREE, caller.address):
                return
        except RateLimited as refusal:
            self._busy_until = self.clock.now() + _BUSY
            await self._check(proof, caller, refusal)

    async def place(self, caller: Caller) -> Admission:
        """Take a place in the limits on sign-ups. Raises RateLimited, Unavailable."""
        try:
            return await self.limiter.admit(SIGN_UP, caller.address)
        except RateLimited as refusal:
            await self.refusals.limited(SIGN_UP, refusal, caller)
            raise

    @asynccontextmanager
    async def telling(self, caller: Caller) -> AsyncIterator[None]:
        """Let a form be checked. Raises RateLimited, Unavailable.

        Each name that an answer gives away costs a place, so that nobody reads the list of members here.
        """
        try:
            yield
        except Invalid as invalid:
            if any(error.code == TAKEN for error in invalid.errors):
                async with await self.place(caller):
                    raise
            raise

    async def expected(self, caller: Caller) -> Challenge | None:
        """A challenge for a form before it is sent, so that it is solved by the time it is."""
        return await self._new(caller) if self.clock.now() < self._busy_until else None

    async def _check(self, proof: Mapping[str, str], caller: Caller, refusal: RateLimited) -> None:
        token, number = (proof.get(name, "") for name in PROOF_FIELDS)
        sent = self.challenges.read(token, network_of(caller.address))
        if sent is None or await self._proved(sent, number, caller) is None:
            await self.refusals.limited(FREE, refusal, caller)
            raise ChallengeNeeded(await self._new(caller))

    async def _proved(self, sent: Sent, number: str, caller: Caller) -> Proved | None:
        """How a challenge was met. One that was waited for too short a time may come again; all others count once."""
        if not number and sent.age_seconds < PATIENCE_SECONDS:
            return None
        try:
            # Before the slow digest: one challenge with many wrong numbers costs us one of them.
            async with await self.durable.admit(CHALLENGE, caller.address, {"challenge": sent.salt.hex()}):
                proved = await asyncio.to_thread(sent.proved_by, number)
                if proved == "patience":
                    async with await self.durable.admit(PATIENCE, caller.address):
                        pass
                return proved
        except RateLimited as again:
            await self.refusals.limited(CHALLENGE, again, caller)
            return None

    async def _new(self, caller: Caller) -> Challenge:
        # A slow digest for whoever asks: not on the event loop.
        return await asyncio.to_thread(self.challenges.new, network_of(caller.address))

"""What was asked of one holder and is answered at most once: nonces of passkeys, and what waits to be bound."""

import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from doorward.authenticators import factor_store as store
from doorward.kernel.ids import new_id
from doorward.kernel.instant import SECOND
from doorward.ports import Clock, Database, Sealer
from doorward.sql import PURGE_AT_ONCE, Work, purpose_of

SECONDS: Final = 300  # C29: five minutes for a passkey
BINDING_SECONDS: Final = 900  # to find the telephone and to install an app
NONCE_BYTES: Final = 32
SIDE_BY_SIDE: Final = 8
_NONCE: Final = "nonce"


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits for an answer. `content`: what was kept with it."""

    id: str
    user_id: str | None
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Challenges:
    """Challenges by purpose and holder."""

    db: Database
    clock: Clock
    sealer: Sealer

    async def begin(self, purpose: str, holder: bytes, user_id: str | None) -> bytes:
        """Make a nonce of 256 random bits (WebAuthn §13.4.3 asks for 128) that `holder` answers within 5 minutes.

        A browser asks in each of its tabs, so the last few of a holder count side by side (ASVS 6.7.2).
        """
        nonce = secrets.token_bytes(NONCE_BYTES)
        await self.keep(purpose, holder, user_id, {_NONCE: nonce.hex()}, SECONDS, side_by_side=SIDE_BY_SIDE)
        return nonce

    async def take(self, purpose: str, holder: bytes, nonce: bytes) -> bytes | None:
        """Use this nonce up and return it; None when it was not asked of `holder`, or somebody was quicker."""
        for waiting in await self._list(purpose, holder):
            kept = bytes.fromhex(waiting.content[_NONCE])
            if hmac.compare_digest(kept, nonce):
                return kept if await self.db.write(partial(store.delete_challenge, waiting.id)) else None
        return None

    async def keep(
        self,
        purpose: str,
        holder: bytes,
        user_id: str | None,
        content: Mapping[str, Any],
        seconds: int,
        *,
        side_by_side: int = 1,
    ) -> None:
        """Keep something, sealed, until `holder` comes back with an answer; the latest `side_by_side` of them."""
        now = self.clock.now()
        challenge_id = new_id(now)
        text = json.dumps(content, separators=(",", ":")).encode()
        sealed = self.sealer.seal(text, purpose_of("challenge", challenge_id))
        row = {
            "id": challenge_id,
            "purpose": purpose,
            "holder_digest": holder,
            "user_id": user_id,
            "content_sealed": sealed,
            "created_at": now,
            "expires_at": now + seconds * SECOND,
        }
        await self.db.write(lambda: store.insert_challenge(row, side_by_side))

    async def find(self, purpose: str, holder: bytes) -> Waiting | None:
        """What `holder` was asked and can still answer. Uses nothing up."""
        return next(iter(await self._list(purpose, holder)), None)

    async def _list(self, purpose: str, holder: bytes) -> list[Waiting]:
        found = await self.db.read(store.list_challenges(holder, purpose, self.clock.now()))
        return [
            Waiting(challenge_id, user_id, json.loads(self.sealer.open(sealed, purpose_of("challenge", challenge_id))))
            for challenge_id, user_id, sealed in found
        ]

    def use(self, waiting: Waiting) -> Work[bool]:
        """Use one up inside the transaction that acts on it; True for exactly one caller."""
        return (yield from store.delete_challenge(waiting.id))

    async def purge(self) -> None:
        """Forget what nobody answered."""
        now = self.clock.now()
        while await self.db.write(lambda: store.delete_expired_challenges(now)) == PURGE_AT_ONCE:
            pass

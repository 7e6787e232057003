"""What was asked of one holder and is answered at most once: nonces of passkeys, and what waits to be bound."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from doorward.authenticators import factor_store as store
from doorward.kernel.ids import new_id
from doorward.kernel.instant import SECOND
from doorward.ports import Clock, Database, Sealer
from doorward.sql import Work

SECONDS: Final = 300  # C29: five minutes for a passkey
BINDING_SECONDS: Final = 900  # to find the telephone and to install an app
NONCE_BYTES: Final = 32
_NONCE: Final = "nonce"


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits for an answer. `content`: what was kept with it."""

    id: str
    user_id: str | None
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Challenges:
    """Challenges by purpose and holder: a newer one takes the place of the one before it."""

    db: Database
    clock: Clock
    sealer: Sealer

    async def begin(self, purpose: str, holder: bytes, user_id: str | None) -> bytes:
        """Make a nonce of 256 random bits (WebAuthn §13.4.3 asks for 128) that `holder` answers within 5 minutes."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        await self.keep(purpose, holder, user_id, {_NONCE: nonce.hex()}, SECONDS)
        return nonce

    async def take(self, purpose: str, holder: bytes) -> bytes | None:
        """Use the nonce up and return it; None when there is none, or somebody was quicker."""
        waiting = await self.find(purpose, holder)
        if waiting is None or not await self.db.write(lambda: store.delete_challenge(waiting.id)):
            return None
        return bytes.fromhex(waiting.content[_NONCE])

    async def keep(
        self, purpose: str, holder: bytes, user_id: str | None, content: Mapping[str, Any], seconds: int
    ) -> None:
        """Keep something, sealed, until `holder` comes back with an answer."""
        now = self.clock.now()
        challenge_id = new_id(now)
        sealed = self.sealer.seal(json.dumps(content, separators=(",", ":")).encode(), _sealed_for(challenge_id))
        row = {
            "id": challenge_id,
            "purpose": purpose,
            "holder_digest": holder,
            "user_id": user_id,
            "content_sealed": sealed,
            "created_at": now,
            "expires_at": now + seconds * SECOND,
        }
        await self.db.write(lambda: store.insert_challenge(row))

    async def find(self, purpose: str, holder: bytes) -> Waiting | None:
        """What `holder` was asked and can still answer. Uses nothing up."""
        found = await self.db.read(store.find_challenge(holder, purpose, self.clock.now()))
        if found is None:
            return None
        challenge_id, user_id, sealed, _ = found
        return Waiting(challenge_id, user_id, json.loads(self.sealer.open(sealed, _sealed_for(challenge_id))))

    def use(self, waiting: Waiting) -> Work[bool]:
        """Use one up inside the transaction that acts on it; True for exactly one caller."""
        return (yield from store.delete_challenge(waiting.id))

    async def purge(self) -> None:
        """Forget what nobody answered."""
        now = self.clock.now()
        while await self.db.write(lambda: store.delete_expired_challenges(now)) == store.PURGE_AT_ONCE:
            pass


def _sealed_for(challenge_id: str) -> str:
    return f"challenge:{challenge_id}"

"""Password hashing."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification found. `outdated`: right, but the digest is weaker than today's parameters."""

    right: bool
    outdated: bool = False


@dataclass(frozen=True, slots=True)
class Cost:
    """What a derivation costs. It decides what comes of it, so it is kept beside what came of it."""

    memory_kib: int
    time_cost: int
    lanes: int


class Hasher(Protocol):
    """Slow on purpose and bounded on purpose: raises `Unavailable` when its queue is full. Never logs a password."""

    @property
    def cost(self) -> Cost:
        """Today's, as for passwords: for what is derived for the first time."""
        ...

    async def hash(self, password: str) -> str:
        """The PHC string of `password` (already in NFC)."""
        ...

    async def verify(self, digest: str | None, password: str) -> Verified:
        """Check `password`. `None` is hashed against a decoy of today's parameters and is never right (C16)."""
        ...

    async def derive(self, secret: str, salt: bytes, cost: Cost) -> bytes:
        """32 bytes of Argon2id, the same for the same three: for one text that is compared with several digests.

        `salt`: at least 8 bytes, random. Whoever compares has to do so in constant time.
        """
        ...

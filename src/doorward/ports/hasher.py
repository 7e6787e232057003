"""Password hashing."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification found. `outdated`: right, but the digest is weaker than today's parameters."""

    right: bool
    outdated: bool = False


class Hasher(Protocol):
    """Slow on purpose and bounded on purpose: raises `Unavailable` when its queue is full. Never logs a password."""

    async def hash(self, password: str) -> str:
        """The PHC string of `password` (already in NFC)."""
        ...

    async def verify(self, digest: str | None, password: str) -> Verified:
        """Check `password`. `None` is hashed against a decoy of today's parameters and is never right (C16)."""
        ...

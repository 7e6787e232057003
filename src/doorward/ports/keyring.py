"""The sealing keys, for whoever replaces them."""

from collections.abc import Collection, Sequence
from typing import Protocol

from doorward.ports.db import Database
from doorward.sql import Work


class Keyring(Protocol):
    """The keys of a `Sealer`. Only ids are told, never keys.

    Raises StartRefused, which says what helps, where the keys cannot be read or written.
    """

    @property
    def key_ids(self) -> Sequence[str]:
        """Of all keys, the oldest first. The one that seals may stand anywhere among them."""
        ...

    @property
    def named(self) -> str:
        """Id of the key that is to seal, as `follow` last found it; another one goes on while it is missing here."""
        ...

    @property
    def place(self) -> str:
        """Where the keys lie, as an operator knows it."""
        ...

    def add(self) -> str:
        """Make a key and keep it behind the others, durably; it opens and does not seal. Its id."""
        ...

    def drop(self, key_ids: Collection[str]) -> None:
        """Forget keys, durably. What is still sealed under them is lost."""
        ...

    def activate(self, key_id: str) -> Work[bool]:
        """Name another key as the one that seals; False when it was replaced already. `follow` after the commit."""
        ...

    async def follow(self, db: Database) -> None:
        """Take over what others have changed, as far as it can be used. Raises Unavailable, too."""
        ...

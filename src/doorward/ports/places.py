"""Where in the world an address is, roughly."""

from typing import Protocol


class Places(Protocol):
    """Knows places by addresses from a file of the operator's. Nobody is asked: no address leaves this machine."""

    def find(self, address: str, locale: str = "en") -> str | None:
        """Such as "Paris, France", in the language `locale` where the file speaks it, else in English.

        None for what the file does not know, a private address, this machine, and what is no address. Never raises and
        never waits. It is one line of at most 162 characters that somebody else wrote: escape it.
        """
        ...

    def open(self) -> None:
        """Read the file, once, before it is needed; until then nothing is known. Raises StartRefused."""
        ...

    async def renew(self) -> None:
        """Take over a file that has changed and is no longer being written; to be called now and then. Never raises.

        A broken one is told to the operator, once, and what was read before stays.
        """
        ...

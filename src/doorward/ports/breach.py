"""Passwords that others have lost."""

from typing import Protocol


class BreachCheck(Protocol):
    """A set of passwords known from leaks (ASVS 6.2.12). It never raises: whoever cannot ask does not know."""

    async def is_known(self, password: str) -> bool | None:
        """Whether `password` (already in NFC) has leaked; None when there was no answer."""
        ...

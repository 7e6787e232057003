"""Secrets at rest."""

from typing import Protocol


class Sealer(Protocol):
    """AES-256-GCM under a key kept outside the database; every value carries its key's id."""

    @property
    def key_id(self) -> str:
        """Id of the key that seals now."""
        ...

    def seal(self, secret: bytes, purpose: str) -> bytes:
        """Encrypt; `purpose` (such as "signing_key:<kid>") is authenticated and must be named again to open."""
        ...

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """Decrypt. Raises ValueError when the key, the purpose or a byte is wrong."""
        ...

    def mac(self, message: bytes, purpose: str) -> bytes:
        """HMAC-SHA-256 (32 bytes) under a key derived for `purpose` only."""
        ...

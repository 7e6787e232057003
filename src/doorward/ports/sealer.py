"""Secrets at rest."""

from typing import Final, Protocol

KEY_ID_AT: Final = slice(1, 9)
"""Where every sealed value, of whichever form, holds the 8 bytes of its key's id."""


class Sealer(Protocol):
    """AES-256-GCM under a key kept outside the database; every value carries its key's id.

    Keys change while servers run (docs/adr/0010-keyring.md): what is sealed today may be found sealed anew tomorrow. A
    MAC stays what it is.
    """

    @property
    def key_id(self) -> str:
        """Id of the key that seals now."""
        ...

    @property
    def mac_key_id(self) -> str:
        """Id of the key that MACs come from; the same whichever key seals."""
        ...

    def seal(self, secret: bytes, purpose: str) -> bytes:
        """Encrypt; `purpose` is authenticated and must be named again to open: `sql.purpose_of` for what is stored."""
        ...

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """Decrypt. Raises ValueError when the key, the purpose or a byte is wrong."""
        ...

    def mac(self, message: bytes, purpose: str) -> bytes:
        """HMAC-SHA-256 (32 bytes) under a key derived for `purpose` only."""
        ...

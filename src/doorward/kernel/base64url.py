"""Bytes as text for addresses, headers and tokens: base64url without padding (RFC 4648 §5, RFC 7515 §2)."""

import base64


def encode(content: bytes) -> str:
    """Write bytes."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Read them back. Raises ValueError; takes other spellings, too: compare with `encode` where only one may count."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

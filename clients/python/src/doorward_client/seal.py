"""Sealing: AES-256-GCM with a key made for one purpose."""

import hashlib
import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE = 12


def derive(secret: str, purpose: str) -> bytes:
    """32 bytes for one purpose out of a secret that is already random (HKDF-Expand of one block, RFC 5869 §2.3)."""
    return hmac.digest(secret.encode(), b"doorward-client " + purpose.encode() + b"\x01", hashlib.sha256)


def seal(key: bytes, content: bytes, purpose: str) -> bytes:
    """Encrypt and authenticate."""
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, content, purpose.encode())


def unseal(key: bytes, sealed: bytes, purpose: str) -> bytes | None:
    """What was sealed, or None when it was not with this key for this purpose."""
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], purpose.encode())
    except (InvalidTag, ValueError):
        return None

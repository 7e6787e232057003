"""Compact JWS (RFC 7515) as Doorward writes it, and not a letter otherwise."""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from doorward_client.strict_json import read_object

Key: TypeAlias = ECKey | OKPKey | RSAKey
_ALGORITHMS = jws.JWSRegistry(algorithms=["ES256", "Ed25519", "RS256"])
# RFC 9864 gives Ed25519 a name of its own; tokens say EdDSA still, as most libraries know only that.
_IMPLEMENTED = {"ES256": "ES256", "EdDSA": "Ed25519", "RS256": "RS256"}
MAX_LENGTH = 8192
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Parts:
    """A token taken apart; nothing in it is to be believed yet."""

    header: Mapping[str, Any]
    payload: bytes
    signature: bytes
    signed: bytes


def take_apart(token: str) -> Parts:
    """Split and decode. Raises ValueError unless each part is base64url in its one canonical form."""
    if len(token) > MAX_LENGTH or _COMPACT.fullmatch(token) is None:
        raise ValueError("size or letters")
    header, payload, signature = token.split(".")
    return Parts(
        read_object(decode(header)), decode(payload), decode(signature), token.rpartition(".")[0].encode("ascii")
    )


def sign(alg: str, content: bytes, key: Key) -> bytes:
    """The signature of these bytes. Raises KeyError for an algorithm that we do not use, as `verify` does."""
    return _ALGORITHMS.get_alg(_IMPLEMENTED[alg]).sign(content, key)


def verify(alg: str, content: bytes, signature: bytes, key: Key) -> bool:
    """Whether a signature is this key's for these bytes."""
    return bool(_ALGORITHMS.get_alg(_IMPLEMENTED[alg]).verify(content, signature, key))


def decode(text: str) -> bytes:
    """Base64url without padding. Raises ValueError; also for stray bits, which would write one value in many ways."""
    try:
        value = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise ValueError("base64url") from error
    if encode(value) != text:
        raise ValueError("base64url")
    return value


def encode(value: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

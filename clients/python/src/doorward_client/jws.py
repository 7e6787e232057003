"""Compact JWS (RFC 7515) as Doorward writes it, and not a letter otherwise."""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from doorward_client.strict_json import read_object

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

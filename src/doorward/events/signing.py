"""Signatures of the Standard Webhooks specification (https://www.standardwebhooks.com, version 1)."""

import hmac
import secrets
from base64 import b64decode, b64encode
from typing import Final

from doorward.kernel.instant import SECOND, Instant

PREFIX: Final = "whsec_"
_BYTES: Final = 32


def new_secret() -> str:
    """Make a secret: whsec_ and 256 random bits in base64."""
    return PREFIX + b64encode(secrets.token_bytes(_BYTES)).decode()


def headers_of(secret: str, message_id: str, body: bytes, now: Instant) -> dict[str, str]:
    """What a receiver checks: the message's id, the moment of this try, and the MAC over both and the body."""
    timestamp = str(now // SECOND)
    signed = f"{message_id}.{timestamp}.".encode() + body
    mac = hmac.digest(b64decode(secret.removeprefix(PREFIX)), signed, "sha256")
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{b64encode(mac).decode()}",
    }

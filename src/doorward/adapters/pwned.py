"""Leaked passwords, asked for by range (k-anonymity): five hexadecimal digits of a SHA-1 leave, the rest stays here.

The protocol of Pwned Passwords (haveibeenpwned.com/API/v3#PwnedPasswords); not run against the vendor.
"""

from dataclasses import dataclass, field
from hashlib import sha1
from hmac import compare_digest
from typing import Final

import structlog

from doorward.ports.outbound import Outbound, OutboundFailed

SECONDS: Final = 2.0  # somebody waits for it with a form before them
_PREFIX: Final = 5  # hexadecimal digits
_SUFFIX: Final = 35
_OK: Final = 200
_log = structlog.get_logger("doorward")


@dataclass(frozen=True, slots=True)
class PwnedPasswords:
    """Fulfils `ports.breach.BreachCheck`. `url`: to which the five digits are appended; `outbound`: within SECONDS."""

    outbound: Outbound
    url: str = field(repr=False)

    async def is_known(self, password: str) -> bool | None:
        """Whether the service counts `password` among the leaked; None without a proper answer (fails open)."""
        # The protocol's digest, and not how we keep passwords: those never leave, hashed or not.
        digest = sha1(password.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest().upper()
        url = f"{self.url.rstrip('/')}/{digest[:_PREFIX]}"
        counts, trouble = None, ""
        try:
            reply = await self.outbound.request("GET", url, {"add-padding": "true", "user-agent": "Doorward"})
        except OutboundFailed as failure:
            trouble = failure.reason
        else:
            counts = _counts(reply.body) if reply.status == _OK else None
            trouble = f"answered {reply.status} with something else than a range"
        if counts is None:
            _log.warning("breach_check_failed", reason=trouble)
            return None
        return _is_among(digest[_PREFIX:].encode(), counts)


def _counts(body: bytes) -> list[tuple[bytes, int]] | None:
    """The lines "suffix:count" of an answer; None when one is something else, such as a page of a proxy."""
    found = []
    for line in body.split():
        suffix, _, count = line.partition(b":")
        if len(suffix) != _SUFFIX or not suffix.isalnum() or not count.isdigit() or len(count) > _SUFFIX:
            return None
        found.append((suffix.upper(), int(count)))
    return found or None


def _is_among(wanted: bytes, counts: list[tuple[bytes, int]]) -> bool:
    # Every line is looked at, each in the same time. Lines with a count of 0 are padding.
    found = 0
    for suffix, count in counts:
        found |= compare_digest(suffix, wanted) & (count > 0)
    return bool(found)

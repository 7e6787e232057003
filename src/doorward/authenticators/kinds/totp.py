"""Codes of an authenticator app: TOTP (RFC 6238) with HMAC-SHA-1, six digits and steps of 30 seconds.

SHA-1, because that is what apps can do; HMAC does not rest on the collisions that it has lost (RFC 6194).
"""

import hmac
from base64 import b32decode, b32encode
from dataclasses import dataclass
from secrets import token_bytes
from typing import ClassVar, Final
from urllib.parse import quote

from doorward.authenticators.groups import in_fours, without_gaps
from doorward.authenticators.kind import Computed, Passed, Refused, Secret, State
from doorward.kernel.instant import SECOND, Instant
from doorward.kernel.msgid import msgid

KEY_BYTES: Final = 20  # RFC 4226 §4 R6; NIST SP 800-63B §3.1.4 asks for 112 bits
STEP_SECONDS: Final = 30
DIGITS: Final = 6
FRESH: Final[State] = {"step": None}
"""Before the first use: the step of the latest accepted code, if any."""


@dataclass(frozen=True, slots=True)
class Totp:
    """Fulfils `Computed`. Secret: {"key": base32 without padding}; state: {"step": of the latest accepted code}.

    A code counts in its own step and in the next, for those who were reading it when it changed; `strict`: in its own
    alone, as ASVS 6.5.5 asks. Never earlier, for only a clock that runs ahead of ours has seen it.
    """

    name: ClassVar[str] = "totp"
    title: ClassVar[str] = msgid("Authenticator app")
    per_user: ClassVar[int] = 1
    raises_assurance: ClassVar[bool] = True

    strict: bool = False

    def verify(self, secret: Secret, state: State, answer: str, now: Instant) -> Passed:
        """Compare; a code of the accepted step or of one before it never counts again (ASVS 6.5.1)."""
        typed = without_gaps(answer)
        if len(typed) != DIGITS or not (typed.isascii() and typed.isdigit()):
            raise Refused("malformed")
        key, current = _key(secret), now // (STEP_SECONDS * SECOND)
        first = current if self.strict else max(current - 1, 0)
        # Each is computed and compared, so that the time does not tell which was right.
        right = [step for step in range(first, current + 1) if hmac.compare_digest(code_at(key, step), typed)]
        if not right:
            raise Refused("wrong")
        if state["step"] is not None and right[-1] <= state["step"]:
            raise Refused("used before")
        return Passed({"step": right[-1]}, amr=("otp",))


def code_at(key: bytes, step: int, digits: int = DIGITS) -> str:
    """The code of a step: HOTP of its number (RFC 4226 §5.3)."""
    digest = hmac.digest(key, step.to_bytes(8, "big"), "sha1")
    at = digest[-1] & 0x0F
    number = int.from_bytes(digest[at : at + 4], "big") & 0x7FFF_FFFF
    return f"{number % 10**digits:0{digits}}"


def new_secret() -> Secret:
    """Make one of 160 random bits (ASVS 6.5.3)."""
    return {"key": b32encode(token_bytes(KEY_BYTES)).decode()}


def grouped(secret: Secret) -> str:
    """The key as people type it into an app that cannot see the QR code."""
    return in_fours(secret["key"], " ")


def uri(secret: Secret, issuer: str, account: str) -> str:
    """What the QR code says, in the Key URI Format of authenticator apps.

    There a colon ends the issuer, and neither name may have one of its own, however it is written: it becomes a space.
    """
    site, user = (quote(" ".join(name.replace(":", " ").split()), safe="") for name in (issuer, account))
    parameters = f"secret={secret['key']}&issuer={site}&algorithm=SHA1&digits={DIGITS}&period={STEP_SECONDS}"
    return f"otpauth://totp/{site}:{user}?{parameters}"


def _key(secret: Secret) -> bytes:
    text: str = secret["key"]
    return b32decode(text + "=" * (-len(text) % 8))


KIND: Final[Computed] = Totp()

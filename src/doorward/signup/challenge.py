"""A proof of work or of patience, asked for only where sign-ups come thick and fast. No third party, no puzzle.

The browser looks for the number whose PBKDF2 digest is known; that takes it a second or so, and us one digest to check.
Whoever has no JavaScript waits half a minute instead. Nothing has to be seen, heard or typed (WCAG 2.2, 3.3.8).
"""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from doorward.kernel.errors import RateLimited
from doorward.kernel.instant import SECOND
from doorward.kernel.msgid import msgid
from doorward.ports import Clock, Sealer

NUMBERS: Final = 400  # candidates; on average half of them are tried
ITERATIONS: Final = 20_000  # of PBKDF2-HMAC-SHA-256 for each, about 5 ms
PATIENCE_SECONDS: Final = 30
LIFETIME_SECONDS: Final = 900
Proved: TypeAlias = Literal["work", "patience"]
ASKED: Final = msgid("Many accounts are being made at this moment. One more step shows that you are not a program")
_SALT_BYTES: Final = 16


class ChallengeNeeded(RateLimited):
    """Too many sign-ups for one without a proof; the answer holds what to prove."""

    code = "challenge_required"

    def __init__(self, challenge: "Challenge") -> None:
        """`challenge`: a new one, for this sender only."""
        self.challenge = challenge
        super().__init__(ASKED, retry_after_seconds=PATIENCE_SECONDS, reason="proof of work needed")

    @property
    def members(self) -> dict[str, Any]:
        """What a program needs to solve it."""
        return {**super().members, "challenge": self.challenge.as_json()}


@dataclass(frozen=True, slots=True)
class Challenge:
    """What to solve: find `number` below `numbers` with PBKDF2-HMAC-SHA-256(number, salt, iterations) = target."""

    token: str  # given back with the answer: salt, instant and target under our MAC
    salt: str  # hex
    target: str  # hex

    def as_json(self) -> dict[str, Any]:
        """As an API answers it."""
        return {
            "algorithm": "PBKDF2-HMAC-SHA-256",
            "iterations": ITERATIONS,
            "numbers": NUMBERS,
            "salt": self.salt,
            "target": self.target,
            "token": self.token,
            "patience_seconds": PATIENCE_SECONDS,
        }


@dataclass(frozen=True, slots=True)
class Sent:
    """A challenge that came back, `age_seconds` after it was made."""

    salt: bytes
    target: bytes
    age_seconds: int

    def proved_by(self, number: str) -> Proved | None:
        """How it was met, if it was. Takes some ms: not for the event loop."""
        if number.isascii() and number.isdigit() and len(number) <= len(str(NUMBERS)) and int(number) < NUMBERS:
            solved = hmac.compare_digest(_digest(int(number), self.salt), self.target)
            return "work" if solved else None
        return "patience" if not number and self.age_seconds >= PATIENCE_SECONDS else None


@dataclass(frozen=True, slots=True)
class Challenges:
    """Makes and checks challenges. Keeps nothing: whoever uses it sees to it that each salt counts once."""

    sealer: Sealer
    clock: Clock

    def new(self, network: str) -> Challenge:
        """One for the senders of `network` only. Takes some ms: not for the event loop."""
        salt, number = secrets.token_bytes(_SALT_BYTES), secrets.randbelow(NUMBERS)
        target = _digest(number, salt)
        body = salt + self.clock.now().to_bytes(8, "big") + target
        token = base64.urlsafe_b64encode(body + self._mac(body, network)).decode()
        return Challenge(token, salt.hex(), target.hex())

    def read(self, token: str, network: str) -> Sent | None:
        """What a challenge asks, if it is ours, for this network, and not too old; costs next to nothing."""
        try:
            sent = base64.urlsafe_b64decode(token.encode("ascii", "replace"))
        except ValueError:
            return None
        body, mac = sent[:-32], sent[-32:]
        if len(body) != _SALT_BYTES + 8 + 32 or not hmac.compare_digest(mac, self._mac(body, network)):
            return None
        begun = int.from_bytes(body[_SALT_BYTES:-32], "big")
        age = (self.clock.now() - begun) // SECOND
        return Sent(body[:_SALT_BYTES], body[-32:], age) if 0 <= age < LIFETIME_SECONDS else None

    def _mac(self, body: bytes, network: str) -> bytes:
        return self.sealer.mac(body + network.encode(), "challenge")


def _digest(number: int, salt: bytes) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", str(number).encode(), salt, ITERATIONS)

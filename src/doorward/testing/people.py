"""Whom a test is about, and what they prove who they are with."""

import base64
import hmac
from dataclasses import dataclass, field

from doorward.kernel.instant import SECOND
from doorward.testing.authenticator import SoftwareAuthenticator
from doorward.testing.clock import LiveClock

STEP_SECONDS = 30
_DIGITS = 6


@dataclass(slots=True)
class CodeApp:
    """An authenticator app (RFC 6238) with one key, as people type it."""

    key: str
    clock: LiveClock
    _latest: int = 0

    def code(self) -> str:
        """A code that was not shown before. Where this half minute's was, the clock is moved on to the next."""
        now = self.clock.now()
        step = now // (STEP_SECONDS * SECOND)
        if step <= self._latest:
            step = self._latest + 1
            self.clock.advance((step * STEP_SECONDS * SECOND - now) / SECOND)
        self._latest = step
        return self.code_at(step)

    def earlier_code(self) -> str:
        """That of half a minute ago: it counts as long as no newer one was used."""
        return self.code_at(self.clock.now() // (STEP_SECONDS * SECOND) - 1)

    def code_at(self, step: int) -> str:
        """The code of a step (RFC 4226 §5.3)."""
        text = self.key.replace(" ", "")
        digest = hmac.digest(base64.b32decode(text + "=" * (-len(text) % 8)), step.to_bytes(8, "big"), "sha1")
        at = digest[-1] & 0x0F
        number = int.from_bytes(digest[at : at + 4], "big") & 0x7FFF_FFFF
        return f"{number % 10**_DIGITS:0{_DIGITS}}"


@dataclass(slots=True)
class User:
    """Somebody with an account, and everything that only they have."""

    id: str
    uid: str
    name: str
    email: str | None
    phone: str | None
    password: str | None = field(repr=False)
    passkey: SoftwareAuthenticator | None = field(default=None, repr=False)
    app: CodeApp | None = field(default=None, repr=False)
    recovery_codes: list[str] = field(default_factory=list, repr=False)

    @property
    def sub(self) -> str:
        """What apps know them by: the id."""
        return self.id

"""What is waiting to be confirmed, and how long."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from doorward.kernel.instant import Instant

Purpose: TypeAlias = Literal[
    "sign_up", "email", "email_undo", "phone", "recovery", "sign_in", "invitation", "password", "factor",
    "cool_off_email", "cool_off_phone", "cool_off_stop", "not_me",
]  # fmt: skip
"""What comes about when it is confirmed. `password`: a forced change, by someone who has no proven address. `factor`: a
code that is sent for the second step of a sign-in. `cool_off_*`: of somebody who has lost every second step. `not_me`: an
owner says that what a notice told them of was not their doing."""

State: TypeAlias = Literal["live", "used", "void", "expired", "unknown"]

LIFETIME_SECONDS: Final[Mapping[Purpose, int]] = {
    "sign_up": 24 * 3600,
    "email": 24 * 3600,
    "email_undo": 7 * 24 * 3600,
    "phone": 600,
    "recovery": 3600,  # C23; NIST SP 800-63B §4.2.1.2 allows 24 h by e-mail
    "sign_in": 900,
    "invitation": 7 * 24 * 3600,
    "password": 900,
    "factor": 600,
    "cool_off_email": 600,
    "cool_off_phone": 600,
    "cool_off_stop": 10 * 24 * 3600,
    "not_me": 7 * 24 * 3600,
}
# What of a user is called off when they, or the operator, shut everybody out: a new password, an end of all sessions, a
# change of roles or status. Somebody else may have begun it. `email_undo` and `not_me` stay: they are the way back
# from such a theft, and its first step may be a new password.
ENDS_WITH_SESSIONS: Final[tuple[Purpose, ...]] = (
    "recovery", "sign_in", "password", "email", "phone", "factor", "cool_off_email", "cool_off_phone",
)  # fmt: skip
CODED: Final[frozenset[Purpose]] = frozenset(  # sent with a code, too
    {"sign_up", "email", "phone", "sign_in", "factor", "cool_off_email", "cool_off_phone"}
)
CODE_SECONDS: Final = 600  # C17; ASVS 6.5.5
CODE_DIGITS: Final = 6
MAX_FAILURES: Final = 5  # C14: of all codes together


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A row of `confirmation`. `payload`: what its purpose needs to go on, sealed at rest; empty when it is over."""

    id: str
    purpose: Purpose
    user_id: str | None
    target: str
    target_key: str
    code_mac: bytes | None = field(repr=False)
    code_expires_at: Instant
    failures: int
    holder_digest: bytes | None = field(repr=False)
    locale: str
    created_at: Instant
    expires_at: Instant
    used_at: Instant | None
    voided_at: Instant | None
    payload: Mapping[str, Any] = field(repr=False)

    def state(self, now: Instant) -> State:
        """Whether it can still be confirmed."""
        if self.used_at is not None:
            return "used"
        if self.voided_at is not None:
            return "void"
        return "live" if now < self.expires_at else "expired"

    def held_by(self, holder: bytes | None) -> bool:
        """Whether the browser or session that asks is the one that began."""
        return holder is not None and holder == self.holder_digest


@dataclass(frozen=True, slots=True)
class Opened:
    """A confirmation has begun, or a newer code was made. The secrets leave here once, into a message."""

    id: str
    token: str = field(repr=False)
    code: str = field(repr=False)
    expires_at: Instant
    code_expires_at: Instant


@dataclass(frozen=True, slots=True)
class Submitted:
    """What came back with a token or a code that was right. `is_holder`: in the browser or session that asked.

    `session_id`: of the session that a signed-in user sent it with; `replaced`: a session cookie that a new one
    overwrites.
    """

    password: str | None = field(default=None, repr=False)
    is_holder: bool = False
    session_id: str | None = None
    replaced: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Completed:
    """What came of it. `signed_in`: a `sessions.SignedIn` where a session has begun (`Any`, for sessions lie above).

    `path`: where a page goes on.
    """

    purpose: Purpose
    user_id: str
    path: str
    signed_in: Any = field(default=None, repr=False)

"""What an authenticator of a user is to the rest of the room.

A kind is one file in `kinds/` that ends in `KIND`, a pure value: it never sees the database, HTTP, a clock, the
limiter, the sealer or the audit. So it cannot forget throttling, replay storage, sealing at rest or the sum of what was
shown: `Factors` does those for all kinds alike. Whatever lies in the folder is a kind; its contract tests come with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, TypeAlias, runtime_checkable

from doorward.kernel.instant import Instant
from doorward.ports import Cost

Secret: TypeAlias = Mapping[str, Any]
"""What a kind keeps sealed: JSON, written once when the authenticator is bound."""
State: TypeAlias = Mapping[str, Any]
"""What use changes: JSON, replaced as a whole and only by the one use that saw the state before it."""
Channel: TypeAlias = Literal["email", "phone"]

MFA: Final = "mfa"  # RFC 8176: more than one factor was shown


class Refused(Exception):  # noqa: N818  an answer that is not right is no error
    """The answer does not count. `reason` goes to the audit only; it never holds an answer or a secret."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Passed:
    """An answer that counts: what the state is from now on, and what was shown (RFC 8176).

    `warning`: something odd that is worth an audit row, such as a signature count that went back.
    """

    state: State
    amr: tuple[str, ...]
    warning: str | None = None


@runtime_checkable
class Kind(Protocol):
    """Something one has, besides a password."""

    @property
    def name(self) -> str:
        """As in the database and the API: the name of the file."""
        ...

    @property
    def title(self) -> str:
        """As people read it, a msgid."""
        ...

    @property
    def per_user(self) -> int:
        """How many a user may have; a new one of a kind with 1 takes the place of the old."""
        ...

    @property
    def raises_assurance(self) -> bool:
        """Whether it is a second factor beside a password. A code by e-mail is none (C24)."""
        ...


@runtime_checkable
class Computed(Kind, Protocol):
    """A kind whose answer is a text that is compared with what a secret gives at this moment."""

    def verify(self, secret: Secret, state: State, answer: str, now: Instant) -> Passed:
        """Compare. Raises Refused for everything that does not count, an answer that was used before included."""
        ...


@dataclass(frozen=True, slots=True)
class Derivation:
    """What has to be asked of `Hasher.derive`."""

    text: str = field(repr=False)
    salt: bytes = field(repr=False)
    cost: Cost


@runtime_checkable
class Slow(Computed, Protocol):
    """A kind whose answers have so few bits that only a slow digest of them is kept (ASVS 6.5.2).

    Slow is not pure, so it is done between two steps that are: `derivation` says what to derive, and `verify` compares
    the bytes that came of it, given in hexadecimal. Never hand `verify` what was typed: a digest is no answer.
    """

    def derivation(self, secret: Secret, answer: str) -> Derivation:
        """What to derive of an answer. Raises Refused for one that cannot be right, whatever the secret."""
        ...


@runtime_checkable
class Sent(Kind, Protocol):
    """A kind whose answer is a code that we send somewhere proven; `confirmations` makes, sends and compares it."""

    @property
    def channel(self) -> Channel:
        """Where it goes."""
        ...

    @property
    def amr(self) -> tuple[str, ...]:
        """What a right code shows (RFC 8176)."""
        ...


@dataclass(frozen=True, slots=True)
class Bound:
    """A row of `authenticator`, its secret opened. `version`: see `State`.

    `step`: whether a password alone opens nothing any more because of it. Recovery codes only help those who have lost
    another, and a passkey that a browser made by itself must not lock its owner out of other browsers.
    """

    id: str
    user_id: str
    kind: str
    label: str
    secret: Secret = field(repr=False)
    state: State = field(repr=False)
    version: int
    step: bool
    bound_at: Instant
    last_used_at: Instant | None

"""Who comes with a link or a code, and what each kind of them leads to."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from doorward.confirmations import (
    Completed,
    Confirmation,
    Submitted,
    holder_of_cookie,
    holder_of_session,
)
from doorward.kernel.caller import Caller

Handler: TypeAlias = Callable[[Confirmation, Submitted, Caller], Awaitable[Completed]]
Resend: TypeAlias = Callable[[Confirmation, Caller], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Flow:
    """What one purpose leads to.

    `resend`: makes a newer code and sends it with the same link. `at_verify`: whether its links and codes are taken by
    the pages below /verify; others have pages of their own and come here over JSON only. `new_password_elsewhere`:
    whether a link opened in another browser than the one that asked needs a new password.
    """

    confirm: Handler
    resend: Resend
    at_verify: bool = True
    new_password_elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Visitor:
    """A browser or a program with what it holds.

    `pending`: the cookie of what it began; `session_id`: of the session it is signed in with; `replaced`: the session
    cookie that a new session would overwrite.
    """

    pending: str | None = field(default=None, repr=False)
    session_id: str | None = None
    replaced: str | None = field(default=None, repr=False)

    @property
    def holders(self) -> Sequence[bytes]:
        """What it is known by, the session first."""
        session = None if self.session_id is None else holder_of_session(self.session_id)
        return [holder for holder in (session, holder_of_cookie(self.pending)) if holder is not None]

    def holds(self, found: Confirmation) -> bool:
        """Whether it is the one that asked."""
        return any(found.held_by(holder) for holder in self.holders)

    def submits(self, found: Confirmation, password: str | None) -> Submitted:
        """What it sends along with a link or a code that was right."""
        return Submitted(password or None, self.holds(found), self.session_id, self.replaced)

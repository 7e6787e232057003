"""Users who delete their own account: nobody sees them any more, they can come back for 14 days, then they are erased.

UX-58; ASVS 7.4.2, 14.2.7. Coming back is a sign-in (`UsersService.restore`); what others erase is erased at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from doorward.kernel.caller import Caller
from doorward.kernel.instant import Instant
from doorward.messages import Outbox, Values
from doorward.ports import Clock, Database
from doorward.sessions import Session, Sessions, describe
from doorward.sql import Work
from doorward.users import User, UsersService

Proven: TypeAlias = Callable[[], Work[None]]
"""Makes sure, in the transaction of what it allows, that a proof still holds; raises InvalidCredentials if not."""

# No link to sign in with (C28). Whoever did not ask for it needs a password that nobody else knows, first.
_WAY_BACK: Final = "/recovery"


def by_freshness() -> Work[None]:
    """Nothing more than the fresh authentication of a session."""
    yield from ()


@dataclass(frozen=True, slots=True)
class Leaving:
    """Begins the end of an account, and brings it about."""

    db: Database
    clock: Clock
    users: UsersService
    sessions: Sessions
    outbox: Outbox

    async def leave(self, session: Session, caller: Caller, proven: Proven = by_freshness) -> None:
        """Let the owner of `session` go. Who they are must have been proven; `proven` says so once more at the end.

        Of several at once one goes through. Raises NotSignedIn (the session has ended meanwhile), NotFound, Conflict
        (the last administrator), and what `proven` raises; then nothing has changed.
        """
        now = self.clock.now()

        def work() -> Work[None]:
            user = yield from self.users.locked(session.user_id)
            yield from self.sessions.require_live(session)
            yield from proven()
            due_at = yield from self.users.leave(user.id, caller, now)
            yield from self.sessions.forget_devices(user.id)
            device = describe(caller.user_agent)
            values: Values = {"path": _WAY_BACK, "name": user.name, "device": device, "erased_at": due_at}
            yield from self._tell(user, "account_leaving", user.locale or caller.locale, values)

        await self.db.write(work)

    async def erase_due(self) -> int:
        """Erase those whose 14 days are over; how many. Safe to be called by every worker and node at any time."""
        return await self.users.erase_due(self.clock.now(), also=self._tell_erased)

    def _tell_erased(self, user: User, now: Instant) -> Work[None]:
        yield from self._tell(user, "account_erased", user.locale, {"name": user.name, "happened_at": now})

    def _tell(self, user: User, template: str, locale: str | None, values: Values) -> Work[None]:
        if user.email is not None and user.email_verified:
            yield from self.outbox.mail(template, user.email, locale, values)

"""What owners are told of their passwords, at the address they have proven (C28)."""

from dataclasses import dataclass

from doorward.kernel.instant import Instant
from doorward.messages import Outbox, Values
from doorward.sql import Work
from doorward.users import User


@dataclass(frozen=True, slots=True)
class PasswordNotices:
    """Mails about passwords, each in the transaction of its cause. None goes to a mere claim."""

    outbox: Outbox

    def changed(self, user: User, device: str, now: Instant) -> Work[None]:
        """The password is another one now. `device`: what it was changed on, see `sessions.describe`."""
        values: Values = {"path": "/recovery", "name": user.name, "device": device, "happened_at": now}
        yield from self._mail("password_changed", user, values)

    def many_failures(self, user: User, failures: int, now: Instant) -> Work[None]:
        """Somebody tried many passwords; see `Told`."""
        values: Values = {"path": "/recovery", "name": user.name, "failures": failures, "happened_at": now}
        yield from self._mail("many_failures", user, values)

    def _mail(self, template: str, user: User, values: Values) -> Work[None]:
        if user.status == "active" and user.email is not None and user.email_verified:
            yield from self.outbox.mail(template, user.email, user.locale, values)


@dataclass(frozen=True, slots=True)
class SecurityNotices(PasswordNotices):
    """Takes the place of the above."""

    def new_device(self, user: User, device: str, address: str, now: Instant, place: str = "") -> Work[None]:
        """A."""
        yield from ()

    def factor_added(self, user: User, kind_title: str, label: str, device: str, now: Instant) -> Work[None]:
        """A."""
        yield from ()

    def factor_removed(self, user: User, kind_title: str, label: str, device: str, now: Instant) -> Work[None]:
        """A."""
        yield from ()

    def factor_failed(self, user: User, kind_title: str, device: str, now: Instant) -> Work[None]:
        """A."""
        yield from ()

    def factors_reset(self, user: User, now: Instant) -> Work[None]:
        """A."""
        yield from ()

    def recovery_codes_made(self, user: User, device: str, now: Instant) -> Work[None]:
        """A."""
        yield from ()

    def recovery_code_used(self, user: User, left: int, device: str, now: Instant) -> Work[None]:
        """A."""
        yield from ()

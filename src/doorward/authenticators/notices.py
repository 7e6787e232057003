"""What owners are told of their account, at the address they have proven, and the link by which they say: not me (C28).

No mail has a link to sign in, so that nobody learns to follow one. The link in it signs nobody in either: it leads to a
page of the recovery room, which looks at it and acts.
"""

from dataclasses import dataclass
from typing import Final, Literal

from doorward.authenticators import store
from doorward.confirmations import LIFETIME_SECONDS, Confirmations, Opened
from doorward.kernel.instant import Instant
from doorward.kernel.limits import NoticeLimit
from doorward.messages import Outbox, Values
from doorward.ports import Sealer
from doorward.sql import Work
from doorward.users import User, contact_key, masked

NOT_ME: Final = "/not-me/"
_RECOVERY_MINUTES: Final = LIFETIME_SECONDS["recovery"] // 60


@dataclass(frozen=True, slots=True)
class SecurityNotices:
    """Mails about the security of an account, each in the transaction of its cause. None goes to a mere claim.

    `now`: when it happened, the very instant that is written beside what changed: whoever says that it was not them
    takes back what came about then or later. `device`: what it came from, see `sessions.describe`. Beyond the places of
    `limit` nothing more of the same kind is sent: the owner has been told.
    """

    outbox: Outbox
    confirmations: Confirmations
    sealer: Sealer
    limit: NoticeLimit

    # Passwords and numbers --------------------------------------------------------------------------------------

    def changed(self, user: User, device: str, now: Instant) -> Work[None]:
        """The password is another one now."""
        yield from self._tell(user, "password_changed", {"device": device}, now)

    def many_failures(self, user: User, failures: int, now: Instant) -> Work[None]:
        """Somebody tried many passwords; see `Told`. Nobody got in, so there is nothing to take back."""
        if (yield from self._has_place(user, "many_failures", now)):
            yield from self._mail(user, "many_failures", "/recovery", {"failures": failures}, now)

    def phone_changed(self, user: User, number: str, device: str, now: Instant) -> Work[None]:
        """A number was added or removed."""
        yield from self._tell(user, "phone_changed", {"number": masked(number), "device": device}, now)

    # Devices and factors ----------------------------------------------------------------------------------------

    def new_device(self, user: User, device: str, address: str, now: Instant, place: str = "") -> Work[None]:
        """A browser or program that was not known before has signed in. `place`: roughly where, if that is known."""
        yield from self._tell(user, "new_device", {"device": device, "address": address, "place": place}, now)

    def factor_added(self, user: User, kind_title: str, label: str, device: str, now: Instant) -> Work[None]:
        """An authenticator was bound. `kind_title`: a msgid, see `Kind.title`; `label`: what its owner calls it."""
        yield from self._tell(user, "factor_added", _factor(kind_title, label, device), now)

    def factor_removed(self, user: User, kind_title: str, label: str, device: str, now: Instant) -> Work[None]:
        """An authenticator is gone."""
        yield from self._tell(user, "factor_removed", _factor(kind_title, label, device), now)

    def factor_failed(self, user: User, kind_title: str, device: str, now: Instant) -> Work[None]:
        """The right password, and then a wrong second step: somebody may know the password. Once an hour at most."""
        yield from self._tell(user, "factor_failed", {"kind": kind_title, "device": device}, now)

    def factors_reset(self, user: User, now: Instant) -> Work[None]:
        """An administrator has removed every second step."""
        yield from self._tell(user, "factors_reset", {}, now)

    def recovery_codes_made(self, user: User, device: str, now: Instant) -> Work[None]:
        """There are new recovery codes, and the old ones are void."""
        yield from self._tell(user, "recovery_codes_made", {"device": device}, now)

    def recovery_code_used(self, user: User, left: int, device: str, now: Instant) -> Work[None]:
        """One of them was used; so many are left."""
        yield from self._tell(user, "recovery_code_used", {"left": left, "device": device}, now)

    # Apps -------------------------------------------------------------------------------------------------------

    def app_ended(self, user: User, app: str, device: str, now: Instant) -> Work[None]:
        """What an app was given turned up twice: somebody may have copied it, so it counts no more."""
        yield from self._tell(user, "app_ended", {"app": app, "device": device}, now)

    # Keys for programs ------------------------------------------------------------------------------------------

    def api_key_created(self, user: User, label: str, device: str, now: Instant) -> Work[None]:
        """There is a new API key. `label`: what its owner calls it."""
        yield from self._tell(user, "api_key_created", {"label": label, "device": device}, now)

    def api_key_rotated(self, user: User, label: str, device: str, now: Instant) -> Work[None]:
        """An API key has a new secret."""
        yield from self._tell(user, "api_key_rotated", {"label": label, "device": device}, now)

    # Not me -----------------------------------------------------------------------------------------------------

    def link(self, user: User, what: str, now: Instant, device: str = "", kind: str = "") -> Work[str]:
        """Begin what `recovery.NotMe` acts upon; the path for a notice called `what`.

        For a user with a proven address. The link counts only while that address is theirs.
        """
        address = user.email or ""
        opened = yield from self.confirmations.begin(
            "not_me",
            address,
            contact_key("email", address),
            now=self.confirmations.clock.now(),  # not earlier than a password that was set in this transaction
            user_id=user.id,
            payload={"what": what, "at": now, "device": device, "kind": kind},
            locale=user.locale or "",
        )
        return f"{NOT_ME}{opened.token}"

    def reported(
        self, user: User, opened: Opened, device: str, since: Instant, now: Instant, by: Literal["link", "session"]
    ) -> Work[None]:
        """Somebody said that what happened at `since` was not the owner. `opened`: sets a new password.

        Those who said so by a link and those who were signed in have places of their own.
        """
        if not (yield from self._has_place(user, f"account_reported by {by}", now)):
            return
        values: Values = {"minutes": _RECOVERY_MINUTES, "device": device, "since_at": since}
        yield from self._mail(user, "account_reported", f"/recovery/{opened.token}", values, now, opened.expires_at)

    def _tell(self, user: User, what: str, values: Values, now: Instant) -> Work[None]:
        if (yield from self._has_place(user, what, now)):
            path = yield from self.link(user, what, now, str(values.get("device", "")), str(values.get("kind", "")))
            yield from self._mail(user, what, path, values, now)

    def _has_place(self, user: User, kind: str, now: Instant) -> Work[bool]:
        """Whether a mail of this kind is sent now: there is an address, and a place of the limit, which is taken."""
        if not (self.outbox.can_mail and user.status == "active" and user.email is not None and user.email_verified):
            return False
        key = self.sealer.mac(f"{kind}\0{user.id}".encode(), "notice")
        return (yield from store.take_place(key, self.limit.rate_of(kind), now))

    def _mail(
        self, user: User, template: str, path: str, values: Values, now: Instant, expires_at: Instant | None = None
    ) -> Work[None]:
        filled: Values = {**values, "path": path, "name": user.name, "happened_at": now}
        yield from self.outbox.mail(template, user.email or "", user.locale, filled, expires_at=expires_at)


def _factor(kind_title: str, label: str, device: str) -> Values:
    # One that nobody has named is called like its kind: there is no need to say it twice.
    return {"kind": kind_title, "label": "" if label == kind_title else label, "device": device}

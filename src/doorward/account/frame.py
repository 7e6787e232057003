"""What every account page shows around its own matter."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from doorward.account.contacts import Contacts
from doorward.account.phones import Phones
from doorward.account.steps import Steps
from doorward.authenticators import RECOVERY, recovery_codes_left
from doorward.kernel.errors import Problem
from doorward.kernel.instant import Instant
from doorward.kernel.msgid import msgid
from doorward.sessions import Session, session_of
from doorward.web.csrf import from_our_page
from doorward.web.routing import Call

NOTICES: Final[Mapping[str, str]] = {  # shown after a redirect; the query names one, it never carries text
    "welcome": msgid("Welcome! Your account is ready."),
    "saved": msgid("Your changes are saved."),
    "password": msgid("Your password is changed. Other devices have been signed out."),
    "ended": msgid("That session has ended."),
    "others": msgid("All other sessions have ended."),
    "sent": msgid("We have sent you a message."),
    "confirmed": msgid("Thank you, that is confirmed."),
    "kept": msgid("Your address stays as it is."),
    "restored": msgid("Welcome back! Your account stays."),
    "removed": msgid("Your number is removed."),
    "app-on": msgid("Your authenticator app is set up. Other devices have been signed out."),
    "passkey-on": msgid("Your passkey is set up."),
    "sent-on": msgid("Codes will be sent to you when you sign in."),
    "codes-on": msgid("Your recovery codes are set up. Those of before do not work any more."),
    "renamed": msgid("The new name is saved."),
    "removed-key": msgid("That is removed."),
    "key-off": msgid("That key has ended."),
    "set-up": msgid("Your second step is set up. Other devices have been signed out."),
    "step-kept": msgid("Your second step stays. Choose a new password, too, if it was not you who asked."),
    "without": msgid("Your second step is off. Your password alone opens your account now."),
    "left": msgid("Your account will be erased in 14 days. If you change your mind, sign in before then to keep it."),
}


@dataclass(frozen=True, slots=True)
class NoWayBack:
    """Somebody whom nothing lets back in once they have lost what they sign in with."""

    has_password: bool
    can_mail: bool


@dataclass(frozen=True, slots=True)
class Frame:
    """The navigation, and what a member must not miss: an address to confirm (UX-33), a second step about to be lost.

    And that nothing lets them back in, should they lose what they sign in with.
    `giving_up`: when somebody could get in without the caller's second step, see `signin.CoolOff.pending`.
    """

    contacts: Contacts
    phones: Phones
    steps: Steps
    giving_up: Callable[[Session], Awaitable[Instant | None]]

    async def around(self, call: Call, problem: Problem | None = None) -> dict[str, Any]:
        """The context of an account page: `notice`, `unconfirmed`, `no_way_back`, `phones`, `giving_up`."""
        session = session_of(call)
        return {
            "notice": notice(call, problem),
            "unconfirmed": await self.contacts.unconfirmed(session),
            "no_way_back": await self._no_way_back(session),
            "phones": self.phones.offered,
            "giving_up": await self.giving_up(session),
        }

    async def _no_way_back(self, session: Session) -> NoWayBack | None:
        contact = await self.contacts.users.contact(session.user_id, "email")
        if contact is not None and contact[1] is not None:
            return None
        bound = await self.steps.factors.list_of(session.user_id)
        if any(one.kind == RECOVERY and recovery_codes_left(one) for one in bound):
            return None
        has_password = await self.steps.passwords.has_password(session.user_id)
        return NoWayBack(has_password, self.contacts.outbox.can_mail)


def notice(call: Call, problem: Problem | None) -> str | None:
    """What was just done, if the page comes after a redirect of ours."""
    # A link from elsewhere must not make our page claim that something was done.
    if problem is not None or not from_our_page(call):
        return None
    return next((text for name, text in NOTICES.items() if name in call.request.query_params), None)

"""What every account page shows around its own matter."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from doorward.account.contacts import Contacts
from doorward.account.phones import Phones
from doorward.kernel.errors import Problem
from doorward.kernel.msgid import msgid
from doorward.sessions import session_of
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
    "removed": msgid("Your number is removed."),
    "left": msgid("Your account will be erased in 14 days. If you change your mind, sign in before then to keep it."),
}


@dataclass(frozen=True, slots=True)
class Frame:
    """The navigation, and a reminder of an address that nobody has confirmed (UX-33)."""

    contacts: Contacts
    phones: Phones

    async def around(self, call: Call, problem: Problem | None = None) -> dict[str, Any]:
        """The context of an account page: `notice`, `unconfirmed`, `phones`."""
        return {
            "notice": notice(call, problem),
            "unconfirmed": await self.contacts.unconfirmed(session_of(call)),
            "phones": self.phones.offered,
        }


def notice(call: Call, problem: Problem | None) -> str | None:
    """What was just done, if the page comes after a redirect of ours."""
    # A link from elsewhere must not make our page claim that something was done; every browser of today tells.
    if problem is not None or call.request.headers.get("sec-fetch-site") != "same-origin":
        return None
    return next((text for name, text in NOTICES.items() if name in call.request.query_params), None)

"""How much others can have us send (C15)."""

from dataclasses import dataclass
from typing import Final

from doorward.audit import Refusals
from doorward.kernel.caller import Caller
from doorward.kernel.errors import RateLimited
from doorward.kernel.text import email_key
from doorward.ports import Admission, Limiter

MAIL: Final = "mail"
SMS: Final = "sms"
CONTACT: Final = "contact"
_OPERATOR_DIGITS: Final = 6  # what follows them is one operator's range


@dataclass(frozen=True, slots=True)
class SendLimits:
    """Places for messages that strangers can cause. `limiter` counts durably, so that a restart gives nothing back."""

    limiter: Limiter
    refusals: Refusals

    async def mail(self, purpose: str, address: str, caller: Caller, device_id: str | None = None) -> Admission:
        """Take a place for a mail to `address`, whether or not anybody is known there. Raises RateLimited, Unavailable.

        Each purpose has places of its own, so that mails which let nobody in (somebody else's sign-up) cannot use up
        those that do. `device_id`: a known device of whoever owns the address; strangers cannot use up its places.
        """
        whose = email_key(address) if device_id is None else f"device:{device_id}"
        recipient = f"{purpose} {whose}"
        return await self._admit(MAIL, caller, {"recipient": recipient})

    async def text(self, number: str, caller: Caller, device_id: str | None = None) -> Admission:
        """Take a place for a text message to a number in E.164. Raises RateLimited, Unavailable.

        `device_id`: as in `mail`; the places of the operator's range and of everybody count all the same.
        """
        recipient = number if device_id is None else f"device:{device_id}"
        return await self._admit(SMS, caller, {"recipient": recipient, "prefix": number[:-_OPERATOR_DIGITS]})

    async def of_account(self, user_id: str, caller: Caller) -> Admission:
        """Take a place for a message that a member has us send wherever they like. Raises RateLimited, Unavailable."""
        return await self._admit(CONTACT, caller, {"account": user_id})

    async def _admit(self, action: str, caller: Caller, subjects: dict[str, str]) -> Admission:
        try:
            return await self.limiter.admit(action, caller.address, subjects)
        except RateLimited as refusal:
            await self.refusals.limited(action, refusal, caller)
            raise

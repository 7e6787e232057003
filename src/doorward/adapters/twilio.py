"""Text messages by Twilio's Programmable Messaging.

Written from its published description (github.com/twilio/twilio-oai, spec/json/twilio_api_v2010.json, CreateMessage)
and checked against that. Not run against the vendor.
"""

import json
import re
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode

from doorward.ports.delivery import Deferred, Rejected
from doorward.ports.outbound import Outbound, OutboundFailed, Reply

API: Final = "https://api.twilio.com"
USEFUL_SECONDS: Final = 600  # a code is dead after ten minutes; Twilio then drops what it still holds, uncharged
_SERVICE_SID: Final = re.compile(r"MG[0-9a-fA-F]{32}")
_TO_BE_TRIED_AGAIN: Final = frozenset({408, 425, 429})
_BAD_CREDENTIALS: Final = 20003  # Twilio's own number, with 401 or 403


@dataclass(frozen=True, slots=True)
class TwilioMessenger:
    """Fulfils `ports.sms.TextMessenger`. `sender`: a number, an alphanumeric name, or a messaging service (MG...)."""

    outbound: Outbound
    account_sid: str
    auth_token: str = field(repr=False)
    sender: str
    api: str = API

    async def send(self, message_id: str, to: str, text: str) -> None:  # noqa: ARG002  Twilio has no place for an id
        """Hand over one message; see `ports.sms`."""
        who = "MessagingServiceSid" if _SERVICE_SID.fullmatch(self.sender) else "From"
        form = {"To": to, who: self.sender, "Body": text, "ValidityPeriod": str(USEFUL_SECONDS)}
        headers = {"authorization": self._authorization, "content-type": "application/x-www-form-urlencoded"}
        url = f"{self.api}/2010-04-01/Accounts/{self.account_sid}/Messages.json"
        reason = None
        try:
            reply = await self.outbound.request("POST", url, headers, urlencode(form).encode())
        except OutboundFailed as failure:
            reason = f"Twilio: {failure.reason}"
        else:
            _judge(reply)
        if reason is not None:
            raise Deferred(reason)

    @property
    def _authorization(self) -> str:
        return "Basic " + b64encode(f"{self.account_sid}:{self.auth_token}".encode()).decode()


def _judge(reply: Reply) -> None:
    """Raise what an answer amounts to, unless the message was taken. Its sentences name the number: none is kept."""
    status, code = reply.status, _error_code(reply.body)
    if 200 <= status < 300:  # noqa: PLR2004  RFC 9110 §15.3
        return
    told = f"Twilio answered {status}" + (f" (error {code})" if code is not None else "")
    if status == 401 or code == _BAD_CREDENTIALS:  # noqa: PLR2004  RFC 9110 §15.5.2
        raise Deferred(f"{told}: look at [sms] twilio_account_sid and twilio_auth_token")
    if status in _TO_BE_TRIED_AGAIN or not 400 <= status < 500:  # noqa: PLR2004  RFC 9110 §15.5
        raise Deferred(told)
    raise Rejected(told)


def _error_code(body: bytes) -> int | None:
    """Twilio's number for what went wrong, such as 21211; None where none can be read."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return None
    code = told.get("code") if isinstance(told, dict) else None
    return code if type(code) is int else None

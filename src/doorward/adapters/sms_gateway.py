"""Text messages by any gateway that takes an HTTP request for each."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from doorward.ports.delivery import Deferred, Rejected
from doorward.ports.outbound import Outbound, OutboundFailed, Reply

JSON: Final = "application/json"
_PLACES: Final = re.compile(r"\{(to|text)\}")
_TO_BE_TRIED_AGAIN: Final = frozenset({408, 425, 429})
_BAD_CREDENTIALS: Final = frozenset({401, 403})


@dataclass(frozen=True, slots=True)
class GatewayMessenger:
    """Fulfils `ports.sms.TextMessenger`.

    `body`: what to send, with places {to} and {text}, which are filled as JSON strings with their quotes, or
    percent-encoded where `content_type` is that of a form.
    """

    outbound: Outbound
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: str
    content_type: str = JSON

    async def send(self, message_id: str, to: str, text: str) -> None:
        """Hand over one message; see `ports.sms`. A gateway that heeds Idempotency-Key sends none twice."""
        headers = {**self.headers, "content-type": self.content_type, "idempotency-key": message_id}
        reason = None
        try:
            reply = await self.outbound.request("POST", self.url, headers, self._filled(to, text))
        except OutboundFailed as failure:
            reason = f"the gateway: {failure.reason}"
        else:
            _judge(reply)
        if reason is not None:
            raise Deferred(reason)

    def _filled(self, to: str, text: str) -> bytes:
        # In one go: a text that holds "{to}" is not filled in turn.
        values = {"to": to, "text": text}
        return _PLACES.sub(lambda place: self._encoded(values[place[1]]), self.body).encode()

    def _encoded(self, value: str) -> str:
        return json.dumps(value) if self.content_type == JSON else quote(value, safe="")


def _judge(reply: Reply) -> None:
    """Raise what an answer amounts to, unless the message was taken. What it says may quote us, so none is kept."""
    status = reply.status
    if 200 <= status < 300:  # noqa: PLR2004  RFC 9110 §15.3
        return
    told = f"the gateway answered {status}"
    if status in _BAD_CREDENTIALS:
        raise Deferred(f"{told}: look at [sms] url and headers")
    if status in _TO_BE_TRIED_AGAIN or status >= 500:  # noqa: PLR2004  RFC 9110 §15.6
        raise Deferred(told)
    raise Rejected(told + (": redirects are not followed" if status < 400 else ""))  # noqa: PLR2004  RFC 9110 §15.4

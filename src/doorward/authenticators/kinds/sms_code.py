"""A code by text message to a proven number (C24).

NIST SP 800-63B §3.1.3.3 restricts it: a number can be taken over. So it is off unless the operator turns it on.
"""

from typing import Final

from doorward.authenticators.kind import Channel, Sent
from doorward.kernel.msgid import msgid


class SmsCode:
    """Fulfils `Sent`."""

    name: Final = "sms_code"
    title: Final = msgid("Text message")
    per_user: Final = 1
    raises_assurance: Final = True
    channel: Final[Channel] = "phone"
    amr: Final = ("sms",)


KIND: Final[Sent] = SmsCode()

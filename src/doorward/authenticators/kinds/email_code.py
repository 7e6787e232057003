"""A code by e-mail to the proven address: a second step, but no second factor (C24; NIST SP 800-63B §3.1.3.1).

Whoever reads the mailbox can have the password replaced, so mailbox and password are not two things.
"""

from typing import Final

from doorward.authenticators.kind import Channel, Sent
from doorward.kernel.msgid import msgid


class EmailCode:
    """Fulfils `Sent`."""

    name: Final = "email_code"
    title: Final = msgid("E-mail")
    per_user: Final = 1
    raises_assurance: Final = False
    channel: Final[Channel] = "email"
    amr: Final = ("otp",)


KIND: Final[Sent] = EmailCode()

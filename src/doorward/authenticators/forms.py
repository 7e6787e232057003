"""Fields of forms for passwords and codes, and the picture for an authenticator app."""

import asyncio

from markupsafe import Markup

from doorward.authenticators.password import PasswordPolicy
from doorward.authenticators.policy import RECOVERY
from doorward.authenticators.qr import qr_svg
from doorward.kernel.msgid import msgid
from doorward.web.forms import FormField


def new_password_field(policy: PasswordPolicy, name: str = "password", label: str = "") -> FormField:
    """A field for a new password: asked once, its minimum told before typing, and no maximum in the way (C6)."""
    return FormField(
        name,
        label or msgid("Password"),
        "password",
        required=True,
        autocomplete="new-password",
        hint=msgid("At least %(minimum)s characters. A few words that only you would put together work well."),
        params={"minimum": policy.minimum_length},
        attributes={"minlength": str(policy.minimum_length)},
        messages=policy.messages,
        advice=policy.advice,
    )


def password_field(name: str = "password", label: str = "") -> FormField:
    """A field for the password one has."""
    return FormField(
        name,
        label or msgid("Password"),
        "password",
        required=True,
        autocomplete="current-password",
        messages={"required": msgid("Enter your password")},
    )


def code_field(kind: str) -> FormField:
    """The one field for a code, of digits or of a recovery code (UX-30)."""
    is_recovery = kind == RECOVERY
    return FormField(
        "code",
        msgid("Recovery code") if is_recovery else msgid("Code"),
        "text",
        required=True,
        autocomplete="off" if is_recovery else "one-time-code",
        hint=msgid("16 letters and digits. Case and gaps do not matter.")
        if is_recovery
        else msgid("Six digits. Spaces do not matter."),
        attributes={"dir": "ltr", "spellcheck": "false", "autocapitalize": "off"}
        | ({} if is_recovery else {"inputmode": "numeric"}),
        messages={"required": msgid("Enter the code")},
    )


async def qr_of(uri: str) -> Markup:
    """The picture for an app. Drawing it takes some ms, so not on the event loop."""
    drawn = await asyncio.to_thread(qr_svg, uri)
    return Markup(drawn)  # noqa: S704  two paths of numbers: no text of anybody is in it

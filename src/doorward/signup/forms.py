"""Fields that only a newcomer's form has."""

from doorward.kernel.msgid import msgid
from doorward.signup.passwords import CONFIRMATION, DIFFERENT, PASSWORD
from doorward.web.forms import FormField


def confirmation_field() -> FormField:
    """The field for typing it a second time."""
    again = msgid("Enter the password once more")
    return FormField(
        CONFIRMATION,
        msgid("Password once more"),
        "password",
        required=True,
        autocomplete="new-password",
        attributes={"matches": PASSWORD},
        messages={"required": again, "mismatch": DIFFERENT},
    )

"""Password fields of forms."""

from doorward.authenticators.password import PasswordPolicy
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

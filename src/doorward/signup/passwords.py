"""What is wrong with a newcomer's password."""

from collections.abc import Sequence
from typing import Final

from doorward.authenticators import PasswordPolicy
from doorward.kernel.errors import FieldError, Invalid
from doorward.kernel.msgid import msgid

PASSWORD: Final = "password"  # noqa: S105  the name of a field
CONFIRMATION: Final = "password_confirmation"
DIFFERENT: Final = msgid("The two passwords are not the same")


def password_errors(
    policy: PasswordPolicy, password: object, context: Sequence[str], confirmation: str | None = None
) -> tuple[FieldError, ...]:
    """Every fault that can be found before hashing. `context`: see `PasswordPolicy.check`.

    `confirmation`: what was typed a second time, where that was asked for (ADR 3).
    """
    if password is None or password == "":
        return (FieldError(PASSWORD, "required", msgid("Enter a password")),)
    if not isinstance(password, str):
        return (FieldError(PASSWORD, "wrong_type", msgid("This must be text")),)
    try:
        policy.check(password, context=context)
    except Invalid as invalid:
        return invalid.errors
    return () if confirmation in {None, password} else (FieldError(CONFIRMATION, "mismatch", DIFFERENT),)

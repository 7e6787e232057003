"""What is wrong with a newcomer's password."""

from collections.abc import Sequence
from typing import Final

from doorward.authenticators import PasswordPolicy
from doorward.kernel.errors import FieldError, Invalid
from doorward.kernel.msgid import msgid

PASSWORD: Final = "password"  # noqa: S105  the name of a field


def password_errors(policy: PasswordPolicy, password: object, context: Sequence[str]) -> tuple[FieldError, ...]:
    """Every fault that can be found before hashing. `context`: see `PasswordPolicy.check`."""
    if password is None or password == "":
        return (FieldError(PASSWORD, "required", msgid("Enter a password")),)
    if not isinstance(password, str):
        return (FieldError(PASSWORD, "wrong_type", msgid("This must be text")),)
    try:
        policy.check(password, context=context)
    except Invalid as invalid:
        return invalid.errors
    return ()

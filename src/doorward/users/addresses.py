"""The address that somebody types who is not signed in."""

from collections.abc import Mapping
from typing import Any, Final

from doorward.kernel.errors import FieldError, Invalid
from doorward.kernel.msgid import msgid
from doorward.users.rules import core_rule

EMAIL: Final = "email"
_UNKNOWN: Final = msgid("This field is not known here")


def decode_address(body: Mapping[str, Any]) -> str:
    """The `email` of a body that holds nothing else. Raises Invalid naming every bad field.

    Judged by the text alone: what is wrong with it is said before anybody looks whether somebody has it (C16).
    """
    errors = [FieldError(name, "unknown_field", _UNKNOWN) for name in body if name != EMAIL]
    address = body.get(EMAIL)
    if error := core_rule(EMAIL).error("" if address is None else address):
        errors.insert(0, error)
    if errors or not isinstance(address, str):
        raise Invalid(errors)
    return address

"""What someone sends to sign in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from doorward.kernel.errors import FieldError, Invalid
from doorward.kernel.msgid import msgid
from doorward.sessions import Transport

MAX_IDENTIFIER = 320
NO_IDENTIFIER = msgid("Enter your username or e-mail address")


@dataclass(frozen=True, slots=True)
class Credentials:
    """An identifier, its password, and how the session shall travel."""

    identifier: str
    password: str
    transport: Transport = "cookie"

    def __repr__(self) -> str:
        """Never shows the password."""
        return f"Credentials(identifier={self.identifier!r}, transport={self.transport!r})"


def decode_credentials(body: Mapping[str, Any], identifier_field: str = "identifier") -> Credentials:
    """Read credentials from a JSON object or a form. Raises Invalid naming every bad field."""
    allowed = {identifier_field, "password", "transport"}
    errors = [
        FieldError(name, "unknown_field", msgid("This field is not known here")) for name in body if name not in allowed
    ]
    texts: dict[str, str] = {}
    for name, asked in ((identifier_field, NO_IDENTIFIER), ("password", msgid("Enter your password"))):
        value = body.get(name)
        if value is None or value == "":
            errors.append(FieldError(name, "required", asked))
        elif not isinstance(value, str):
            errors.append(FieldError(name, "wrong_type", msgid("This must be text")))
        elif len(value) > MAX_IDENTIFIER and name == identifier_field:
            errors.append(FieldError(name, "too_long", msgid("This is too long")))
        else:
            texts[name] = value
    transport = body.get("transport", "cookie")
    if transport not in ("cookie", "bearer"):
        errors.append(FieldError("transport", "out_of_range", msgid("Choose cookie or bearer")))
    if errors:
        raise Invalid(errors)
    return Credentials(texts[identifier_field], texts["password"], transport)

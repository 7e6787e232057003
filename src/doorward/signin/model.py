"""What someone sends to sign in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from doorward.kernel.errors import FieldError, Invalid
from doorward.kernel.msgid import msgid
from doorward.sessions import Session, Transport

MAX_IDENTIFIER = 320
NO_PASSWORD = msgid("Enter your password")
NO_KIND = msgid("Say which way you choose")
UNKNOWN = msgid("This field is not known here")
NOT_TEXT = msgid("This must be text")
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


@dataclass(frozen=True, slots=True)
class Renewed:
    """A session whose user has proven anew who they are, with its new secret."""

    session: Session
    token: str = field(repr=False)


def decode_credentials(
    body: Mapping[str, Any], identifier_field: str = "identifier", *, with_transport: bool = False
) -> Credentials:
    """Read credentials from a JSON object or a form. Raises Invalid naming every bad field."""
    asked = {identifier_field: NO_IDENTIFIER, "password": NO_PASSWORD}
    texts, errors = _texts(body, asked, also=("transport",) if with_transport else ())
    if len(texts.get(identifier_field, "")) > MAX_IDENTIFIER:
        errors.append(FieldError(identifier_field, "too_long", msgid("This is too long")))
    transport: Transport = body.get("transport", "cookie") if with_transport else "cookie"
    if transport not in ("cookie", "bearer"):
        errors.append(FieldError("transport", "out_of_range", msgid("Choose cookie or bearer")))
    if errors:
        raise Invalid(errors)
    return Credentials(texts[identifier_field], texts["password"], transport)


@dataclass(frozen=True, slots=True)
class Answered:
    """What somebody sends at the second step: a code, or what their browser gave for a passkey."""

    kind: str
    answer: object = field(repr=False)
    ticket: str | None = field(default=None, repr=False)


def decode_answer(body: Mapping[str, Any], *, needs_answer: bool = True) -> Answered:
    """Read an answer of the second step. Raises Invalid naming every bad field."""
    known = ("kind", "code", "credential", "ticket") if needs_answer else ("kind", "ticket")
    errors = [FieldError(name, "unknown_field", UNKNOWN) for name in body if name not in known]
    kind, ticket = body.get("kind"), body.get("ticket")
    if not isinstance(kind, str):
        errors.append(FieldError("kind", "required", NO_KIND))
    if ticket is not None and not isinstance(ticket, str):
        errors.append(FieldError("ticket", "wrong_type", NOT_TEXT))
    is_passkey = kind == "passkey"
    answer = body.get("credential" if is_passkey else "code")
    if needs_answer and not is_passkey and answer is not None and not isinstance(answer, str):
        errors.append(FieldError("code", "wrong_type", NOT_TEXT))
    if errors or not isinstance(kind, str):
        raise Invalid(errors)
    return Answered(kind, answer, ticket if isinstance(ticket, str) else None)


def decode_password(body: Mapping[str, Any]) -> str:
    """Read the password of someone who is known already. Raises Invalid naming every bad field."""
    texts, errors = _texts(body, {"password": NO_PASSWORD})
    if errors:
        raise Invalid(errors)
    return texts["password"]


def _texts(
    body: Mapping[str, Any], asked: Mapping[str, str], also: Sequence[str] = ()
) -> tuple[dict[str, str], list[FieldError]]:
    """The asked fields that are texts, and what is wrong with the others. `asked`: name -> what to say without it."""
    unknown = [name for name in body if name not in asked and name not in also]
    errors = [FieldError(name, "unknown_field", UNKNOWN) for name in unknown]
    texts: dict[str, str] = {}
    for name, missing in asked.items():
        value = body.get(name)
        if value is None or value == "":
            errors.append(FieldError(name, "required", missing))
        elif not isinstance(value, str):
            errors.append(FieldError(name, "wrong_type", NOT_TEXT))
        else:
            texts[name] = value
    return texts, errors

"""What a user is, and what others ask to become of one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from doorward.kernel.caller import Caller
from doorward.kernel.instant import Instant
from doorward.kernel.text import email_key, uid_key

Status: TypeAlias = Literal["active", "disabled", "leaving"]
"""`leaving`: asked to be deleted; nobody sees them, and they can come back for LEAVING_DAYS."""
ContactKind: TypeAlias = Literal["email", "phone"]
Viewer: TypeAlias = Literal["public", "member", "self", "admin"]

ACTIVE: Final[Status] = "active"
LEAVING: Final[Status] = "leaving"
LEAVING_DAYS: Final = 14  # from the wish to the end (UX-58)
ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class User:
    """One user as stored. `email` is a claim until `email_verified`."""

    id: str
    uid: str
    name: str
    email: str | None
    email_verified: bool
    dob: str | None  # ISO 8601
    status: Status
    roles: tuple[str, ...]
    fields: Mapping[str, Any]  # custom fields that have a value
    legacy_id: str | None  # source:id in the system it was imported from
    version: int  # goes up by one with every change
    created_at: Instant
    updated_at: Instant
    locale: str | None = None  # the language of messages to them, as far as they have chosen one


@dataclass(frozen=True, slots=True)
class NewUser:
    """Someone who may become a user: every value is valid, but the handle may yet be taken."""

    uid: str
    name: str
    email: str | None = None
    dob: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    legacy_id: str | None = None
    locale: str | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """Valid new values; None takes a value away. What is not named stays.

    `increments`: what is added to whole numbers as they are in the transaction of the change.
    """

    core: Mapping[str, str | None] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    increments: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Departure:
    """A user who is leaving, when they asked for it, and when they are erased unless they come back."""

    user_id: str
    uid: str
    asked_at: Instant
    due_at: Instant


@dataclass(frozen=True, slots=True)
class SessionsEnd:
    """Why every session of a user ends, and by whose doing."""

    caller: Caller
    actor_id: str | None
    why: str


def contact_key(kind: ContactKind, value: str) -> str:
    """What two addresses, or two numbers in E.164, are compared by."""
    return email_key(value) if kind == "email" else value


def identifier_key(text: str) -> str:
    """What decides whom an identifier names: two texts with one key name the same user, or both name nobody."""
    typed = text.strip()
    return email_key(typed) if "@" in typed else uid_key(typed)

"""What can be sent, and what each message is filled with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from doorward.kernel.instant import Instant

Kind: TypeAlias = Literal["mail", "sms"]
MessageState: TypeAlias = Literal["queued", "sent", "failed", "void"]
Values: TypeAlias = Mapping[str, str | int | None]

# Template -> what fills it, with a sample for previews. A value called `path` is a path of ours; the rendering puts
# public_url before it and calls it `link`. Values called `*_at` are instants (µs). `kind` and `device` may be msgids:
# they are said in the recipient's language.
MAILS: Final[Mapping[str, Values]] = {
    "confirm_sign_up": {"path": "/verify/SAMPLE", "code": "123456", "hours": 24, "minutes": 10},
    "known_sign_up": {"path": "/sign-in", "recovery_path": "/recovery", "device": "Firefox on Linux"},
    "confirm_email": {"path": "/verify/SAMPLE", "code": "123456", "hours": 24, "minutes": 10, "name": "Ada"},
    "email_changed": {"path": "/undo/SAMPLE", "days": 7, "name": "Ada", "new_email": "ada@example.org"},
    "recovery": {"path": "/recovery/SAMPLE", "minutes": 60, "name": "Ada", "device": "Firefox on Linux"},
    "password_changed": {"path": "/not-me/SAMPLE", "name": "Ada", "device": "Firefox on Linux", "happened_at": 0},
    "phone_changed": {"path": "/not-me/SAMPLE", "name": "Ada", "number": "+49 … 78", "device": "Firefox on Linux",
                      "happened_at": 0},
    "new_device": {"path": "/not-me/SAMPLE", "name": "Ada", "device": "Firefox on Linux", "address": "192.0.2.7",
                   "place": "Berlin, Germany", "happened_at": 0},
    "factor_added": {"path": "/not-me/SAMPLE", "name": "Ada", "kind": "Authenticator app", "label": "My phone",
                     "device": "Firefox on Linux", "happened_at": 0},
    "factor_removed": {"path": "/not-me/SAMPLE", "name": "Ada", "kind": "Authenticator app", "label": "My phone",
                       "device": "Firefox on Linux", "happened_at": 0},
    "factor_failed": {"path": "/not-me/SAMPLE", "name": "Ada", "kind": "Authenticator app",
                      "device": "Firefox on Linux", "happened_at": 0},
    "factors_reset": {"path": "/not-me/SAMPLE", "name": "Ada", "happened_at": 0},
    "recovery_codes_made": {"path": "/not-me/SAMPLE", "name": "Ada", "device": "Firefox on Linux", "happened_at": 0},
    "recovery_code_used": {"path": "/not-me/SAMPLE", "name": "Ada", "left": 3, "device": "Firefox on Linux",
                           "happened_at": 0},
    "app_ended": {"path": "/not-me/SAMPLE", "name": "Ada", "app": "Notes", "device": "Firefox on Linux",
                  "happened_at": 0},
    "api_key_created": {"path": "/not-me/SAMPLE", "name": "Ada", "label": "Nightly report",
                        "device": "Firefox on Linux", "happened_at": 0},
    "api_key_rotated": {"path": "/not-me/SAMPLE", "name": "Ada", "label": "Nightly report",
                        "device": "Firefox on Linux", "happened_at": 0},
    "api_key_expires": {"path": "/account/keys", "name": "Ada", "label": "Nightly report", "expires_at": 0},
    "account_reported": {"path": "/recovery/SAMPLE", "minutes": 60, "name": "Ada", "device": "Firefox on Linux",
                         "since_at": 0, "happened_at": 0},
    "sign_in_link": {"path": "/sign-in/link/SAMPLE", "code": "123456", "minutes": 10, "device": "Firefox on Linux"},
    "factor_code": {"code": "123456", "minutes": 10, "device": "Firefox on Linux"},
    "cool_off_begun": {
        "path": "/cool-off/SAMPLE",
        "name": "Ada",
        "device": "Firefox on Linux",
        "due_at": 0,
        "hours": 72,
    },
    "many_failures": {"path": "/recovery", "name": "Ada", "failures": 100, "happened_at": 0},
    "password_compromised": {"path": "/recovery/SAMPLE", "minutes": 60, "name": "Ada"},
    "account_leaving": {"path": "/recovery", "name": "Ada", "device": "Firefox on Linux", "erased_at": 0},
    "account_erased": {"name": "Ada", "happened_at": 0},
    "invitation": {"path": "/invitation/SAMPLE", "days": 7},
    "test": {"happened_at": 0},
}  # fmt: skip
TEXTS: Final[Mapping[str, Values]] = {
    "confirm_phone": {"code": "123456", "minutes": 10},
    "step_code": {"code": "123456", "minutes": 10},
    "cool_off_text": {"hours": 72},
}
VOID: Final = "void"  # the template of a row that is written for the sake of equal work only
FOR_EVER: Final[Instant] = 2**62


@dataclass(frozen=True, slots=True)
class Message:
    """A message in the outbox, without what fills it. `error`: what the other side said last."""

    id: str
    kind: Kind
    template: str
    recipient: str
    locale: str
    state: MessageState
    attempts: int
    due_at: Instant
    expires_at: Instant
    created_at: Instant
    done_at: Instant | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Unsent:
    """A message with what fills it, for the development mailbox."""

    id: str
    kind: Kind
    template: str
    recipient: str
    locale: str
    values_sealed: bytes = field(repr=False)
    created_at: Instant


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message that is being sent. `attempts` counts this try and tells its outcome from that of another one."""

    id: str
    kind: Kind
    template: str
    recipient: str = field(repr=False)
    locale: str
    values_sealed: bytes = field(repr=False)
    attempts: int
    expires_at: Instant
    error: str | None

"""What a key for programs is, what it may do, and how one is asked for."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any, Final

from doorward.kernel.addresses import Network
from doorward.kernel.errors import FieldError, Invalid
from doorward.kernel.instant import Instant
from doorward.kernel.msgid import msgid
from doorward.kernel.text import flaw

DEFAULT_DAYS: Final = 90
LONGEST_DAYS: Final = 365
REMIND_DAYS: Final = 7  # before the end
KEEP_DAYS: Final = 30  # after it, in the list
MAX_KEYS: Final = 20  # of a user
MAX_NETWORKS: Final = 20
NAME_LONGEST: Final = 60
OVERLAP_HOURS: Final = 24  # both secrets work after a rotation, unless asked otherwise
LONGEST_OVERLAP: Final = 168
ADMIN: Final = "admin"

_SCOPE = re.compile(r"[a-z][a-z0-9_.-]*(:[a-z0-9_.-]+)*")
_SCOPE_LONGEST: Final = 60
_FIELDS: Final = ("name", "scopes", "days", "networks", "per_minute")

_NAME_NEEDED = msgid("Give the key a name")
_NAME_LONG = msgid("The name may have at most %(maximum)s characters")
_NAME_FLAW = msgid("The name must be visible text on one line")
_SCOPE_NEEDED = msgid("Choose what the key may do")
_SCOPE_UNKNOWN = msgid("There is no such scope, or not for you")
_DAYS = msgid("Choose a number of days from 1 to %(maximum)s")
_NETWORK = msgid("Enter addresses or networks such as 192.0.2.7 or 192.0.2.0/24")
_NETWORKS_MANY = msgid("Enter at most %(maximum)s networks")
_PER_MINUTE = msgid("Choose a number from 1 to %(maximum)s")
_OVERLAP = msgid("Choose a number of hours from 0 to %(maximum)s")
_UNKNOWN = msgid("This field is not known here")


@dataclass(frozen=True, slots=True)
class Scope:
    """One thing that keys may do. `description`: a msgid, or the operator's own words; `admin`: for them alone."""

    name: str
    description: str
    admin: bool = False


OWN_SCOPES: Final[Mapping[str, Scope]] = {
    scope.name: scope
    for scope in (
        Scope("profile:read", msgid("Read your profile")),
        Scope("profile:write", msgid("Change your profile, but not your address or anything you sign in with")),
        Scope("activity:read", msgid("Read what happened to your account")),
        Scope("users:read", msgid("Read other users, as far as you may")),
        Scope("users:write", msgid("Write the fields of any user that apps may write"), admin=True),
        Scope("events:read", msgid("Read what happens to users, to keep an app up to date"), admin=True),
    )
}
# Scopes of OpenID Connect mean something to other programs; a key must not seem to have them.
RESERVED: Final = frozenset({"openid", "profile", "email", "phone", "address", "offline_access", "revocations"})


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secrets. `secrets`: how many open something; `old_until`: how long the one before still does.

    `networks` empty: from anywhere. `per_minute` None: as limits.toml says.
    """

    id: str
    user_id: str
    name: str
    hint: str
    scopes: tuple[str, ...]
    networks: tuple[str, ...]
    per_minute: int | None
    created_at: Instant
    expires_at: Instant
    last_used_at: Instant | None
    last_address: str | None
    old_until: Instant | None = None

    def takes(self, address: str) -> bool:
        """Whether it may be used from an address."""
        return not self.networks or _is_within(address, [ip_network(text) for text in self.networks])


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants of a key; every value is valid."""

    name: str
    scopes: tuple[str, ...]
    days: int = DEFAULT_DAYS
    networks: tuple[str, ...] = ()
    per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A key with its new secret, which leaves here once and is kept nowhere."""

    key: ApiKey
    secret: str = field(repr=False)


def check_scopes(declared: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What is wrong with the scopes of the configuration: (name, why)."""
    for name, description in declared.items():
        if not _SCOPE.fullmatch(name) or len(name) > _SCOPE_LONGEST:
            yield name, "a scope is called like orders:read: lower-case letters, digits, _ . - and colons"
        elif name in OWN_SCOPES or name in RESERVED:
            yield name, "this scope has a meaning of its own; choose another name"
        if not description.strip() or not description.isprintable():
            yield name, "say in one line what it lets a program do"


def decode(body: Mapping[str, Any], known: Mapping[str, Scope], most_per_minute: int) -> Asked:
    """What a body asks for. `known`: the scopes that its sender may give. Raises Invalid naming every bad field."""
    found: dict[str, Any] = {}
    errors = [FieldError(name[:80], "unknown_field", _UNKNOWN) for name in body if name not in _FIELDS]
    for name, read in (
        ("name", _read_name),
        ("scopes", lambda value: _read_scopes(value, known)),
        ("days", read_days),
        ("networks", _read_networks),
        ("per_minute", lambda value: _read_per_minute(value, most_per_minute)),
    ):
        value = read(body.get(name))
        if isinstance(value, FieldError):
            errors.append(value)
        else:
            found[name] = value
    if errors:
        raise Invalid(errors)
    return Asked(**found)


def read_form(form: Mapping[str, str]) -> dict[str, Any]:
    """The body that JSON would have. Text that is no number stays text, for `decode` to refuse it."""
    body: dict[str, Any] = {
        "name": form.get("name", ""),
        "scopes": [name.removeprefix("scope-") for name, value in form.items() if name.startswith("scope-") and value],
        "networks": re.split(r"[\s,]+", form.get("networks", "").strip()) if form.get("networks", "").strip() else [],
    }
    for name in ("days", "per_minute"):
        text = form.get(name, "").strip()
        if text:
            body[name] = int(text) if text.isascii() and text.isdigit() and len(text) < len("1000000") else text
    return body


def read_days(value: object) -> int | FieldError:
    """A number of days, or what is wrong with it."""
    if value is None:
        return DEFAULT_DAYS
    if type(value) is int and 1 <= value <= LONGEST_DAYS:
        return value
    return FieldError("days", "out_of_range", _DAYS, {"maximum": LONGEST_DAYS})


def read_overlap(value: object) -> int | FieldError:
    """A number of hours, or what is wrong with it."""
    if value is None:
        return OVERLAP_HOURS
    if type(value) is int and 0 <= value <= LONGEST_OVERLAP:
        return value
    return FieldError("overlap_hours", "out_of_range", _OVERLAP, {"maximum": LONGEST_OVERLAP})


def _read_name(value: object) -> str | FieldError:
    if not isinstance(value, str) or not value.strip():
        return FieldError("name", "required", _NAME_NEEDED)
    name = value.strip()
    if len(name) > NAME_LONGEST:
        return FieldError("name", "too_long", _NAME_LONG, {"maximum": NAME_LONGEST})
    return FieldError("name", "control_character", _NAME_FLAW) if flaw(name) is not None else name


def _read_scopes(value: object, known: Mapping[str, Scope]) -> tuple[str, ...] | FieldError:
    if not isinstance(value, list) or not value:
        return FieldError("scopes", "required", _SCOPE_NEEDED)
    if not all(isinstance(one, str) and one in known for one in value):
        return FieldError("scopes", "unknown", _SCOPE_UNKNOWN)
    return tuple(name for name in known if name in value)


def _read_networks(value: object) -> tuple[str, ...] | FieldError:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        return FieldError("networks", "wrong_type", _NETWORK)
    if len(value) > MAX_NETWORKS:
        return FieldError("networks", "too_many", _NETWORKS_MANY, {"maximum": MAX_NETWORKS})
    try:
        networks = [ip_network(one.strip()) for one in value]
    except ValueError:
        return FieldError("networks", "not_a_network", _NETWORK)
    if any(network.prefixlen == 0 for network in networks):  # everywhere is said by naming none
        return FieldError("networks", "not_a_network", _NETWORK)
    return tuple(dict.fromkeys(map(str, networks)))


def _read_per_minute(value: object, most: int) -> int | FieldError | None:
    if value is None or (type(value) is int and 1 <= value <= most):
        return value
    return FieldError("per_minute", "out_of_range", _PER_MINUTE, {"maximum": most})


def _is_within(address: str, networks: Sequence[Network]) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return any((mapped or parsed) in network for network in networks)

"""A small model of people and their sessions, factors and links: what the documents promise, in plain Python.

It knows nothing of the application but its figures (limits.toml) and its words for kinds and purposes.
"""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from doorward.authenticators.kinds.totp import STEP_SECONDS, code_at
from doorward.kernel.instant import DAY, HOUR, MINUTE, SECOND, Instant
from doorward.kernel.limits import load_limits
from doorward.testing.authenticator import SoftwareAuthenticator

FIGURES = load_limits()
FRESH = 600 * SECOND
TICKET = 600 * SECOND
MAX_TICKETS = 20
TOUCHED = MINUTE  # how far what is known of a session's last use may lag behind
APP_STEP = STEP_SECONDS * SECOND
LASTS = {"recovery": HOUR, "password": 900 * SECOND, "not_me": 7 * DAY}

Key: TypeAlias = tuple[str, ...]
"""What is counted together: (action, name or device …), see `PasswordService` and `Factors`."""
Owed: TypeAlias = Literal["authenticator", "enrolment"]
Purpose: TypeAlias = Literal["recovery", "password", "not_me"]


@dataclass(frozen=True)
class Policy:
    """Whether everybody has to have a second factor, and how long they may sign in without."""

    everybody: bool
    grace: Instant


# Tries ---------------------------------------------------------------------------------------------------------------


@dataclass
class Lane:
    """Failures in a row, and from when on the next try is looked at."""

    failures: int = 0
    not_before: Instant = 0
    forgotten_at: Instant = 0


class Lanes:
    """Every count, by key. A try counts as a failure until it turns out to be right."""

    def __init__(self) -> None:
        self._lanes: dict[Key, Lane] = {}

    def reserve(self, key: Key, now: Instant) -> bool:
        """Count a try; False when it is too early for one."""
        if self.waits(key, now):
            return False
        figures, lane = FIGURES.account, self._lanes.get(key, Lane())
        failures = 1 if now >= lane.forgotten_at else lane.failures + 1
        few = failures < figures.free_failures
        kept = figures.forget_few_after if few else figures.forget_after
        self._lanes[key] = Lane(failures, now + figures.delay_after(failures), now + kept * SECOND)
        return True

    def waits(self, key: Key, now: Instant) -> bool:
        """Whether the next try is too early."""
        return self.free_at(key) > now

    def free_at(self, *keys: Key) -> Instant:
        """From when on a try is looked at under every one of these."""
        lanes = [self._lanes.get(key, Lane()) for key in keys]
        return max(min(lane.not_before, lane.forgotten_at) for lane in lanes)

    def forget(self, *keys: Key) -> None:
        """Somebody was right."""
        for key in keys:
            self._lanes.pop(key, None)


# What people have ----------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Device:
    """A browser that is known as somebody's, by its cookie."""

    id: str
    secret: str
    used_at: Instant
    failures: int = 0


@dataclass(eq=False)
class App:
    """An authenticator app. `step`: of the latest code that counted."""

    id: str
    key: str
    step: int
    bound_at: Instant

    def code(self, step: int) -> str:
        """What it shows at a step."""
        text = self.key.replace(" ", "")
        return code_at(base64.b32decode(text + "=" * (-len(text) % 8)), step)

    def accepts(self, code: str, now: Instant) -> int | None:
        """The step that a code counts for: this one or the one before, later than the latest that counted."""
        right = [step for step in (now // APP_STEP - 1, now // APP_STEP) if self.code(step) == code]
        return right[-1] if right and right[-1] > self.step else None


@dataclass(eq=False)
class Passkey:
    """A passkey, in an authenticator of its own."""

    id: str
    device: SoftwareAuthenticator
    bound_at: Instant


@dataclass(eq=False)
class Codes:
    """A set of recovery codes."""

    id: str
    unused: list[str]
    bound_at: Instant
    used: list[str] = field(default_factory=list)


@dataclass(eq=False)
class Link:
    """Something mailed or handed out that works once. `at`, `what`: the event that a notice tells of."""

    purpose: Purpose
    secret: str
    begun_at: Instant
    state: Literal["live", "used", "void"] = "live"
    at: Instant = 0
    what: str = ""
    codes_id: str | None = None

    def works(self, now: Instant) -> bool:
        """Whether it would do something now, its owner permitting."""
        return self.state == "live" and now < self.begun_at + LASTS[self.purpose]


@dataclass(eq=False)
class Session:
    """A session of somebody. `secret` opens it, `old` did before. `auth_time`: see ASVS 7.5.3."""

    person: "Person"
    id: str
    secret: str
    csrf: str
    is_program: bool
    amr: tuple[str, ...]
    began: Instant
    auth_time: Instant
    seen: Instant
    expires: Instant
    excused: bool  # whether its owner had no second factor and needed none when it began
    over: bool = False
    faded: bool = False  # it is over because of time alone: nobody has ended it
    old: list[str] = field(default_factory=list)

    @property
    def aal(self) -> int:
        """The level that was shown."""
        return 2 if "mfa" in self.amr else 1

    def live(self, now: Instant) -> bool:
        """Whether it opens anything."""
        idle = self.aal > 1 and now >= self.seen + HOUR
        return not self.over and self.person.status == "active" and now < self.expires and not idle

    def touch(self, now: Instant) -> None:
        """It was used; that is written down once a minute."""
        if self.live(now) and now - self.seen >= TOUCHED:
            self.seen = now

    def is_fresh(self, now: Instant) -> bool:
        """Whether its user has lately shown all that they have to."""
        return now - self.auth_time <= FRESH and self.aal >= (2 if self.person.has_factor else 1)

    def rotate(self, secret: str, amr: Iterable[str], now: Instant) -> None:
        """Its user has proven anew who they are: another secret, and it never lasts longer than before."""
        self.old.append(self.secret)
        self.secret, self.amr = secret, tuple(dict.fromkeys(amr))
        self.auth_time = self.seen = max(now, self.auth_time + SECOND)
        self.expires = min(self.expires, now + lasts(self.aal))


def lasts(aal: int) -> Instant:
    """How long a session may last."""
    return 24 * HOUR if aal > 1 else 30 * DAY


@dataclass(eq=False)
class Ticket:
    """Half signed in. `renews`: the session whose user proves anew who they are. `recovered`: by a recovery code."""

    person: "Person"
    secret: str
    owes: Owed
    amr: tuple[str, ...]
    device: Device | None
    begun_at: Instant
    renews: Session | None = None
    recovered: bool = False
    over: bool = False

    def works(self, now: Instant) -> bool:
        """Whether it leads anywhere."""
        return not self.over and now < self.begun_at + TICKET


@dataclass(eq=False)
class Browser:
    """Somewhere to sign in, with the cookies that it holds; or a program, which has no known device."""

    address: str
    is_program: bool = False
    device: Device | None = None
    session: Session | None = None
    ticket: Ticket | None = None


@dataclass(eq=False)
class Person:
    """Somebody with an account, and everything that is theirs."""

    uid: str
    email: str
    id: str
    password: str | None
    status: Literal["active", "disabled"] = "active"
    compromised: bool = False
    password_at: Instant = 0
    grace_since: Instant | None = None
    app: App | None = None
    passkeys: list[Passkey] = field(default_factory=list)
    codes: Codes | None = None
    gone: list[App | Passkey | Codes] = field(default_factory=list)
    devices: list[Device] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    tickets: list[Ticket] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    old_passwords: list[str] = field(default_factory=list)

    @property
    def has_factor(self) -> bool:
        """Whether a password alone opens nothing."""
        return self.app is not None or bool(self.passkeys)

    @property
    def bound(self) -> Sequence[App | Passkey | Codes]:
        """Everything that they have set up."""
        return [*([self.app] if self.app else []), *self.passkeys, *([self.codes] if self.codes else [])]

    # What is owed ---------------------------------------------------------------------------------------------------

    def owes(self, amr: Sequence[str], now: Instant, policy: Policy) -> Owed | None:
        """What is left to do before a session begins after `amr`. The days of grace begin with the first question."""
        if "mfa" in amr:
            return None
        if self.has_factor:
            return "authenticator"
        if policy.everybody:
            self.grace_since = now if self.grace_since is None else self.grace_since
            if now >= self.grace_since + policy.grace:
                return "enrolment"
        return None

    def keep(self, ticket: Ticket) -> None:
        """Half signed in. Of too many in one session, on one known device or elsewhere the oldest end."""
        self.tickets.append(ticket)
        alike = [
            one for one in self.tickets if not one.over and (one.renews, one.device) == (ticket.renews, ticket.device)
        ]
        for one in alike[:-MAX_TICKETS]:
            one.over = True

    # What ends ------------------------------------------------------------------------------------------------------

    def end_all(self, kept: Session | None = None) -> None:
        """Every session but one ends, with whatever was begun and not finished."""
        for session in self.sessions:
            session.over = session.over or session is not kept
        for ticket in self.tickets:
            ticket.over = True
        self.void("recovery", "password")

    def void(self, *purposes: Purpose) -> None:
        """Links that wait work no more."""
        for link in self.links:
            if link.purpose in purposes and link.state == "live":
                link.state = "void"

    def remove(self, one: App | Passkey | Codes) -> None:
        """A factor, a passkey or a set of codes is gone."""
        if one is self.app:
            self.app = None
        elif one is self.codes:
            self.codes = None
        else:
            self.passkeys = [passkey for passkey in self.passkeys if passkey is not one]
        self.gone.append(one)

    def remove_since(self, since: Instant) -> None:
        """The same for whatever was set up at `since` or later."""
        for one in [one for one in self.bound if one.bound_at >= since]:
            self.remove(one)

    def bind(self, one: App | Passkey | Codes) -> bool:
        """It is theirs; whether it is their first factor. There is one app and one set of codes at most."""
        first = not self.has_factor and not isinstance(one, Codes)
        if isinstance(one, App):
            if self.app:
                self.remove(self.app)
            self.app = one
        elif isinstance(one, Codes):
            if self.codes:
                self.remove(self.codes)
            self.codes = one
        else:
            self.passkeys.append(one)
        if not isinstance(one, Codes):
            self.grace_since = None
        return first

    # Passwords ------------------------------------------------------------------------------------------------------

    def set_password(self, new: str, now: Instant, kept: Session | None = None) -> None:
        """Another password: no session, known device or link outlives it, but for the session that set it."""
        if self.password is not None:
            self.old_passwords.append(self.password)
        self.password, self.password_at, self.compromised = new, now, False
        self.end_all(kept)
        self.devices = []

    def shut_out(self, link: Link, now: Instant) -> bool:
        """It was not them; whether the next password is chosen at once. Links of later events are void with it."""
        link.state = "used"
        chooses = now < link.begun_at + HOUR and self.password_at <= link.begun_at
        if link.what == "recovery_code_used" and self.codes:
            self.remove(self.codes)
        self.remove_since(link.at)
        self.compromised = self.password is not None
        self.end_all()
        self.devices = []
        return chooses

    # Known devices --------------------------------------------------------------------------------------------------

    def known(self, browser: Browser) -> Device | None:
        """The known device that a browser is, if it is one of theirs."""
        return browser.device if browser.device in self.devices else None

    def know(self, device: Device) -> None:
        """A browser is known from now on; of too many the one least lately used is forgotten."""
        self.devices = sorted([*self.devices, device], key=lambda one: -one.used_at)[: FIGURES.known_device.per_user]

    def fail(self, device: Device | None) -> None:
        """Something wrong came from a known device; after too many it is a stranger again."""
        if device is not None:
            device.failures += 1
            if device.failures >= FIGURES.known_device.void_after:
                self.devices = [one for one in self.devices if one is not device]

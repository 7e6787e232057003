"""Sessions: what one is, and how long it lasts (NIST SP 800-63B-4 §2, §5)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from doorward.kernel.assurance import Proof
from doorward.kernel.errors import ReauthenticationNeeded
from doorward.kernel.instant import DAY, HOUR, MINUTE, SECOND, Instant, to_rfc3339

Transport: TypeAlias = Literal["cookie", "bearer", "key"]
"""`key`: no session but an API key in the place of one, see the apikeys room."""
Owes: TypeAlias = Literal["authenticator", "enrolment", "restoration"]

MAX_SESSIONS = 50  # a user, the oldest ends (C37)
FRESH_SECONDS = 600  # how old an authentication may be for a sensitive step (C26)
TICKET_SECONDS = 600  # for the second step (C17, C18)
MAX_TICKETS = 20  # of a user's in one session, on one known device, or elsewhere; the oldest end


@dataclass(frozen=True, slots=True)
class Revocation:
    """Something that ended, or changed so that nobody may go on believing what they know of it.

    `kind`: session, renewal (of a session's secret: the session lives on), user, change (of what is known of a user:
    their sessions live on), family or token. Apps are not told of renewals and changes, for nothing has ended.
    """

    seq: int
    kind: str
    id: str
    at: Instant


@dataclass(frozen=True, slots=True)
class Profile:
    """How long sessions last, in µs. `idle` None: no limit but the absolute one."""

    absolute: Instant
    idle: Instant | None


_AAL1 = Profile(30 * DAY, None)
_AAL2 = Profile(24 * HOUR, HOUR)
_AAL3 = Profile(12 * HOUR, 15 * MINUTE)
PROFILES: Mapping[str, Mapping[int, Profile]] = {  # name in the configuration -> by the level a session has reached
    "auto": {1: _AAL1, 2: _AAL2},
    "aal1": {1: _AAL1, 2: _AAL1},
    "aal2": {1: _AAL2, 2: _AAL2},
    "aal3": {1: _AAL3, 2: _AAL3},
}


@dataclass(frozen=True, slots=True)
class Session:
    """A live session together with what its user is called, may do and has bound at this moment.

    `has_factor`: whether a password alone is not enough for this user any more. `scopes`: of an API key.
    """

    id: str
    user_id: str
    uid: str
    name: str
    roles: tuple[str, ...]
    status: str
    transport: Transport
    amr: tuple[str, ...]
    aal: int
    auth_time: Instant
    created_at: Instant
    last_seen_at: Instant
    expires_at: Instant
    address: str
    user_agent: str
    has_factor: bool = False
    scopes: frozenset[str] | None = None

    def live(self, now: Instant, profiles: Mapping[int, Profile]) -> bool:
        """Whether it still opens anything: user active, neither end passed (ASVS 7.3.1, 7.3.2)."""
        profile = profiles[self.aal]
        idle_over = profile.idle is not None and now >= self.last_seen_at + profile.idle
        return self.status == "active" and now < self.expires_at and not idle_over

    def is_fresh(self, now: Instant) -> bool:
        """Whether the user proved who they are within the last ten minutes, with their second factor if they have one.

        Never by an API key. ASVS 7.5.1, 7.5.3; C26.
        """
        return (
            self.transport != "key" and now - self.auth_time <= FRESH_SECONDS * SECOND and self.aal >= self.wanted_aal
        )

    @property
    def wanted_aal(self) -> int:
        """The level that a sensitive step asks of this user."""
        return 2 if self.has_factor else 1

    def require_fresh(self, now: Instant) -> None:
        """Raise ReauthenticationNeeded unless `is_fresh`."""
        if not self.is_fresh(now):
            raise ReauthenticationNeeded(max_age_seconds=FRESH_SECONDS, aal=self.wanted_aal)

    def as_json(self, csrf_token: str) -> dict[str, Any]:
        """How the API shows the session of the caller."""
        return {
            "id": self.id,
            "user": {"id": self.user_id, "uid": self.uid, "name": self.name, "roles": list(self.roles)},
            "csrf_token": csrf_token,
            "transport": self.transport,
            "amr": list(self.amr),
            "aal": self.aal,
            "auth_time": self.auth_time // SECOND,  # seconds, as in OpenID Connect
            "created_at": to_rfc3339(self.created_at),
            "expires_at": to_rfc3339(self.expires_at),
        }


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session has started. The secrets leave here once and are kept nowhere."""

    session: Session
    token: str
    device_token: str | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """How a session is to begin, once nothing is owed any more.

    `device_id`: the known device it comes from; without one a browser becomes known. `replaced`: the token in the
    cookie that the new one overwrites; its session, whoever's it was, ends (ASVS 7.2.4). `path`: where a page goes on.
    `wants_jwt`: whether the answer is to be that of the write-up.
    """

    transport: Transport = "cookie"
    device_id: str | None = None
    replaced: str | None = field(default=None, repr=False)
    path: str = "/account"
    wants_jwt: bool = False


@dataclass(frozen=True, slots=True)
class NeedsStep:
    """No session yet. `token` leaves here once, into a cookie or to a program, and is worth nothing by itself.

    `owes`: a second factor, its enrolment first, or the word of somebody whose account is about to be erased. `kinds`:
    the authenticators that would do, the one used last first.
    """

    token: str = field(repr=False)
    owes: Owes
    kinds: tuple[str, ...]
    transport: Transport
    user_id: str
    expires_at: Instant


SignInOutcome: TypeAlias = SignedIn | NeedsStep


@dataclass(frozen=True, slots=True)
class Ticket:
    """Half signed in: what a claimant has shown so far, and how their session is to begin.

    `session_id`: of the session whose user proves anew who they are; then no new one begins. `path`: where a page goes
    on. `wants_jwt`: whether the answer of the write-up is wanted in the end.
    """

    id: str
    user_id: str
    session_id: str | None
    owes: Owes
    amr: tuple[str, ...]
    transport: Transport
    device_id: str | None
    path: str
    wants_jwt: bool
    created_at: Instant
    expires_at: Instant

    @property
    def reauthenticates(self) -> bool:
        """Whether it is about a session that there is already."""
        return self.session_id is not None


PASSWORD: tuple[str, ...] = ("pwd",)  # RFC 8176
ONE_TIME: tuple[str, ...] = ("otp",)  # RFC 8176: a one-time password


def password_proof(now: Instant) -> Proof:
    """What someone has shown who typed their password."""
    return Proof(PASSWORD, now)


def email_proof(now: Instant) -> Proof:
    """What someone has shown who came with a link or a code from their mailbox.

    One factor, whatever came before it: a mailbox may be open on the same device with the same password, so it is no
    out-of-band authenticator (C24; NIST SP 800-63B §3.1.3.1).
    """
    return Proof(ONE_TIME, now)

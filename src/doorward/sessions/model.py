"""Sessions: what one is, and how long it lasts (NIST SP 800-63B-4 §2, §5)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from doorward.kernel.assurance import Proof
from doorward.kernel.errors import ReauthenticationNeeded
from doorward.kernel.instant import DAY, HOUR, MINUTE, SECOND, Instant, to_rfc3339

Transport: TypeAlias = Literal["cookie", "bearer"]

MAX_SESSIONS = 50  # a user, the oldest ends (C37)
FRESH_SECONDS = 600  # how old an authentication may be for a sensitive step (C26)


@dataclass(frozen=True, slots=True)
class Profile:
    """How long sessions last, in µs. `idle` None: no limit but the absolute one."""

    absolute: Instant
    idle: Instant | None


PROFILES: Mapping[str, Profile] = {
    "aal1": Profile(30 * DAY, None),
    "auto": Profile(30 * DAY, None),
    "aal2": Profile(24 * HOUR, HOUR),
    "aal3": Profile(12 * HOUR, 15 * MINUTE),
}


@dataclass(frozen=True, slots=True)
class Session:
    """A live session together with what its user is called and may do at this moment."""

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

    def live(self, now: Instant, profile: Profile) -> bool:
        """Whether it still opens anything: user active, neither end passed (ASVS 7.3.1, 7.3.2)."""
        idle_over = profile.idle is not None and now >= self.last_seen_at + profile.idle
        return self.status == "active" and now < self.expires_at and not idle_over

    def is_fresh(self, now: Instant) -> bool:
        """Whether the user proved who they are within the last ten minutes."""
        return now - self.auth_time <= FRESH_SECONDS * SECOND

    def require_fresh(self, now: Instant) -> None:
        """Raise ReauthenticationNeeded unless the user proved who they are within the last ten minutes."""
        if not self.is_fresh(now):
            raise ReauthenticationNeeded(max_age_seconds=FRESH_SECONDS)

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

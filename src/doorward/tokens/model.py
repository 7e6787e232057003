"""What a signing key and an access token hold, and the rules a token must meet (RFC 7519, RFC 8725, RFC 9068)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from doorward.kernel.instant import DAY, HOUR, SECOND, Instant

ALGORITHM = "ES256"  # ECDSA on P-256 with SHA-256 (RFC 7518 §3.4)
ACCESS_TOKEN_TYPE = "at+jwt"  # noqa: S105  the media type of RFC 9068 §2.1
ID_TOKEN_TYPE = "JWT"  # noqa: S105  RFC 7519 §5.1; no access token has it
ACCESS_TOKEN_SECONDS = 600  # ID tokens last as long
SKEW_SECONDS = 60  # how far the clocks of two nodes may be apart

# Rotation (C50). A key signs for SIGNS_FOR. The next one stands in the JWKS for PUBLISHED_AHEAD before it signs: longer
# than any client or node keeps a copy. The old one is believed for BELIEVED_LONGER after its last signature: longer
# than any token lasts.
SIGNS_FOR: Instant = 90 * DAY
PUBLISHED_AHEAD: Instant = DAY
BELIEVED_LONGER: Instant = HOUR
MAX_TOKEN_LENGTH = 8192
FIRST_PARTY = "doorward"  # client_id of a token that our own API asked for; users are UUIDs, so the two never meet


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One row of `signing_key`. It signs from `active_from` on and is published, and believed, until `retired_at`."""

    kid: str
    alg: str
    public_jwk: str
    private_sealed: bytes
    created_at: Instant
    active_from: Instant
    retired_at: Instant | None


@dataclass(frozen=True, slots=True)
class Claims:
    """What an access token says (RFC 9068 §2.2). Instants are whole seconds since the epoch, as on the wire."""

    iss: str
    sub: str
    aud: str
    client_id: str
    jti: str
    sid: str
    iat: int
    nbf: int
    exp: int
    auth_time: int
    amr: tuple[str, ...]
    acr: str

    @classmethod
    def read(cls, claims: object) -> "Claims":
        """Take claims out of decoded JSON. Raises ValueError, naming the claim, when one is missing or of another type.

        `aud` is one string: we never issue a token for several audiences, so a list is not ours (RFC 8725 §3.9).
        """
        if not isinstance(claims, dict):
            raise ValueError("claims")  # noqa: TRY004  one kind of refusal for all
        read: dict[str, Any] = {"amr": _texts(claims, "amr")}
        read |= {name: _text(claims, name) for name in ("iss", "sub", "aud", "client_id", "jti", "sid", "acr")}
        read |= {name: _seconds(claims, name) for name in ("iat", "nbf", "exp", "auth_time")}
        return cls(**read)

    def refusal(self, *, issuer: str, audience: str, now: Instant) -> str | None:
        """Tell why the token does not count here and now, or None. Issuer and audience are compared as they are."""
        if self.iss != issuer:
            return "iss"
        if self.aud != audience:
            return "aud"
        if self.expired(now):
            return "expired"
        not_before = max(self.nbf, self.iat) - SKEW_SECONDS
        return "not yet valid" if now < not_before * SECOND else None

    def expired(self, now: Instant) -> bool:
        """At `exp` itself the token has ended (RFC 7519 §4.1.4); no leeway, because we made it ourselves."""
        return now >= self.exp * SECOND


@dataclass(frozen=True, slots=True)
class AppToken:
    """What an access token for an app says beyond what every token says (RFC 9068 §2.2).

    `subject`: a user's id, or `client:` and the id of a client that acts for itself; then there is no `sid`. `fid`: the
    family it came of. `jkt`: thumbprint of the key that it is bound to (RFC 9449 §6.1). `auth_time` in µs. `seconds`:
    how long it lasts. `more`: further claims, which can take the place of none of these.
    """

    subject: str
    audience: str
    client_id: str
    scope: str
    alg: str
    sid: str | None = None
    fid: str | None = None
    auth_time: Instant | None = None
    amr: tuple[str, ...] = ()
    aal: int = 1
    roles: tuple[str, ...] | None = None
    jkt: str | None = None
    seconds: int = ACCESS_TOKEN_SECONDS
    more: Mapping[str, Any] = field(default_factory=dict)

    def claims(self) -> dict[str, Any]:
        """All but who issued it and when; what is absent is not named."""
        user: dict[str, Any] = {}
        if self.auth_time is not None:
            user = {"auth_time": self.auth_time // SECOND, "amr": list(self.amr), "acr": f"aal{self.aal}"}
        optional = {
            "sid": self.sid,
            "fid": self.fid,
            "roles": None if self.roles is None else list(self.roles),
            "cnf": None if self.jkt is None else {"jkt": self.jkt},
        }
        return {
            **self.more,
            "sub": self.subject,
            "aud": self.audience,
            "client_id": self.client_id,
            "scope": self.scope,
            **user,
            **{name: value for name, value in optional.items() if value is not None},
        }


@dataclass(frozen=True, slots=True)
class Issued:
    """An access token of ours, for whomever it was issued; its signature and its time have been checked."""

    jti: str
    subject: str
    audience: str
    client_id: str
    scope: tuple[str, ...]
    issued_at: int  # seconds since the epoch
    expires_at: int
    sid: str | None
    fid: str | None
    jkt: str | None
    claims: Mapping[str, Any]

    @classmethod
    def read(cls, claims: object) -> "Issued":
        """Take it out of decoded JSON. Raises ValueError, naming the claim, for what we would not have written."""
        if not isinstance(claims, dict):
            raise ValueError("claims")  # noqa: TRY004  one kind of refusal for all
        confirmed = claims.get("cnf")
        return cls(
            jti=_text(claims, "jti"),
            subject=_text(claims, "sub"),
            audience=_text(claims, "aud"),
            client_id=_text(claims, "client_id"),
            scope=tuple(str(claims.get("scope", "")).split()),
            issued_at=_seconds(claims, "iat"),
            expires_at=_seconds(claims, "exp"),
            sid=_text(claims, "sid") if "sid" in claims else None,
            fid=_text(claims, "fid") if "fid" in claims else None,
            jkt=_text(confirmed, "jkt") if isinstance(confirmed, dict) else None,
            claims=claims,
        )


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(name)
    return value


def _texts(claims: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = claims.get(name)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(name)
    return tuple(value)


def _seconds(claims: Mapping[str, Any], name: str) -> int:
    value = claims.get(name)
    # `type is`: True is an int to isinstance, and a float or a string is not what we write.
    if type(value) is not int or value < 0:
        raise ValueError(name)
    return value

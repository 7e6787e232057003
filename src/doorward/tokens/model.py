"""What a signing key and an access token hold, and the rules a token must meet (RFC 7519, RFC 8725, RFC 9068)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from doorward.kernel.instant import SECOND, Instant

ALGORITHM = "ES256"  # ECDSA on P-256 with SHA-256 (RFC 7518 §3.4)
ACCESS_TOKEN_TYPE = "at+jwt"  # noqa: S105  the media type of RFC 9068 §2.1
ACCESS_TOKEN_SECONDS = 600
SKEW_SECONDS = 60  # how far the clocks of two nodes may be apart
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

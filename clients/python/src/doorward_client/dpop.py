"""Proofs of possession at a resource server (RFC 9449 §4.3, §7)."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

from doorward_client.clock import Clock
from doorward_client.errors import InvalidProof, Unavailable
from doorward_client.jws import Parts, encode, take_apart
from doorward_client.provider import VerificationKey
from doorward_client.strict_json import read_object

LIFE_SECONDS = 60
MAX_ID_LENGTH = 128
_DEFAULT_PORTS = {"http": 80, "https": 443}


@runtime_checkable
class SeenProofs(Protocol):
    """Remembers proofs, so that none counts twice. Several processes share one, or each takes a proof once."""

    def first_time(self, proof: str, now: float, until: float) -> bool:
        """Whether this proof was not met before; it is remembered until then. Raises Unavailable when full."""


@dataclass
class ProofsInMemory:
    """Proofs seen by this process. When it is full it takes no more, rather than forget one that is still good."""

    size: int = 100_000
    _until: dict[str, float] = field(default_factory=dict, init=False)
    _purge_at: float = field(default=0.0, init=False)

    def first_time(self, proof: str, now: float, until: float) -> bool:
        """Whether this proof was not met before. `setdefault` is one step: of two threads one is first."""
        if now >= self._purge_at or len(self._until) >= self.size:
            self._purge_at = now + LIFE_SECONDS
            for old in [name for name, end in list(self._until.items()) if end <= now]:
                self._until.pop(old, None)
        if len(self._until) >= self.size:
            raise Unavailable("too many DPoP proofs at once")
        mine = float(until)
        return self._until.setdefault(proof, mine) is mine


@dataclass
class Proofs:
    """Checks that who sends a token also holds the key it is bound to."""

    clock: Clock
    seen: SeenProofs = field(default_factory=ProofsInMemory)

    def check(self, proof: str | None, *, method: str, url: str, token: str, jkt: str) -> None:
        """Raise InvalidProof unless `proof` is for this request, token and key, and is met for the first time.

        `url` is that of the request without query and fragment.
        """
        if not proof:
            raise InvalidProof("a DPoP proof is missing")
        try:
            parts = take_apart(proof)
            _check_signature(parts, jkt)
            claims = read_object(parts.payload)
            jti = _check_claims(claims, method, url, token)
        except ValueError as error:
            raise InvalidProof(f"the DPoP proof does not fit: {error}") from error
        now, iat = self.clock.now(), claims.get("iat")
        if type(iat) is not int or abs(now - iat) > LIFE_SECONDS:
            raise InvalidProof("the DPoP proof is too old, or of the future")
        if not self.seen.first_time(f"{jkt}.{jti}", now, iat + LIFE_SECONDS + 1.0):
            raise InvalidProof("the DPoP proof was used before")


def _check_signature(parts: Parts, jkt: str) -> None:
    header = parts.header
    jwk = header.get("jwk")
    if header.keys() != {"typ", "alg", "jwk"} or header["typ"] != "dpop+jwt" or not isinstance(jwk, dict):
        raise ValueError("header")
    if "alg" in jwk or "use" in jwk or "key_ops" in jwk:
        jwk = {name: value for name, value in jwk.items() if name not in {"alg", "use", "key_ops"}}
    key = VerificationKey.read(jwk, "")
    if not hmac.compare_digest(key.jwk.thumbprint().encode(), jkt.encode()):
        raise ValueError("key")
    if header["alg"] != key.alg or not key.verifies(parts.signed, parts.signature):
        raise ValueError("signature")


def _check_claims(claims: Mapping[str, Any], method: str, url: str, token: str) -> str:
    jti, htu, ath = claims.get("jti"), claims.get("htu"), claims.get("ath")
    if not isinstance(jti, str) or not 0 < len(jti.encode()) <= MAX_ID_LENGTH:  # what is no text is a ValueError, too
        raise ValueError("jti")
    if claims.get("htm") != method:
        raise ValueError("htm")
    if not isinstance(htu, str) or _normal(htu) != _normal(url):
        raise ValueError("htu")
    if not isinstance(ath, str) or not hmac.compare_digest(ath.encode(), encode(_sha256(token)).encode()):
        raise ValueError("ath")
    return jti


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _normal(url: str) -> tuple[str, str, int | None, str]:
    """Scheme, host, port and path; query and fragment do not count (RFC 9449 §4.3, RFC 3986 §6.2)."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme), parts.path or "/"

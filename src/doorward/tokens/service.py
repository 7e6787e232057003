"""Issuing and verifying access tokens."""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from joserfc import jws
from joserfc.errors import JoseError

from doorward.kernel.assurance import Proof
from doorward.kernel.errors import Malformed, NotSignedIn
from doorward.kernel.ids import new_id
from doorward.kernel.instant import SECOND, Instant
from doorward.kernel.strict_json import loads
from doorward.ports import Clock
from doorward.tokens.keys import LoadedKey, SigningKeys
from doorward.tokens.model import (
    ACCESS_TOKEN_SECONDS,
    ACCESS_TOKEN_TYPE,
    FIRST_PARTY,
    MAX_TOKEN_LENGTH,
    Claims,
)

# base64url without padding, three parts. An ES256 signature is 64 bytes: 86 letters, and the last one carries four
# unused bits, which must be zero, or one signature could be written in sixteen ways.
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{85}[AQgw]")


@dataclass(slots=True)
class VerifiedTokens:
    """Tokens whose signature has been checked, by SHA-256 of their text; the least recently used leave first."""

    size: int
    _entries: OrderedDict[bytes, tuple[str, Claims]] = field(default_factory=OrderedDict)

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, digest: bytes) -> tuple[str, Claims] | None:
        """The key id and claims of a token seen before."""
        entry = self._entries.get(digest)
        if entry is not None:
            self._entries.move_to_end(digest)
        return entry

    def keep(self, digest: bytes, kid: str, claims: Claims) -> None:
        """Remember a token."""
        self._entries[digest] = (kid, claims)
        if len(self._entries) > self.size:
            self._entries.popitem(last=False)

    def forget(self, digest: bytes) -> None:
        """Drop a token that has ended."""
        self._entries.pop(digest, None)


@dataclass(frozen=True, slots=True)
class AccessTokens:
    """Access tokens of RFC 9068 from `issuer`, its public URL. All methods belong to one event loop."""

    keys: SigningKeys
    issuer: str
    clock: Clock
    verified: VerifiedTokens = field(default_factory=lambda: VerifiedTokens(10_000))

    def issue(
        self,
        *,
        user_id: str,
        sid: str,
        auth_time: Instant,
        amr: Sequence[str],
        audience: str,
        client_id: str = FIRST_PARTY,
    ) -> str:
        """Sign a token for 10 minutes (C51). `auth_time`, in µs, is when the user last proved who they are."""
        now = self.clock.now()
        seconds = now // SECOND
        claims = {
            "iss": self.issuer,
            "sub": user_id,
            "aud": audience,
            "client_id": client_id,
            "iat": seconds,
            "nbf": seconds,
            "exp": seconds + ACCESS_TOKEN_SECONDS,
            "jti": new_id(now),
            "sid": sid,
            "auth_time": auth_time // SECOND,
            "amr": list(amr),
            "acr": f"aal{Proof(tuple(amr), auth_time).aal}",
        }
        return self.keys.sign(claims, ACCESS_TOKEN_TYPE)

    def verify(self, token: str, audience: str) -> Claims:
        """Give the claims of a token that we signed, for this audience, now. Raises NotSignedIn with a private reason.

        The caller still asks whether the session `sid` lives. ASVS 9.1.1–9.1.3, 9.2.1–9.2.4; RFC 8725 §3.
        """
        if len(token) > MAX_TOKEN_LENGTH or not token.isascii():
            raise _refused("size or letters")
        digest = hashlib.sha256(token.encode()).digest()
        known = self.verified.find(digest)
        kid, claims = known or self._read(token)
        reason = claims.refusal(issuer=self.issuer, audience=audience, now=self.clock.now())
        if not self.keys.believes(kid):
            reason = "key retired"
        if reason is not None:
            self.verified.forget(digest)
            raise _refused(reason)
        if known is None:
            self.verified.keep(digest, kid, claims)
        return claims

    def _read(self, token: str) -> tuple[str, Claims]:
        key = self._key_of(token)
        try:
            signed = jws.deserialize_compact(token, key.jwk, algorithms=[key.alg])
            return key.kid, Claims.read(loads(signed.payload))
        except JoseError as error:
            raise _refused("signature") from error
        except Malformed as error:
            raise _refused("claims are not JSON") from error
        except ValueError as error:
            raise _refused(f"claim {error}") from error

    def _key_of(self, token: str) -> LoadedKey:
        """Choose the key by the header, compared as text.

        We write exactly one header for each key: `alg`, `typ` and `kid`. Any other text in its place (another alg or
        typ, jku, jwk, x5u, x5c, crit, an unknown kid, other spacing) is not ours, so nothing that a stranger puts into
        a header is ever decoded, let alone believed (C49).
        """
        parts = _COMPACT.fullmatch(token)
        if parts is None:
            raise _refused("not a compact JWS")
        key = self.keys.find(parts.group(1), ACCESS_TOKEN_TYPE)
        if key is None:
            raise _refused("header is not one of ours")
        return key


def _refused(reason: str) -> NotSignedIn:
    return NotSignedIn(reason=f"access token: {reason}")

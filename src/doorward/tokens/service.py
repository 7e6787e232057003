"""Issuing and verifying access tokens."""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from joserfc.errors import JoseError

from doorward.kernel.assurance import Proof
from doorward.kernel.errors import Malformed, NotSignedIn
from doorward.kernel.ids import new_id
from doorward.kernel.instant import SECOND, Instant
from doorward.kernel.strict_json import loads
from doorward.ports import Clock
from doorward.tokens.jose import EDDSA, ES256, RS256, verified
from doorward.tokens.keys import LoadedKey, SigningKeys
from doorward.tokens.model import (
    ACCESS_TOKEN_SECONDS,
    ACCESS_TOKEN_TYPE,
    FIRST_PARTY,
    ID_TOKEN_TYPE,
    MAX_TOKEN_LENGTH,
    SKEW_SECONDS,
    AppToken,
    Claims,
    Issued,
)

# base64url without padding, three parts.
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)")
# 64 bytes are 86 letters, and the last one carries four unused bits, which must be zero, or one signature could be
# written in sixteen ways. The 384 bytes of RSA-3072 are 512 letters without a rest.
_64_BYTES = re.compile(r"[A-Za-z0-9_-]{85}[AQgw]")
_SIGNATURE = {ES256: _64_BYTES, EDDSA: _64_BYTES, RS256: re.compile(r"[A-Za-z0-9_-]{512}")}


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

    async def issue_for_app(self, token: AppToken) -> str:
        """Sign a token for an app under its client's algorithm."""
        now = self.clock.now()
        seconds = now // SECOND
        when = {"iat": seconds, "nbf": seconds, "exp": seconds + token.seconds}
        await self.keys.ensure(token.alg)
        claims = {**token.claims(), "iss": self.issuer, "jti": new_id(now), **when}
        return self.keys.sign(claims, ACCESS_TOKEN_TYPE, token.alg)

    async def issue_id_token(self, claims: Mapping[str, Any], alg: str) -> str:
        """Sign an ID token (OpenID Connect Core §2); issuer and time are added here."""
        seconds = self.clock.now() // SECOND
        await self.keys.ensure(alg)
        whole = {**claims, "iss": self.issuer, "iat": seconds, "exp": seconds + ACCESS_TOKEN_SECONDS}
        return self.keys.sign(whole, ID_TOKEN_TYPE, alg)

    def read_issued(self, token: str) -> Issued:
        """Give what an access token of ours says, whoever it is for; the caller looks at its audience.

        Raises NotSignedIn with a private reason. Whether session, user and family live is asked elsewhere.
        """
        if len(token) > MAX_TOKEN_LENGTH or not token.isascii():
            raise _refused("size or letters")
        try:
            found = Issued.read(self._payload(token, self._key_of(token)))
        except ValueError as error:
            raise _refused(f"claim {error}") from error
        now = self.clock.now()
        if found.claims.get("iss") != self.issuer:
            raise _refused("iss")
        if now >= found.expires_at * SECOND:
            raise _refused("expired")
        if now < (found.issued_at - SKEW_SECONDS) * SECOND:
            raise _refused("not yet valid")
        return found

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
            return key.kid, Claims.read(self._payload(token, key))
        except ValueError as error:
            raise _refused(f"claim {error}") from error

    def _payload(self, token: str, key: LoadedKey) -> object:
        try:
            return loads(verified(token, key.jwk, key.alg))
        except JoseError as error:
            raise _refused("signature") from error
        except Malformed as error:
            raise _refused("claims are not JSON") from error

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
        if key is None or not self.keys.believes(key.kid):
            raise _refused("header is not one of ours")
        if _SIGNATURE[key.alg].fullmatch(parts.group(2)) is None:
            raise _refused("signature is not written as we write it")
        return key


def _refused(reason: str) -> NotSignedIn:
    return NotSignedIn(reason=f"access token: {reason}")

"""Access and ID tokens: the rules they must meet (RFC 7519, RFC 8725, RFC 9068, OpenID Connect Core §3.1.3.7)."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from doorward_client.clock import Clock
from doorward_client.errors import InvalidToken
from doorward_client.flows import Flow
from doorward_client.jws import Parts, encode, take_apart
from doorward_client.principal import Principal, optional, text
from doorward_client.provider import Provider
from doorward_client.revocations import Grant, Revocations
from doorward_client.strict_json import read_object

SKEW_SECONDS = 60
HEADER = {"alg", "typ", "kid"}
MAX_KID_LENGTH = 128


@dataclass(slots=True)
class Seen:
    """A token whose signature and claims were checked. `version` is that of the revocations it last stood against."""

    principal: Principal
    exp: int
    jkt: str | None
    grant: Grant
    version: int


@dataclass
class Tokens:
    """Verifies access tokens of one issuer for one audience; remembers those that were right until they expire.

    They are remembered as they are, in two dicts, the older of which goes when the newer is full. Among everything else
    that a request takes, to hash each token and to move it to the end of a queue would cost more than the whole check.
    """

    issuer: str
    audience: str
    provider: Provider
    revocations: Revocations
    clock: Clock
    feed: bool = True
    size: int = 10_000
    _lately: tuple[dict[bytes, Seen], dict[bytes, Seen]] = field(default_factory=lambda: ({}, {}), init=False)

    def __post_init__(self) -> None:
        """Remember nothing that a withdrawn key has signed."""
        self.provider.on_key_dropped = self._forget

    def __len__(self) -> int:
        """How many tokens are remembered."""
        newer, older = self._lately
        return len(newer.keys() | older.keys())

    def seen(self, token: str) -> Seen | None:
        """A token met before, if it can be told at once that it still counts.

        This is the path of nearly every request. Raises InvalidToken when it has expired or was revoked. None when the
        token is new, or when the feed is stale.
        """
        return self.seen_bytes(token.encode())

    def seen_bytes(self, token: bytes) -> Seen | None:
        """The same for a token as it stands in a header."""
        entry = self._lately[0].get(token) or self._again(token)
        if entry is None:
            return None
        if self.clock.now() >= entry.exp:
            for kept in self._lately:
                kept.pop(token, None)
            raise InvalidToken("the token has expired")
        if self.feed:
            revocations = self.revocations
            if self.clock.monotonic() >= revocations.fresh_until:
                return None
            if entry.version != revocations.version:
                self._recheck(entry)
        return entry

    def verify(self, token: str) -> Flow[Seen]:
        """Check everything but whether it was revoked. Raises InvalidToken and Unavailable."""
        newer = self._lately[0]  # taken before the key is, so that whoever forgets it meanwhile forgets this token, too
        parts = yield from self.signed(token, "at+jwt")
        entry = _entry(_claims(parts))
        claims = entry.principal.claims
        self._check_claims(claims, self.audience)
        self._keep(newer, token.encode(), entry)
        return entry

    def check_revoked(self, entry: Seen) -> None:
        """Raise InvalidToken when the feed has named what the token rests on."""
        self._recheck(entry)

    def known(self, token: str) -> Seen | None:
        """A token met before, whatever has become of it since."""
        return self._lately[0].get(token.encode()) or self._again(token.encode())

    def id_token(self, token: str, client_id: str, nonce: str, access_token: str) -> Flow[Mapping[str, Any]]:
        """The claims of the ID token that answers this very sign-in. Raises InvalidToken and Unavailable."""
        parts = yield from self.signed(token, "JWT")
        claims = _claims(parts)
        self._check_claims(claims, client_id)
        if claims.get("nonce") != nonce or not isinstance(claims.get("sub"), str):
            raise InvalidToken("the ID token answers another sign-in")
        # OpenID Connect Core §3.1.3.6: the hash is that of the signature's algorithm; Ed25519 builds on SHA-512.
        digest = hashlib.sha512 if parts.header["alg"] == "EdDSA" else hashlib.sha256
        half = digest(access_token.encode()).digest()
        at_hash = claims.get("at_hash")
        if not isinstance(at_hash, str) or not hmac.compare_digest(at_hash, encode(half[: len(half) // 2])):
            raise InvalidToken("the ID token came with another access token")
        return claims

    def signed(self, token: str, typ: str) -> Flow[Parts]:
        """The parts of a token that bears the issuer's signature and is of this type.

        The header holds `alg`, `typ` and `kid`, each as we expect it, and nothing else: so no `jku`, `jwk`, `x5u` or
        `x5c` names a key, and no `crit` asks for what we do not know.
        """
        try:
            parts = take_apart(token)
        except ValueError as error:
            raise InvalidToken("the token is not written as ours are") from error
        kid = parts.header.get("kid")
        if parts.header.keys() != HEADER or parts.header["typ"] != typ:
            raise InvalidToken("the token is of another type")
        if not isinstance(kid, str) or len(kid) > MAX_KID_LENGTH:
            raise InvalidToken("the token names no key")
        key = self.provider.known(kid) or (yield from self.provider.find(kid))
        if key is None or parts.header["alg"] != key.alg or not key.verifies(parts.signed, parts.signature):
            raise InvalidToken("the token bears no signature of the issuer")
        return parts

    def _check_claims(self, claims: Mapping[str, Any], audience: str) -> None:
        now = self.clock.now()
        if claims.get("iss") != self.issuer:
            raise InvalidToken("the token is of another issuer")
        if claims.get("aud") != audience:
            raise InvalidToken("the token is for somebody else")
        if now >= _seconds(claims, "exp"):
            raise InvalidToken("the token has expired")
        if now < max(_seconds(claims, "nbf", "iat"), _seconds(claims, "iat")) - SKEW_SECONDS:
            raise InvalidToken("the token is not valid yet")

    def _again(self, token: bytes) -> Seen | None:
        """One of the older tokens: as it is used, it is one of the newer again."""
        newer, older = self._lately
        entry = older.get(token)
        if entry is not None:
            self._keep(newer, token, entry)
        return entry

    def _keep(self, newer: dict[bytes, Seen], token: bytes, entry: Seen) -> None:
        newer[token] = entry
        if len(newer) * 2 >= self.size and newer is self._lately[0]:
            self._lately = ({}, newer)

    def _forget(self) -> None:
        self._lately = ({}, {})

    def _recheck(self, entry: Seen) -> None:
        version = self.revocations.version  # read first: what ends meanwhile is looked at next time
        if self.revocations.revoked(entry.grant):
            raise InvalidToken("the token was revoked")
        entry.version = version


def _claims(parts: Parts) -> dict[str, Any]:
    try:
        return read_object(parts.payload)
    except ValueError as error:
        raise InvalidToken("the token's claims are not JSON") from error


def _entry(claims: Mapping[str, Any]) -> Seen:
    try:
        principal = Principal.read(claims)
        grant = Grant(
            sub=principal.sub,
            issued_at=_seconds(claims, "iat") * 1000,
            sid=principal.sid,
            fid=optional(claims, "fid", str, None),
            jti=text(claims, "jti"),
        )
        return Seen(principal, _seconds(claims, "exp"), thumbprint(claims.get("cnf")), grant, version=-1)
    except ValueError as error:
        raise InvalidToken(f"the token's claims: {error}") from error


def thumbprint(cnf: object) -> str | None:
    """The key that a token is bound to. Raises ValueError: a binding we do not know must not be passed over."""
    if cnf is None:
        return None
    if isinstance(cnf, dict) and cnf.keys() == {"jkt"} and isinstance(cnf["jkt"], str):
        return cnf["jkt"]
    raise ValueError("cnf")


def _seconds(claims: Mapping[str, Any], name: str, other: str = "") -> int:
    value = claims.get(name, claims.get(other))
    # `type is`: True is an int to isinstance, and a float is not what the issuer writes.
    if type(value) is not int or value < 0:
        raise InvalidToken(f"the token's claims: {name}")
    return value

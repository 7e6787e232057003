"""What an app is to us, and the pure rules of its registration."""

import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit

from doorward.kernel import base64url
from doorward.kernel.ids import is_id
from doorward.kernel.instant import DAY, SECOND, Instant
from doorward.tokens import ALGORITHMS, FIRST_PARTY

ClientKind: TypeAlias = Literal["web", "spa", "native", "service", "proxy"]
AuthMethod: TypeAlias = Literal["client_secret_basic", "private_key_jwt", "none"]

KINDS: Final[tuple[ClientKind, ...]] = ("web", "spa", "native", "service", "proxy")
AUTH_METHODS: Final[tuple[AuthMethod, ...]] = ("client_secret_basic", "private_key_jwt", "none")
STANDARD_SCOPES: Final = ("openid", "profile", "email", "phone", "offline_access")
OPENID, OFFLINE, REVOCATIONS = "openid", "offline_access", "revocations"
DEFAULT_SCOPES: Final[Mapping[ClientKind, tuple[str, ...]]] = {
    "web": (*STANDARD_SCOPES, REVOCATIONS),  # its server verifies offline, and follows what has ended
    "spa": STANDARD_SCOPES,
    "native": STANDARD_SCOPES,
    "service": (),
    "proxy": (OPENID,),
}
WITHOUT_SECRET: Final[frozenset[ClientKind]] = frozenset({"spa", "native", "proxy"})
PROXY_CALLBACK: Final = "/.doorward/callback"  # on the host of an app behind a proxy
ACRS: Final = ("aal1", "aal2", "aal3")

NAME_LONGEST: Final = 100
CODE_SECONDS: Final = 60  # C51
REFRESH_ABSOLUTE: Final[Instant] = 30 * DAY
REFRESH_IDLE: Final[Instant] = 14 * DAY
GRACE_SECONDS: Final = 10  # in which a second tab gets the same successor
PROOF_SECONDS: Final = 60  # how far the time of a DPoP proof may be off
ASSERTION_SECONDS: Final = 300  # how long a client assertion may last
MARK_SECONDS: Final = 900  # how long somebody may take to prove who they are for one request
SECRET_PREFIX: Final = "dwc_"  # noqa: S105  so that secret scanners find a leaked one
REFRESH_PREFIX: Final = "dwr_"

# What a token says in its own right; a custom field of such a name would be taken for it.
RESERVED_CLAIMS: Final = frozenset({
    "iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "scope", "sid", "fid", "auth_time", "amr", "acr",
    "roles", "cnf", "azp", "nonce", "at_hash", "c_hash", "act", "may_act", "events", "name", "preferred_username",
    "locale", "updated_at", "email", "email_verified", "phone_number", "phone_number_verified", "active", "username",
    "token_type", "error", "error_description", "groups", "entitlements", "profile", "picture", "website", "address",
})  # fmt: skip

_ID = re.compile(r"[a-z0-9][a-z0-9._-]{2,63}")
_SCOPE = re.compile(r"[!#-\[\]-~]{1,100}")  # RFC 6749 §3.3
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # SHA-256 in base64url
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636 §4.1
_URI = re.compile(r"[!#-\[\]_a-z~%-;=?@A-Z&]{1,500}")  # printable ASCII without space, quote, backslash, ^, `, {, |, }
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})  # RFC 8252 §8.3 has no name there: it may lead elsewhere
_ANSWERED: Final = frozenset({"code", "state", "iss", "error", "error_description", "response"})


@dataclass(frozen=True, slots=True)
class Client:
    """An app that may ask us who somebody is."""

    id: str
    name: str
    kind: ClientKind
    auth_method: AuthMethod
    redirect_uris: tuple[str, ...] = ()
    post_logout_redirect_uris: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()  # audiences, the first by default
    claims: tuple[str, ...] = ()  # custom fields that its tokens carry
    jwks: Mapping[str, Any] | None = None
    alg: str = ALGORITHMS[0]
    dpop: bool = False
    created_at: Instant = 0

    @property
    def confidential(self) -> bool:
        """Whether it can keep a secret (RFC 6749 §2.1)."""
        return self.auth_method != "none"

    @property
    def audiences(self) -> tuple[str, ...]:
        """What `aud` its tokens may have; the default first."""
        return (*self.resources, self.id)

    @property
    def subject(self) -> str:
        """Its `sub` where it acts for itself; no user has such an id (RFC 9700 §4.15)."""
        return f"client:{self.id}"


def problems(client: Client, *, fields: Sequence[str], development: bool) -> list[str]:
    """Everything wrong with a registration; empty when all is well.

    `fields`: the custom fields there are. `development`: we are ourselves reached by plain http, on this machine alone;
    so may its apps be.
    """
    return [*_bad_names(client), *_bad_uris(client, development=development), *_bad_claims(client, fields)]


def _bad_names(client: Client) -> Iterator[str]:
    if not _ID.fullmatch(client.id) or is_id(client.id) or client.id == FIRST_PARTY:
        yield f"id: {client.id!r} is not 3 to 64 small letters, digits, '.', '_' or '-', or is taken"
    if not client.name.strip() or len(client.name) > NAME_LONGEST or not client.name.isprintable():
        yield f"name: give it a name of at most {NAME_LONGEST} characters"
    if client.alg not in ALGORITHMS:
        yield f"alg: choose one of {', '.join(ALGORITHMS)}"
    if client.kind in {"web", "service"} and not client.confidential:
        yield f"auth: a {client.kind} client proves who it is; choose client_secret_basic or private_key_jwt"
    if client.kind in WITHOUT_SECRET and client.confidential:
        yield f"auth: a {client.kind} client has no secret; choose none"
    if (client.auth_method == "private_key_jwt") != (client.jwks is not None):
        yield "jwks: give the public keys with private_key_jwt, and only then"
    if client.kind == "service" and set(client.scopes) & set(STANDARD_SCOPES):
        yield "scope: a service acts for no user, so it has none of " + ", ".join(STANDARD_SCOPES)
    yield from (f"scope: {scope!r} is no scope" for scope in client.scopes if not _SCOPE.fullmatch(scope))


def _bad_uris(client: Client, *, development: bool) -> Iterator[str]:
    if (client.kind == "service") == bool(client.redirect_uris):
        yield "redirect-uri: every client has one or more, but a service has none"
    for name, uris in (
        ("redirect-uri", client.redirect_uris),
        ("post-logout-redirect-uri", client.post_logout_redirect_uris),
    ):
        for uri in uris:
            wrong = redirect_problem(uri, loopback=client.kind == "native", development=development)
            if wrong is not None:
                yield f"{name}: {uri!r} {wrong}"
        if len(set(uris)) < len(uris):
            yield f"{name}: one is given twice"
    if client.kind == "proxy":
        yield from _bad_proxy(client)
    for uri in client.resources:
        wrong = redirect_problem(uri, development=True)
        if wrong is not None:
            yield f"resource: {uri!r} {wrong}"


def _bad_proxy(client: Client) -> Iterator[str]:
    parts = [urlsplit(uri) for uri in client.redirect_uris]
    if [(one.path, one.query) for one in parts] != [(PROXY_CALLBACK, "")]:
        yield f"redirect-uri: for a proxy give one, which ends with {PROXY_CALLBACK}"
    if (
        client.scopes != (OPENID,)
        or client.resources
        or client.claims
        or client.dpop
        or client.post_logout_redirect_uris
    ):
        yield "proxy: it is given no tokens, so it has no scope, resource, claim, key or other address"


def _bad_claims(client: Client, fields: Sequence[str]) -> Iterator[str]:
    for claim in client.claims:
        if claim not in fields:
            yield f"claim: there is no field {claim!r}"
        elif claim in RESERVED_CLAIMS:
            yield f"claim: {claim!r} already means something else in a token"


def redirect_problem(uri: str, *, loopback: bool = False, development: bool = False) -> str | None:
    """Why nobody may be sent there, or None.

    `loopback`: plain http is allowed to an address of this very machine, `development`: also by the name of localhost.

    What is registered is later compared as it is, character by character, so it must be written in one way only (C55;
    RFC 9700 §2.1, RFC 8252 §7.3).
    """
    if not _URI.fullmatch(uri):
        return "is not up to 500 printable ASCII characters without spaces, quotes and backslashes"
    try:
        parts = urlsplit(uri)
        wrong = _wrong_host(uri, parts)
    except ValueError:
        return "is no address"
    if wrong is not None:
        return wrong
    here = {*(_LOOPBACK if loopback or development else ()), *({"localhost"} if development else ())}
    return _wrong_rest(parts, here)


def _wrong_rest(parts: SplitResult, here: AbstractSet[str]) -> str | None:
    if any(step in {".", ".."} for step in unquote(parts.path).split("/")):
        return "has a dot segment"
    if _ANSWERED & {pair.partition("=")[0] for pair in unquote(parts.query).split("&")}:
        return "has a parameter that our answer has, too"
    if parts.scheme == "http" and parts.hostname in here:
        return None
    return None if parts.scheme == "https" else "is not https; plain http is for this machine alone"


def _wrong_host(uri: str, parts: SplitResult) -> str | None:
    if "#" in uri or "*" in uri:
        return "has a fragment or a wildcard"
    if "@" in parts.netloc or not parts.hostname or parts.port == 0:
        return "has a user name, or no host"
    front = f"{parts.scheme}://{parts.netloc}"
    if front != front.lower() or not uri.startswith(front):
        return "is not written in small letters up to the path"
    return None


def hash_of(token: str) -> str:
    """SHA-256 in base64url (`ath`, RFC 9449 §4.2; `S256`, RFC 7636 §4.2)."""
    return base64url.encode(hashlib.sha256(token.encode()).digest())


def is_challenge(text: str) -> bool:
    """Whether it could be an S256 code challenge (RFC 7636 §4.2)."""
    return _CHALLENGE.fullmatch(text) is not None


def is_verifier(text: str) -> bool:
    """Whether it could be a code verifier (RFC 7636 §4.1)."""
    return _VERIFIER.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Code:
    """An authorization code as it is kept."""

    client_id: str
    user_id: str
    session_id: str
    redirect_uri: str
    scope: str
    resource: str
    nonce: str | None
    code_challenge: str
    dpop_jkt: str | None
    created_at: Instant
    expires_at: Instant
    used_at: Instant | None
    family_id: str | None

    def answers(self, verifier: str) -> bool:
        """Whether this is the verifier that the request promised to show (RFC 7636 §4.6)."""
        return hmac.compare_digest(hash_of(verifier), self.code_challenge)


@dataclass(frozen=True, slots=True)
class Family:
    """What one code led to."""

    id: str
    client_id: str
    user_id: str
    session_id: str
    scope: str
    resource: str
    dpop_jkt: str | None
    auth_time: Instant
    amr: tuple[str, ...]
    created_at: Instant
    used_at: Instant
    expires_at: Instant
    ended_at: Instant | None

    @property
    def offline(self) -> bool:
        """Whether it may outlive the time of the session that it came of, though not that session's end."""
        return OFFLINE in self.scope.split()

    def live(self, now: Instant) -> bool:
        """Whether its tokens count."""
        return self.ended_at is None and now < self.expires_at and (not self.offline or now < self.idle_until)

    @property
    def idle_until(self) -> Instant:
        """When it ends unless it is used again."""
        return self.used_at + REFRESH_IDLE


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """One link of a family's chain. `successor`: what took its place, sealed, for whoever asks twice at once."""

    id: str
    family_id: str
    used_at: Instant | None
    successor_id: str | None
    successor_sealed: bytes | None = field(repr=False)

    def in_grace(self, now: Instant) -> bool:
        """Whether its use may have been that of another tab at the same moment."""
        return self.used_at is not None and now - self.used_at <= GRACE_SECONDS * SECOND


def text_of(body: Mapping[str, object], name: str) -> str:
    """A parameter of a form; empty when it is absent."""
    value = body.get(name, "")
    return value if isinstance(value, str) else ""

"""Apps under test: registered clients, browsers that come from them, and keys that prove possession."""

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
from joserfc import jws
from joserfc.jwk import ECKey

from doorward.kernel.caller import LOCAL_OPERATOR
from doorward.kernel.instant import SECOND
from doorward.oidc import Client
from tests.http.conftest import ORIGIN, Visitor, World

CALLBACK = "https://app.example/callback"
API = "https://api.example"
SCOPE = "openid profile email offline_access"


@dataclass(repr=False)
class App:
    """A registered client, as its own code would use us."""

    world: World
    client: Client
    secret: str | None
    http: httpx.AsyncClient

    @property
    def basic(self) -> dict[str, str]:
        """Its credentials as a header."""
        if self.secret is None:
            return {}
        pair = base64.b64encode(f"{self.client.id}:{self.secret}".encode()).decode()
        return {"authorization": f"Basic {pair}"}

    def url(self, verifier: str, **changed: str | None) -> str:
        """An authorization request; what is None is left out."""
        asked: dict[str, str | None] = {
            "response_type": "code",
            "client_id": self.client.id,
            "redirect_uri": next(iter(self.client.redirect_uris), None),
            "scope": SCOPE,
            "state": "a state",
            "nonce": "a nonce",
            "code_challenge": challenge_of(verifier),
            "code_challenge_method": "S256",
            **changed,
        }
        return f"/oauth/authorize?{urlencode({name: value for name, value in asked.items() if value is not None})}"

    async def code(self, visitor: Visitor, verifier: str, **changed: str | None) -> str:
        """The code that a signed-in browser brings back."""
        answer = await visitor.get(self.url(verifier, **changed))
        assert answer.status_code == 303, answer.text
        return back(answer)["code"]

    async def token(self, proof: str | None = None, **body: str | None) -> httpx.Response:
        """Ask for tokens."""
        sent = {name: value for name, value in body.items() if value is not None}
        if not self.client.confidential:
            sent.setdefault("client_id", self.client.id)
        headers = {**self.basic, **({} if proof is None else {"dpop": proof})}
        return await self.http.post("/oauth/token", data=sent, headers=headers)

    async def redeem(
        self, issued: str, verifier: str, proof: str | None = None, **changed: str | None
    ) -> httpx.Response:
        """Redeem a code that was issued."""
        body: dict[str, str | None] = {
            "grant_type": "authorization_code",
            "code": issued,
            "redirect_uri": self.client.redirect_uris[0],
            "code_verifier": verifier,
        }
        return await self.token(proof, **{**body, **changed})

    async def refresh(self, token: str, proof: str | None = None, **changed: str | None) -> httpx.Response:
        """Use a refresh token."""
        return await self.token(proof, **{"grant_type": "refresh_token", "refresh_token": token, **changed})

    async def tokens(self, visitor: Visitor, proof: str | None = None, **changed: str | None) -> dict[str, Any]:
        """All of it: a browser comes and goes, and the code becomes tokens."""
        verifier = secrets.token_urlsafe(32)
        answer = await self.redeem(await self.code(visitor, verifier, **changed), verifier, proof)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def introspect(self, token: str) -> dict[str, Any]:
        """What we say of a token."""
        answer = await self.http.post("/oauth/introspect", data={"token": token}, headers=self.basic)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def userinfo(self, token: str, scheme: str = "Bearer", **headers: str) -> httpx.Response:
        """Ask who somebody is."""
        return await self.http.get("/oauth/userinfo", headers={"authorization": f"{scheme} {token}", **headers})


async def register(world: World, **changed: Any) -> App:
    """Register a client: by default the server of a web app."""
    wanted: dict[str, Any] = {
        "id": "",
        "name": "Notes",
        "kind": "web",
        "auth_method": "client_secret_basic",
        "redirect_uris": (CALLBACK,),
        "resources": (API,),
        **changed,
    }
    made = await world.services.apps.clients.add(Client(**wanted), LOCAL_OPERATOR)
    return App(world, made.client, made.secret, world.visitor("198.51.100.77").http)


async def register_public(world: World, **changed: Any) -> App:
    """Register the script of a page."""
    return await register(world, **{"kind": "spa", "auth_method": "none", **changed})


async def register_service(world: World, **changed: Any) -> App:
    """Register a program that acts for itself."""
    wanted = {"kind": "service", "redirect_uris": (), "scopes": ("reports", "revocations"), **changed}
    return await register(world, **wanted)


async def member(world: World, uid: str = "ada") -> Visitor:
    """A browser whose user is signed in."""
    visitor = world.visitor()
    await visitor.sign_up(uid)
    return visitor


def challenge_of(verifier: str) -> str:
    """RFC 7636 §4.2."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def back(answer: httpx.Response) -> dict[str, str]:
    """What an answer brings back to the app."""
    return dict(parse_qsl(urlsplit(answer.headers["location"]).query, keep_blank_values=True))


def claims_of(token: str) -> dict[str, Any]:
    """What a token says, unverified."""
    return part_of(token, 1)


def part_of(token: str, number: int) -> dict[str, Any]:
    """One part of a token, unverified."""
    part = token.split(".")[number]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


@dataclass
class Key:
    """A key of a client's own, for DPoP (RFC 9449)."""

    world: World
    jwk: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256", private=True))

    @property
    def thumbprint(self) -> str:
        """RFC 7638."""
        return self.jwk.thumbprint()

    def proof(
        self,
        method: str = "POST",
        path: str = "/oauth/token",
        token: str | None = None,
        header: Mapping[str, Any] | None = None,
        **changed: Any,
    ) -> str:
        """A proof; what is `...` is left out."""
        head: dict[str, Any] = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk.as_dict(private=False)}
        claims: dict[str, Any] = {
            "htm": method,
            "htu": f"{ORIGIN}{path}",
            "iat": self.world.clock.now() // SECOND,
            "jti": secrets.token_hex(8),
            **({} if token is None else {"ath": challenge_of(token)}),
            **changed,
        }
        kept = {name: value for name, value in claims.items() if value is not ...}
        return self.sign({**head, **(header or {})}, kept)

    def sign(self, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
        """Sign anything, also what no library would."""
        signed = f"{encoded(header)}.{encoded(claims)}"
        signature = jws.default_registry.algorithms["ES256"].sign(signed.encode(), self.jwk)
        return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def encoded(part: Mapping[str, Any]) -> str:
    """One part of a token."""
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def assertion(world: World, app: App, key: Key, header: dict[str, Any] | None = None, **changed: Any) -> str:
    """What a client signs to show who it is (RFC 7523); what is `...` is left out."""
    now = world.clock.now() // SECOND
    claims = {
        "iss": app.client.id, "sub": app.client.id, "aud": ORIGIN, "exp": now + 300, "jti": secrets.token_hex(8),
        **changed,
    }  # fmt: skip
    kept = {name: value for name, value in claims.items() if value is not ...}
    return key.sign({"alg": "ES256", "kid": "one", **(header or {})}, kept)


def shown(assertion: str) -> dict[str, str]:
    """The fields of a form in which an assertion is sent."""
    kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    return {"client_assertion": assertion, "client_assertion_type": kind}

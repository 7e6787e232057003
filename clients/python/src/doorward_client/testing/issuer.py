"""An issuer on the loopback that speaks as Doorward does, for the tests of apps.

It believes whoever the test says is signed in, and that they sign in again when they are asked to; everything else
(exact redirect URIs, PKCE, codes for one minute and one use, client secrets, rotating refresh tokens with their grace,
the revocation feed) is as strict as the real one. It binds no token to a key at its token endpoint:
`access_token(..., cnf={"jkt": ...})` does.
"""

import base64
import hashlib
import json
import secrets
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from doorward_client.api_keys import DIGITS, LENGTH, with_checksum
from doorward_client.testing.clock import MovableClock

TOKEN_SECONDS = 600
CODE_SECONDS = 60
GRACE_SECONDS = 10
HEARTBEAT_SECONDS = 0.05  # often, so that a test that ends its guard need not wait
Algorithm = Literal["ES256", "EdDSA", "RS256"]
Kind = Literal["session", "user", "family", "token"]
Answer = tuple[int, Mapping[str, str], bytes]


@dataclass(slots=True)
class User:
    """Somebody, in whatever state a test needs. What is changed shows in the tokens issued from then on."""

    sub: str
    name: str
    email: str | None = None
    email_verified: bool = True
    roles: list[str] = field(default_factory=list)
    amr: list[str] = field(default_factory=lambda: ["pwd"])
    acr: str = "aal1"
    disabled: bool = False
    claims: dict[str, Any] = field(default_factory=dict)
    signed_in_at: int | None = None  # None: now


@dataclass(slots=True)
class Client:
    """An app that is registered here."""

    client_id: str
    secret: str | None
    redirect_uris: tuple[str, ...]
    resource: str | None = None


@dataclass(slots=True)
class _Code:
    client: Client
    user: User
    asked: Mapping[str, str]
    until: float
    used: bool = False


@dataclass(slots=True)
class _Refresh:
    client: Client
    user: User
    scope: str
    sid: str
    fid: str
    auth_time: int
    successor: str | None = None
    spent_at: float = 0.0


class Issuer:
    """Use it as a context manager, or call `close`."""

    def __init__(self, clock: MovableClock | None = None, alg: Algorithm = "ES256", port: int = 0) -> None:
        self.clock = clock or MovableClock()
        self.keys: list[ECKey | OKPKey | RSAKey] = []
        self.add_key(alg)
        self.signed_in: User | None = None
        self.clients: dict[str, Client] = {}
        self.asked: list[str] = []  # every path that was asked for, in order
        self.broken: set[str] = set()  # paths that answer 503 for now
        self.feed_silent = False
        self.ended: list[dict[str, Any]] = []
        self.api_keys: dict[str, dict[str, Any]] = {}
        self._codes: dict[str, _Code] = {}
        self._refresh: dict[str, _Refresh] = {}
        self._active: dict[str, dict[str, Any]] = {}
        self._news = threading.Condition()
        self._stopping = False
        self._lock = threading.RLock()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.issuer = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="doorward-issuer", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening and end every stream."""
        self._stopping = True
        with self._news:
            self._news.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What a test arranges --------------------------------------------------------------------------------------------

    def client(
        self, client_id: str = "app", *, app_url: str = "http://127.0.0.1", resource: str | None = None
    ) -> Client:
        """Register an app with a secret, and with the callback that it has by default."""
        client = Client(client_id, f"dwc_{secrets.token_urlsafe(32)}", (f"{app_url}/auth/callback",), resource)
        self.clients[client_id] = client
        return client

    def user(self, name: str = "Ada", **state: Any) -> User:  # noqa: ANN401  fields of User
        """Make somebody."""
        return User(sub=state.pop("sub", secrets.token_hex(16)), name=name, **state)

    def add_key(self, alg: Algorithm = "ES256") -> ECKey | OKPKey | RSAKey:
        """A new key, which signs from now on; the others stay published."""
        key: ECKey | OKPKey | RSAKey
        match alg:
            case "ES256":
                key = ECKey.generate_key("P-256", private=True)
            case "EdDSA":
                key = OKPKey.generate_key("Ed25519", private=True)
            case "RS256":
                key = RSAKey.generate_key(3072, private=True)
        self.keys.append(key)
        return key

    def access_token(self, user: User, client: Client, **claims: Any) -> str:  # noqa: ANN401  claims
        """An access token; `claims` are put in, or with None taken out."""
        return self.sign(self._access_claims(user, client, **claims))

    def sign(self, claims: Mapping[str, Any], typ: str = "at+jwt", **header: Any) -> str:  # noqa: ANN401  header members
        """Sign any claims with the newest key. Whatever is signed here is active until it is revoked."""
        key = self.keys[-1]
        head = {"alg": algorithm(key), "typ": typ, "kid": key.thumbprint(), **header}
        token = sign(head, json.dumps(claims, separators=(",", ":")).encode(), key)
        self._active[token] = dict(claims)
        return token

    def grant(self, user: User, client: Client, scope: str, nonce: str | None = None) -> dict[str, Any]:
        """What the token endpoint would answer after a sign-in."""
        made = _Refresh(client, user, scope, secrets.token_hex(8), secrets.token_hex(8), self._auth_time(user))
        with self._lock:
            return _opened(self._issue(made, nonce))

    def refresh(self, token: str, client: Client) -> dict[str, Any]:
        """What the token endpoint would answer to a refresh token, whoever has it."""
        with self._lock:
            return _opened(self._rotate({"refresh_token": token}, client))

    def api_key(self, user: User, scope: str) -> str:
        """An API key of somebody's."""
        key = with_checksum("".join(secrets.choice(DIGITS) for _ in range(LENGTH)))
        self.api_keys[key] = {"active": True, "sub": user.sub, "client_id": "apikey:1", "scope": scope}
        return key

    def revoke(self, kind: Kind, name: str) -> None:
        """End something, and tell those who read the feed."""
        with self._news:
            self.ended.append(
                {"seq": len(self.ended) + 1, "kind": kind, "id": name, "at": int(self.clock.now() * 1000)}
            )
            self._news.notify_all()

    def is_ended(self, claims: Mapping[str, Any]) -> bool:
        """Whether what these claims rest on has ended."""
        names = {"session": claims.get("sid"), "family": claims.get("fid"), "token": claims.get("jti")}
        return any(
            claims.get("sub") == end["id"] and claims["iat"] * 1000 < end["at"]
            if end["kind"] == "user"
            else names[end["kind"]] == end["id"]
            for end in list(self.ended)
        )

    # What the endpoints do -------------------------------------------------------------------------------------------

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer one request."""
        path = urlsplit(target).path
        self.asked.append(path)
        if path in self.broken:
            return _json(503, {"error": "temporarily_unavailable"})
        query, form = _pairs(urlsplit(target).query), _pairs(body.decode())
        routes: dict[tuple[str, str], Callable[[], Answer]] = {
            ("GET", "/.well-known/openid-configuration"): self._metadata,
            ("GET", "/.well-known/oauth-authorization-server"): self._metadata,
            ("GET", "/.well-known/jwks.json"): self._jwks,
            ("GET", "/oauth/authorize"): lambda: self._authorize(query),
            ("POST", "/oauth/authorize"): lambda: self._authorize(form),
            ("POST", "/oauth/token"): lambda: self._token(form, headers),
            ("GET", "/oauth/userinfo"): lambda: self._userinfo(headers),
            ("POST", "/oauth/introspect"): lambda: self._introspect(form, headers),
            ("POST", "/oauth/revoke"): lambda: self._revoke(form, headers),
        }
        found = routes.get((method, path))
        with self._lock:
            return _json(404, {}) if found is None else found()

    def authenticated(self, headers: Mapping[str, str], form: Mapping[str, str]) -> Client | None:
        """The client whose name and secret a request bears (RFC 6749 §2.3.1)."""
        scheme, _, value = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            public = self.clients.get(form.get("client_id", ""))
            return public if public is not None and public.secret is None else None
        name, _, secret = base64.b64decode(value).decode().partition(":")
        client = self.clients.get(unquote_plus(name))
        return client if client is not None and client.secret == unquote_plus(secret) else None

    def _metadata(self) -> Answer:
        ends = {
            "authorization_endpoint": "/oauth/authorize",
            "token_endpoint": "/oauth/token",
            "userinfo_endpoint": "/oauth/userinfo",
            "jwks_uri": "/.well-known/jwks.json",
            "introspection_endpoint": "/oauth/introspect",
            "revocation_endpoint": "/oauth/revoke",
            "doorward_revocations_endpoint": "/oauth/revocations",
        }
        return _json(
            200,
            {
                "issuer": self.url,
                **{name: self.url + path for name, path in ends.items()},
                "response_types_supported": ["code"],
                "response_modes_supported": ["query"],
                "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256", "EdDSA", "RS256"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "none"],
                "authorization_response_iss_parameter_supported": True,
                "scopes_supported": ["openid", "profile", "email", "offline_access"],
                "acr_values_supported": ["aal1", "aal2", "aal3"],
            },
        )

    def _jwks(self) -> Answer:
        return _json(200, {"keys": [public(key) for key in self.keys]})

    def _authorize(self, asked: Mapping[str, str]) -> Answer:
        client = self.clients.get(asked.get("client_id", ""))
        if client is None or asked.get("redirect_uri") not in client.redirect_uris:
            return _json(400, {"error": "invalid_request"})
        said = {"state": asked.get("state", ""), "iss": self.url}
        user = self.signed_in
        well_formed = asked.get("response_type") == "code" and asked.get("max_age", "0").isdigit()
        if not well_formed or asked.get("code_challenge_method") != "S256":
            said |= {"error": "invalid_request"}
        elif asked.get("resource", client.resource) != client.resource:
            said |= {"error": "invalid_target"}
        elif user is None or user.disabled:
            said |= {"error": "access_denied"}
        elif self._is_to_ask_anew(user, asked) and asked.get("prompt") == "none":
            said |= {"error": "login_required"}
        else:
            if self._is_to_ask_anew(user, asked):
                user.signed_in_at = int(self.clock.now())
            code = secrets.token_urlsafe(32)
            self._codes[code] = _Code(client, user, asked, self.clock.now() + CODE_SECONDS)
            said |= {"code": code}
        return 303, {"location": f"{asked['redirect_uri']}?{urlencode(said)}", "cache-control": "no-store"}, b""

    def _is_to_ask_anew(self, user: User, asked: Mapping[str, str]) -> bool:
        if asked.get("prompt") == "login":
            return True
        max_age = asked.get("max_age")
        return max_age is not None and self.clock.now() - self._auth_time(user) > int(max_age)

    def _auth_time(self, user: User) -> int:
        return int(self.clock.now()) if user.signed_in_at is None else user.signed_in_at

    def _token(self, form: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        client = self.authenticated(headers, form)
        if client is None:
            return _json(401, {"error": "invalid_client"}, {"www-authenticate": "Basic"})
        match form.get("grant_type"):
            case "authorization_code":
                return self._redeem(form, client)
            case "refresh_token":
                return self._rotate(form, client)
            case "client_credentials":
                return self._credentials(form, client)
            case _:
                return _json(400, {"error": "unsupported_grant_type"})

    def _redeem(self, form: Mapping[str, str], client: Client) -> Answer:
        code = self._codes.get(form.get("code", ""))
        challenge = _b64(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if code is None or code.used or code.client is not client or code.asked.get("code_challenge") != challenge:
            return _json(400, {"error": "invalid_grant"})
        if form.get("redirect_uri") != code.asked["redirect_uri"] or self.clock.now() >= code.until:
            return _json(400, {"error": "invalid_grant"})
        code.used = True
        return _json(200, self.grant(code.user, client, code.asked.get("scope", ""), code.asked.get("nonce")))

    def _rotate(self, form: Mapping[str, str], client: Client) -> Answer:
        grant = self._refresh.get(form.get("refresh_token", ""))
        if grant is None or grant.client is not client or grant.user.disabled or self._is_over(grant):
            return _json(400, {"error": "invalid_grant"})
        if grant.successor is not None:
            late = self.clock.now() - grant.spent_at > GRACE_SECONDS
            if late or self._refresh[grant.successor].successor is not None:
                self.revoke("family", grant.fid)
                return _json(400, {"error": "invalid_grant"})
        return self._issue(grant, None, renewed=True)

    def _is_over(self, grant: _Refresh) -> bool:
        return self.is_ended({"sid": grant.sid, "fid": grant.fid, "sub": grant.user.sub, "iat": grant.auth_time})

    def _issue(self, grant: _Refresh, nonce: str | None, *, renewed: bool = False) -> Answer:
        made = {"sid": grant.sid, "fid": grant.fid, "auth_time": grant.auth_time, "scope": grant.scope}
        token = self.access_token(grant.user, grant.client, **made)
        said: dict[str, Any] = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": TOKEN_SECONDS,
            "scope": grant.scope,
        }
        scopes = grant.scope.split()
        if "openid" in scopes and not renewed:
            said["id_token"] = self.sign(self._id_claims(grant, nonce, token), "JWT")
        if "offline_access" in scopes:
            said["refresh_token"] = self._next(grant) if renewed else self._keep(grant)
        return _json(200, said)

    def _next(self, grant: _Refresh) -> str:
        if grant.successor is None:
            following = _Refresh(grant.client, grant.user, grant.scope, grant.sid, grant.fid, grant.auth_time)
            grant.successor, grant.spent_at = self._keep(following), self.clock.now()
        return grant.successor

    def _keep(self, grant: _Refresh) -> str:
        token = f"dwr_{secrets.token_urlsafe(32)}"
        self._refresh[token] = grant
        return token

    def _credentials(self, form: Mapping[str, str], client: Client) -> Answer:
        now, scope = int(self.clock.now()), form.get("scope", "")
        claims = {
            "iss": self.url,
            "sub": f"client:{client.client_id}",
            "aud": form.get("resource") or client.resource or client.client_id,
            "client_id": client.client_id,
            "iat": now,
            "nbf": now,
            "exp": now + TOKEN_SECONDS,
            "jti": secrets.token_hex(8),
            "scope": scope,
        }
        said = {"access_token": self.sign(claims), "token_type": "Bearer", "expires_in": TOKEN_SECONDS, "scope": scope}
        return _json(200, said)

    def _introspect(self, form: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        if self.authenticated(headers, {}) is None:
            return _json(401, {"error": "invalid_client"}, {"www-authenticate": "Basic"})
        token = form.get("token", "")
        if token in self.api_keys:
            return _json(200, self.api_keys[token])
        claims = self._active.get(token)
        if claims is None or self.clock.now() >= claims["exp"] or self.is_ended(claims):
            return _json(200, {"active": False})
        return _json(200, {"active": True, "token_type": "Bearer", **claims})

    def _revoke(self, form: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        client = self.authenticated(headers, form)
        if client is None:
            return _json(401, {"error": "invalid_client"}, {"www-authenticate": "Basic"})
        token = form.get("token", "")
        grant, claims = self._refresh.get(token), self._active.get(token)
        if grant is not None and grant.client is client:
            self.revoke("family", grant.fid)
        elif claims is not None and claims.get("client_id") == client.client_id:
            self.revoke("token", claims["jti"])
        return 200, {"content-length": "0"}, b""

    def _userinfo(self, headers: Mapping[str, str]) -> Answer:
        claims = self._active.get(headers.get("authorization", "").removeprefix("Bearer "))
        if claims is None or self.clock.now() >= claims["exp"] or self.is_ended(claims):
            return _json(401, {"error": "invalid_token"}, {"www-authenticate": 'Bearer error="invalid_token"'})
        return _json(200, {"sub": claims["sub"]})

    def _access_claims(self, user: User, client: Client, **claims: Any) -> dict[str, Any]:  # noqa: ANN401  claims
        now = int(self.clock.now())
        made = {
            "iss": self.url,
            "sub": user.sub,
            "aud": client.resource or client.client_id,
            "client_id": client.client_id,
            "iat": now,
            "nbf": now,
            "exp": now + TOKEN_SECONDS,
            "jti": secrets.token_hex(8),
            "scope": "openid",
            "sid": secrets.token_hex(8),
            "auth_time": self._auth_time(user),
            "amr": user.amr,
            "acr": user.acr,
            "roles": user.roles,
            **user.claims,
            **claims,
        }
        return {name: value for name, value in made.items() if value is not None}

    def _id_claims(self, grant: _Refresh, nonce: str | None, access_token: str) -> dict[str, Any]:
        now, user = int(self.clock.now()), grant.user
        digest = hashlib.sha512 if algorithm(self.keys[-1]) == "EdDSA" else hashlib.sha256
        half = digest(access_token.encode()).digest()
        made: dict[str, Any] = {
            "iss": self.url,
            "sub": user.sub,
            "aud": grant.client.client_id,
            "iat": now,
            "exp": now + TOKEN_SECONDS,
            "auth_time": grant.auth_time,
            "nonce": nonce,
            "acr": user.acr,
            "amr": user.amr,
            "sid": grant.sid,
            "at_hash": _b64(half[: len(half) // 2]),
        }
        scopes = grant.scope.split()
        if "profile" in scopes:
            made |= {"name": user.name}
        if "email" in scopes and user.email is not None and user.email_verified:
            made |= {"email": user.email, "email_verified": True}
        return {name: value for name, value in made.items() if value is not None}

    # The feed --------------------------------------------------------------------------------------------------------

    def stream(self, after: int, write: Callable[[bytes], object]) -> None:
        """Write the feed until the issuer or the reader goes."""
        with self._news:
            newest = len(self.ended)
        write(_line({"seq": newest, "heartbeat": True}))
        while not self._stopping and "/oauth/revocations" not in self.broken:
            with self._news:
                if len(self.ended) <= after and not self._stopping:
                    self._news.wait(HEARTBEAT_SECONDS)
                news = self.ended[after:]
            if not self.feed_silent:
                for end in news:
                    write(_line(end))
                after += len(news)
                write(_line({"seq": after, "heartbeat": True}))


class _Server(ThreadingHTTPServer):
    issuer: Issuer
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  as the standard library has it
        """Say nothing of clients that go before they are answered."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 20
    server: _Server

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        issuer, parts = self.server.issuer, urlsplit(self.path)
        if parts.path == "/oauth/revocations" and parts.path not in issuer.broken:
            self._stream(issuer, headers, _pairs(body.decode() if self.command == "POST" else parts.query))
            return
        status, more, content = issuer.answer(self.command, self.path, headers, body)
        self.send_response(status)
        for name, value in {"content-length": str(len(content)), **more}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815  the standard library's names

    def _stream(self, issuer: Issuer, headers: Mapping[str, str], asked: Mapping[str, str]) -> None:
        issuer.asked.append("/oauth/revocations")
        self.close_connection = True
        self.send_response(200 if issuer.authenticated(headers, {}) else 401)
        self.send_header("content-type", "application/x-ndjson")
        self.send_header("connection", "close")
        self.end_headers()
        if issuer.authenticated(headers, {}):
            try:
                issuer.stream(int(asked.get("after", "0")), self.wfile.write)
            except OSError:  # the reader has gone
                return

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401  as the standard library names them
        """Say nothing."""


def sign(header: Mapping[str, Any], payload: bytes, key: ECKey | OKPKey | RSAKey) -> str:
    """Sign anything under any header, for tests of what must be refused."""
    start = f"{_b64(json.dumps(header, separators=(',', ':')).encode())}.{_b64(payload)}"
    name = "Ed25519" if isinstance(key, OKPKey) else algorithm(key)
    signer = jws.JWSRegistry(algorithms=[name]).get_alg(name)
    return f"{start}.{_b64(signer.sign(start.encode(), key))}"


def algorithm(key: ECKey | OKPKey | RSAKey) -> Algorithm:
    """What a key signs with."""
    if isinstance(key, ECKey):
        return "ES256"
    return "EdDSA" if isinstance(key, OKPKey) else "RS256"


def public(key: ECKey | OKPKey | RSAKey) -> dict[str, Any]:
    """The public JWK of a key."""
    return {**key.as_dict(private=False), "kid": key.thumbprint(), "alg": algorithm(key), "use": "sig"}


def _pairs(text: str) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(text).items()}


def _json(status: int, value: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Answer:
    return status, {"content-type": "application/json", "cache-control": "no-store", **(headers or {})}, _dump(value)


def _opened(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer[2])
    return found


def _line(value: Mapping[str, Any]) -> bytes:
    return _dump(value) + b"\n"


def _dump(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _b64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

"""Signing in with a browser while this server holds the tokens: OpenID Connect with code, PKCE, state, nonce and `iss`.

The browser gets one cookie that stands for a session, HttpOnly and bound to this host; requests that change something
must bring the session's CSRF token, too.
"""

import base64
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

from doorward_client.clock import Clock
from doorward_client.credentials import Credentials
from doorward_client.errors import ForgedRequest, InvalidToken, NotSignedIn, SignInFailed, Unavailable
from doorward_client.flows import Answer, Exclusive, Flow, done
from doorward_client.principal import Principal
from doorward_client.provider import Provider, json_of
from doorward_client.request import WEBSOCKET, Reply, Request
from doorward_client.seal import derive, seal, unseal
from doorward_client.sessions import Session, Sessions, SessionStore
from doorward_client.settings import Settings, is_local
from doorward_client.tokens import SKEW_SECONDS, Seen, Tokens

SESSION_SECONDS = 30 * 86_400  # at the latest; the issuer ends it earlier by refusing to refresh
SIGN_IN_SECONDS = 600
EARLY_SECONDS = 30  # a token that ends so soon is refreshed now
MAX_SIGN_INS = 4  # begun at once in one browser, before its cookies grow too large
MAX_COOKIE_LENGTH = 4096
MAX_PATH_LENGTH = 2000
_CODE = re.compile(r"[a-z_]{1,64}")
_ACR_VALUES = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]{1,200}")
_COOKIE = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Begun:
    """A sign-in under way, sealed in a cookie until the issuer answers."""

    state: str
    nonce: str
    verifier: str
    then: str
    at: float
    max_age: int | None
    acr_values: str | None


@dataclass
class Browser:
    """Sessions of browsers, and the three routes that begin, complete and end them."""

    settings: Settings
    credentials: Credentials
    provider: Provider
    tokens: Tokens
    store: SessionStore
    clock: Clock
    sessions: Sessions = field(init=False)

    def __post_init__(self) -> None:
        """Derive what depends on the settings. Raises ValueError when the app cannot sign anybody in."""
        if self.settings.app_url is None or not self.settings.confidential:
            raise ValueError("app_url, and client_secret or private_key: signing in with a browser needs both")
        self.sessions = Sessions(self.store)
        self._key = derive(self.credentials.secret, "sign-in")
        prefix = "__Host-" if self.settings.secure else ""  # browsers take the prefix over TLS alone
        self._cookie = f"{prefix}doorward-session"
        self._begun = f"{prefix}doorward-sign-in-"
        self._redirect_uri = f"{self.settings.app_url}{self.settings.prefix}/callback"

    # Requests of somebody signed in ----------------------------------------------------------------------------------

    def cookie(self, request: Request) -> str | None:
        """The value of the session's cookie, if it may be one."""
        value = request.cookie(self._cookie)
        return value if value is not None and _COOKIE.fullmatch(value) else None

    def csrf_token(self, request: Request) -> str:
        """What a form must bring as `csrf_token`, or a script as `X-CSRF-Token`; empty for who is not signed in."""
        cookie = self.cookie(request)
        return "" if cookie is None else derive(cookie, "csrf").hex()

    def load(self, request: Request) -> tuple[str, Session]:
        """The cookie and the session of a request. Raises NotSignedIn, and ForgedRequest before anything is done."""
        found = self._found(request)
        if request.changes:
            self._insist_on_own_page(request)
            if request.method != WEBSOCKET:  # to which a script cannot add a header
                self._insist_on_token(request)
        return found

    def awaits_form(self, request: Request) -> bool:
        """Whether a field of the form is all that is still to be seen. Only then is it read: forms can be large."""
        if not request.changes or request.header("x-csrf-token") is not None:
            return False
        try:
            self._found(request)
            self._insist_on_own_page(request)
        except (NotSignedIn, ForgedRequest):
            return False
        return True

    def current(self, cookie: str, session: Session) -> Flow[Session]:
        """The session with an access token that still lives for a while. Raises NotSignedIn and Unavailable."""
        now = self.clock.now()
        if session.expires_at - now > EARLY_SECONDS:
            return session
        try:
            return (yield from self.refresh(cookie, session))
        except Unavailable:
            if session.expires_at > now:
                return session  # the old one will do, and the next request tries again
            raise

    def refresh(self, cookie: str, session: Session) -> Flow[Session]:
        """New tokens, fetched once however many requests want them. Raises NotSignedIn and Unavailable."""
        new: Session = yield Exclusive(self._name(cookie), lambda: self._refresh(cookie, session))
        return new

    def principal(self, session: Session, entry: Seen) -> Principal:
        """Who this is, with what the ID token said of them."""
        return replace(entry.principal, profile=session.profile)

    def _refresh(self, cookie: str, old: Session) -> Flow[Session]:
        session = self.sessions.load(cookie, self.clock.now())
        if session is None:
            raise NotSignedIn("the session has ended")
        if session.access_token != old.access_token:
            return session  # whoever was here before has done it
        if session.refresh_token is None:
            self.sessions.end(cookie)
            raise NotSignedIn("the session has ended")
        form = {"grant_type": "refresh_token", "refresh_token": session.refresh_token}
        try:
            try:
                said = yield from self._token(form)
            except Unavailable:
                # If only the answer was lost, the token is spent; for ten seconds its successor is the same again.
                said = yield from self._token(form)
        except SignInFailed as error:
            self.sessions.end(cookie)
            raise NotSignedIn("the session has ended") from error
        entry = yield from self.tokens.verify(said["access_token"])
        if entry.principal.sub != session.sub:
            self.sessions.end(cookie)
            raise InvalidToken("the issuer refreshed the session of somebody else")
        new = replace(
            session,
            access_token=said["access_token"],
            expires_at=float(entry.exp),
            refresh_token=said.get("refresh_token", session.refresh_token),
        )
        if self.sessions.load(cookie, self.clock.now()) is None:
            raise NotSignedIn("the session has ended")  # meanwhile, in another process
        self.sessions.save(cookie, new, self.clock.now())
        return new

    def _found(self, request: Request) -> tuple[str, Session]:
        cookie = self.cookie(request)
        session = None if cookie is None else self.sessions.load(cookie, self.clock.now())
        if cookie is None or session is None:
            raise NotSignedIn("sign in")
        return cookie, session

    def _insist_on_own_page(self, request: Request) -> None:
        origin, own = request.header("origin"), self.settings.app_url
        if request.method == WEBSOCKET:  # browsers always say where that comes from
            foreign = origin != own
        else:
            foreign = origin not in {own, None} or request.header("sec-fetch-site") not in {None, "same-origin", "none"}
        if foreign:
            raise ForgedRequest("the request comes from another site")

    def _insist_on_token(self, request: Request) -> None:
        token = request.header("x-csrf-token") or request.form() or ""
        if not hmac.compare_digest(token.encode(), self.csrf_token(request).encode()):
            raise ForgedRequest("the CSRF token is missing or wrong")

    # Routes ----------------------------------------------------------------------------------------------------------

    def route(self, request: Request) -> Flow[Reply] | None:
        """The flow that answers a request to one of our three paths, or None. It raises SignInFailed and its kin."""
        name = request.path.removeprefix(self.settings.prefix)
        if name == request.path:
            return None
        match name, request.method:
            case "/sign-in", "GET":
                return self.sign_in(request)
            case "/callback", "GET":
                return self.callback(request)
            case "/sign-out", "POST":
                return self.sign_out(request)
            case _:
                return None

    def sign_in_path(self, then: str, max_age: int | None = None, acr_values: str | None = None) -> str:
        """Where to send a browser to sign in and come back."""
        asked = {"next": then, "max_age": max_age, "acr_values": acr_values}
        given = {name: value for name, value in asked.items() if value is not None}
        query = urlencode(given, safe="/", quote_via=quote)
        return f"{self.settings.prefix}/sign-in?{query}"

    def sign_in(self, request: Request) -> Flow[Reply]:
        """Send the browser to the issuer."""
        metadata = yield from self.provider.metadata()
        asked = parse_qs(request.query)
        begun = Begun(
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(32),
            then=local_path(asked.get("next", ["/"])[-1]),
            at=self.clock.now(),
            max_age=_whole(asked.get("max_age", [""])[-1]),
            acr_values=_acr_values(asked.get("acr_values", [""])[-1]),
        )
        challenge = base64.urlsafe_b64encode(hashlib.sha256(begun.verifier.encode()).digest()).rstrip(b"=").decode()
        sent: dict[str, Any] = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": self._redirect_uri,
            "scope": self.settings.scope,
            "state": begun.state,
            "nonce": begun.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "resource": None if self.settings.audience == self.settings.client_id else self.settings.audience,
            "max_age": begun.max_age,
            "acr_values": begun.acr_values,
        }
        query = urlencode({name: value for name, value in sent.items() if value is not None}, quote_via=quote)
        sealed = seal(self._key, json.dumps(_fields(begun)).encode(), begun.state)
        value = base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()
        cookies = [*self._dropped(request), self._set(self._begun + begun.state[:8], value, SIGN_IN_SECONDS)]
        return _redirect(f"{metadata.authorization_endpoint}?{query}", cookies)

    def callback(self, request: Request) -> Flow[Reply]:
        """Take the issuer's answer. Raises SignInFailed unless it answers a sign-in that this browser began."""
        said = {name: values[0] for name, values in parse_qs(request.query).items() if len(values) == 1}
        begun = self._open(request, said.get("state", ""))
        if said.get("iss") != self.settings.issuer:  # RFC 9207: an answer of another issuer is not ours to redeem
            raise SignInFailed("another issuer answered")
        if "error" in said:
            code = said["error"] if _CODE.fullmatch(said["error"]) else "error"
            raise SignInFailed(f"the issuer answered {code}")
        tokens = yield from self._token(
            {
                "grant_type": "authorization_code",
                "code": said.get("code", ""),
                "redirect_uri": self._redirect_uri,
                "code_verifier": begun.verifier,
            }
        )
        session = yield from self._begin(begun, tokens)
        old = self.cookie(request)
        if old is not None:
            self.sessions.end(old)
        cookie = secrets.token_urlsafe(32)  # never the old one: whoever planted that would be signed in, too
        self.sessions.save(cookie, session, self.clock.now())
        cookies = [self._set(self._cookie, cookie, None), self._set(self._begun + begun.state[:8], "", 0)]
        return _redirect(begun.then, cookies)

    def sign_out(self, request: Request) -> Flow[Reply]:
        """End the session here and, as far as it can be reached, at the issuer."""
        if request.cookie(self._cookie) is None:  # another site may have sent the browser here, and then it brings none
            return _redirect(self.settings.after_sign_out, [])
        gone = [self._set(self._cookie, "", 0)]
        session: Session | None
        try:
            cookie, session = self.load(request)
        except NotSignedIn:
            return _redirect(self.settings.after_sign_out, gone)
        session = yield Exclusive(self._name(cookie), lambda: done(self._end(cookie)))
        if session is None:
            return _redirect(self.settings.after_sign_out, gone)
        try:
            metadata = yield from self.provider.metadata()
            form = {"token": session.refresh_token or session.access_token}
            yield self.credentials.post(metadata.revocation_endpoint, form)
        except Unavailable:
            pass  # nobody holds the tokens any more; they end by themselves
        return _redirect(self.settings.after_sign_out, gone)

    def _end(self, cookie: str) -> Session | None:
        """End a session; what it was at last, as a refresh may just have given it new tokens."""
        session = self.sessions.load(cookie, self.clock.now())
        self.sessions.end(cookie)
        return session

    def _name(self, cookie: str) -> str:
        return f"session {cookie}"

    def _begin(self, begun: Begun, said: dict[str, Any]) -> Flow[Session]:
        access_token, id_token = said["access_token"], said.get("id_token")
        if not isinstance(id_token, str):
            raise SignInFailed("the issuer sent no ID token")
        try:
            entry = yield from self.tokens.verify(access_token)
            self.tokens.check_revoked(entry)  # else the page sends the browser to sign in again, and so on
            claims = yield from self.tokens.id_token(id_token, self.settings.client_id, begun.nonce, access_token)
        except InvalidToken as error:
            raise SignInFailed(error.description) from error
        principal, now = entry.principal, self.clock.now()
        if claims["sub"] != principal.sub:
            raise SignInFailed("the tokens are of two people")
        if begun.max_age is not None and now - (principal.auth_time or 0) > begun.max_age + SKEW_SECONDS:
            raise SignInFailed("the issuer did not ask anew")
        if begun.acr_values and principal.acr not in begun.acr_values.split():
            raise SignInFailed("the issuer asked for no second factor")
        return Session(
            access_token=access_token,
            expires_at=float(entry.exp),
            refresh_token=said.get("refresh_token"),
            sub=principal.sub,
            until=now + SESSION_SECONDS,
            profile=dict(claims),
        )

    def _token(self, form: dict[str, str]) -> Flow[dict[str, Any]]:
        """What the token endpoint answers. Raises SignInFailed when it refuses the grant, else Unavailable."""
        metadata = yield from self.provider.metadata()
        answer: Answer = yield self.credentials.post(metadata.token_endpoint, form)
        said = json_of(answer)
        if answer.status == HTTPStatus.BAD_REQUEST and said.get("error") == "invalid_grant":  # RFC 6749 §5.2
            raise SignInFailed("the issuer takes the grant no more")
        kinds = {name: said.get(name) for name in ("access_token", "token_type", "refresh_token", "id_token")}
        well_formed = all(isinstance(value, str | None) for value in kinds.values())
        if answer.status != HTTPStatus.OK or not well_formed:
            raise Unavailable(f"the token endpoint answered {answer.status}")
        if kinds["access_token"] is None or str(kinds["token_type"]).lower() != "bearer":
            raise Unavailable("the token endpoint sent no bearer token")
        return said

    def _open(self, request: Request, state: str) -> Begun:
        value = request.cookie(self._begun + state[:8]) or ""
        try:
            sealed = base64.urlsafe_b64decode(value[:MAX_COOKIE_LENGTH] + "=" * (-len(value) % 4))
        except ValueError:
            sealed = b""
        opened = unseal(self._key, sealed, state)
        if opened is None:
            raise SignInFailed(f"this browser began no such sign-in at {self.settings.app_url}")
        begun = Begun(**json.loads(opened))
        if begun.state != state or self.clock.now() - begun.at > SIGN_IN_SECONDS:
            raise SignInFailed("the sign-in took too long")
        return begun

    def _dropped(self, request: Request) -> list[tuple[str, str]]:
        begun = [(name, value) for name, value in request.cookies() if name.startswith(self._begun)]
        full = len(begun) >= MAX_SIGN_INS or sum(len(value) for _, value in begun) > MAX_COOKIE_LENGTH
        return [self._set(name, "", 0) for name, _ in begun] if full else []

    def _set(self, name: str, value: str, seconds: int | None) -> tuple[str, str]:
        parts = [f"{name}={value}", "Path=/", "HttpOnly", "SameSite=Lax"]
        if self.settings.secure:
            parts.append("Secure")
        if seconds is not None:
            parts.append(f"Max-Age={seconds}")
        return "Set-Cookie", "; ".join(parts)


def local_path(path: str) -> str:
    """The path if it is one of this app's and fits into a cookie, else "/": a browser is never sent elsewhere."""
    return path if len(path) <= MAX_PATH_LENGTH and is_local(path) else "/"


def _redirect(where: str, cookies: Sequence[tuple[str, str]]) -> Reply:
    headers = [("Location", where), ("Cache-Control", "no-store"), ("Referrer-Policy", "no-referrer")]
    return Reply(303, [*headers, *cookies])


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None  # noqa: PLR2004  300 years


def _acr_values(text: str) -> str | None:
    return text if _ACR_VALUES.fullmatch(text) else None


def _fields(begun: Begun) -> dict[str, Any]:
    return {name: getattr(begun, name) for name in Begun.__slots__}

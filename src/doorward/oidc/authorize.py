"""The authorization endpoint: a browser comes from an app and goes back with a code (OpenID Connect Core §3.1.2)."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import urlencode

from doorward.audit import AuditTrail, Event, Outcome
from doorward.kernel import base64url
from doorward.kernel.caller import Caller
from doorward.kernel.errors import Malformed, NotSignedIn
from doorward.kernel.ids import new_token, token_digest
from doorward.kernel.instant import SECOND, Instant
from doorward.kernel.msgid import msgid
from doorward.oidc import store
from doorward.oidc.clients import Clients
from doorward.oidc.model import ACRS, CODE_SECONDS, MARK_SECONDS, Client, Code, is_challenge
from doorward.ports import Clock, Database, Sealer
from doorward.sessions import Session, Sessions
from doorward.sql import Work

AUTHORIZE: Final = "/oauth/authorize"
MARK: Final = "since"  # our own parameter: when somebody was asked to prove who they are for this request
_LONGEST: Final = 1_900  # of the request as a path, which travels through the sign-in page
_KNOWN: Final = (
    "response_type", "client_id", "redirect_uri", "scope", "state", "nonce", "code_challenge", "code_challenge_method",
    "resource", "max_age", "acr_values", "prompt", "login_hint", "dpop_jkt", "response_mode", "request", "request_uri",
)  # fmt: skip
_UNKNOWN_APP = msgid("The app that sent you here is not known. Go back to it and try again, or tell its makers")
_UNKNOWN_PLACE = msgid("The app that sent you here wants to go on at a place that it is not registered for")


@dataclass(frozen=True, slots=True)
class Away:
    """Back to the app, at an address that it is registered for."""

    address: str


@dataclass(frozen=True, slots=True)
class Stay:
    """On to a page of ours, from where this request is taken up again."""

    path: str


Step: TypeAlias = Away | Stay


class _RefusedError(Exception):
    def __init__(self, error: str, description: str) -> None:
        """`error`: the word of RFC 6749 §4.1.2.1 or OpenID Connect Core §3.1.2.6."""
        self.error, self.description = error, description
        super().__init__(error)


@dataclass(frozen=True, slots=True)
class _Request:
    """What an app may ask for, and does."""

    client: Client
    redirect_uri: str
    scope: str
    resource: str
    code_challenge: str
    nonce: str | None
    prompt: str
    max_age: int | None
    aal: int
    dpop_jkt: str | None


@dataclass(frozen=True, slots=True)
class Authorize:
    """Decides where the browser goes next."""

    db: Database
    clock: Clock
    sealer: Sealer
    clients: Clients
    sessions: Sessions
    audit: AuditTrail
    issuer: str

    async def step(self, sent: Mapping[str, str], session: Session | None, caller: Caller) -> Step:
        """One look at a request. Raises Malformed where nobody may be sent anywhere (RFC 9700 §4.11)."""
        client = await self.clients.find(sent.get("client_id", ""))
        if client is None:
            raise Malformed(_UNKNOWN_APP, reason="unknown client")
        redirect_uri = sent.get("redirect_uri", "")
        if redirect_uri not in client.redirect_uris:  # character by character (C55)
            raise Malformed(_UNKNOWN_PLACE, reason=f"redirect_uri is not registered for {client.id}")
        try:
            request = self._read(client, redirect_uri, sent)
            stay = self._proof_wanted(request, sent, session)
            if stay is not None:
                return Stay(stay)
            if session is None:  # `_proof_wanted` has sent them to sign in
                raise NotSignedIn
            code = await self._new_code(request, session, caller)
        except _RefusedError as refused:
            return self._back(sent, {"error": refused.error, "error_description": refused.description})
        return self._back(sent, {"code": code})

    def path_of(self, sent: Mapping[str, str], **more: str) -> str:
        """The same request as a path of ours, without what we do not know."""
        return f"{AUTHORIZE}?{urlencode({**{name: sent[name] for name in _KNOWN if name in sent}, **more})}"

    def _back(self, sent: Mapping[str, str], answer: Mapping[str, str]) -> Away:
        state = {"state": sent["state"]} if "state" in sent else {}
        uri, mark = sent["redirect_uri"], "&" if "?" in sent["redirect_uri"] else "?"
        return Away(f"{uri}{mark}{urlencode({**answer, **state, 'iss': self.issuer})}")

    # What is asked ------------------------------------------------------------------------------------------------

    def _read(self, client: Client, redirect_uri: str, sent: Mapping[str, str]) -> _Request:
        self._check_form(sent)
        scope = " ".join(dict.fromkeys(sent.get("scope", "openid").split()))
        if not set(scope.split()) <= set(client.scopes):
            raise _RefusedError("invalid_scope", "a scope that this client is not registered for")
        resource = sent.get("resource") or client.audiences[0]
        if resource not in client.audiences:
            raise _RefusedError("invalid_target", "a resource that this client is not registered for")
        challenge, jkt = sent.get("code_challenge", ""), sent.get("dpop_jkt")
        if sent.get("code_challenge_method") != "S256" or not is_challenge(challenge):
            raise _RefusedError("invalid_request", "PKCE with S256 is required")
        if jkt is not None and not is_challenge(jkt):
            raise _RefusedError("invalid_request", "dpop_jkt is no thumbprint")
        return _Request(
            client, redirect_uri, scope, resource, challenge, sent.get("nonce"), _prompt(sent), _max_age(sent),
            _wanted_aal(sent), jkt,
        )  # fmt: skip

    def _check_form(self, sent: Mapping[str, str]) -> None:
        if sent.get("response_type") != "code":
            raise _RefusedError("unsupported_response_type", "only code is supported")
        if sent.get("response_mode", "query") != "query":
            raise _RefusedError("invalid_request", "only response_mode query is supported")
        for name in ("request", "request_uri"):
            if name in sent:
                raise _RefusedError(f"{name}_not_supported", "send parameters as they are")
        if not sent.get("nonce", "").isprintable():
            raise _RefusedError("invalid_request", "nonce is not printable")
        if len(self.path_of(sent)) > _LONGEST:
            raise _RefusedError("invalid_request", "the request is too long")

    # Who is there -------------------------------------------------------------------------------------------------

    def _proof_wanted(self, request: _Request, sent: Mapping[str, str], session: Session | None) -> str | None:
        """Where somebody has to prove who they are first; None when all that the app asks for is shown."""
        silent = request.prompt == "none"
        if session is None:
            if silent:
                raise _RefusedError("login_required", "nobody is signed in")
            return self._page("/sign-up" if request.prompt == "create" else "/sign-in", request, sent)
        fresh = self._fresh_enough(request, sent, session)
        if fresh and session.aal >= request.aal:
            return None
        if silent:
            raise _RefusedError("login_required" if not fresh else "interaction_required", "a fresh proof is needed")
        if request.aal == 2 and not session.has_factor:  # noqa: PLR2004  NIST 800-63B's levels
            return self._page("/account/security", request, sent)  # where one is set up, and leads on
        if request.aal > max(session.aal, 2) or (fresh and self._asked_before(request, sent, session)):
            raise _RefusedError("unmet_authentication_requirements", "this user cannot prove as much")
        return self._page("/confirm", request, sent)

    def _fresh_enough(self, request: _Request, sent: Mapping[str, str], session: Session) -> bool:
        if self._asked_before(request, sent, session):
            return True  # however long ago that is by now, it was for this request
        if request.prompt == "login":
            return False
        return request.max_age is None or self.clock.now() - session.auth_time <= request.max_age * SECOND

    def _asked_before(self, request: _Request, sent: Mapping[str, str], session: Session) -> bool:
        """Whether they have proven who they are since we sent them to do so for this very request."""
        at, _, mac = sent.get(MARK, "").partition(".")
        if not at.isascii() or not at.isdigit() or len(at) > 20:  # noqa: PLR2004  more than any instant has
            return False
        if not hmac.compare_digest(mac.encode(), self._mac(int(at), request, sent).encode()):
            return False
        return session.auth_time >= int(at) and self.clock.now() - int(at) <= MARK_SECONDS * SECOND

    def _page(self, page: str, request: _Request, sent: Mapping[str, str]) -> str:
        now = self.clock.now()
        back = self.path_of(sent, **{MARK: f"{now}.{self._mac(now, request, sent)}"})
        return f"{page}?{urlencode({'next': back})}"

    def _mac(self, at: Instant, request: _Request, sent: Mapping[str, str]) -> str:
        what = "\0".join((str(at), request.client.id, sent.get("state", ""), request.code_challenge))
        return base64url.encode(self.sealer.mac(what.encode(), "authorize"))

    async def _new_code(self, request: _Request, session: Session, caller: Caller) -> str:
        code, now = new_token(), self.clock.now()
        kept = Code(
            client_id=request.client.id,
            user_id=session.user_id,
            session_id=session.id,
            redirect_uri=request.redirect_uri,
            scope=request.scope,
            resource=request.resource,
            nonce=request.nonce,
            code_challenge=request.code_challenge,
            dpop_jkt=request.dpop_jkt,
            created_at=now,
            expires_at=now + CODE_SECONDS * SECOND,
            used_at=None,
            family_id=None,
        )

        def work() -> Work[bool]:
            if (yield from self.sessions.held(session.id)) is None:
                return False
            yield from store.insert_code(token_digest(code), kept)
            yield from self.audit.record(
                Event.AUTHN_TOKEN_CREATED,
                Outcome.SUCCESS,
                caller,
                user_id=session.user_id,
                actor_id=session.user_id,
                session_id=session.id,
                payload={"purpose": "code", "client": request.client.id, "scope": request.scope},
            )
            return True

        # Here stands, later, the page that asks whether a client that is not our own may have all that (C57).
        if not await self.db.write(work):
            raise _RefusedError("login_required", "the session ended meanwhile")
        return code


def _prompt(sent: Mapping[str, str]) -> str:
    prompts = set(sent.get("prompt", "").split())
    if "none" in prompts and len(prompts) > 1:
        raise _RefusedError("invalid_request", "prompt none stands alone")
    if {"create", "login"} <= prompts:
        raise _RefusedError("invalid_request", "prompt create stands without login")
    if "none" in prompts:
        return "none"
    if "create" in prompts:  # OpenID Connect: Initiating User Registration 1.0; whoever is signed in has an account
        return "create"
    return "login" if prompts & {"login", "select_account"} else ""


def _max_age(sent: Mapping[str, str]) -> int | None:
    text = sent.get("max_age")
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 9:  # noqa: PLR2004  thirty years
        raise _RefusedError("invalid_request", "max_age is a number of seconds")
    return int(text)


def _wanted_aal(sent: Mapping[str, str]) -> int:
    """The least of the levels that would do; words that are none of ours are nobody's concern here."""
    named = [ACRS.index(word) + 1 for word in sent.get("acr_values", "").split() if word in ACRS]
    return min(named, default=1)

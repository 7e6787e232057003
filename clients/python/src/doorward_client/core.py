"""From a request to a principal, written once for threads and for tasks, and the answer when there is none."""

import json
from dataclasses import dataclass

from doorward_client.api_keys import PREFIX, is_api_key
from doorward_client.browser import Browser
from doorward_client.clock import Clock
from doorward_client.credentials import Credentials
from doorward_client.dpop import Proofs, ProofsInMemory, SeenProofs
from doorward_client.errors import (
    InsufficientAuthentication,
    InvalidProof,
    InvalidRequest,
    InvalidToken,
    NotSignedIn,
    Refused,
    Unavailable,
)
from doorward_client.flows import Call, Flow
from doorward_client.introspection import Introspection
from doorward_client.pages import POLICY, page_for
from doorward_client.principal import LOGIN, Principal, Requirement
from doorward_client.provider import Provider
from doorward_client.request import Reply, Request
from doorward_client.revocations import Revocations
from doorward_client.sessions import SessionStore
from doorward_client.settings import Settings
from doorward_client.tokens import Seen, Tokens

_SIGNING_IN_HELPS = (NotSignedIn, InvalidToken, InsufficientAuthentication)


@dataclass
class Core:
    """Everything that is the same however an app waits."""

    settings: Settings
    clock: Clock
    credentials: Credentials
    provider: Provider
    revocations: Revocations
    tokens: Tokens
    introspection: Introspection
    proofs: Proofs
    browser: Browser | None

    def __post_init__(self) -> None:
        """Settle what every request asks."""
        self._kept_as = f"doorward.user.{id(self):x}"  # an app may have two guards, for two audiences
        self._quick = self.settings.revocation != "introspection" and not self.settings.require_dpop

    @classmethod
    def of(
        cls, settings: Settings, clock: Clock, store: SessionStore | None = None, proofs: SeenProofs | None = None
    ) -> "Core":
        """Put the parts together. Without a store nobody signs in with a browser here; one may remember proofs, too."""
        provider, revocations = Provider(settings.issuer, clock), Revocations(clock)
        credentials = Credentials.of(settings, clock)
        follows = settings.revocation == "feed"
        tokens = Tokens(settings.issuer, settings.audience, provider, revocations, clock, feed=follows)
        return cls(
            settings=settings,
            clock=clock,
            credentials=credentials,
            provider=provider,
            revocations=revocations,
            tokens=tokens,
            introspection=Introspection(credentials, provider, clock),
            proofs=Proofs(clock, _proofs_of(store) if proofs is None else proofs),
            browser=None if store is None else Browser(settings, credentials, provider, tokens, store, clock),
        )

    # Who is it? ------------------------------------------------------------------------------------------------------

    def quick(self, request: Request) -> Principal | None:
        """Who sent the request, if that can be told at once; it can for nearly all. Raises InvalidToken."""
        known: Principal | None = request.kept.get(self._kept_as)
        if known is not None:
            return known
        authorization = request.header("authorization")
        if authorization is None or not self._quick or not authorization.startswith("Bearer "):
            return None
        if request.header("x-api-key") is not None:
            return None
        return self.quick_bearer(authorization[7:].encode())

    def quick_bearer(self, token: bytes) -> Principal | None:
        """The same for the token of a request that has no other credentials."""
        entry = self.tokens.seen_bytes(token) if self._quick else None
        return None if entry is None or entry.jkt is not None else entry.principal

    def identify(self, request: Request) -> Flow[Principal]:
        """Who sent the request, which `quick` tells from then on: a DPoP proof counts only once. Raises Refused."""
        found = request.kept[self._kept_as] = yield from self._identify(request)
        return found

    def _identify(self, request: Request) -> Flow[Principal]:
        authorization, key = request.header("authorization"), request.header("x-api-key")
        if authorization is not None and key is not None:
            raise InvalidRequest("two ways to authenticate")
        if key is not None:
            return (yield from self.api_key(key))
        if authorization is None:
            return (yield from self._session(request))
        scheme, _, token = authorization.partition(" ")
        match scheme.lower():
            case "bearer" if token.startswith(PREFIX):
                return (yield from self.api_key(token))
            case "bearer":
                return (yield from self.bearer(token))
            case "dpop":
                return (yield from self._bound(request, token))
            case _:
                raise NotSignedIn("no scheme that is understood here")

    def token(self, token: str) -> Flow[Seen]:
        """Check an access token, and that it was not revoked. Raises InvalidToken and Unavailable."""
        entry = self.tokens.seen(token) or self.tokens.known(token) or (yield from self.tokens.verify(token))
        match self.settings.revocation:
            case "expiry":
                return entry
            case "feed" if self.revocations.fresh:
                self.tokens.check_revoked(entry)
                return entry
            case _:
                self.tokens.check_revoked(entry)  # what the feed has named stays ended, however old its last word
                yield from self.introspection.ask(token)
                return entry

    def bearer(self, token: str) -> Flow[Principal]:
        """Whose token this is that comes without a proof. Raises InvalidToken and Unavailable."""
        entry = yield from self.token(token)
        if entry.jkt is not None:
            raise InvalidToken("the token is bound to a key: send it with the DPoP scheme and a proof")
        if self.settings.require_dpop:
            raise InvalidToken("only tokens that are bound to a key are taken here")
        return entry.principal

    def api_key(self, key: str) -> Flow[Principal]:
        """Ask the issuer about an API key. Raises InvalidToken and Unavailable."""
        if not is_api_key(key) or self.settings.require_dpop:
            raise InvalidToken("no API key that is taken here")
        said = yield from self.introspection.ask(key)
        if "networks" in said:  # where a request came from is what no app can tell for certain that has a proxy
            raise InvalidToken("the API key may be used from some networks alone, which cannot be told here")
        try:
            return Principal.read(said)
        except ValueError as error:
            raise Unavailable("the issuer's answer is not understood") from error

    def _bound(self, request: Request, token: str) -> Flow[Principal]:
        if self.settings.app_url is None:
            raise InvalidProof("this app takes no bound tokens: it was not told its own address")
        entry = yield from self.token(token)
        if entry.jkt is None:
            raise InvalidToken("the token is bound to no key: send it with the Bearer scheme")
        url = self.settings.app_url + request.path
        self.proofs.check(request.header("dpop"), method=request.method, url=url, token=token, jkt=entry.jkt)
        return entry.principal

    def _session(self, request: Request) -> Flow[Principal]:
        if self.browser is None:
            raise NotSignedIn("a token is needed")
        cookie, session = self.browser.load(request)
        session = yield from self.browser.current(cookie, session)
        try:
            entry = yield from self.token(session.access_token)
        except InvalidToken:
            # Perhaps only this token was revoked; the issuer knows whether the session still lives.
            session = yield from self.browser.refresh(cookie, session)
            try:
                entry = yield from self.token(session.access_token)
            except InvalidToken as error:
                self.browser.sessions.end(cookie)
                raise NotSignedIn("the session has ended") from error
        return self.browser.principal(session, entry)

    # What has ended? -------------------------------------------------------------------------------------------------

    def follow(self) -> Flow[Call]:
        """The request whose answer tells of everything that ends. Raises Unavailable."""
        metadata = yield from self.provider.metadata()
        return self.credentials.post(metadata.doorward_revocations_endpoint, self.revocations.place)

    # What now? -------------------------------------------------------------------------------------------------------

    def allow(self, principal: Principal, requirement: Requirement) -> Principal:
        """Let pass who meets the requirement. Raises Forbidden and InsufficientAuthentication."""
        if requirement is not LOGIN:
            requirement.check(principal, self.clock.now())
        return principal

    def route(self, request: Request) -> Flow[Reply] | None:
        """The flow that answers one of our own routes, or None."""
        return None if self.browser is None else self.browser.route(request)

    def refusal(self, request: Request, refused: Refused) -> Reply:
        """Say no: a person who can sign in is sent to do so, everybody else gets a status and the reason."""
        if self.browser is not None and request.wants_page and isinstance(refused, _SIGNING_IN_HELPS):
            then = request.path + (f"?{request.query}" if request.query else "")
            return Reply(303, [("Location", _sign_in(self.browser, refused, then)), ("Cache-Control", "no-store")])
        headers = [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")]
        headers += [("WWW-Authenticate", said) for said in refused.challenges(dpop=self.settings.require_dpop)]
        if refused.status == Unavailable.status:
            headers.append(("Retry-After", "1"))
        if self.browser is not None and request.is_of_a_person:
            page = page_for(refused, _sign_in(self.browser, refused, "/"))
            if page is not None:
                headers += [("Content-Type", "text/html; charset=utf-8"), ("Content-Security-Policy", POLICY)]
                return Reply(refused.status, headers, page)
        said = {"error": refused.error or type(refused).__name__, "error_description": refused.description}
        return Reply(refused.status, [*headers, ("Content-Type", "application/json")], json.dumps(said).encode())


def _sign_in(browser: Browser, refused: Refused, then: str) -> str:
    """Where a sign-in begins that shows what was missing."""
    if isinstance(refused, InsufficientAuthentication):
        return browser.sign_in_path(then, refused.max_age, refused.acr_values)
    return browser.sign_in_path(then)


def _proofs_of(store: object) -> SeenProofs:
    return store if isinstance(store, SeenProofs) else ProofsInMemory()

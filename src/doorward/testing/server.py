"""Doorward itself, for the tests of an app: on the loopback, in this process, with nothing kept.

    with doorward_server() as doorward:
        ada = doorward.user("Ada", passkey=True)
        app = doorward.serve(lambda settings: create_app(**settings))
        browser = doorward.browser()
        browser.open(f"{app.url}/private")
        browser.sign_in(ada)

Passwords are hashed with as little work as there is; everything else is as strict as in production. Mails and text
messages stay in the outbox, where `mail` and `sms` find them.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypedDict, TypeVar, Unpack
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import structlog
from msgspec.structs import replace as with_settings

from doorward.apikeys import Asked
from doorward.app import App, Services
from doorward.config import Settings, load
from doorward.datadir import DataDir
from doorward.kernel.caller import LOCAL_OPERATOR
from doorward.messages import Kind
from doorward.oidc import AUTHORIZE, PROXY_CALLBACK, REVOCATIONS, WITHOUT_SECRET, Client, ClientKind, hash_of
from doorward.testing.browser import Browser
from doorward.testing.clock import LiveClock, Seconds
from doorward.testing.hosting import app_in_thread, doorward_in_thread, listening, port_of
from doorward.testing.inbox import Inbox, Letter
from doorward.testing.making import State, make_user
from doorward.testing.page import words_of
from doorward.testing.people import User

T = TypeVar("T")

SCOPE = "openid profile email offline_access"
WAIT_SECONDS = 30
_LOOK_SECONDS = 0.02
_CHEAP = {"memory_kib": 8, "time_cost": 1}  # below what the configuration allows
_USUAL: Mapping[ClientKind, Sequence[str]] = {
    "web": (*SCOPE.split(), "phone", REVOCATIONS),
    "spa": (*SCOPE.split(), "phone"),
    "native": (*SCOPE.split(), "phone"),
}
_CURRENT, _TOKEN = "/api/sessions/current", "/oauth/token"


@dataclass(frozen=True, slots=True)
class RegisteredApp:
    """An app that Doorward knows. `url`: where browsers find it."""

    issuer: str
    client_id: str
    client_secret: str | None = field(repr=False)
    url: str
    redirect_uri: str
    clock: Seconds = field(repr=False)

    @property
    def settings(self) -> dict[str, Any]:
        """What `Doorward(app, **settings)` takes, and Django's `DOORWARD`."""
        return {
            "issuer": self.issuer,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "app_url": self.url,
            "clock": self.clock,
        }


class Registration(TypedDict, total=False):
    """How an app is registered; everything has a default."""

    name: str
    kind: ClientKind  # "web"
    scopes: Collection[str]  # besides those that its kind has anyway
    resources: Collection[str]  # audiences of its tokens
    claims: Collection[str]  # custom fields that its tokens carry


@dataclass(frozen=True, slots=True)
class Letters:
    """Everybody's mails, or everybody's text messages; the latest last."""

    _read: Callable[[str | None], Sequence[Letter]] = field(repr=False)

    def all(self, to: str | None = None) -> Sequence[Letter]:
        """What was sent to an address or a number, or to everybody."""
        return self._read(to)

    def last(self, to: str | None = None) -> Letter:
        """The latest. Raises AssertionError when nothing was sent."""
        found = self._read(to)
        assert found, f"nothing was sent to {to or 'anybody'}"
        return found[-1]


@dataclass
class Server:
    """Doorward, running. Everything here blocks until it is done.

    `data`: its data directory, for commands such as `doorward user show --data`, and gone at the end.
    """

    issuer: str
    data: Path
    clock: LiveClock
    _app: App = field(repr=False)
    _loop: asyncio.AbstractEventLoop = field(repr=False)
    _stack: ExitStack = field(repr=False)
    _inbox: Inbox["Server"] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Have one inbox, which remembers in which order it saw what."""
        self._inbox = Inbox(self)

    @property
    def services(self) -> Services:
        """The services of every room: for what this kit has no word for; see `call`."""
        services = self._app.services
        assert services is not None, "it runs no more"
        return services

    def call(self, what: Callable[[Services], Awaitable[T]]) -> T:
        """Do something with the services, in the loop that they belong to. Raises what it raises."""

        async def done() -> T:
            return await what(self.services)

        return asyncio.run_coroutine_threadsafe(done(), self._loop).result(WAIT_SECONDS)

    # What was sent ------------------------------------------------------------------------------------------------

    @property
    def mail(self) -> Letters:
        """Every mailbox."""
        return self._letters("mail")

    @property
    def sms(self) -> Letters:
        """Every telephone."""
        return self._letters("sms")

    def _letters(self, kind: Kind) -> Letters:
        return Letters(lambda to: self.call(lambda _: self._inbox.letters(kind, to)))

    # People -------------------------------------------------------------------------------------------------------

    def user(self, name: str = "Ada", **state: Unpack[State]) -> User:
        """Somebody with an account, in whatever state a test needs; see `State`."""
        return self.call(lambda services: make_user(services, self.clock, name, state))

    def disable(self, user: User) -> None:
        """End somebody's sessions and let them in no more."""
        self.call(lambda services: services.users.set_status(user.id, "disabled", None, LOCAL_OPERATOR))

    def enable(self, user: User) -> None:
        """Let somebody in again who was disabled."""
        self.call(lambda services: services.users.set_status(user.id, "active", None, LOCAL_OPERATOR))

    def delete(self, user: User) -> None:
        """Erase somebody, as an administrator does."""
        self.call(lambda services: services.users.delete(user.id, None, LOCAL_OPERATOR))

    def set_roles(self, user: User, *roles: str) -> None:
        """Give somebody exactly these roles. Their sessions end."""
        self.call(lambda services: services.users.set_roles(user.id, roles, None, LOCAL_OPERATOR))

    def end_sessions(self, user: User) -> None:
        """Sign somebody out everywhere."""
        self.call(lambda services: services.sessions.end_everywhere(user.id, LOCAL_OPERATOR))

    # Browsers and apps --------------------------------------------------------------------------------------------

    def browser(self) -> Browser:
        """A browser that has been nowhere yet."""
        browser = Browser(self.issuer)
        self._stack.callback(browser.close)
        return browser

    def sign_in(self, user: User) -> Browser:
        """A browser whose user is signed in here. Raises AssertionError when that is refused."""
        browser = self.browser()
        browser.sign_in(user)
        answer = browser.program(f"{self.issuer}{_CURRENT}")
        assert answer.status_code == httpx.codes.OK, (
            f"{user.name} is not signed in. {browser.path} says: {words_of(browser.page.text)}"
        )
        return browser

    def add_app(self, *, url: str = "http://127.0.0.1", **registration: Unpack[Registration]) -> RegisteredApp:
        """Register an app, with the callback that the client library has by default."""
        kind, scopes = registration.get("kind", "web"), registration.get("scopes", ())
        public, service = kind in WITHOUT_SECRET, kind == "service"
        redirect_uri = f"{url}{PROXY_CALLBACK if kind == 'proxy' else '/auth/callback'}"
        wanted = Client(
            id="",
            name=registration.get("name", "App"),
            kind=kind,
            auth_method="none" if public else "client_secret_basic",
            redirect_uris=() if service else (redirect_uri,),
            scopes=(*_USUAL.get(kind, ()), *scopes),
            resources=tuple(registration.get("resources", ())),
            claims=tuple(registration.get("claims", ())),
        )
        made = self.call(lambda services: services.apps.clients.add(wanted, LOCAL_OPERATOR))
        return RegisteredApp(self.issuer, made.client.id, made.secret, url, redirect_uri, self.clock.for_apps())

    def serve(
        self, build: Callable[[Mapping[str, Any]], Any], **registration: Unpack[Registration]
    ) -> RegisteredApp:  # fmt: skip
        """Register an app and serve it, until this server ends, in a thread of its own.

        `build` gets `RegisteredApp.settings` and returns the app, WSGI or ASGI. `registration`: as for `add_app`.
        """
        listener = self._stack.enter_context(listening())
        app = self.add_app(url=f"http://127.0.0.1:{port_of(listener)}", **registration)
        self._stack.enter_context(app_in_thread(build(app.settings), listener))
        return app

    def tokens(self, user: User, app: RegisteredApp, scope: str = SCOPE) -> dict[str, Any]:
        """What an app is given when somebody signs in to it, without its having to run.

        The answer of the token endpoint: `access_token`, `refresh_token`, `id_token` and so on. Raises AssertionError
        when something is refused.
        """
        verifier = secrets.token_urlsafe(32)
        asked = {
            "response_type": "code",
            "client_id": app.client_id,
            "redirect_uri": app.redirect_uri,
            "scope": scope,
            "state": "state",
            "code_challenge": hash_of(verifier),
            "code_challenge_method": "S256",
        }
        browser = self.sign_in(user)
        sent = browser.http.get(f"{self.issuer}{AUTHORIZE}?{urlencode(asked)}")
        said = dict(parse_qsl(urlsplit(sent.headers.get("location", "")).query))
        assert "code" in said, said or sent.text
        form = {
            "grant_type": "authorization_code",
            "code": said["code"],
            "redirect_uri": app.redirect_uri,
            "code_verifier": verifier,
        }
        if app.client_secret is None:
            answer = browser.http.post(f"{self.issuer}{_TOKEN}", data={**form, "client_id": app.client_id})
        else:
            known = (app.client_id, app.client_secret)
            answer = browser.http.post(f"{self.issuer}{_TOKEN}", data=form, auth=known)
        assert answer.status_code == httpx.codes.OK, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def api_key(self, user: User, *scopes: str) -> str:
        """An API key of somebody's, with scopes of ours or of `[apikeys.scopes]`. They are told by mail, as always."""
        asked = Asked(name="A program", scopes=scopes)
        return self.call(lambda services: services.api_keys.create_for(user.id, asked, LOCAL_OPERATOR)).secret


def eventually(holds: Callable[[], object], seconds: float = 5) -> None:
    """Wait until something holds, such as that an app has heard of what ended. Raises AssertionError if it never does.

    This is real time, whatever clock was moved: it is how long the news travels.
    """
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(_LOOK_SECONDS)


@contextmanager
def doorward_server(config: str | Path = "") -> Iterator[Server]:
    """Run Doorward until the block ends.

    `config`: a `doorward.toml`, or the text of one. What it says of where Doorward listens, keeps its data and sends
    its messages does not count here. Raises WrongSettings, StartRefused or StartFailed.
    """
    with TemporaryDirectory(prefix="doorward-") as folder, ExitStack() as stack:
        stack.enter_context(_logging_as_usual())
        listener = stack.enter_context(listening())
        settings = _settings(config, Path(folder), port_of(listener))
        clock = LiveClock()
        data = DataDir.open(Path(folder) / "data")
        app = App(settings, data, clock)
        loop = stack.enter_context(doorward_in_thread(app, settings, listener))
        yield Server(settings.public_url, data.path, clock, app, loop, stack)


def _settings(config: str | Path, folder: Path, port: int) -> Settings:
    if isinstance(config, str):
        (folder / "doorward.toml").write_text(config, "utf-8")
        config = folder / "doorward.toml"
    chosen = load(config, {}, {}).settings
    usual = Settings()
    return with_settings(
        chosen,
        server=with_settings(usual.server, port=port),
        database=usual.database,
        mail=with_settings(usual.mail, templates=chosen.mail.templates),
        sms=with_settings(usual.sms, countries=chosen.sms.countries),
        password=with_settings(chosen.password, range_url=None, **_CHEAP),
    )


@contextmanager
def _logging_as_usual() -> Iterator[None]:
    """What the server logs goes the way of everything else that is logged in this process, so that pytest shows it."""
    if structlog.is_configured():  # by the app
        yield
        return
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
    )
    ours = structlog.get_config()
    try:
        yield
    finally:
        if structlog.get_config() == ours:  # the app may have configured it meanwhile
            structlog.reset_defaults()

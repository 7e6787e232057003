"""passkey.js and signal.js in Chromium with a virtual authenticator, on pages that hold nothing else.

The server here stands for our routes: it asks and judges by the kind itself and sends our Content Security Policy.
"""

import json
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, expect
from typing_extensions import override

from doorward.authenticators.kind import Passed, Refused
from doorward.authenticators.kinds import passkey
from doorward.authenticators.kinds.passkey import Registered
from doorward.authenticators.relying_party import RelyingParty
from doorward.kernel import base64url
from doorward.web.assets import load_assets
from doorward.web.headers import CONTENT_SECURITY_POLICY
from tests.support.waiting import wait_until
from tests.support.windows import PLATFORM

pytestmark = [pytest.mark.browser]

ASSETS = {asset.url: asset for asset in load_assets().values()}
HANDLE = bytes(range(64))
SAID = 'data-cancelled="cancelled" data-refused="refused" data-network="network" data-busy="busy" data-csrf="token"'
ASK = f'data-options="/options" data-answer="/answer" data-path="/done" {SAID}'
LINES = '<button type="button" hidden>Passkey</button><p role="alert"></p>'
PAGES: Mapping[str, str] = {
    "/create": f'<div data-passkey-create data-options-body=\'{{"make":true}}\' data-registered="registered" {ASK}>'
    f"{LINES}</div>",
    "/sign-in": '<form><input name="username" autocomplete="username webauthn"></form>'
    f'<div data-passkey-sign-in data-answer-body=\'{{"next":"/x"}}\' {ASK}>{LINES}</div>',
    "/second": f'<form method="post" action="/form" data-passkey-second data-options="/options" {SAID}>'
    f'<input type="hidden" name="credential">{LINES}</form>',
    "/upgrade": '<div data-passkey-upgrade data-options-body=\'{"make":true,"conditional":true}\' '
    f'data-added="added" {ASK}>{LINES}</div>',
    "/signal": "",
    "/done": "<h1>Done</h1>",
}


@dataclass
class Site:
    """What our routes would keep, for one test."""

    origin: str
    challenge: bytes = b""
    bound: list[Registered] = field(default_factory=list)
    passed: list[Passed] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    posts: list[tuple[str, Any, str | None]] = field(default_factory=list)
    status: int = 200  # of what is answered to an answer
    asks_status: int = 200  # of what is answered to a wish for options
    makes_conditionally: bool = False
    wraps: bool = False
    timeout: int = passkey.TIMEOUT_MILLISECONDS

    @property
    def party(self) -> RelyingParty:
        """Who we are."""
        return RelyingParty.at(self.origin, "Doorward", {self.origin})

    @property
    def signal(self) -> str:
        """What a page of passkeys says of them."""
        ids = json.dumps([one.secret["credential_id"] for one in self.bound])
        return (
            f'<div data-passkey-signal data-rp-id="localhost" data-user-id="{base64url.encode(HANDLE)}" '
            f'data-credentials=\'{ids}\' data-name="countess" data-display-name="Ada, Countess of Lovelace"></div>'
        )

    def options(self, wish: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a browser is asked."""
        self.challenge = secrets.token_bytes(32)
        if "make" not in wish:
            asked = passkey.request_options(self.party, challenge=self.challenge, verification="required")
            return {**asked, "timeout": self.timeout}
        return passkey.creation_options(
            self.party,
            challenge=self.challenge,
            user_handle=HANDLE,
            user_name="ada",
            display_name="",
            exclude=[one.secret for one in self.bound],
            conditional="conditional" in wish,
        )

    def wait_for_options(self, times: int) -> None:
        """Wait until this many have been asked for in all."""
        wait_until(lambda: self.asked() >= times)

    def asked(self) -> int:
        """How often options were asked for."""
        return sum(path == "/options" for path, _, _ in self.posts)

    def answered(self, credential: Mapping[str, Any]) -> tuple[int, Mapping[str, Any]]:
        """Judge it. The status and the body to answer with."""
        try:
            if "attestationObject" in credential["response"]:
                made = passkey.verify_creation(
                    self.party, self.challenge, credential, conditional=self.makes_conditionally
                )
                self.bound.append(made)
                return 200, {}
            used = passkey.credential_id_of(credential)
            known = next((one for one in self.bound if one.credential_id == used), None)
            if known is None:
                return 400, {"code": "invalid", "errors": [{"field": "credential", "code": "unknown_passkey"}]}
            self.passed.append(
                passkey.verify_assertion(
                    self.party, self.challenge, credential, known.secret, known.state,
                    user_handle=HANDLE, discovered=True, require_user_verification=True, beside_another=False,
                )
            )  # fmt: skip
        except Refused as refused:
            self.refusals.append(refused.reason)
            return 400, {"code": "invalid", "errors": [{"field": "credential", "code": "wrong"}]}
        return 200, {"path": "/done?signed-in"}


@pytest.fixture
def site() -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path in ASSETS:
                self.answer(200, ASSETS[path].media_type, ASSETS[path].body)
            elif path in PAGES:
                scripts = "".join(
                    f'<script type="module" src="{one.url}" integrity="{one.integrity}"></script>'
                    for one in ASSETS.values()
                    if one.url.startswith(("/static/passkey.", "/static/signal."))
                )
                body = PAGES[path] or found.signal
                html = f"<!doctype html><title>{path}</title>{scripts}{body}"
                self.answer(200, "text/html; charset=utf-8", html.encode())
            else:
                self.answer(404, "text/plain", b"")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            if self.path == "/form":
                (text,) = parse_qs(body)["credential"]
                found.posts.append((self.path, None, None))
                status, _ = found.answered(passkey.read_credential(text))
                self.answer(status, "text/html; charset=utf-8", b"<!doctype html><title>Form</title><h1>Done</h1>")
                return
            sent = json.loads(body)
            found.posts.append((self.path, sent, self.headers["x-csrf-token"]))
            if self.path == "/options":
                options = found.options(sent)
                said = (found.asks_status, {"kind": "passkey", "options": options} if found.wraps else options)
            else:
                said = found.answered(sent["credential"]) if found.status == 200 else (found.status, {})
            self.answer(said[0], "application/json", json.dumps(said[1]).encode())

        def answer(self, status: int, media_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", media_type)
            self.send_header("content-length", str(len(body)))
            self.send_header("content-security-policy", CONTENT_SECURITY_POLICY)
            self.end_headers()
            self.wfile.write(body)

        @override
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Site(f"http://localhost:{server.server_port}")
        Thread(target=server.serve_forever, daemon=True).start()
        yield found
        server.shutdown()


@dataclass
class Device:
    """A tab and the authenticator that its browser sees."""

    page: Page
    cdp: CDPSession
    site: Site
    authenticator: str = ""

    def plug(self, **options: Any) -> None:
        """Put a virtual authenticator in."""
        found = self.cdp.send("WebAuthn.addVirtualAuthenticator", {"options": {**PLATFORM, **options}})
        self.authenticator = found["authenticatorId"]

    def credentials(self) -> list[Mapping[str, Any]]:
        """What it keeps."""
        found = self.cdp.send("WebAuthn.getCredentials", {"authenticatorId": self.authenticator})
        kept: list[Mapping[str, Any]] = found["credentials"]
        return kept

    def keeps(self, *names: str) -> None:
        """Wait until it keeps passkeys under just these names."""
        wait_until(lambda: [one.get("userDisplayName", "") for one in self.credentials()] == list(names))

    def present(self, *, present: bool) -> None:
        """Whether somebody touches it when it asks."""
        self.cdp.send(
            "WebAuthn.setAutomaticPresenceSimulation", {"authenticatorId": self.authenticator, "enabled": present}
        )

    def verifies(self, *, verified: bool) -> None:
        """Whether the finger is the right one."""
        self.cdp.send("WebAuthn.setUserVerified", {"authenticatorId": self.authenticator, "isUserVerified": verified})

    def go(self, path: str) -> None:
        """Open a page of the site, and wait for its script."""
        self.page.goto(self.site.origin + path)

    def press(self) -> None:
        """Press the button of the only place."""
        self.page.get_by_role("button", name="Passkey").click()

    def says(self, text: str) -> None:
        """Wait for a sentence in the place's line."""
        expect(self.page.get_by_role("alert")).to_have_text(text)

    def done(self) -> None:
        """Wait for the page where all is well."""
        expect(self.page.get_by_role("heading", name="Done")).to_be_visible()

    def make(self) -> None:
        """Make a passkey."""
        self.go("/create")
        self.press()
        self.done()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    opened = browser.new_context()
    yield opened
    opened.close()


@pytest.fixture
def device(context: BrowserContext, site: Site) -> Iterator[Device]:
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None)
    cdp = context.new_cdp_session(page)
    cdp.send("WebAuthn.enable", {"enableUI": False})
    found = Device(page, cdp, site)
    found.plug()
    yield found
    assert wrong == []


# The browser then offers nothing by itself where a name is typed, and the button is all there is.
NO_WAITING = "delete PublicKeyCredential.isConditionalMediationAvailable"


def test_a_passkey_is_made_and_signs_in(device: Device, site: Site) -> None:
    device.page.add_init_script(NO_WAITING)
    device.make()
    (made,) = site.bound
    assert (made.user_verified, made.secret["transports"]) == (True, ["internal"])
    device.go("/sign-in")
    device.press()
    device.done()
    assert device.page.url == f"{site.origin}/done?signed-in"  # where the answer said, not where the page did
    assert [one.amr for one in site.passed] == [("hwk", "user", "mfa")]
    assert {token for _, _, token in site.posts} == {"token"}
    assert [body.get("next") for path, body, _ in site.posts if path == "/answer"] == [None, "/x"]


def test_a_passkey_that_is_chosen_where_the_name_is_typed_signs_in_with_nothing_pressed(
    device: Device, site: Site
) -> None:
    """UX-20."""
    device.make()
    device.go("/sign-in")
    device.done()
    assert [one.amr for one in site.passed] == [("hwk", "user", "mfa")]


# The browser was asked for a passkey.
BEGUN = """
  const get = CredentialsContainer.prototype.get;
  CredentialsContainer.prototype.get = function (options) {
    document.documentElement.dataset.asked = "yes";
    return get.call(this, options);
  };
"""


def wait_for_nothing(device: Device) -> None:
    """Open the page, and let the call begin that waits until somebody chooses. Nobody does."""
    device.present(present=False)
    device.page.add_init_script(BEGUN)
    device.go("/sign-in")
    expect(device.page.locator("html")).to_have_attribute("data-asked", "yes")
    device.page.wait_for_timeout(500)  # until the browser itself has heard of it
    device.present(present=True)


def test_what_waits_is_given_up_for_the_button(device: Device, site: Site) -> None:
    """A browser refuses a second call while one waits."""
    device.make()
    wait_for_nothing(device)
    assert [path for path, _, _ in site.posts] == ["/options", "/answer", "/options"]
    device.press()
    device.done()
    assert [one.amr for one in site.passed] == [("hwk", "user", "mfa")]


def test_after_a_button_was_of_no_use_passkeys_are_offered_again(device: Device, site: Site) -> None:
    device.make()
    wait_for_nothing(device)
    device.verifies(verified=False)
    device.press()
    device.says("cancelled")
    site.wait_for_options(4)  # for the making, the waiting, the button, and the waiting again
    assert site.passed == []


def test_a_second_press_asks_nothing(device: Device, site: Site) -> None:
    device.present(present=False)
    device.go("/create")
    device.press()
    device.press()
    site.wait_for_options(1)
    device.page.wait_for_timeout(300)
    assert [path for path, _, _ in site.posts] == ["/options"]


def test_a_device_that_has_one_already_is_told_apart(device: Device, site: Site) -> None:
    device.make()
    device.go("/create")
    device.press()
    device.says("registered")
    assert len(site.bound) == 1


def test_what_the_user_does_not_want_is_no_error(device: Device, site: Site) -> None:
    device.verifies(verified=False)
    device.go("/create")
    device.press()
    device.says("cancelled")
    assert site.bound == []


def test_what_the_server_refuses_is_said_and_can_be_tried_again(device: Device, site: Site) -> None:
    device.go("/create")
    device.page.route("**/answer", lambda route: route.fulfill(status=403, json={"code": "csrf_refused"}))
    device.press()
    device.says("refused")
    device.page.unroute("**/answer")
    device.press()
    device.done()
    assert len(site.bound) == 1


@pytest.mark.parametrize(("status", "said"), [(429, "busy"), (503, "network"), (500, "network"), (401, "refused")])
def test_what_keeps_the_server_from_asking_is_said(device: Device, site: Site, status: int, said: str) -> None:
    site.asks_status = status
    device.go("/create")
    device.press()
    device.says(said)


def test_a_server_that_is_gone_is_said(device: Device) -> None:
    device.go("/create")
    device.page.route("**/options", lambda route: route.abort())
    device.press()
    device.says("network")


def test_a_passkey_that_the_server_does_not_know_is_forgotten_by_the_device(device: Device, site: Site) -> None:
    """UX-29."""
    device.make()
    site.bound.clear()
    assert len(device.credentials()) == 1
    device.go("/sign-in")
    device.says("refused")
    device.keeps()


def test_a_passkey_that_was_merely_refused_is_kept(device: Device) -> None:
    device.page.add_init_script(NO_WAITING)
    device.make()
    device.go("/sign-in")
    device.page.route("**/answer", lambda route: route.fulfill(status=400, json={"errors": [{"code": "wrong"}]}))
    device.press()
    device.says("refused")
    device.page.wait_for_timeout(300)
    assert len(device.credentials()) == 1


@pytest.mark.parametrize("wraps", [False, True])
def test_a_second_step_goes_into_its_form(device: Device, site: Site, wraps: bool) -> None:  # noqa: FBT001  a case
    device.make()
    site.wraps = wraps
    device.go("/second")
    device.press()
    device.done()
    assert [path for path, _, _ in site.posts][-2:] == ["/options", "/form"]
    assert [one.amr for one in site.passed] == [("hwk", "user", "mfa")]


# Chromium makes one unasked only where a saved password was filled in a moment ago. This lets it ask instead.
AGREES = """
  const create = CredentialsContainer.prototype.create;
  CredentialsContainer.prototype.create = function ({ mediation, ...options }) {
    if (mediation !== "conditional") throw new Error("asked for aloud");
    return create.call(this, options);
  };
"""


def test_a_passkey_can_be_made_unasked(device: Device, site: Site) -> None:
    """UX-27."""
    site.makes_conditionally = True
    device.page.add_init_script(AGREES)
    device.go("/upgrade")
    device.says("added")
    assert len(site.bound) == 1
    assert device.page.url == f"{site.origin}/upgrade"


@pytest.mark.parametrize(("agrees", "posted"), [("", ["/options"]), (AGREES, ["/options", "/answer"])])
def test_what_fails_unasked_is_not_heard_of(device: Device, site: Site, agrees: str, posted: list[str]) -> None:
    """The browser does not want to, or the server does not."""
    device.page.add_init_script(agrees)
    site.status = 400
    device.go("/upgrade")
    wait_until(lambda: len(site.posts) == len(posted))
    device.page.wait_for_timeout(500)
    assert [path for path, _, _ in site.posts] == posted
    expect(device.page.get_by_role("alert")).to_have_text("")
    assert device.page.locator("button").is_hidden()


def test_a_browser_that_makes_none_unasked_is_not_asked(device: Device, site: Site) -> None:
    device.page.add_init_script("delete PublicKeyCredential.getClientCapabilities")
    device.go("/upgrade")
    device.page.wait_for_timeout(300)
    assert site.posts == []


OLD = """
  for (const name of ["Creation", "Request"]) delete PublicKeyCredential[`parse${name}OptionsFromJSON`];
  delete PublicKeyCredential.prototype.toJSON;
  delete PublicKeyCredential.isConditionalMediationAvailable;
"""


def test_older_browsers_can_do_the_same(device: Device, site: Site) -> None:
    device.page.add_init_script(OLD)
    device.make()
    device.go("/create")
    device.press()
    device.says("registered")  # the ids of excluded ones were read right
    device.go("/sign-in")
    device.press()
    device.done()
    assert site.bound[0].secret["transports"] == ["internal"]
    assert [one.amr for one in site.passed] == [("hwk", "user", "mfa")]
    assert len([path for path, _, _ in site.posts if path == "/options"]) == 3  # nothing waited


def test_what_was_asked_is_asked_anew_before_the_server_forgets(device: Device, site: Site) -> None:
    device.make()
    device.present(present=False)
    site.timeout = 700
    started = time.monotonic()
    device.go("/sign-in")
    site.wait_for_options(4)  # one for the making, and three within the time of two
    device.page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    asked = site.asked()
    assert asked <= 2 + (time.monotonic() - started) / 0.63, "nine tenths of the time"
    device.page.wait_for_timeout(1500)
    assert site.asked() <= asked + 1, "nobody looks"
    device.page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    device.present(present=True)
    device.done()
    assert len(site.passed) == 1


def test_password_managers_hear_which_passkeys_there_are_and_what_their_owner_is_called(
    device: Device, site: Site
) -> None:
    """UX-29."""
    device.make()
    (kept,) = device.credentials()
    assert (kept["userName"], kept.get("userDisplayName", "")) == ("ada", "")
    device.go("/signal")
    device.keeps("Ada, Countess of Lovelace")
    (kept,) = device.credentials()
    assert (kept["userName"], kept["userDisplayName"]) == ("countess", "Ada, Countess of Lovelace")
    site.bound.clear()
    device.go("/signal")
    device.keeps()


def test_at_an_address_and_in_browsers_without_passkeys_nothing_is_offered(device: Device, site: Site) -> None:
    for page in ("/create", "/sign-in", "/second"):
        device.page.goto(site.origin.replace("localhost", "127.0.0.1") + page)
        expect(device.page.get_by_role("button")).to_be_hidden()
    device.page.add_init_script("delete window.PublicKeyCredential")
    for page in ("/create", "/sign-in", "/second", "/upgrade", "/signal"):
        device.go(page)
        expect(device.page.get_by_role("button")).to_be_hidden()
    assert site.posts == []

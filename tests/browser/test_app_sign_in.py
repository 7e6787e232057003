"""Signing in to an app in Chromium: through our pages to the app's own, with JavaScript and without.

Browsers hold the answer to a form to our `form-action`, however many redirects later; so what only works for programs
would be a dead end for people. The app is a foreign one: a native client that listens on this machine.
"""

import base64
import hashlib
import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pyotp
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support.windows import serve

PASSWORD = "engines weave algebra"
SUBMIT = "main form button:not([type=button])"

pytestmark = [pytest.mark.browser, pytest.mark.slow]
_numbers = count(1)


class _Callback(BaseHTTPRequestHandler):
    """The app's page, which says that people have arrived."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>Notes</title><h1>Your notes</h1>")

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@dataclass
class App:
    """A relying party of a few lines; `callback` is its page."""

    issuer: str
    client_id: str
    callback: str
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    state: str = field(default_factory=secrets.token_urlsafe)

    def url(self, **more: str) -> str:
        """Where it sends people to sign in."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        asked = {
            "response_type": "code", "client_id": self.client_id, "redirect_uri": self.callback, "scope": "openid",
            "state": self.state, "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256", **more,
        }  # fmt: skip
        return f"{self.issuer}/oauth/authorize?{urlencode(asked)}"

    def arrived(self, page: Page) -> dict[str, object]:
        """The claims of the ID token that the code in the address of its page is good for."""
        expect(page.locator("h1")).to_have_text("Your notes")
        came = {name: value[0] for name, value in parse_qs(urlsplit(page.url).query).items()}
        assert (came["state"], came["iss"]) == (self.state, self.issuer), came
        form = {
            "grant_type": "authorization_code", "code": came["code"], "client_id": self.client_id,
            "redirect_uri": self.callback, "code_verifier": self.verifier,
        }  # fmt: skip
        answer = httpx.post(f"{self.issuer}/oauth/token", data=form, timeout=30)
        assert answer.status_code == 200, answer.text
        payload = answer.json()["id_token"].split(".")[1]
        claims: dict[str, object] = json.loads(base64.urlsafe_b64decode(payload + "=="))
        return claims


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    yield from serve(tmp_path_factory, "")


@pytest.fixture(scope="module")
def callback() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Callback) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/callback"
        server.shutdown()


@pytest.fixture(scope="module")
def registered(site: tuple[str, Path], callback: str) -> str:
    # In a process of its own: Playwright's loop runs in this thread already.
    added = [
        sys.executable, "-m", "doorward.cli", "client", "add", "Notes", "--type", "native",
        "--redirect-uri", callback, "--data", str(site[1]), "--json",
    ]  # fmt: skip
    made = subprocess.run(added, check=True, capture_output=True, text=True)
    client_id: str = json.loads(made.stdout)["client_id"]
    return client_id


@pytest.fixture
def app(site: tuple[str, Path], callback: str, registered: str) -> App:
    return App(site[0], registered, callback)


@pytest.fixture(params=[True, False], ids=["with JavaScript", "without"])
def context(browser: Browser, request: pytest.FixtureRequest) -> Iterator[BrowserContext]:
    """A browser that knows nothing yet; nothing that a page of ours does may be refused by our own policy."""
    complaints: list[str] = []
    context = browser.new_context(java_script_enabled=request.param, locale="en")
    context.on("console", lambda heard: complaints.append(heard.text) if heard.type == "error" else None)
    yield context
    context.close()
    assert [text for text in complaints if "Content Security Policy" in text] == []


def member(context: BrowserContext, app: App) -> tuple[Page, str]:
    """Somebody with an account, signed in; their username."""
    page = context.new_page()
    page.goto(f"{app.issuer}/sign-up")
    uid = fill_in(page)
    expect(page.locator("h1")).to_have_text("Your profile")
    return page, uid


def member_elsewhere(context: BrowserContext, app: App) -> tuple[Page, str]:
    """The same in a browser that knows nothing of them, on the page where the app has sent it."""
    page, uid = member(context, app)
    context.clear_cookies()
    page.goto(app.url())
    return page, uid


def fill_in(page: Page) -> str:
    uid = f"ada{next(_numbers)}"
    page.fill("[name=uid]", uid)
    page.fill("[name=name]", "Ada Lovelace")
    page.fill("[name=password]", PASSWORD)
    page.click(SUBMIT)
    return uid


def sign_in(page: Page, uid: str) -> None:
    page.fill("[name=identifier]", uid)
    page.fill("[name=password]", PASSWORD)
    page.click(SUBMIT)


def test_who_has_an_account_signs_in_and_is_at_the_app(context: BrowserContext, app: App) -> None:
    page, uid = member_elsewhere(context, app)
    sign_in(page, uid)
    claims = app.arrived(page)
    assert (claims["iss"], claims["aud"]) == (app.issuer, app.client_id)


def test_who_is_signed_in_goes_straight_through(context: BrowserContext, app: App) -> None:
    page, _ = member(context, app)
    page.goto(app.url())
    app.arrived(page)


def test_who_has_no_account_yet_makes_one_on_the_way(context: BrowserContext, app: App) -> None:
    page = context.new_page()
    page.goto(app.url())
    page.get_by_role("link", name="Create an account").click()
    fill_in(page)
    app.arrived(page)


def test_the_link_at_the_top_keeps_the_way_on_too(context: BrowserContext, app: App) -> None:
    page = context.new_page()
    page.goto(app.url())
    page.get_by_role("navigation", name="Site").get_by_role("link", name="Sign up").click()
    fill_in(page)
    app.arrived(page)


def test_a_wrong_password_on_the_way_loses_nothing(context: BrowserContext, app: App) -> None:
    page, uid = member_elsewhere(context, app)
    page.fill("[name=identifier]", uid)
    page.fill("[name=password]", "not it at all, sorry")
    page.click(SUBMIT)
    expect(page.locator("#error-summary")).to_be_visible()
    sign_in(page, uid)
    app.arrived(page)


def test_an_app_that_wants_a_fresh_proof_gets_one(context: BrowserContext, app: App) -> None:
    page, _ = member(context, app)
    page.goto(app.url(prompt="login"))
    page.fill("[name=password]", PASSWORD)
    page.click(SUBMIT)
    app.arrived(page)


def test_an_app_that_wants_a_second_step_waits_until_one_is_set_up(context: BrowserContext, app: App) -> None:
    page, _ = member(context, app)
    page.goto(app.url(acr_values="aal2"))
    page.get_by_role("button", name="Set up an app").click()
    key = page.inner_text("#app-key").replace(" ", "")
    page.fill("[name=code]", pyotp.TOTP(key).now())
    page.get_by_role("button", name="Turn it on").click()
    page.get_by_role("link", name="Go on to the app").click()
    assert app.arrived(page)["acr"] == "aal2"

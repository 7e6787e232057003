"""The client for browsers where it is hardest: an app on another registrable domain, third parties without cookies."""

import re
from collections.abc import Iterator
from typing import Any

import flask
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

import doorward_client.flask
from doorward_client.threads import GUARDS
from tests.support.two_sites import (
    ISSUER,
    ORIGIN,
    PASSWORD,
    RESOURCE,
    Heard,
    TwoSites,
    browser_of_two_sites,
    two_sites,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]
HELLO = "Hello, Ada"


def notes(sites: TwoSites) -> flask.Flask:
    """The app: the page of the document, and an API that takes bound tokens alone."""
    app = flask.Flask("notes")
    made = sites.json("client", "add", "Notes API", "--type", "service", "--resource", RESOURCE)
    guard = doorward_client.flask.Doorward(
        app, issuer=ISSUER, client_id=made["client_id"], client_secret=made["client_secret"], audience=RESOURCE,
        app_url=ORIGIN, require_dpop=True,
    )  # fmt: skip

    @app.before_request
    def listen() -> None:
        asked = flask.request
        sites.heard.append(Heard(asked.host, asked.method, asked.full_path.rstrip("?"), dict(asked.headers)))

    @app.get("/")
    def page() -> str:
        return sites.example("html")

    @app.get("/app.js")
    def script() -> flask.Response:
        return flask.Response(sites.example("js"), mimetype="text/javascript")

    @app.get("/api/me")
    @guard.login_required
    def me() -> dict[str, Any]:
        return {"sub": guard.user.sub}

    return app


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoSites]:
    before = set(GUARDS)
    with two_sites(tmp_path_factory.mktemp("sites"), notes) as found:
        found.json("user", "add", "ada", "--name", "Ada", "--password-stdin", typed=PASSWORD)
        yield found
        for guard in set(GUARDS) - before:
            guard.close()


@pytest.fixture(scope="module")
def browser(sites: TwoSites) -> Iterator[Browser]:
    with browser_of_two_sites(sites.authority, sites.ports) as started:
        yield started


@pytest.fixture
def context(browser: Browser, sites: TwoSites) -> Iterator[BrowserContext]:
    sites.heard.clear()
    context = browser.new_context(locale="en")
    yield context
    context.close()


def sign_in(page: Page) -> None:
    page.goto(f"{ORIGIN}/")
    page.click("#in")
    page.fill("[name=identifier]", "ada")
    page.fill("[name=password]", PASSWORD)
    page.click("main form[data-checked] button:not([type=button])")
    expect(page.locator("#who")).to_have_text(HELLO)


def test_somebody_signs_in_and_stays_so_when_the_page_is_loaded_again(context: BrowserContext, sites: TwoSites) -> None:
    page = context.new_page()
    sign_in(page)
    assert page.url == f"{ORIGIN}/"
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    expect(page.locator("#who")).to_have_text(HELLO)
    assert [url for url in asked if "/oauth/authorize" in url] == []
    found = page.evaluate(f"async () => {door(sites)}.fetch('{RESOURCE}/me').then(answer => answer.json())")
    assert re.fullmatch(r"[0-9a-f-]{36}", found["sub"])


def door(sites: TwoSites) -> str:
    """In a page: what its script holds, as modules and their doors are shared."""
    options = f"{{ clientId: '{sites.client_id}', resource: '{RESOURCE}' }}"
    return f"(await import('{ISSUER}/doorward.js')).doorward({options})"

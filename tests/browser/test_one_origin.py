"""The client for browsers in the plain case: a page of Doorward's own origin, which lives by its cookie."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support.notes_pages import SUBMIT, prove, says
from tests.support.one_origin import OneOrigin, one_origin
from tests.support.two_sites import PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.slow]
HELLO, NOBODY = "Hello, Ada", "Nobody is signed in."
HOUR_US = 3_600_000_000


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneOrigin]:
    with one_origin(tmp_path_factory.mktemp("site")) as found:
        yield found


@pytest.fixture
def context(browser: Browser, site: OneOrigin) -> Iterator[BrowserContext]:
    site.heard.clear()
    context = browser.new_context(locale="en", reduced_motion="reduce", base_url=site.url)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


def asked(page: Page, script: str, argument: Any = None) -> Any:
    opened = "const door = (await import('/doorward.js')).doorward();"
    return page.evaluate(f"async (argument) => {{ {opened} {script} }}", argument)


def sign_in(page: Page) -> None:
    page.goto("/app/?page=2#part")
    says(page, NOBODY)
    page.click("#sign-in")
    prove(page)
    says(page, HELLO)


def rename(page: Page, name: str) -> int:
    """Something that Doorward does for its own pages alone."""
    script = """
      const headers = { "content-type": "application/json" };
      const init = { method: "PATCH", headers, body: JSON.stringify({ name: argument }) };
      return (await door.fetch("/api/users/me", init)).status;"""
    status: int = asked(page, script, name)
    return status


@pytest.mark.asvs("3.5.1")
def test_what_changes_something_proves_that_the_page_sent_it(page: Page, site: OneOrigin) -> None:
    sign_in(page)
    assert page.url == f"{site.url}/app/?page=2#part"
    user = asked(page, "return door.user();")
    assert (user["name"], user["uid"], user["acr"]) == ("Ada", "ada", "aal1")
    bare = "return (await fetch('/api/users/me', { method: 'PATCH', headers: argument, body: '{}' })).status;"
    assert asked(page, bare, {"content-type": "application/json"}) == 403
    assert rename(page, "Ada") == 200
    seen = asked(page, "return (await door.fetch('/app/api/notes')).json();")
    assert seen == {"method": "GET", "csrf": None}, "reading needs no token, so it is sent none"
    seen = asked(page, "return (await door.fetch('/app/api/notes', { method: 'POST', body: 'x' })).json();")
    assert seen["csrf"], "the app's own server may ask Doorward about it"


def test_another_session_by_now_has_another_token(page: Page) -> None:
    sign_in(page)
    other = page.context.new_page()
    other.goto("/account")
    other.evaluate(
        """async () => {
          const { csrf_token } = await (await fetch("/api/sessions/current")).json();
          await fetch("/api/sessions/current", { method: "DELETE", headers: { "x-csrf-token": csrf_token } });
        }"""
    )
    other.goto("/sign-in")
    prove(other)
    expect(other).to_have_url(re.compile("/account"))
    assert rename(page, "Ada") == 200


def test_what_needs_a_fresh_proof_is_sent_after_it(page: Page, site: OneOrigin) -> None:
    sign_in(page)
    with closing(sqlite3.connect(site.data / "doorward.db", timeout=10)) as database, database:
        database.execute("UPDATE session SET auth_time = auth_time - ?", [HOUR_US])
    for name in ("Ada.", "Ada"):  # what the server knows by heart of the session is read anew
        assert rename(page, name) == 200
    asked(page, "void door.fetch('/api/users/me/export', { method: 'POST' });")
    expect(page).to_have_url(re.compile("/confirm"))
    page.fill("[name=password]", PASSWORD)
    page.click(SUBMIT)
    says(page, "200 application/zip")
    assert page.url == f"{site.url}/app/?page=2#part"


def test_who_signs_out_in_one_tab_is_signed_out_in_the_others(page: Page, site: OneOrigin) -> None:
    sign_in(page)
    other = page.context.new_page()
    other.goto("/app/")
    says(other, HELLO)
    asked(page, "await door.signOut();")
    says(page, NOBODY)
    says(other, NOBODY)
    assert page.context.request.get(f"{site.url}/api/sessions/current").status == 401


def test_who_signs_out_everywhere_is_signed_out_in_another_browser(
    page: Page, browser: Browser, site: OneOrigin
) -> None:
    sign_in(page)
    elsewhere = browser.new_context(locale="en", base_url=site.url)
    there = elsewhere.new_page()
    sign_in(there)
    asked(page, "await door.signOut({ everywhere: true });")
    says(page, NOBODY)
    asked(there, "while ((await door.fetch('/api/users/me')).ok);")
    says(there, NOBODY)
    elsewhere.close()


def test_no_redirect_takes_the_token_along(page: Page) -> None:
    sign_in(page)
    script = "return door.fetch('/app/api/away', { method: 'POST' }).catch(({ code }) => code);"
    assert asked(page, script) == "redirected"


def test_a_page_of_another_origin_is_told_what_it_lacks(page: Page) -> None:
    page.goto("/app/")
    script = "return (await import('/doorward.js')).doorward({ issuer: 'https://id.example' }).user();"
    with pytest.raises(Exception, match="needs a clientId"):
        asked(page, script)

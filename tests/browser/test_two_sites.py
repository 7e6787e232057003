"""The client for browsers where it is hardest: an app on another registrable domain, third parties without cookies."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from tests.support.notes_app import NONCE
from tests.support.notes_pages import SUBMIT, asked, prove, says, sign_in, status
from tests.support.two_sites import (
    ELSEWHERE,
    FAR_RESOURCE,
    ISSUER,
    ORIGIN,
    PASSWORD,
    RESOURCE,
    TwoSites,
    lenient,
)
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.slow]
HELLO, NOBODY = "Hello, Ada", "Nobody is signed in."
HOUR_US = 3_600_000_000
TOKEN_SECONDS = 600
WAITING = "navigator.locks.query().then(({ pending }) => pending.length)"
STORAGES = """async () => {
  const kept = { local: { ...localStorage }, session: { ...sessionStorage }, cookie: document.cookie, databases: [] };
  kept.caches = await caches.keys();
  for (const { name } of await indexedDB.databases()) {
    const opened = await new Promise((done) => (indexedDB.open(name).onsuccess = ({ target }) => done(target.result)));
    for (const store of opened.objectStoreNames) {
      const all = opened.transaction(store).objectStore(store).getAll();
      kept.databases.push(...(await new Promise((done) => (all.onsuccess = () => done(all.result)))));
    }
  }
  return kept;
}"""


@pytest.fixture
def tokens(context: BrowserContext) -> list[int]:
    """What was answered at the token endpoint."""
    found: list[int] = []
    context.on(
        "response",
        lambda answer: found.append(answer.status) if answer.url == f"{ISSUER}/oauth/token" else None,
    )
    return found


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A tab; no script of the page may fail in it."""
    page, errors = context.new_page(), list[str]()
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    assert errors == []


# What this stands on --------------------------------------------------------------------------------------------------


def test_cookies_of_third_parties_are_blocked(two_sites_browser: Browser, sites: TwoSites, tmp_path: Path) -> None:
    """In a profile that lets them through the same request brings one, so it is for nothing else that none comes."""
    with lenient(two_sites_browser, tmp_path, sites.authority, sites.ports) as context:
        assert brought(context) == "party"
    strict = two_sites_browser.new_context()
    assert brought(strict) == ""
    strict.close()


def brought(context: BrowserContext) -> str:
    """The cookie that a server is sent by a page of somebody else."""
    page = context.new_page()
    page.goto(f"{ELSEWHERE}/cookie")
    page.goto(f"{ORIGIN}/empty")
    script = f"fetch('{ELSEWHERE}/echo', {{ credentials: 'include' }}).then((answer) => answer.json())"
    found: str = page.evaluate(script)["cookie"]
    return found


# Signing in -----------------------------------------------------------------------------------------------------------


def test_somebody_signs_in_and_stays_so_when_the_page_is_loaded_again(
    page: Page, sites: TwoSites, tokens: list[int]
) -> None:
    page.goto(f"{ORIGIN}/")
    says(page, NOBODY)
    assert tokens == []
    sign_in(page)
    assert page.url == f"{ORIGIN}/"
    visited = list[str]()
    page.on("framenavigated", lambda frame: visited.append(frame.url))
    page.reload()
    says(page, HELLO)
    assert visited == [f"{ORIGIN}/"], "no redirect"
    assert tokens == [200, 200]
    user = asked(page, sites, "return door.user();")
    assert (user["name"], user["uid"], user["acr"]) == ("Ada", "ada", "aal1")
    found = asked(page, sites, "return (await door.fetch('/api/me')).json();")
    assert found == {"sub": user["id"]}


def test_they_come_back_to_where_they_were(page: Page, sites: TwoSites) -> None:
    page.goto(f"{ORIGIN}/deep/down?page=2#part")
    options = f"{{ clientId: '{sites.client_id}', resource: '{RESOURCE}', redirectUri: '{ORIGIN}/' }}"
    page.evaluate(f"import('{ISSUER}/doorward.js').then(({{ doorward }}) => void doorward({options}).signIn())")
    prove(page)
    says(page, HELLO)
    assert page.url == f"{ORIGIN}/deep/down?page=2#part"


@pytest.mark.asvs("14.3.3")
def test_no_token_lies_where_a_script_could_take_it_away(page: Page, sites: TwoSites) -> None:
    sign_in(page)
    assert status(page, sites) == 200
    (access,) = {one.headers["Authorization"] for one in sites.heard if one.path == "/api/me"}
    kept = page.evaluate(STORAGES)
    assert (kept["local"], kept["session"], kept["cookie"], kept["caches"]) == ({}, {}, "", [])
    assert page.context.cookies(ORIGIN) == []
    assert access.removeprefix("DPoP ") not in str(kept)
    shown = page.evaluate(
        f"""async () => {{
          const kept = (await ({STORAGES})()).databases.find((one) => one.refresh);
          const tried = await crypto.subtle.exportKey("jwk", kept.pair.privateKey).catch((error) => error.name);
          return [kept.refresh.slice(0, 4), kept.pair.privateKey.extractable, tried];
        }}"""
    )
    assert shown == ["dwr_", False, "InvalidAccessError"]


def test_the_code_does_not_stay_in_the_history(page: Page) -> None:
    sign_in(page)
    history = page.context.new_cdp_session(page).send("Page.getNavigationHistory")
    visited = [entry["url"] for entry in history["entries"]]
    assert f"{ORIGIN}/" in visited
    assert [url for url in visited if "code=" in url] == []


@pytest.mark.parametrize("hours", [-2, 2], ids=["slow", "fast"])
def test_a_device_whose_clock_is_wrong_is_no_hindrance(
    page: Page, sites: TwoSites, tokens: list[int], hours: int
) -> None:
    page.context.clock.install(time=datetime.now(UTC) + timedelta(hours=hours))
    sign_in(page)
    assert tokens == [400, 200]
    assert status(page, sites) == 200
    page.reload()
    says(page, HELLO)
    assert tokens == [400, 200, 200], "from then on it knows what time it is"


def test_a_nonce_that_the_api_asks_for_is_given(page: Page, sites: TwoSites, tokens: list[int]) -> None:
    sign_in(page)
    for _ in range(2):
        assert asked(page, sites, "return (await door.fetch('/api/nonce')).json();") == {"nonce": NONCE}
    assert tokens == [200], "there is nothing wrong with the token"
    assert len([one for one in sites.heard if one.path == "/api/nonce"]) == 3, "it is known from then on"


# Tabs -----------------------------------------------------------------------------------------------------------------


def test_two_tabs_whose_token_ends_at_once_send_one_request(page: Page, sites: TwoSites, tokens: list[int]) -> None:
    page.context.clock.install()
    sign_in(page)
    other = page.context.new_page()
    other.goto(f"{ORIGIN}/")
    says(other, HELLO)
    tokens.clear()
    held: list[Route] = []

    def hold_the_first(route: Route) -> None:
        held.append(route)
        if len(held) > 1:
            route.continue_()

    page.context.route(f"{ISSUER}/oauth/token", hold_the_first)
    page.context.clock.pause_at(datetime.now(UTC) + timedelta(seconds=TOKEN_SECONDS))
    for one in (page, other):
        asked(one, sites, "void door.fetch('/api/me');")
    wait_until(lambda: other.evaluate(WAITING) == 1 and held)
    assert len(held) == 1
    held[0].continue_()
    assert [status(one, sites) for one in (page, other)] == [200, 200]
    assert tokens == [400, 200], "one request, and once more for the clock that was moved"


@pytest.mark.asvs("14.3.1")
def test_who_signs_out_in_one_tab_is_signed_out_in_the_others(page: Page, sites: TwoSites) -> None:
    sign_in(page)
    other = page.context.new_page()
    other.goto(f"{ORIGIN}/")
    says(other, HELLO)
    with page.expect_response(f"{ISSUER}/oauth/revoke") as revoked:
        page.click("#sign-out")
    says(page, NOBODY)
    says(other, NOBODY)
    assert revoked.value.status == 200
    assert status(other, sites) == 401
    assert [one for one in page.evaluate(STORAGES)["databases"] if "refresh" in str(one)] == []
    page.reload()
    says(page, NOBODY)


def test_who_signs_out_is_sent_on_to_where_the_other_sessions_are_listed(page: Page, sites: TwoSites) -> None:
    sign_in(page)
    asked(page, sites, "void door.signOut({ everywhere: true });")
    expect(page).to_have_url(f"{ISSUER}/account/sessions")
    page.goto(f"{ORIGIN}/")
    says(page, NOBODY)
    asked(page, sites, "void door.signOut({ returnTo: '/deep/farewell' });")
    expect(page).to_have_url(f"{ORIGIN}/deep/farewell")


def test_who_signs_in_in_one_tab_is_signed_in_in_the_others(page: Page, sites: TwoSites) -> None:
    other = page.context.new_page()
    other.goto(f"{ORIGIN}/")
    says(other, NOBODY)
    sign_in(page)
    says(other, HELLO)
    assert status(other, sites) == 200


def begin_to_ask(page: Page) -> None:
    """Load the page, until it has asked for a token. What it asks never arrives."""
    page.context.route(f"{ISSUER}/oauth/token", for_ever)
    with page.expect_request(f"{ISSUER}/oauth/token"):  # it holds the lock earlier, and has noted nothing by then
        page.goto(f"{ORIGIN}/")


def for_ever(_: Route) -> None:
    """Let a request be on its way, and never arrive."""


def test_a_page_that_was_left_while_it_asked_raises_no_alarm(page: Page, tokens: list[int]) -> None:
    """Its refresh token may have been replaced by one that it never heard of. Sent again, it would look stolen."""
    page.context.clock.install()
    sign_in(page)
    begin_to_ask(page)
    page.goto(f"{ORIGIN}/empty")
    page.context.unroute_all()
    page.context.clock.fast_forward(11_000)
    tokens.clear()
    with page.expect_response(f"{ISSUER}/oauth/revoke") as given_back:
        page.goto(f"{ORIGIN}/")
    assert given_back.value.status == 200
    says(page, NOBODY)
    assert tokens == []
    page.click("#sign-in")
    says(page, HELLO)


def test_a_page_that_is_loaded_again_while_it_asks_signs_nobody_out(page: Page) -> None:
    sign_in(page)
    begin_to_ask(page)
    page.context.unroute_all()
    page.reload()
    says(page, HELLO)


def test_a_network_that_is_not_there_signs_nobody_out(page: Page, sites: TwoSites) -> None:
    sign_in(page)
    page.route(f"{ISSUER}/oauth/token", lambda route: route.abort())
    page.reload()
    says(page, f"{ISSUER} cannot be reached, or does not know {ORIGIN}")
    page.unroute_all()
    assert asked(page, sites, "return (await door.user()).name;") == "Ada"


# What happens elsewhere -----------------------------------------------------------------------------------------------


def at_doorward(context: BrowserContext, method: str, path: str, body: Any = None) -> None:
    """What somebody does on Doorward's own page."""
    page = context.new_page()
    page.goto(f"{ISSUER}/account")
    answer = page.evaluate(
        """async ([method, path, body]) => {
          const { csrf_token } = await (await fetch("/api/sessions/current")).json();
          const headers = { "x-csrf-token": csrf_token, "content-type": "application/json" };
          return (await fetch(path, { method, headers, body: body && JSON.stringify(body) })).ok;
        }""",
        [method, path, body],
    )
    assert answer
    page.close()


def end_all_sessions(context: BrowserContext) -> None:
    at_doorward(context, "DELETE", "/api/sessions")


def test_a_session_that_was_ended_elsewhere_is_noticed_by_the_next_request(page: Page, sites: TwoSites) -> None:
    sign_in(page)
    end_all_sessions(page.context)
    asked(page, sites, "while ((await door.fetch('/api/me')).ok);")
    says(page, NOBODY)


def test_a_session_that_was_ended_elsewhere_is_noticed_when_the_tab_is_looked_at(page: Page) -> None:
    page.context.clock.install()
    sign_in(page)
    end_all_sessions(page.context)
    page.clock.fast_forward(11_000)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    says(page, NOBODY)


def test_another_name_is_shown_when_the_page_is_loaded_again(page: Page, sites: TwoSites) -> None:
    sign_in(page, "bob")
    try:
        rename(page.context, "Robert")
        page.reload()
        says(page, "Hello, Robert")
        other = page.context.new_page()
        other.goto(f"{ORIGIN}/")  # whose fresh token is told to the first one
        says(other, "Hello, Robert")
        asked(page, sites, "await new Promise((done) => setTimeout(done));")
        says(page, "Hello, Robert")
    finally:
        rename(page.context, "Bob")
    assert asked(page, sites, "return door.user();")["name"] == "Robert"


def rename(context: BrowserContext, name: str) -> None:
    at_doorward(context, "PATCH", "/api/users/me", {"name": name})


# A fresh proof --------------------------------------------------------------------------------------------------------


def grow_old(sites: TwoSites, context: BrowserContext) -> None:
    """Let everybody have proven who they are an hour earlier."""
    with closing(sqlite3.connect(sites.data / "doorward.db", timeout=10)) as database, database:
        for table in ("token_family", "session"):
            database.execute(f"UPDATE {table} SET auth_time = auth_time - {HOUR_US}")  # noqa: S608  names of ours
    for name in ("Ada.", "Ada"):  # what the server knows by heart of them is read anew
        rename(context, name)


def test_what_needs_a_fresh_proof_is_sent_after_it(page: Page, sites: TwoSites) -> None:
    sign_in(page)
    grow_old(sites, page.context)
    page.reload()
    says(page, HELLO)
    page.click("#clear")
    expect(page).to_have_url(re.compile(f"^{ISSUER}/confirm"))
    page.fill("[name=password]", PASSWORD)
    page.click(SUBMIT)
    says(page, "All notes are gone.")
    assert page.url == f"{ORIGIN}/"
    assert [one.method for one in sites.heard if one.path == "/api/notes"] == ["DELETE", "DELETE"]
    page.reload()
    says(page, HELLO)
    assert len([one for one in sites.heard if one.path == "/api/notes"]) == 2, "it is sent once"


@pytest.mark.parametrize(
    "what",
    [
        "{ body: new Uint8Array([255, 216]), headers: { 'content-type': 'image/jpeg' } }",
        "{ body: new FormData() }",
        "{ body: '{\"new_password\": \"x\"}', headers: { 'content-type': 'application/json' } }",
        "{ body: 'x'.repeat(70000) }",
    ],
    ids=["a picture", "a form with files", "a password", "something long"],
)
def test_what_cannot_be_kept_is_refused_to_the_app(page: Page, sites: TwoSites, what: str) -> None:
    sign_in(page)
    grow_old(sites, page.context)
    page.reload()
    says(page, HELLO)
    script = f"return (await door.fetch('/api/notes', {{ method: 'POST', ...{what} }})).status;"
    assert asked(page, sites, script) == 401
    assert page.evaluate("sessionStorage.length") == 0
    assert page.url == f"{ORIGIN}/"


def test_an_api_may_have_an_origin_of_its_own(page: Page, sites: TwoSites) -> None:
    """By CORS as the document says; the page may also have another door, for another API."""
    sign_in(page)
    page.goto(f"{ORIGIN}/far")
    says(page, NOBODY)
    page.evaluate("void door.signIn()")
    says(page, HELLO)
    grow_old(sites, page.context)
    page.reload()
    says(page, HELLO)
    page.evaluate(
        """url => void door.fetch(url, {
          method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify("Grüße"),
        })""",
        f"{FAR_RESOURCE}/echo",
    )
    expect(page).to_have_url(re.compile(f"^{ISSUER}/confirm"))
    page.fill("[name=password]", PASSWORD)
    page.click(SUBMIT)
    says(page, '"Grüße"')
    assert page.url == f"{ORIGIN}/far"
    page.goto(f"{ORIGIN}/")
    says(page, HELLO)
    assert status(page, sites) == 200


def test_a_field_of_the_apps_own_takes_nobodys_place(page: Page, sites: TwoSites) -> None:
    """Custom fields are claims at the top level, and may be called `id`."""
    sign_in(page)
    sub = asked(page, sites, "return door.user();")["id"]
    page.route(
        f"{ISSUER}/oauth/userinfo",
        lambda route: route.fulfill(
            json={"sub": sub, "name": "Ada", "preferred_username": "ada", "id": "another", "uid": "bob"},
            headers={"access-control-allow-origin": ORIGIN},
        ),
    )
    page.reload()
    says(page, HELLO)
    user = asked(page, sites, "return door.user();")
    assert (user["id"], user["uid"]) == (sub, "ada")

"""What somebody tries against the client for browsers: planted answers, servers that listen, ways out of the origin."""

import base64
import json
import re
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, Route

from tests.support.notes_pages import asked, prove, says, sign_in, start, status
from tests.support.two_sites import APP, ELSEWHERE, ISSUER, ORIGIN, OTHER, TwoSites

pytestmark = [pytest.mark.browser, pytest.mark.slow]
UNKNOWN = "this sign-in was not begun in this browser, or is over already"
SECRETS = {"authorization", "dpop", "x-csrf-token"}


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


@pytest.fixture
def redeemed(context: BrowserContext) -> list[str]:
    """The codes that were taken to the token endpoint."""
    found: list[str] = []

    def look(request: Request) -> None:
        if request.url == f"{ISSUER}/oauth/token" and request.method == "POST":
            found.extend(parse_qs(request.post_data or "").get("code", []))

    context.on("request", look)
    return found


def answer_of(page: Page, uid: str) -> str:
    """Sign in, and keep the address with the answer from arriving at the app."""
    caught: list[str] = []

    def catch(route: Route) -> None:
        caught.append(route.request.url)
        route.fulfill(body="caught", content_type="text/html")

    page.goto(f"{ORIGIN}/")
    page.route(re.compile(rf"^{ORIGIN}/\?code="), catch)
    page.click("#sign-in")
    prove(page, uid)
    page.wait_for_url(re.compile(r"\?code="))
    page.unroute(re.compile(rf"^{ORIGIN}/\?code="))
    return caught[0]


def changed(url: str, **more: str | None) -> str:
    """The same address with other parameters; None: without."""
    given = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()} | more
    return f"{ORIGIN}/?{urlencode({name: value for name, value in given.items() if value is not None})}"


# Planted answers ------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("10.1.2", "10.2.1")
def test_an_answer_that_was_made_for_somebody_else_signs_nobody_in(
    page: Page, two_sites_browser: Browser, redeemed: list[str]
) -> None:
    """Else a victim would work in the account of whoever sent the link."""
    theirs = two_sites_browser.new_context(locale="en")
    planted = answer_of(theirs.new_page(), "bob")
    theirs.close()
    page.goto(planted)
    says(page, UNKNOWN)
    assert redeemed == []
    assert page.url == f"{ORIGIN}/", "the code is out of the address all the same"
    page.reload()
    says(page, "Nobody is signed in.")


def test_it_signs_nobody_out_either(page: Page, two_sites_browser: Browser, redeemed: list[str]) -> None:
    theirs = two_sites_browser.new_context(locale="en")
    planted = answer_of(theirs.new_page(), "bob")
    theirs.close()
    sign_in(page)
    redeemed.clear()
    page.goto(planted)
    says(page, "Hello, Ada")
    assert redeemed == []


@pytest.mark.asvs("10.2.2")
@pytest.mark.parametrize("issuer", ["https://evil.example", f"{ISSUER}/", f"{ISSUER}.evil.example"])
def test_an_answer_of_another_issuer_is_refused_with_its_state_used_up(
    page: Page, redeemed: list[str], issuer: str
) -> None:
    """RFC 9207: the code of an honest server is not taken to another one, nor the other way round."""
    true = answer_of(page, "ada")
    page.goto(changed(true, iss=issuer))
    says(page, f"asked {ISSUER}, but {issuer} answered")
    page.goto(true)
    says(page, UNKNOWN)
    assert redeemed == []


def test_an_answer_without_an_issuer_is_none(page: Page, redeemed: list[str]) -> None:
    true = answer_of(page, "ada")
    page.goto(changed(true, iss=None))
    says(page, "Nobody is signed in.")
    assert redeemed == []


@pytest.mark.parametrize("state", ["", "A" * 43, "__proto__", None])
def test_an_answer_to_nothing_of_ours_is_left_alone(page: Page, redeemed: list[str], state: str | None) -> None:
    true = answer_of(page, "ada")
    page.goto(changed(true, state=state))
    says(page, "Nobody is signed in.")
    assert redeemed == []


def test_a_state_that_is_made_up_is_refused(page: Page, redeemed: list[str]) -> None:
    true = answer_of(page, "ada")
    state = parse_qs(urlsplit(true).query)["state"][0]
    page.goto(changed(true, state=state[:8] + "A" * 43))
    says(page, UNKNOWN)
    assert redeemed == []


def test_an_answer_counts_once(page: Page, sites: TwoSites, redeemed: list[str]) -> None:
    true = answer_of(page, "ada")
    page.goto(true)
    says(page, "Hello, Ada")
    page.goto(true)
    says(page, "Hello, Ada")
    assert len(redeemed) == 1
    assert status(page, sites) == 200, "a code that comes twice would end what it led to"
    page.click("#sign-out")
    says(page, "Nobody is signed in.")
    page.goto(true)
    says(page, UNKNOWN)
    assert len(redeemed) == 1


def test_an_answer_that_is_opened_in_two_tabs_counts_in_one(page: Page, redeemed: list[str]) -> None:
    true = answer_of(page, "ada")
    other = page.context.new_page()
    other.goto(f"{ORIGIN}/empty")
    page.goto(f"{ORIGIN}/empty")
    for one in (page, other):
        one.evaluate("url => void setTimeout(() => location.assign(url))", true)
    for one in (page, other):
        one.wait_for_selector("#who:not(:empty)")
    assert len(redeemed) == 1
    page.reload()
    says(page, "Hello, Ada")


def test_a_refusal_is_told_and_ends_the_sign_in(page: Page, redeemed: list[str]) -> None:
    true = answer_of(page, "ada")
    said = "<img src=x onerror=alert(1)>"
    page.goto(changed(true, code=None, error="access_denied", error_description=said))
    says(page, said)
    page.goto(true)
    says(page, UNKNOWN)
    assert redeemed == []


GOOD = {"iss": ISSUER, "aud": "{client}", "nonce": "{nonce}", "sub": "1", "exp": 4_000_000_000}


@pytest.mark.asvs("10.5.1", "10.5.4")
@pytest.mark.parametrize(
    ("claims", "kind", "told"),
    [
        ({"nonce": "A" * 43}, "DPoP", "the ID token is not an answer to this sign-in"),
        ({"aud": "another-app"}, "DPoP", "the ID token is not an answer to this sign-in"),
        ({"aud": ["{client}", "another-app"]}, "DPoP", "the ID token is not an answer to this sign-in"),
        ({"iss": f"{ISSUER}.evil.example"}, "DPoP", "the ID token is not an answer to this sign-in"),
        ({"exp": 1_000_000_000}, "DPoP", "the ID token is not an answer to this sign-in"),
        ({"exp": None}, "DPoP", "the ID token is not an answer to this sign-in"),
        ({"sub": ""}, "DPoP", "the ID token is not an answer to this sign-in"),
        (None, "DPoP", "the ID token is not an answer to this sign-in"),
        ({}, "Bearer", "the tokens are not bound to our key"),
        ({}, "DPoP", "Hello, Mallory"),
    ],
)
def test_tokens_that_are_not_of_this_sign_in_are_not_believed(
    page: Page, sites: TwoSites, claims: dict[str, object] | None, kind: str, told: str
) -> None:
    """The last of them is right in everything, so that the others are refused for what is wrong with them."""
    nonce: list[str] = []
    page.on("request", lambda asked: nonce.extend(parse_qs(urlsplit(asked.url).query).get("nonce", [])))

    def answer(route: Route) -> None:
        text = json.dumps({**GOOD, "name": "Mallory", **(claims or {})})
        text = text.replace("{client}", sites.client_id).replace("{nonce}", nonce[0])
        body = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
        said = {"access_token": "a", "token_type": kind, "expires_in": 600, "refresh_token": "dwr_x"}
        route.fulfill(
            json=said if claims is None else {**said, "id_token": f"e30.{body}.AA"},
            headers={"access-control-allow-origin": ORIGIN},
        )

    page.route(f"{ISSUER}/oauth/token", answer)
    start(page)
    says(page, told)


# Where tokens go ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_",
    [
        f"'{ELSEWHERE}/api/me'",
        f"'//{OTHER}/api/me'",
        f"'https:\\\\\\\\{OTHER}\\\\api/me'",
        f"new URL('{ELSEWHERE}/api/me')",
        f"new Request('{ELSEWHERE}/api/me')",
        f"{{ toString: () => '{ELSEWHERE}/api/me' }}",
        f"{{ url: '{ORIGIN}/api/me', toString: () => '{ELSEWHERE}/api/me' }}",
        f"{{ n: 0, toString() {{ return (this.n++ ? '{ORIGIN}' : '{ELSEWHERE}') + '/api/me'; }} }}",
    ],
)
@pytest.mark.asvs("10.1.1")
def test_no_other_origin_is_sent_a_token(page: Page, sites: TwoSites, request_: str) -> None:
    sign_in(page)
    assert status(page, sites) == 200
    sites.heard.clear()
    asked(page, sites, f"await door.fetch({request_}).catch(() => {{}});")
    there = [one for one in sites.heard if one.host == OTHER]
    assert [(one.method, SECRETS & {name.lower() for name in one.headers}) for one in there] == [("GET", set())]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_redirect_takes_a_token_along(page: Page, sites: TwoSites, method: str) -> None:
    sign_in(page)
    script = "return door.fetch('/api/away', { method: argument, redirect: 'follow' }).catch(({ code }) => code);"
    assert asked(page, sites, script, method) == "redirected"
    assert [one for one in sites.heard if one.path == "/api/away"]
    assert [one for one in sites.heard if one.host == OTHER] == []


def test_a_base_element_does_not_change_where_tokens_go(page: Page, sites: TwoSites) -> None:
    """Injected markup alone must not make relative requests carry the token to its author."""
    sign_in(page)
    page.evaluate(f"document.head.insertAdjacentHTML('beforeend', '<base href=\"{ELSEWHERE}/\">')")
    asked(page, sites, "await door.fetch('api/me').catch(() => {});")
    (there,) = [one for one in sites.heard if one.host == OTHER]
    assert SECRETS & {name.lower() for name in there.headers} == set()


def test_whoever_says_authorization_themselves_is_let(page: Page, sites: TwoSites) -> None:
    sign_in(page)
    script = "return (await door.fetch('/api/me', { headers: { authorization: 'Bearer x' } })).status;"
    assert asked(page, sites, script) == 401
    (said,) = {one.headers["Authorization"] for one in sites.heard if one.path == "/api/me"}
    assert said == "Bearer x"


# Ways out of the origin -----------------------------------------------------------------------------------------------

ELSEWHERES = (
    "https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)",
    " javascript:alert(1)", "JaVa\tScript:alert(1)", "data:text/html,x", f"blob:{ORIGIN}/1", f"http://{APP}/",
    f"https://{APP}.evil.example/", f"https://{APP}@evil.example/", f"https://{APP}:444/", "about:blank",
    f"view-source:{ORIGIN}/", f"filesystem:{ORIGIN}/temporary/x",
)  # fmt: skip


@pytest.mark.asvs("1.2.2", "3.7.2")
@pytest.mark.parametrize("what", ["signIn", "signOut"])
def test_nobody_is_sent_to_another_origin(page: Page, sites: TwoSites, what: str) -> None:
    page.goto(f"{ORIGIN}/")
    says(page, "Nobody is signed in.")
    script = f"return door.{what}({{ returnTo: argument }}).catch(({{ code }}) => code);"
    for address in ELSEWHERES:
        assert asked(page, sites, script, address) == "foreign_address", address
        assert page.url == f"{ORIGIN}/"


@pytest.mark.asvs("3.6.1")
def test_a_script_that_is_not_the_one_that_was_pinned_does_not_run(page: Page) -> None:
    """SRI: should Doorward's host be taken over, the app's page is not."""
    page.route(
        f"{ISSUER}/doorward.js",
        lambda route: route.fulfill(
            body="document.title = 'taken over'; export const doorward = () => ({});",
            content_type="text/javascript",
            headers={"access-control-allow-origin": "*"},
        ),
    )
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(f"{ORIGIN}/", wait_until="networkidle")
    assert page.title() == "Notes"
    assert any("integrity" in text for text in complaints), complaints


# Requests that wait for a proof ---------------------------------------------------------------------------------------


def kept_for_later(page: Page, user: str | None = None) -> None:
    """Have a request wait, as the client keeps it: of this user, else of whoever is signed in."""
    page.evaluate(
        """async ([url, user]) => {
          const databases = await indexedDB.databases();
          const opened = await new Promise((done) => {
            indexedDB.open(databases[0].name).onsuccess = ({ target }) => done(target.result);
          });
          const reading = opened.transaction("kept").objectStore("kept").get("session");
          const session = await new Promise((done) => (reading.onsuccess = () => done(reading.result)));
          const waiting = { method: "POST", url, headers: [], body: "mine", user: user ?? session.user.id };
          waiting.at = Date.now();
          sessionStorage.setItem(databases[0].name, JSON.stringify(waiting));
        }""",
        [f"{ORIGIN}/api/notes", user],
    )


def test_what_waited_is_not_sent_for_another_user(page: Page, sites: TwoSites) -> None:
    sign_in(page)
    ada = asked(page, sites, "return door.user();")["id"]
    asked(page, sites, "await door.signOut();")
    page.context.clear_cookies()
    sign_in(page, "bob")
    kept_for_later(page, ada)
    page.reload()
    says(page, "Hello, Bob")
    assert asked(page, sites, "return door.replayed();") is None
    assert page.evaluate("sessionStorage.length") == 0, "nor later"
    assert [one for one in sites.heard if one.path == "/api/notes"] == []


def test_what_waited_is_sent_once_and_only_if_the_app_agrees(page: Page, sites: TwoSites) -> None:
    sign_in(page)
    page.goto(f"{ORIGIN}/empty")
    for allowed, sent in (("false", 0), ("true", 1)):
        kept_for_later(page)
        script = f"""
          const seen = [];
          const answer = await door.replayed((waiting) => {{ seen.push(waiting); return {allowed}; }});
          return [seen, answer && (await answer.json()).text, await door.replayed()];"""
        seen = [{"method": "POST", "url": f"{ORIGIN}/api/notes"}]
        assert asked(page, sites, script) == [seen, "mine" if sent else None, None]
        assert len([one for one in sites.heard if one.path == "/api/notes"]) == sent

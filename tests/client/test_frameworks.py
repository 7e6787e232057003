"""The same promises in every framework, on a real server: who gets in, who is sent away, and how."""

import asyncio
import base64
import hashlib
import json
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import flask
import httpx
import pytest
from joserfc.jwk import ECKey

import doorward_client.flask
from doorward_client import Guard, Principal, Requirement
from doorward_client.principal import LOGIN
from doorward_client.request import Request
from doorward_client.testing import Issuer, MovableClock, User
from doorward_client.testing.issuer import Client, Kind
from tests.support.client_apps import FRAMEWORKS, READS_FORMS, listening, serving
from tests.support.client_calls import proof
from tests.support.waiting import wait_until

# Ports come round again, with another app.
HTTP = httpx.Client(timeout=30, limits=httpx.Limits(max_keepalive_connections=0))


@dataclass
class Browser:
    """Sends cookies back and follows no redirect by itself."""

    url: str
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(
        self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None, **more: str
    ) -> httpx.Response:
        sent = {"accept": "text/html", "cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        url = path if path.startswith("http") else self.url + path
        answer = HTTP.request(method, url, headers={**sent, **(headers or {})}, data=more or None)
        if url.startswith(self.url):
            self._keep(answer)
        return answer

    def sign_in(self, path: str = "/me") -> httpx.Response:
        """Follow redirects from a page until one does not redirect any more."""
        answer = self.ask(path)
        for _ in range(6):
            if answer.status_code != 303:
                break
            answer = self.ask(answer.headers["location"])
        return answer

    def csrf(self) -> str:
        token: str = self.ask("/csrf").json()["token"]
        return token

    def _keep(self, answer: httpx.Response) -> None:
        for line in answer.headers.get_list("set-cookie"):
            name, _, value = line.split(";")[0].partition("=")
            self.cookies.pop(name, None)
            if "max-age=0" not in line.lower():
                self.cookies[name] = value


@dataclass
class App:
    url: str
    client: Client
    framework: str

    def get(self, path: str, **headers: str) -> httpx.Response:
        return HTTP.get(self.url + path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def with_token(self, path: str, token: str) -> httpx.Response:
        return self.get(path, authorization=f"Bearer {token}")

    def browser(self) -> Browser:
        return Browser(self.url)


def settings_for(issuer: Issuer, clock: MovableClock, url: str) -> dict[str, Any]:
    """What an app is told that is registered as `web`."""
    client = issuer.client("web", app_url=url)
    return {
        "issuer": issuer.url,
        "client_id": client.client_id,
        "client_secret": client.secret,
        "app_url": url,
        "clock": clock.as_clock(real_monotonic=True),
    }


@pytest.fixture(params=FRAMEWORKS)
def served(request: pytest.FixtureRequest, doorward_issuer: Issuer, doorward_clock: MovableClock) -> Iterator[App]:
    with listening() as (listener, url):
        given = settings_for(doorward_issuer, doorward_clock, url)
        with serving(request.param, listener, given):
            yield App(url, doorward_issuer.clients["web"], request.param)


def shown(answer: httpx.Response) -> tuple[int, str]:
    """Status and heading of a page that is for people."""
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    style = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in answer.headers["content-security-policy"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    return answer.status_code, re.findall(r"<h1>(.*?)</h1>", answer.text)[0]


# Tokens --------------------------------------------------------------------------------------------------------------


def test_a_token_opens_what_is_protected(served: App, doorward_issuer: Issuer, ada: User) -> None:
    answer = served.with_token("/me", doorward_issuer.access_token(ada, served.client))
    assert (answer.status_code, answer.json()["sub"]) == (200, ada.sub)


def test_who_shows_nothing_is_asked_for_a_token_without_being_told_of_an_error(served: App) -> None:
    answer = served.get("/me")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["cache-control"] == "no-store"


def test_a_token_that_does_not_count_is_answered_as_rfc_6750_says(served: App) -> None:
    answer = served.with_token("/me", "forged.forged.forged")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith('Bearer error="invalid_token", error_description="')


def test_what_is_open_stays_open_but_no_wrong_token_is_passed_over(
    served: App, doorward_issuer: Issuer, ada: User
) -> None:
    assert served.get("/open").json() == {"sub": None}
    assert served.with_token("/open", doorward_issuer.access_token(ada, served.client)).json()["sub"] == ada.sub
    assert served.with_token("/open", "forged.forged.forged").status_code == 401


@pytest.mark.asvs("8.2.1", "8.3.1")
def test_scope_and_role_are_asked_for(served: App, doorward_issuer: Issuer, ada: User) -> None:
    token = doorward_issuer.access_token
    assert served.with_token("/editor", token(ada, served.client, scope="read write")).status_code == 200
    lacking = served.with_token("/editor", token(ada, served.client, scope="write reads"))
    assert lacking.status_code == 403
    assert 'error="insufficient_scope"' in lacking.headers["www-authenticate"]
    assert 'scope="read"' in lacking.headers["www-authenticate"]
    ada.roles = ["reader"]
    assert served.with_token("/editor", token(ada, served.client, scope="read")).status_code == 403


@pytest.mark.asvs("7.5.3")
def test_an_old_sign_in_is_to_be_renewed_as_rfc_9470_says(
    served: App, doorward_issuer: Issuer, ada: User, doorward_clock: MovableClock
) -> None:
    token = doorward_issuer.access_token(ada, served.client)
    assert served.with_token("/fresh", token).status_code == 200
    doorward_clock.advance(61)
    answer = served.with_token("/fresh", token)
    assert answer.status_code == 401
    assert 'error="insufficient_user_authentication"' in answer.headers["www-authenticate"]
    assert 'max_age="60"' in answer.headers["www-authenticate"]
    assert served.with_token("/me", token).status_code == 200


def test_a_second_factor_is_asked_for_as_rfc_9470_says(served: App, doorward_issuer: Issuer, ada: User) -> None:
    answer = served.with_token("/strong", doorward_issuer.access_token(ada, served.client))
    assert answer.status_code == 401
    assert 'acr_values="aal2 aal3"' in answer.headers["www-authenticate"]
    ada.acr = "aal2"
    assert served.with_token("/strong", doorward_issuer.access_token(ada, served.client)).status_code == 200


@pytest.mark.asvs("7.4.1")
@pytest.mark.parametrize("kind", ["session", "user", "family", "token"])
def test_what_is_revoked_is_out_within_two_seconds(
    served: App, doorward_issuer: Issuer, ada: User, doorward_clock: MovableClock, kind: Kind
) -> None:
    token = doorward_issuer.access_token(ada, served.client, sid="s", fid="f", jti="t")
    assert served.with_token("/me", token).status_code == 200
    doorward_clock.advance(1)
    doorward_issuer.revoke(kind, {"session": "s", "family": "f", "token": "t"}.get(kind, ada.sub))
    assert wait_until(lambda: served.with_token("/me", token).status_code == 401) < 2
    assert served.with_token("/me", doorward_issuer.access_token(ada, served.client)).status_code == 200


@pytest.mark.asvs("10.3.5")
def test_a_bound_token_counts_only_with_a_proof_of_its_key(
    served: App, doorward_issuer: Issuer, ada: User, doorward_clock: MovableClock
) -> None:
    key = ECKey.generate_key("P-256", private=True)
    token = doorward_issuer.access_token(ada, served.client, cnf={"jkt": key.thumbprint()})
    mine = proof(key, doorward_clock, token, url=f"{served.url}/me")
    assert served.with_token("/me", token).status_code == 401
    assert served.get("/me", authorization=f"DPoP {token}", dpop=mine).status_code == 200
    again = served.get("/me", authorization=f"DPoP {token}", dpop=mine)
    assert again.status_code == 401
    assert again.headers["www-authenticate"].startswith('DPoP error="invalid_dpop_proof"')


@pytest.mark.parametrize("framework", ["asgi", "wsgi"])
def test_a_proof_is_looked_at_once_however_often_an_app_asks_who_it_is(
    framework: str, doorward_issuer: Issuer, doorward_clock: MovableClock, ada: User
) -> None:
    key = ECKey.generate_key("P-256", private=True)
    with listening() as (listener, url):
        given = settings_for(doorward_issuer, doorward_clock, url)
        with serving(framework, listener, {**given, "protect": Requirement.of()}):
            token = doorward_issuer.access_token(ada, doorward_issuer.clients["web"], cnf={"jkt": key.thumbprint()})
            headers = {
                "authorization": f"DPoP {token}",
                "dpop": proof(key, doorward_clock, token, url=f"{url}/me"),
            }
            assert HTTP.get(f"{url}/me", headers=headers).json()["sub"] == ada.sub
            assert HTTP.get(f"{url}/me", headers=headers).status_code == 401


def test_who_somebody_is_is_forgotten_with_the_request_and_known_to_one_guard_alone(
    doorward_issuer: Issuer, doorward_clock: MovableClock, ada: User
) -> None:
    given = settings_for(doorward_issuer, doorward_clock, "http://127.0.0.1:9")
    token = doorward_issuer.access_token(ada, doorward_issuer.clients["web"])
    app = flask.Flask("app")
    doorward = doorward_client.flask.Doorward(app, **given)
    other = doorward_client.flask.Doorward(**given, audience="https://other.example")

    @app.get("/me")
    @doorward.login_required
    def me() -> str:
        return doorward.user.sub

    @app.get("/both")
    @doorward.login_required
    def both() -> str:
        return other.user.sub

    with doorward.guard, other.guard, app.app_context():  # as in a shell, or around a test
        browser, bearer = app.test_client(), {"authorization": f"Bearer {token}"}
        assert browser.get("/me", headers=bearer).text == ada.sub
        assert browser.get("/me").status_code == 401
        assert browser.get("/both", headers=bearer).status_code == 401


def test_an_api_key_is_asked_about(served: App, doorward_issuer: Issuer, ada: User) -> None:
    key = doorward_issuer.api_key(ada, "read")
    assert served.get("/me", x_api_key=key).json()["sub"] == ada.sub
    assert served.with_token("/me", key).json()["sub"] == ada.sub
    assert served.get("/me", x_api_key=key[:-1]).status_code == 401
    assert served.get("/me", x_api_key=key, authorization=f"Bearer {key}").status_code == 400
    assert served.get(f"/me?access_token={key}").status_code == 401


def test_nobody_gets_in_while_the_issuer_cannot_be_asked(served: App, doorward_issuer: Issuer, ada: User) -> None:
    doorward_issuer.broken |= {"/oauth/revocations", "/oauth/introspect"}
    answer = served.with_token("/me", doorward_issuer.access_token(ada, served.client))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


# Browsers ------------------------------------------------------------------------------------------------------------


def test_a_browser_signs_in_and_comes_back_to_its_page(served: App, doorward_issuer: Issuer, ada: User) -> None:
    doorward_issuer.signed_in = ada
    browser = served.browser()
    assert browser.ask("/me?tab=2").headers["location"] == "/auth/sign-in?next=/me%3Ftab%3D2"
    answer = browser.sign_in("/me?tab=2")
    assert answer.json() == {"sub": ada.sub, "name": "Ada"}
    assert answer.url.query == b"tab=2"
    assert list(browser.cookies) == ["doorward-session"]
    assert browser.ask("/me").json()["sub"] == ada.sub


def test_nobody_is_sent_in_circles_when_what_comes_back_is_revoked_already(
    served: App, doorward_issuer: Issuer, doorward_clock: MovableClock, ada: User
) -> None:
    doorward_issuer.signed_in = ada
    token = doorward_issuer.access_token(ada, served.client)
    doorward_clock.advance(0.5)  # a token has whole seconds, so the next one seems to be older than this
    doorward_issuer.revoke("user", ada.sub)
    wait_until(lambda: served.with_token("/me", token).status_code == 401)
    browser = served.browser()
    answer = browser.sign_in()
    assert shown(answer) == (400, "The sign-in did not succeed")
    assert "Sign in again" in answer.text
    doorward_clock.advance(1)
    assert browser.sign_in().json()["sub"] == ada.sub


@pytest.mark.asvs("3.3.2", "3.3.4")
def test_cookies_are_out_of_reach_of_scripts_and_of_other_sites(
    served: App, doorward_issuer: Issuer, ada: User
) -> None:
    doorward_issuer.signed_in = ada
    browser = served.browser()
    begun = browser.ask("/auth/sign-in")
    done = browser.ask(browser.ask(begun.headers["location"]).headers["location"])
    lines = begun.headers.get_list("set-cookie") + done.headers.get_list("set-cookie")
    assert len(lines) >= 3
    for line in lines:
        said = [part.strip().lower() for part in line.split(";")[1:]]
        assert {"httponly", "path=/", "samesite=lax"} <= set(said)
        assert not any(part.startswith("domain") for part in said)


def test_what_is_sent_to_the_issuer_is_state_nonce_and_a_challenge(served: App) -> None:
    sent = parse_qs(urlsplit(served.browser().ask("/auth/sign-in").headers["location"]).query)
    assert sent["response_type"] == ["code"]
    assert sent["code_challenge_method"] == ["S256"]
    assert all(len(sent[name][0]) == 43 for name in ("state", "nonce", "code_challenge"))


@pytest.mark.asvs("10.2.1")
@pytest.mark.parametrize(
    "change",
    [{"state": "x" * 43}, {"state": ""}, {"iss": "https://evil.example"}, {"iss": ""}, {"code": "x"}, {"code": ""},
     {"error": "access_denied"}, {"error": "<script>"}],
    ids=lambda change: "-".join(*change.items()),
)  # fmt: skip
def test_an_answer_that_does_not_fit_signs_nobody_in(
    served: App, doorward_issuer: Issuer, ada: User, change: dict[str, str]
) -> None:
    doorward_issuer.signed_in = ada
    browser = served.browser()
    back = urlsplit(browser.ask(browser.ask("/auth/sign-in").headers["location"]).headers["location"])
    said = {name: values[0] for name, values in parse_qs(back.query).items()} | change
    answer = browser.ask(f"/auth/callback?{httpx.QueryParams(said)}")
    assert shown(answer) == (400, "The sign-in did not succeed")
    assert "<script" not in answer.text
    assert "evil" not in answer.text
    assert "doorward-session" not in browser.cookies


@pytest.mark.asvs("10.2.1")
def test_an_answer_to_somebody_elses_sign_in_signs_nobody_in(served: App, doorward_issuer: Issuer, ada: User) -> None:
    doorward_issuer.signed_in = ada
    attacker, victim = served.browser(), served.browser()
    back = attacker.ask(attacker.ask("/auth/sign-in").headers["location"]).headers["location"]
    victim.ask("/auth/sign-in")
    assert victim.ask(back).status_code == 400
    assert attacker.ask(back).status_code == 303
    assert attacker.ask(back).status_code == 400  # the code is spent, and the cookie gone


@pytest.mark.parametrize(
    "where",
    ["https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil", "/\t/evil.example", "javascript:1"],
)
def test_nobody_is_sent_elsewhere_after_signing_in(served: App, doorward_issuer: Issuer, ada: User, where: str) -> None:
    doorward_issuer.signed_in = ada
    browser = served.browser()
    begun = browser.ask(f"/auth/sign-in?{httpx.QueryParams(next=where)}")
    back = browser.ask(begun.headers["location"]).headers["location"]
    assert browser.ask(back).headers["location"] == "/"


@pytest.mark.asvs("7.2.4")
def test_a_planted_session_is_not_taken_over(served: App, doorward_issuer: Issuer, ada: User) -> None:
    doorward_issuer.signed_in = ada
    browser = served.browser()
    browser.cookies["doorward-session"] = "A" * 43
    browser.sign_in("/auth/sign-in?next=/me")
    first = browser.cookies["doorward-session"]
    assert first != "A" * 43
    browser.sign_in("/auth/sign-in?next=/me")
    assert browser.cookies["doorward-session"] != first
    browser.cookies["doorward-session"] = first
    assert browser.ask("/me").status_code == 303


@pytest.mark.asvs("3.5.1")
def test_a_change_needs_the_csrf_token(served: App, doorward_issuer: Issuer, ada: User) -> None:
    doorward_issuer.signed_in = ada
    browser, other = served.browser(), served.browser()
    browser.sign_in()
    other.sign_in()
    right = browser.csrf()
    assert browser.ask("/me", "POST").status_code == 403
    assert browser.ask("/me", "POST", {"x-csrf-token": other.csrf()}).status_code == 403
    assert browser.ask("/me", "POST", {"x-csrf-token": right, "origin": "https://evil.example"}).status_code == 403
    assert browser.ask("/me", "POST", {"x-csrf-token": right, "sec-fetch-site": "cross-site"}).status_code == 403
    assert browser.ask("/me", "POST", {"x-csrf-token": right, "origin": served.url}).json()["sub"] == ada.sub
    by_form = browser.ask("/me", "POST", csrf_token=right)
    assert by_form.status_code == (200 if served.framework in READS_FORMS else 403)


def begun(served: App, path: str, cookie: str, origin: str) -> int:
    """The status that answers a form of which nothing but the headers has come."""
    length = 5 if served.framework == "django_async" else 300_000_000  # over ASGI Django reads all before anybody looks
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {urlsplit(served.url).netloc}",
        f"Origin: {origin}",
        f"Cookie: doorward-session={cookie}",
        "Content-Type: multipart/form-data; boundary=x",
        f"Content-Length: {length}",
    ]
    with socket.create_connection(("127.0.0.1", urlsplit(served.url).port or 0), 5) as sent:
        sent.sendall("\r\n".join([*lines, "", "--x\r\n"]).encode())
        return int(sent.makefile("rb").readline().split()[1])


def test_people_read_on_a_page_why_they_are_not_let_through(served: App, doorward_issuer: Issuer) -> None:
    doorward_issuer.signed_in = doorward_issuer.user("Bob")
    browser = served.browser()
    failed = browser.ask("/auth/callback?error=access_denied&state=x&iss=" + quote(doorward_issuer.url))
    assert shown(failed) == (400, "The sign-in did not succeed")
    assert browser.ask(re.findall(r'<a href="(.*?)">', failed.text)[0]).status_code == 303
    assert shown(browser.ask("/me", "POST", csrf_token="x")) == (401, "You are not signed in")
    assert browser.sign_in().status_code == 200
    assert shown(browser.ask("/editor")) == (403, "You may not open this page")
    assert shown(browser.ask("/me", "POST", csrf_token="x")) == (403, "That was not done")
    strong = browser.ask("/strong", "POST", csrf_token=browser.csrf(), headers={"x-csrf-token": browser.csrf()})
    if strong.status_code != 405:  # where the endpoint takes a POST
        assert shown(strong) == (401, "Show again that it is you")
        assert "acr_values=" in re.findall(r'<a href="(.*?)">', strong.text)[0]
    doorward_issuer.broken |= {"/oauth/revocations", "/oauth/introspect"}
    wait_until(lambda: browser.ask("/me").status_code == 503)
    assert shown(browser.ask("/me")) == (503, "Sign-in does not answer")
    assert browser.ask("/me", headers={"accept": "*/*"}).json()["error"] == "Unavailable"


@pytest.mark.asvs("3.5.1")
def test_forms_of_strangers_and_of_other_sites_are_not_read(served: App, doorward_issuer: Issuer, ada: User) -> None:
    doorward_issuer.signed_in = ada
    browser = served.browser()
    browser.sign_in()
    mine = browser.cookies["doorward-session"]
    assert begun(served, "/me", "A" * 43, served.url) == 401
    assert begun(served, "/auth/sign-out", "A" * 43, served.url) == 303
    assert begun(served, "/me", mine, "https://evil.example") == 403
    assert begun(served, "/auth/sign-out", mine, "https://evil.example") == 403


@pytest.mark.asvs("7.4.1")
def test_signing_out_ends_the_session_here_and_at_the_issuer(served: App, doorward_issuer: Issuer, ada: User) -> None:
    doorward_issuer.signed_in = ada
    browser = served.browser()
    browser.sign_in()
    stolen = browser.cookies["doorward-session"]
    assert browser.ask("/auth/sign-out", "POST").status_code == 403
    assert browser.ask("/auth/sign-out").status_code in {404, 405}
    assert browser.ask("/me").status_code == 200
    answer = browser.ask("/auth/sign-out", "POST", {"x-csrf-token": browser.csrf()})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "doorward-session" not in browser.cookies
    browser.cookies["doorward-session"] = stolen
    assert browser.ask("/me").status_code == 303
    assert [end["kind"] for end in doorward_issuer.ended] == ["family"]


@pytest.mark.asvs("3.5.1")
def test_a_form_of_another_site_that_comes_without_the_cookie_does_not_take_it_away(served: App) -> None:
    elsewhere = served.browser().ask("/auth/sign-out", "POST", {"origin": "https://evil.example"})
    assert elsewhere.status_code == 303
    assert "set-cookie" not in elsewhere.headers
    stale = served.browser()
    stale.cookies["doorward-session"] = "A" * 43
    stale.ask("/auth/sign-out", "POST")
    assert stale.cookies == {}


@pytest.mark.parametrize("length", [2000, 2001, 6000])
def test_no_page_to_come_back_to_is_too_long_for_signing_in(
    served: App, doorward_issuer: Issuer, ada: User, length: int
) -> None:
    doorward_issuer.signed_in = ada
    where = "/me?".ljust(length, "x")
    browser = served.browser()
    asked = httpx.QueryParams(next=where, acr_values="é" * 200)
    sent = ""
    for _ in range(8):
        answer = browser.ask(f"/auth/sign-in?{asked}")
        assert all(len(line) < 4096 for line in answer.headers.get_list("set-cookie"))
        assert sum(map(len, browser.cookies.values())) < 8000
        sent = answer.headers["location"]
    back = browser.ask(sent).headers["location"]
    assert browser.ask(back).headers["location"] == (where if length == 2000 else "/")


def test_a_session_outlives_its_access_token(
    served: App, doorward_issuer: Issuer, ada: User, doorward_clock: MovableClock
) -> None:
    doorward_issuer.signed_in = ada
    browser = served.browser()
    browser.sign_in()
    for _ in range(3):
        doorward_clock.advance(599)
        assert browser.ask("/me").json() == {"sub": ada.sub, "name": "Ada"}
    assert doorward_issuer.asked.count("/oauth/token") == 4
    assert doorward_issuer.ended == []


@pytest.mark.asvs("7.4.2")
def test_a_session_ends_when_the_issuer_does_not_refresh_it(
    served: App, doorward_issuer: Issuer, ada: User, doorward_clock: MovableClock
) -> None:
    doorward_issuer.signed_in = ada
    browser = served.browser()
    browser.sign_in()
    ada.disabled = True
    doorward_clock.advance(1)
    doorward_issuer.revoke("user", ada.sub)
    assert wait_until(lambda: browser.ask("/me").status_code == 303) < 2
    assert served.get("/me", cookie=f"doorward-session={browser.cookies['doorward-session']}").status_code == 401


def test_a_page_that_asks_for_more_sends_its_visitor_to_show_it(
    served: App, doorward_issuer: Issuer, ada: User, doorward_clock: MovableClock
) -> None:
    doorward_issuer.signed_in = ada
    browser = served.browser()
    browser.sign_in()
    doorward_clock.advance(61)
    to_sign_in = browser.ask("/fresh").headers["location"]
    assert parse_qs(urlsplit(browser.ask(to_sign_in).headers["location"]).query)["max_age"] == ["60"]
    assert browser.sign_in("/fresh").json()["sub"] == ada.sub
    assert browser.sign_in("/strong").status_code == 400  # the issuer asked for no second factor: not for ever round
    ada.acr = "aal2"
    assert browser.sign_in("/strong").json()["sub"] == ada.sub


def test_a_cookie_tells_nothing(served: App, doorward_issuer: Issuer, ada: User) -> None:
    doorward_issuer.signed_in = ada
    browser = served.browser()
    location = browser.ask("/auth/sign-in").headers["location"]
    state = parse_qs(urlsplit(location).query)["state"][0]
    (value,) = browser.cookies.values()
    assert state.encode() not in base64.urlsafe_b64decode(value + "==")
    browser.ask(browser.ask(location).headers["location"])
    assert ada.sub not in json.dumps(browser.cookies)


def test_on_an_event_loop_nothing_waits_for_the_issuer(
    doorward_issuer: Issuer, doorward_clock: MovableClock, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Django's asynchronous views, those of classes among them."""
    looked: list[str] = []
    usual = Guard.identify

    def identify(self: Guard, request: Request, requirement: Requirement = LOGIN) -> Principal:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        looked.append(request.path)
        return usual(self, request, requirement)

    monkeypatch.setattr(Guard, "identify", identify)
    with listening() as (listener, url):
        given = settings_for(doorward_issuer, doorward_clock, url) | {"revocation": "introspection"}
        with serving("django_async", listener, given):
            app = App(url, doorward_issuer.clients["web"], "django_async")
            token = doorward_issuer.access_token(ada, app.client, scope="read", acr="aal2", amr=["pwd", "otp"])
            for path in ("/open", "/me", "/editor", "/fresh", "/strong"):
                assert app.with_token(path, token).json()["sub"] == ada.sub
    assert looked == ["/open", "/me", "/editor", "/fresh", "/strong"]

"""Forward authentication as an attacker meets it: planted, stolen, replayed and foreign codes and cookies."""

from typing import Any

import httpx
import pytest

from doorward.kernel.caller import LOCAL_OPERATOR
from doorward.kernel.errors import Invalid
from doorward.kernel.instant import SECOND
from doorward.oidc import Client
from doorward.sessions import store
from tests.http.conftest import PASSWORD, Visitor, World
from tests.support.apps import App, back, member, register
from tests.support.attack import OPERATOR
from tests.support.factors import set_up_app

WIKI, DESK = "https://wiki.example", "https://desk.example"
FOREIGN = ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)", "/a\nb", "", "x"]


async def behind_proxy(world: World, client_id: str = "wiki", origin: str = WIKI) -> str:
    """Register an app behind a proxy; where its paths are at ours."""
    wanted = Client(client_id, client_id.title(), "proxy", "none", (f"{origin}/.doorward/callback",))
    await world.services.apps.clients.add(wanted, LOCAL_OPERATOR)
    return f"/forward-auth/{client_id}"


class Browser:
    """A browser at the host of an app: what its cookies are there."""

    def __init__(self, world: World, base: str) -> None:
        """`base`: of the app, at ours."""
        transport = httpx.ASGITransport(app=world.app)
        self.http, self.base = httpx.AsyncClient(transport=transport, base_url=WIKI), base

    async def begin(self, path: str = "/", **more: str) -> str:
        """Where it is sent to sign in."""
        answer = await self.http.get(f"{self.base}/sign-in", params={"next": path, **more})
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])

    async def come_back(self, sent: dict[str, str]) -> str:
        """Come back with what we sent it off with; where that leads."""
        answer = await self.http.get(f"{self.base}/callback", params=sent)
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])

    async def enter(self, visitor: Visitor, path: str = "/") -> str:
        """All of it, signed in as somebody."""
        return await self.come_back(back(await visitor.get(await self.begin(path))))

    async def status(self, **asked: str) -> int:
        """What the proxy is answered."""
        return (await self.http.get(f"{self.base}/check", params=asked)).status_code


@pytest.fixture
async def wiki(world: World) -> str:
    return await behind_proxy(world)


@pytest.mark.asvs("3.3.1", "3.3.2", "3.3.3", "3.3.4")
async def test_the_cookie_is_of_that_host_alone(world: World, wiki: str) -> None:
    browser, ada = Browser(world, wiki), await member(world)
    answer = await browser.http.get(f"{wiki}/callback", params=back(await ada.get(await browser.begin("/page?a=1"))))
    assert answer.headers["location"] == "/page?a=1"
    set_cookie = answer.headers["set-cookie"]
    assert set_cookie.startswith("__Host-doorward-app-wiki=")
    assert {"HttpOnly", "Secure", "Path=/", "SameSite=lax"} <= set(set_cookie.split("; "))
    assert await browser.status() == 204


@pytest.mark.asvs("10.2.1")
async def test_a_planted_sign_in_counts_for_nobody(world: World, wiki: str) -> None:
    mallory, victim = Browser(world, wiki), Browser(world, wiki)
    planted = back(await (await member(world, "mallory")).get(await mallory.begin()))
    assert "/lost?" in await victim.come_back(planted), "it has begun nothing"
    await victim.begin()
    assert "/lost?" in await victim.come_back(planted), "it has begun another"
    assert await victim.status() == 401
    assert await mallory.come_back(planted) == "/", "and it is not used up by that"


@pytest.mark.asvs("10.4.2")
async def test_a_code_counts_once_and_its_reuse_ends_what_came_of_it(world: World, wiki: str) -> None:
    browser, ada = Browser(world, wiki), await member(world)
    sent = back(await ada.get(await browser.begin()))
    assert await browser.come_back(sent) == "/"
    assert await browser.status() == 204
    assert await browser.come_back(sent) == "/", "a page that is loaded again does no harm"
    assert await browser.status() == 204
    kept = dict(browser.http.cookies)
    del browser.http.cookies["__Host-doorward-app-wiki"]
    assert "/lost?" in await browser.come_back(sent)
    browser.http.cookies.update(kept)
    assert await browser.status() == 401


async def test_whoever_signs_in_next_in_the_same_browser_is_who_arrives(world: World, wiki: str) -> None:
    """Also while the session of before lives on, as when its cookie at our host was deleted."""
    browser = Browser(world, wiki)
    for uid in ("ada", "bob"):
        await browser.enter(await member(world, uid))
        assert (await browser.http.get(f"{wiki}/check")).headers["remote-user"] == uid


async def test_code_and_cookie_of_one_app_open_no_other(world: World, wiki: str) -> None:
    browser, ada = Browser(world, wiki), await member(world)
    desk = await behind_proxy(world, "desk", DESK)
    await browser.enter(ada)
    kept = browser.http.cookies.get("__Host-doorward-app-wiki")
    stolen = {"cookie": f"__Host-doorward-app-desk={kept}"}
    assert (await world.visitor().http.get(f"{desk}/check", headers=stolen)).status_code == 401
    sent = back(await ada.get(await browser.begin()))
    elsewhere = Browser(world, desk)
    elsewhere.http.cookies.set("__Host-doorward-start-desk", browser.http.cookies["__Host-doorward-start-wiki"])
    assert "/lost?" in await elsewhere.come_back(sent)


async def test_forged_cookies_and_states_open_nothing(world: World, wiki: str) -> None:
    browser, ada = Browser(world, wiki), await member(world)
    for forged in ("", "A", "%", "é", "A" * 200, "eyJmYW1pbHkiOiIifQ"):
        header = f"__Host-doorward-app-wiki={forged}".encode()
        assert (await browser.http.get(f"{wiki}/check", headers={b"cookie": header})).status_code == 401
    sent = back(await ada.get(await browser.begin()))
    for changed in (
        {"state": "eyJwYXRoIjoiLyJ9"}, {"state": ""}, {"iss": "https://other.example"}, {"code": ""},
        {"error": "access_denied"},
    ):  # fmt: skip
        assert "/lost?" in await browser.come_back({**sent, **changed})
    assert await browser.come_back(sent) == "/"


@pytest.mark.asvs("3.7.2", "1.2.2")
@pytest.mark.parametrize("path", FOREIGN)
async def test_nobody_is_led_elsewhere(world: World, wiki: str, path: str) -> None:
    browser, ada = Browser(world, wiki), await member(world)
    assert await browser.enter(ada, path) == "/"
    gate = await world.visitor().http.get(f"{wiki}/gate", headers={"accept": "text/html", "x-forwarded-uri": "//evil"})
    assert gate.headers["location"] == f"{WIKI}/.doorward/sign-in?next=%2F&acr="


@pytest.mark.parametrize("query", ["acr=AAL2", "acr=aal3", "acr=", "role=", "roles=editor", "acr=aal2&acr=aal2"])
async def test_what_is_asked_for_by_mistake_lets_nobody_pass(world: World, wiki: str, query: str) -> None:
    browser = Browser(world, wiki)
    await browser.enter(await member(world))
    for path in ("check", "gate", "refusal"):
        assert (await browser.http.get(f"{wiki}/{path}?{query}")).status_code == 400


async def test_who_passes_is_still_refused_where_the_proxy_has_refused(world: World, wiki: str) -> None:
    browser = Browser(world, wiki)
    await browser.enter(await member(world))
    assert (await browser.http.get(f"{wiki}/refusal")).status_code == 403
    page = await browser.http.get(f"{wiki}/refusal", headers={"accept": "text/html"})
    assert page.headers["location"].endswith("/lost?why=role")


async def test_an_address_without_end_leads_to_the_start(world: World, wiki: str) -> None:
    browser, ada = Browser(world, wiki), await member(world)
    longest = f"/?q={'%20' * 332}"
    assert len(longest) == 1000
    assert await browser.enter(ada, longest) == longest
    browser.http.cookies.clear()
    assert await browser.enter(ada, f"{longest}+") == "/"


@pytest.mark.asvs("7.4.1", "7.4.2")
async def test_the_next_request_after_the_end_is_refused(world: World, wiki: str) -> None:
    ada, services = await member(world), world.services
    user_id = (await ada.get("/api/users/me")).json()["id"]
    browser = Browser(world, wiki)
    await browser.enter(ada)
    assert await browser.status() == 204
    changed = {"current_password": PASSWORD, "new_password": "looms that count petals"}
    assert (await ada.send("PUT", "/api/users/me/password", changed)).status_code in {200, 204}
    assert await browser.status() == 401, "a new password"
    await browser.enter(ada)
    assert await browser.status() == 204
    await services.users.set_status(user_id, "disabled", None, OPERATOR)
    assert await browser.status() == 401, "disabled"


async def test_an_app_that_is_removed_lets_nobody_pass(world: World, wiki: str) -> None:
    browser = Browser(world, wiki)
    await browser.enter(await member(world))
    await world.services.apps.clients.remove("wiki", LOCAL_OPERATOR)
    assert await browser.status() == 404
    await behind_proxy(world)
    assert await browser.status() == 401, "nor one of the same id that comes after it"


async def test_use_at_the_app_keeps_the_session_from_idling_out(world: World, wiki: str) -> None:
    browser, ada = Browser(world, wiki), await member(world)
    await set_up_app(world, ada)
    await browser.enter(ada)
    idle = (world.services.sessions.profiles[2].idle or 0) // SECOND
    for _ in range(3):
        world.clock.advance(idle - 60)
        assert await browser.status() == 204
    world.clock.advance(idle + 1)
    assert await browser.status() == 401


async def test_a_second_factor_that_is_asked_for_is_needed(world: World, wiki: str) -> None:
    browser = Browser(world, wiki)
    ada = await member(world)
    await browser.enter(ada)
    assert await browser.status(acr="aal2") == 401
    target = await browser.begin(acr="aal2")
    assert "acr_values=aal2" in target
    assert (await ada.get(target)).headers["location"].startswith("/account/security?next=")
    await set_up_app(world, ada)
    assert await browser.come_back(back(await ada.get(target))) == "/"
    assert await browser.status(acr="aal2") == 204


@pytest.mark.asvs("1.2.1", "4.2.4")
async def test_names_break_no_header(world: World, wiki: str) -> None:
    browser, ada = Browser(world, wiki), await member(world)
    me = (await ada.get("/api/users/me")).json()
    renamed = await ada.send("PATCH", f"/api/users/{me['id']}", {"name": "Ада %0d%0a, \u200fx"})
    assert renamed.status_code == 200, renamed.text
    await browser.enter(ada)
    told = (await browser.http.get(f"{wiki}/check")).headers
    assert told["remote-name"].isascii()
    assert "%250d%250a" in told["remote-name"]
    assert (told["remote-user"], told["doorward-user"]) == ("ada", me["id"])
    assert (told["remote-email"], told["remote-groups"]) == ("", ""), "some proxies fill in what is missing"


async def test_such_an_app_is_given_no_tokens(world: World, wiki: str) -> None:
    browser, ada = Browser(world, wiki), await member(world)
    sent = back(await ada.get(await browser.begin()))
    verifier = browser.http.cookies["__Host-doorward-start-wiki"]
    form = {
        "grant_type": "authorization_code", "client_id": "wiki", "code": sent["code"], "code_verifier": verifier,
        "redirect_uri": f"{WIKI}/.doorward/callback",
    }  # fmt: skip
    answer = await world.visitor().http.post("/oauth/token", data=form)
    assert (answer.status_code, answer.json()["error"]) == (400, "unauthorized_client")


async def test_a_session_in_use_elsewhere_is_not_idle_here(world: World, wiki: str) -> None:
    """Another worker has written down its use; what this one remembers is older."""
    browser, ada = Browser(world, wiki), await member(world)
    await set_up_app(world, ada)
    await browser.enter(ada)
    session_id = (await ada.get("/api/sessions/current")).json()["id"]
    idle = (world.services.sessions.profiles[2].idle or 0) // SECOND
    world.clock.advance(idle - 60)
    at = world.clock.now()
    await world.services.db.write(lambda: store.update_last_seen(session_id, at))
    world.clock.advance(120)
    assert await browser.status() == 204


@pytest.mark.parametrize("wrong", [
    {"redirect_uris": (f"{WIKI}/.doorward/callback?x=y",)}, {"redirect_uris": (f"{WIKI}/callback",)},
    {"scopes": ("profile",)}, {"scopes": ("openid", "offline_access")}, {"dpop": True}, {"resources": (WIKI,)},
])  # fmt: skip
async def test_a_registration_that_could_not_work_is_refused(world: World, wrong: dict[str, Any]) -> None:
    wanted = {"redirect_uris": (f"{WIKI}/.doorward/callback",), **wrong}
    with pytest.raises(Invalid):
        await world.services.apps.clients.add(Client("wiki", "Wiki", "proxy", "none", **wanted), LOCAL_OPERATOR)


async def test_other_apps_are_not_behind_a_proxy(world: World) -> None:
    app: App = await register(world)
    for path in ("check", "gate", "refusal", "sign-in", "callback", "sign-out", "lost"):
        assert (await world.visitor().http.get(f"/forward-auth/{app.client.id}/{path}")).status_code == 404

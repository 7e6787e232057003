"""How people come back who forgot their password, and what owners are told (UX-28, UX-32)."""

from pathlib import Path

import msgspec
import pytest

from doorward.config import Settings
from doorward.config.settings import Mail, Server, Site
from doorward.datadir import DataDir
from doorward.testing import MovableClock
from tests.http.conftest import PASSWORD, Inbox, World, running
from tests.support.attack import OPERATOR
from tests.support.members import last, link, member

ADDRESS = "ada@example.org"
NEW = "three brass lamps in the fog"
SAME_ORIGIN = {"sec-fetch-site": "same-origin"}
DEVICE = {"user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}


async def ask(world: World, address: str = ADDRESS) -> str:
    """Ask for a link as somebody who has forgotten; its path."""
    assert (await world.visitor().post("/api/recovery", {"email": address})).status_code == 202
    return await link(world, address)


async def test_a_forgotten_password_is_replaced_by_the_pages(world: World) -> None:
    await member(world, "ada", ADDRESS)
    browser = world.visitor(**{"accept-language": "de", **DEVICE})
    assert 'href="/recovery"' in (await browser.get("/sign-in")).text
    sent = await browser.submit("/recovery", {"email": f" {ADDRESS} "})
    assert (sent.status_code, sent.headers["location"]) == (303, "/recovery/sent")
    assert (await browser.get("/recovery/sent")).status_code == 200
    mail = await last(world, ADDRESS)
    assert mail.template == "recovery"
    assert {name: value for name, value in mail.values.items() if name != "path"} == {
        "minutes": 60,
        "name": "Name of ada",
        "device": "Firefox on Linux",
    }

    page = await browser.get(mail.values["path"])
    assert page.status_code == 200
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"
    assert page.text.count('type="password"') == 1
    assert ADDRESS not in page.text
    assert "Name of ada" not in page.text
    done = await browser.submit(mail.values["path"], {"password": NEW})
    assert (done.status_code, done.headers["location"]) == (303, "/sign-in?recovered=1")
    assert 'class="notice"' in (await browser.get("/sign-in?recovered=1", headers=SAME_ORIGIN)).text
    assert (await browser.sign_in("ada", NEW)).status_code == 201
    assert (await world.visitor().sign_in("ada", PASSWORD)).status_code == 401


async def test_and_over_json(world: World) -> None:
    await member(world, "ada", ADDRESS)
    token = (await ask(world)).removeprefix("/recovery/")
    answer = await world.visitor().post("/api/recovery/complete", {"token": token, "password": NEW})
    assert (answer.status_code, list(answer.json())) == (200, ["message"])
    assert (await world.visitor().sign_in(ADDRESS, NEW)).status_code == 201


@pytest.mark.asvs("6.2.4")
async def test_a_bad_password_uses_nothing_up(world: World) -> None:
    await member(world, "ada", ADDRESS)
    path = await ask(world)
    for bad, sentence in (("short", "at least 15"), ("", "Enter a password"), ("passwordpassword", "guessed first")):
        page = await world.visitor().submit(path, {"password": bad})
        assert page.status_code == 400
        assert sentence in page.text
        assert 'href="#field-password"' in page.text
    assert (await world.visitor().submit(path, {"password": NEW})).status_code == 303


async def test_a_link_that_is_over_says_why_and_offers_another(world: World) -> None:
    await member(world, "ada", ADDRESS)
    first, second, third = await ask(world), await ask(world), await ask(world)
    await world.visitor().submit(first, {"password": NEW})
    browser = world.visitor()
    for path, status, heading in (
        (first, 410, "This link has been used already"),
        (second, 410, "This link no longer works"),
        ("/recovery/nonsense", 404, "This link does not work"),
    ):
        page = await browser.get(path)
        assert (page.status_code, f"<h1>{heading}</h1>" in page.text) == (status, True)
        assert 'action="/recovery"' in page.text
        assert page.headers["referrer-policy"] == "no-referrer"
        assert (await browser.submit(path, {"password": NEW})).status_code == 400
    world.clock.advance(15 * 60)
    fourth = await ask(world)
    world.clock.advance(60 * 60)
    assert "<h1>This link has expired</h1>" in (await browser.get(fourth)).text
    assert (await browser.get(third)).status_code == 410
    again = await browser.submit("/recovery", {"email": ADDRESS}, page=fourth)
    assert again.headers["location"] == "/recovery/sent"


async def test_who_has_no_password_yet_gets_a_first_one(world: World) -> None:
    services = world.services
    new = services.users.validate_sign_up({"uid": "imported", "name": "Imported"})
    user, _ = await services.users.create(
        new, OPERATOR, also=lambda user, now: services.users.prove(user.id, "email", ADDRESS, OPERATOR, now)
    )
    path = await ask(world)
    assert (await world.visitor().submit(path, {"password": NEW})).status_code == 303
    assert (await world.visitor().sign_in("imported", NEW)).status_code == 201
    assert user.uid == "imported"


@pytest.mark.asvs("6.3.7")
async def test_the_owner_is_told_in_their_language(world: World) -> None:
    ada, _ = await member(world, "ada", ADDRESS)
    await ada.submit("/preferences", {"lang": "de", "theme": "dark", "return_to": "/"}, page="/account")
    change = {"current_password": PASSWORD, "new_password": NEW}
    assert (await ada.send("PUT", "/api/users/me/password", change, headers=DEVICE)).status_code in {200, 204}
    told = await last(world, ADDRESS)
    assert (told.template, told.locale, told.values["device"]) == ("password_changed", "de", "Firefox on Linux")
    path = await ask(world)
    assert (await last(world, ADDRESS)).locale == "de"
    await world.visitor().submit(path, {"password": PASSWORD})
    assert [one.template for one in await Inbox(world).messages(ADDRESS)][-2:] == ["recovery", "password_changed"]


async def test_nobody_is_told_at_an_address_that_is_a_mere_claim(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada", email=ADDRESS)
    change = {"current_password": PASSWORD, "new_password": NEW}
    await ada.send("PUT", "/api/users/me/password", change)
    assert "password_changed" not in [one.template for one in await Inbox(world).rows()]


@pytest.mark.asvs("6.3.5")
async def test_the_owner_hears_once_of_very_many_failures(world: World) -> None:
    await member(world, "ada", ADDRESS)
    stop = world.services.passwords.limits.account.stop_of_name
    for _ in range(stop + 3):
        world.clock.advance(3_600)
        await world.visitor("198.51.100.7").sign_in("ada", "a wrong guess of a password")
    told = [one for one in await Inbox(world).messages(ADDRESS) if one.template == "many_failures"]
    assert [one.values["failures"] for one in told] == [stop]
    assert told[0].values["path"] == "/recovery"


async def test_signing_up_keeps_the_language_for_messages(world: World) -> None:
    visitor = world.visitor(**{"accept-language": "es"})
    user = await visitor.sign_up("ada")
    found = await world.services.users.find(user["id"])
    assert found is not None
    assert found.locale == "es"
    await visitor.submit("/preferences", {"lang": "xx", "theme": "dark", "return_to": "/"}, page="/account")
    found = await world.services.users.find(user["id"])
    assert found is not None
    assert found.locale == "es"


async def test_password_managers_find_the_form(world: World) -> None:
    answer = await world.visitor().get("/.well-known/change-password")
    assert (answer.status_code, answer.headers["location"]) == (302, "/account/password")
    missing = await world.visitor().get(
        "/.well-known/resource-that-should-not-exist-whose-status-code-should-not-be-200"
    )
    assert missing.status_code == 404


async def test_where_no_mail_can_be_sent_it_says_where_help_is(
    settings: Settings, tmp_path: Path, clock: MovableClock
) -> None:
    served = msgspec.structs.replace(
        settings,
        server=Server(host="192.0.2.1", public_url="https://id.example.org"),
        site=Site(support="help@example.org"),
        mail=Mail(),
    )
    async with running(served, DataDir.open(tmp_path / "data"), clock) as world:
        visitor = world.visitor()
        assert 'href="/recovery"' in (await visitor.get("/sign-in")).text, "recovery codes need no mail"
        page = await visitor.get("/recovery")
        assert page.status_code == 200
        assert "help@example.org" in page.text.split("</main>")[0]
        assert 'name="email"' not in page.text
        answer = await visitor.post("/api/recovery", {"email": ADDRESS})
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
        assert "This site cannot send e-mail" in answer.json()["detail"]
        over = await visitor.get("/recovery/nonsense")
        assert "help@example.org" in over.text.split("</main>")[0]

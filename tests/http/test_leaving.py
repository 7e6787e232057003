"""Deleting one's own account, and the days in which it can come back (UX-58, C26)."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from doorward.config import Settings
from doorward.datadir import DataDir
from doorward.kernel.caller import Caller
from doorward.kernel.instant import DAY, Instant
from doorward.sql import Row, Statement, Work
from doorward.sql.tables import deletion
from doorward.testing import MovableClock
from tests.http.conftest import ORIGIN, PASSWORD, Inbox, Visitor, World, running
from tests.support.attack import audited, dump, make_admin
from tests.support.members import STALE, headings, member

ADDRESS = "ada@example.org"
CALLER = Caller("192.0.2.1")
DELETIONS = Statement(select(deletion.c.user_id, deletion.c.due_at))


def list_deletions() -> Work[list[Row]]:
    return list((yield DELETIONS()))


async def deletions(world: World) -> list[Row]:
    return await world.services.db.search(list_deletions())


async def status_of(world: World, user_id: str) -> str | None:
    user = await world.services.users.find(user_id)
    return None if user is None else user.status


async def come_back(world: World, user_id: str) -> None:
    services, now = world.services, world.clock.now()
    await services.db.write(lambda: services.users.restore(user_id, CALLER, now))


def to_the_end(world: World) -> Instant:
    """Let the 14 days pass."""
    world.clock.advance(14 * 86_400)
    return world.clock.now()


# The page -----------------------------------------------------------------------------------------------------------


async def test_the_page_says_what_happens_and_when(world: World) -> None:
    ada, _ = await member(world, "ada", ADDRESS)
    page = await ada.get("/account/delete")

    assert headings(page)[0] == "Delete your account"
    when = re.search(r'<time datetime="([^"]+)">([^<]+)</time>', page.text)
    assert when is not None
    assert when[2] == "7 December 2026, 05:00 UTC", "14 days on"
    for words in ("signed out everywhere", "sign in before then", "an e-mail about it", "Download your data first"):
        assert words in page.text
    assert '<input type="text"' in page.text
    assert 'type="password"' not in page.text


async def test_without_an_address_the_page_promises_no_mail(world: World) -> None:
    ada, _ = await member(world, "ada")
    assert "an e-mail about it" not in (await ada.get("/account/delete")).text


@pytest.mark.asvs("7.5.1")
async def test_a_stale_sign_in_is_renewed_first(world: World) -> None:
    ada, user_id = await member(world, "ada")
    world.clock.advance(STALE)
    page = await ada.get("/account/delete")
    assert 'action="/account/delete"' not in page.text
    assert 'href="/confirm?next=/account/delete"' in page.text
    refused = await ada.http.post("/account/delete", data={"csrf_token": ada.csrf, "confirm": "ada"})
    assert (refused.status_code, refused.headers["location"]) == (303, "/confirm?next=/confirm/continue")
    assert await status_of(world, user_id) == "active"

    confirmed = await ada.submit("/confirm", {"password": PASSWORD, "next": "/account/delete"})
    assert (confirmed.status_code, confirmed.headers["location"]) == (303, "/account/delete")
    assert (await ada.submit("/account/delete", {"confirm": "ada"})).headers["location"] == "/?left=1"
    assert await status_of(world, user_id) == "leaving"


@pytest.mark.parametrize(
    ("typed", "said"),
    [("", "Type your username if you want"), (" ", "Type your username if you want"),
     ("adah", "This is not your username"), ("on", "This is not your username")],
)  # fmt: skip
async def test_nobody_deletes_their_account_by_mistake(world: World, typed: str, said: str) -> None:
    ada, user_id = await member(world, "ada")
    refused = await ada.submit("/account/delete", {"confirm": typed})
    assert refused.status_code == 400
    assert re.search(rf'<p class="error" id="field-confirm-error">.*{said}', refused.text)
    assert await status_of(world, user_id) == "active"


@pytest.mark.parametrize("typed", ["ada", " ADA ", "Ada"])
async def test_the_handle_is_compared_as_handles_are(world: World, typed: str) -> None:
    ada, user_id = await member(world, "ada")
    left = await ada.submit("/account/delete", {"confirm": typed})
    assert left.status_code == 303
    assert left.headers["clear-site-data"] == '"cache", "storage"'
    assert "doorward" not in ada.http.cookies
    assert await status_of(world, user_id) == "leaving"


async def test_whoever_has_left_is_told_on_the_front_page_and_others_are_not(world: World) -> None:
    ada, _ = await member(world, "ada")
    left = await ada.submit("/account/delete", {"confirm": "ada"})
    told = "will be erased in 14 days"
    shown = await ada.get(left.headers["location"], headers={"sec-fetch-site": "same-origin"})
    assert told in shown.text
    for headers in ({"sec-fetch-site": "cross-site"}, {}):
        assert told not in (await world.visitor().get("/?left=1", headers=headers)).text


# The API ------------------------------------------------------------------------------------------------------------


async def by_me(ada: Visitor, _: str) -> httpx.Response:
    return await ada.send("DELETE", "/api/users/me")


async def by_id(ada: Visitor, user_id: str) -> httpx.Response:
    return await ada.send("DELETE", f"/api/users/{user_id}")


async def by_password(ada: Visitor, _: str) -> httpx.Response:
    return await ada.send("DELETE", "/api/users/me", {"password": PASSWORD})


@pytest.mark.parametrize("way", [by_me, by_id, by_password], ids=lambda one: one.__name__)
async def test_over_the_api_it_is_the_same(
    world: World, way: Callable[[Visitor, str], Awaitable[httpx.Response]]
) -> None:
    ada, user_id = await member(world, "ada", ADDRESS)
    answer = await way(ada, user_id)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["clear-site-data"] == '"cache", "storage"'
    assert await status_of(world, user_id) == "leaving"
    assert await deletions(world) == [(user_id, world.clock.now() + 14 * DAY)]
    assert (await Inbox(world).last(ADDRESS)).template == "account_leaving"
    assert (await dump(world.services.db))["known_device"] == [], "it may be a stranger's"


async def test_a_password_that_was_changed_meanwhile_deletes_nothing(world: World) -> None:
    ada, user_id = await member(world, "ada")
    services = world.services
    user = await services.users.find(user_id)
    correct = await services.passwords.verify(user, "ada", PASSWORD, CALLER, action="reauthenticate")
    world.clock.advance(1)
    digest = await services.passwords.hash_new("another quite different phrase", ())
    await services.db.write(lambda: services.passwords.set_password(user_id, digest))
    session = await services.sessions.find(str(ada.http.cookies["doorward"]), "cookie")
    assert session is not None
    with pytest.raises(Exception, match="not right"):
        await services.leaving.leave(session, CALLER, correct.succeeded)
    assert await status_of(world, user_id) == "active"


async def test_the_description_says_when_it_comes_about(world: World) -> None:
    document = (await world.visitor().get("/api/openapi.json")).json()["paths"]
    for path in ("/api/users/me", "/api/users/{id}"):
        assert "erased after 14 days" in document[path]["delete"]["description"]
    statuses = document["/api/users/me"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert statuses["properties"]["status"]["enum"] == ["active", "disabled", "leaving"]


# Mails --------------------------------------------------------------------------------------------------------------


async def test_the_owner_hears_when_it_will_be_and_when_it_is_done(world: World) -> None:
    ada, user_id = await member(world, "ada", ADDRESS, **{"user-agent": "Mozilla/5.0 (X11; Linux) Firefox/150.0"})
    await ada.http.post(
        "/preferences", data={"csrf_token": ada.csrf, "lang": "de", "return_to": "/"}, headers={"origin": ORIGIN}
    )
    inbox = Inbox(world)
    await ada.submit("/account/delete", {"confirm": "ada"})
    asked_at = world.clock.now()
    leaving = await inbox.last(ADDRESS)
    assert (leaving.template, leaving.locale) == ("account_leaving", "de")
    assert leaving.values == {
        "path": "/recovery", "name": "Name of ada", "device": "Firefox on Linux", "erased_at": asked_at + 14 * DAY,
    }  # fmt: skip

    now = to_the_end(world)
    assert await world.services.leaving.erase_due() == 1
    erased = await inbox.last(ADDRESS)
    assert (erased.template, erased.locale) == ("account_erased", "de")
    assert erased.values == {"name": "Name of ada", "happened_at": now}
    assert await status_of(world, user_id) is None


@pytest.mark.parametrize("address", [None, "claimed@example.org"])
async def test_an_address_that_is_not_proven_gets_no_mail(world: World, address: str | None) -> None:
    ada = world.visitor()
    await ada.sign_up("ada", **({} if address is None else {"email": address}))
    before = len(await Inbox(world).rows())
    assert (await ada.send("DELETE", "/api/users/me")).status_code == 204
    to_the_end(world)
    assert await world.services.leaving.erase_due() == 1
    assert len(await Inbox(world).rows()) == before


# The end, and before it -----------------------------------------------------------------------------------------------


@pytest.mark.asvs("14.2.7")
async def test_after_14_days_nothing_is_left_but_the_audit_and_the_last_mails(world: World) -> None:
    ada, user_id = await member(world, "ada", ADDRESS)
    await ada.send("PATCH", "/api/users/me", {"motto": "ever onward", "tracking": {"steps": 1}})
    await ada.send("DELETE", "/api/users/me")
    world.clock.advance(14 * 86_400 - 1)
    assert await world.services.leaving.erase_due() == 0
    assert await status_of(world, user_id) == "leaving"
    world.clock.advance(1)
    assert await world.services.leaving.erase_due() == 1

    tables = await dump(world.services.db)
    holding = {name for name, rows in tables.items() if any(user_id in map(str, row) for row in rows)}
    assert holding == {"audit_event", "revocation", "user_event"}, "apps are told of whom to forget"
    # As a word: ids and digests have those letters by chance now and then.
    word = re.compile(r"\bada\b")
    named = {name for name, rows in tables.items() if any(word.search(str(value)) for row in rows for value in row)}
    assert named <= {"message", "audit_event"}
    (event,) = await audited(world, "user_deleted")
    assert (event.user_id, event.actor_id, event.address) == (user_id, user_id, "local")
    again = await world.visitor().sign_up("ada")
    assert again["id"] != user_id


async def test_whoever_is_brought_back_signs_in_as_before(world: World) -> None:
    ada, user_id = await member(world, "ada", ADDRESS)
    await ada.send("DELETE", "/api/users/me")
    world.clock.advance(14 * 86_400 - 1)
    await come_back(world, user_id)
    world.clock.advance(86_400)
    assert await world.services.leaving.erase_due() == 0
    assert (await world.visitor().sign_in(ADDRESS)).status_code == 201
    assert (await ada.get("/api/users/me")).status_code == 401, "the old session stays ended"


async def test_an_administrator_erases_somebody_else_at_once(world: World) -> None:
    chief = world.visitor()
    await make_admin(world, chief, "chief")
    _, user_id = await member(world, "ada", ADDRESS)
    before = len(await Inbox(world).rows())
    assert (await chief.send("DELETE", f"/api/users/{user_id}")).status_code == 204
    assert await status_of(world, user_id) is None
    assert await deletions(world) == []
    assert len(await Inbox(world).rows()) == before


async def test_an_administrator_sees_who_is_leaving_and_may_erase_them_at_once(world: World) -> None:
    chief = world.visitor()
    await make_admin(world, chief, "chief")
    ada, user_id = await member(world, "ada")
    await ada.send("DELETE", "/api/users/me")
    assert (await chief.get(f"/api/users/{user_id}")).json()["status"] == "leaving"
    assert (await chief.send("DELETE", f"/api/users/{user_id}")).status_code == 204
    assert await status_of(world, user_id) is None
    assert await deletions(world) == []


async def test_an_administrators_own_account_goes_as_everybodys(world: World) -> None:
    chief, other = world.visitor(), world.visitor()
    user = await make_admin(world, chief, "chief")
    assert (await chief.send("DELETE", "/api/users/me")).status_code == 409, "the last one"
    await make_admin(world, other, "other")
    await world.services.users.set_roles(user["id"], ["admin"], None, CALLER)
    assert (await chief.send("DELETE", f"/api/users/{user['id']}")).status_code == 204
    assert await status_of(world, user["id"]) == "leaving"
    assert (await other.send("DELETE", "/api/users/me")).status_code == 409, "who is leaving administers nothing"


async def test_the_server_erases_by_itself(
    settings: Settings, tmp_path: Path, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("doorward.app.ERASE_EVERY_SECONDS", 0.05)
    async with running(settings, DataDir.open(tmp_path / "data"), clock) as world:
        ada, user_id = await member(world, "ada")
        await ada.send("DELETE", "/api/users/me")
        await asyncio.sleep(0.2)
        assert await status_of(world, user_id) == "leaving"
        to_the_end(world)
        for _ in range(200):
            if await status_of(world, user_id) is None:
                break
            await asyncio.sleep(0.05)
        assert await status_of(world, user_id) is None

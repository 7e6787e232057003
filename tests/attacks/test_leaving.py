"""A deletion that is undone by strangers, outlived by what was begun before it, or used to rob somebody (C26, C36).

ASVS 5.0: 7.4.2 (sessions end), 7.5.1 (fresh authentication), 6.3.7, 6.4.3 (ways back), 8.3.2, 14.2.7, 15.4.2.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from doorward.config import Settings
from doorward.confirmations import Purpose
from doorward.datadir import DataDir
from doorward.kernel.errors import NotFound
from doorward.sessions import NeedsStep, SignedIn, SignInOutcome, password_proof
from doorward.sql import Work
from tests.http.conftest import PASSWORD, Inbox, Visitor, World, running
from tests.support.attack import (
    NOBODY,
    OPERATOR,
    audited,
    dump,
    live_token,
    make_admin,
    shown,
    with_every_operation,
)
from tests.support.members import STALE, code, email_of, follow, last, link, member

ADDRESS, EVES = "ada@example.org", "eve@example.org"
NUMBER = "+4915123456789"
NEW = "three brass lamps in the fog"
CURRENT = "/api/sessions/current"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return with_every_operation(settings)


async def leave(visitor: Visitor) -> None:
    assert (await visitor.send("DELETE", "/api/users/me")).status_code == 204


async def status_of(world: World, user_id: str) -> str | None:
    user = await world.services.users.find(user_id)
    return None if user is None else user.status


async def come_back(world: World, user_id: str) -> None:
    services, now = world.services, world.clock.now()
    await services.db.write(lambda: services.users.restore(user_id, OPERATOR, now))


async def keys_of(world: World, visitor: Visitor, uid: str) -> dict[str, dict[str, str]]:
    """What opens the sessions of a user: a cookie, a program's token, a JWT."""
    jwt = (await visitor.post("/api/users/authenticate", {"uid": uid, "password": PASSWORD})).json()["data"]["jwt"]
    body = {"identifier": uid, "password": PASSWORD, "transport": "bearer"}
    token = (await world.visitor().post("/api/sessions", body)).json()["token"]
    await visitor.learn_csrf()
    return {
        "cookie": {"cookie": f"doorward={visitor.http.cookies['doorward']}"},
        "token": {"authorization": f"Bearer {token}"},
        "JWT": {"authorization": f"Bearer {jwt}"},
    }


# Many at once ---------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("15.4.2")
@pytest.mark.parametrize("body", [None, {"password": PASSWORD}], ids=["fresh", "with the password"])
async def test_twenty_deletions_at_once_are_one(world: World, body: dict[str, str] | None) -> None:
    ada, user_id = await member(world, "ada", ADDRESS)
    answers = await asyncio.gather(*(ada.send("DELETE", "/api/users/me", body) for _ in range(20)))

    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [204] + [401] * 19
    assert await status_of(world, user_id) == "leaving"
    assert len((await dump(world.services.db))["deletion"]) == 1
    assert len(await audited(world, "user_archived")) == 1
    sent = [mail.template for mail in await Inbox(world).messages(ADDRESS)]
    assert sent.count("account_leaving") == 1


@pytest.mark.asvs("15.4.2")
async def test_erased_by_twenty_workers_at_once_the_owner_hears_of_it_once(world: World) -> None:
    ada, user_id = await member(world, "ada", ADDRESS)
    await leave(ada)
    world.clock.advance(14 * 86_400)
    counts = await asyncio.gather(*(world.services.leaving.erase_due() for _ in range(20)))
    assert sorted(counts) == [0] * 19 + [1]
    assert await status_of(world, user_id) is None
    assert len(await audited(world, "user_deleted")) == 1
    sent = [mail.template for mail in await Inbox(world).messages(ADDRESS)]
    assert sent.count("account_erased") == 1


@pytest.mark.asvs("15.4.2")
async def test_who_comes_back_in_the_last_second_is_whole_or_gone(world: World) -> None:
    services = world.services
    for number in range(6):
        ada, user_id = await member(world, f"ada-{number}")
        await leave(ada)
        world.clock.advance(14 * 86_400)
        restore = partial(services.users.restore, user_id, OPERATOR, world.clock.now() - 1)
        attempts = [services.db.write(restore), services.leaving.erase_due()]
        outcomes = await asyncio.gather(*(attempts if number % 2 else attempts[::-1]), return_exceptions=True)
        refused = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        if await status_of(world, user_id) == "active":
            assert (refused, 0 in outcomes) == ([], True)
            assert (await world.visitor().sign_in(f"ada-{number}")).status_code == 201
        else:
            assert [type(one) for one in refused] == [NotFound]
            assert 1 in outcomes
            assert await status_of(world, user_id) is None
        assert (await dump(world.services.db))["deletion"] == []


# Sessions -------------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("7.4.2")
async def test_nothing_opens_the_sessions_of_who_is_leaving_then_or_later(world: World) -> None:
    ada, user_id = await member(world, "ada")
    keys = await keys_of(world, ada, "ada")
    for headers in keys.values():
        assert (await world.visitor().get("/api/users/me", headers=headers)).status_code == 200
    await leave(ada)
    for moment in ("while they are leaving", "once they are back"):
        for name, headers in keys.items():
            for path in (CURRENT, "/api/users/me", "/api/users"):
                assert (await world.visitor().get(path, headers=headers)).status_code == 401, (name, moment)
            answer = await world.visitor().send("POST", "/api/users/me/export", headers=headers)
            assert answer.status_code == 401, (name, moment)
        if moment == "while they are leaving":
            await come_back(world, user_id)


@asynccontextmanager
async def second_worker(world: World, tmp_path: Path) -> AsyncIterator[World]:
    async with running(world.services.settings, DataDir.open(tmp_path / "data"), world.clock) as second:
        yield second


@pytest.mark.asvs("8.3.2")
async def test_another_worker_believes_in_them_for_less_than_a_second(world: World, tmp_path: Path) -> None:
    ada, _ = await member(world, "ada")
    keys = await keys_of(world, ada, "ada")
    async with second_worker(world, tmp_path) as second:
        for headers in keys.values():
            assert (await second.visitor().get(CURRENT, headers=headers)).status_code == 200
        await leave(ada)
        world.clock.advance(1)
        for headers in keys.values():
            assert (await second.visitor().get(CURRENT, headers=headers)).status_code == 401


@pytest.mark.asvs("7.4.2")
async def test_a_session_that_has_just_ended_deletes_nothing_and_takes_nothing_along(world: World) -> None:
    """A worker whose memory still holds it lets the request through; the transaction does not."""
    ada, user_id = await member(world, "ada")
    services = world.services
    session = await services.sessions.find(str(ada.http.cookies["doorward"]), "cookie")
    assert session is not None
    await services.sessions.end(session.id, user_id, OPERATOR)
    with pytest.raises(Exception, match="not signed in"):
        await services.account.delete(session, user_id, None, OPERATOR)
    with pytest.raises(Exception, match="not signed in"):
        await services.account.delete(session, user_id, PASSWORD, OPERATOR)
    with pytest.raises(Exception, match="not signed in"):
        await services.export.make(session, OPERATOR, str)
    assert await status_of(world, user_id) == "active"
    assert await audited(world, "sensitive_read") == []


@pytest.mark.asvs("7.4.2")
async def test_a_session_that_began_while_its_user_left_opens_nothing_and_wakes_with_nobody(world: World) -> None:
    """A sign-in that had looked at the user just before."""
    ada, user_id = await member(world, "ada")
    services = world.services
    before = await services.users.find(user_id)
    assert before is not None
    await leave(ada)

    def finish() -> Work[SignInOutcome]:
        return services.sessions.finish(before, password_proof(world.clock.now()), OPERATOR)

    late = await services.db.write(finish)
    assert isinstance(late, NeedsStep), "no session, but the question whether to come back"
    assert late.owes == "restoration"
    assert await status_of(world, user_id) == "leaving"
    await come_back(world, user_id)
    assert isinstance(await services.db.write(finish), SignedIn)


@pytest.mark.asvs("7.5.1")
async def test_a_stolen_session_that_is_not_fresh_deletes_nothing(world: World) -> None:
    ada, user_id = await member(world, "ada")
    keys = await keys_of(world, ada, "ada")
    world.clock.advance(STALE)
    for name, headers in keys.items():
        proof = {"x-csrf-token": ada.csrf} if name == "cookie" else {}
        for path in ("/api/users/me", f"/api/users/{user_id}"):
            answer = await world.visitor().send("DELETE", path, headers={**headers, **proof})
            if name == "JWT":
                assert answer.status_code == 401, "it lives no longer than an authentication is fresh"
            else:
                assert (answer.status_code, answer.json()["max_age"]) == (403, 600), (name, path)
    form = {"csrf_token": ada.csrf, "confirm": "ada"}
    answer = await world.visitor().http.post("/account/delete", data=form, headers=keys["cookie"])
    assert answer.headers["location"] == "/confirm?next=/confirm/continue"
    assert await status_of(world, user_id) == "active"


@pytest.mark.asvs("3.5.1")
async def test_no_other_site_deletes_an_account_or_fetches_its_data(world: World) -> None:
    ada, user_id = await member(world, "ada")
    evil = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    for form in ({"confirm": "ada"}, {"confirm": "ada", "csrf_token": ada.csrf}):
        for path in ("/account/delete", "/account/export"):
            assert (await ada.http.post(path, data=form, headers=evil)).status_code == 403, path
    for method, path in (("DELETE", "/api/users/me"), ("POST", "/api/users/me/export")):
        for headers in ({}, {**evil, "x-csrf-token": ada.csrf}):
            assert (await ada.http.request(method, path, headers=headers)).status_code == 403, path
    assert await status_of(world, user_id) == "active"


# Links and codes ------------------------------------------------------------------------------------------------------

PENDING: tuple[Purpose, ...] = ("email", "sign_in", "recovery", "password", "phone")


async def try_link(world: World, purpose: Purpose, token: str) -> tuple[int, int]:
    """Look at a link, and use it: the statuses."""
    path = {"recovery": "/recovery", "password": "/recovery", "sign_in": "/sign-in/link"}.get(purpose, "/verify")
    page = await world.visitor().get(f"{path}/{token}")
    if path == "/recovery":
        used = await world.visitor().post("/api/recovery/complete", {"token": token, "password": NEW})
    else:
        used = await world.visitor().post("/api/verifications", {"token": token, "purpose": purpose, "password": NEW})
    return page.status_code, used.status_code


@pytest.mark.asvs("7.4.2")
@pytest.mark.parametrize("purpose", PENDING)
async def test_links_that_were_under_way_open_nothing_then_or_later(world: World, purpose: Purpose) -> None:
    ada, user_id = await member(world, "ada", ADDRESS)
    token = await live_token(world, purpose, user_id)
    await leave(ada)
    before = await dump(world.services.db)
    for moment in ("while they are leaving", "once they are back"):
        page, used = await try_link(world, purpose, token)
        assert page in {404, 410}, moment
        assert used == 400, moment
        if moment == "while they are leaving":
            await come_back(world, user_id)
    after = await dump(world.services.db)
    for table in ("password", "session", "identifier", "confirmation"):
        assert after[table] == before[table], table


@pytest.mark.parametrize("purpose", ["email", "sign_in", "phone"])
async def test_nor_do_links_that_were_begun_while_their_user_left(world: World, purpose: Purpose) -> None:
    ada, user_id = await member(world, "ada", ADDRESS)
    await leave(ada)
    token = await live_token(world, purpose, user_id)
    before = await dump(world.services.db)
    _, used = await try_link(world, purpose, token)
    assert used == 400
    after = await dump(world.services.db)
    for table in ("users", "password", "session", "identifier"):
        assert after[table] == before[table], table


async def test_codes_that_were_under_way_prove_nothing(world: World) -> None:
    ada, user_id = await member(world, "ada", ADDRESS)
    assert (await ada.post(f"/api/users/{user_id}/email", {"email": "new@example.org"})).status_code == 202
    mail_code = await code(world, "new@example.org")
    assert (await ada.post(f"/api/users/{user_id}/phone", {"phone": NUMBER})).status_code == 202
    text_code = await code(world, NUMBER)
    browser = world.visitor()
    assert (await browser.http.post("/api/sessions/email", json={"email": ADDRESS})).status_code == 202
    sign_in_code = await code(world, ADDRESS)
    headers = ada.cookie_header()
    await leave(ada)

    for sent in ({"code": mail_code, "purpose": "email"}, {"code": text_code, "purpose": "phone"}):
        answer = await world.visitor().post("/api/verifications", sent, headers={**headers, "x-csrf-token": ada.csrf})
        assert answer.status_code in {400, 401}, answer.text
    answer = await browser.http.post("/api/verifications", json={"code": sign_in_code, "purpose": "sign_in"})
    assert answer.status_code == 400
    assert (await dump(world.services.db))["session"] == []


async def test_nobody_is_sent_a_link_to_sign_in_with_and_the_answer_is_everybodys(world: World) -> None:
    ada, _ = await member(world, "ada", ADDRESS)
    await leave(ada)
    world.clock.advance(900)
    before = len(await Inbox(world).messages(ADDRESS))
    answers = []
    for address in (ADDRESS, "nobody@example.org"):
        answer = await world.visitor().http.post("/api/sessions/email", json={"email": address})
        status, headers, text = shown(answer)
        answers.append((status, [name for name, _ in headers], text))
    assert answers[0] == answers[1]
    assert len(await Inbox(world).messages(ADDRESS)) == before


@pytest.mark.asvs("6.4.3")
async def test_a_forgotten_password_can_be_replaced_which_brings_nobody_back(world: World) -> None:
    """Else who is leaving and has forgotten the password could not change their mind."""
    ada, user_id = await member(world, "ada", ADDRESS)
    await leave(ada)
    world.clock.advance(900)
    asked = [await world.visitor().post("/api/recovery", {"email": one}) for one in (ADDRESS, "nobody@example.org")]
    assert shown(asked[0]) == shown(asked[1])
    token = (await link(world, ADDRESS)).removeprefix("/recovery/")
    browser = world.visitor()
    answer = await browser.post("/api/recovery/complete", {"token": token, "password": NEW})
    assert answer.status_code == 200
    assert "doorward" not in browser.http.cookies
    assert await status_of(world, user_id) == "leaving"
    assert (await dump(world.services.db))["session"] == []
    await come_back(world, user_id)
    assert (await world.visitor().sign_in("ada", PASSWORD)).status_code == 401
    assert (await world.visitor().sign_in("ada", NEW)).status_code == 201


# A thief in the account -----------------------------------------------------------------------------------------------


async def to(visitor: Visitor, world: World, user_id: str, address: str) -> None:
    """Change the address, with the new mailbox at hand."""
    assert (await visitor.post(f"/api/users/{user_id}/email", {"email": address})).status_code == 202
    answer = await visitor.post("/api/verifications", {"code": await code(world, address), "purpose": "email"})
    assert answer.status_code == 200, answer.text


@pytest.mark.asvs("6.3.7")
async def test_a_thief_who_changes_the_address_and_deletes_the_account_has_not_closed_the_way_back(
    world: World,
) -> None:
    owner, user_id = await member(world, "ada", ADDRESS)
    thief = world.visitor("203.0.113.66")
    await thief.sign_in("ada")
    await to(thief, world, user_id, EVES)
    undo = await link(world, ADDRESS)
    await leave(thief)
    assert (await owner.get("/api/users/me")).status_code == 401
    world.clock.advance(7 * 86_400 - 60)

    browser = world.visitor()
    answer = await follow(browser, undo)
    assert answer.status_code == 303
    assert await status_of(world, user_id) == "active"
    chosen = await browser.submit(answer.headers["location"], {"password": NEW})
    assert chosen.status_code == 303
    again = world.visitor()
    assert (await again.sign_in("ada", NEW)).status_code == 201
    assert await email_of(again) == (ADDRESS, True)
    world.clock.advance(14 * 86_400)
    assert await world.services.leaving.erase_due() == 0


async def test_an_undo_that_is_over_brings_nobody_back(world: World) -> None:
    ada, user_id = await member(world, "ada", ADDRESS)
    await to(ada, world, user_id, EVES)
    undo = await link(world, ADDRESS)
    world.clock.advance(1)
    await leave_fresh(ada)
    world.clock.advance(7 * 86_400)
    assert (await world.visitor().get(undo)).status_code == 410
    with pytest.raises(Exception, match="expired"):
        await world.services.contacts.undo(undo.removeprefix("/undo/"), OPERATOR)
    assert await status_of(world, user_id) == "leaving"


async def test_an_undo_of_somebody_who_is_disabled_still_opens_nothing(world: World) -> None:
    ada, user_id = await member(world, "ada", ADDRESS)
    await to(ada, world, user_id, EVES)
    undo = (await link(world, ADDRESS)).removeprefix("/undo/")
    await world.services.users.set_status(user_id, "disabled", None, OPERATOR)
    with pytest.raises(Exception, match="no longer works"):
        await world.services.contacts.undo(undo, OPERATOR)
    assert await status_of(world, user_id) == "disabled"


async def leave_fresh(visitor: Visitor) -> None:
    await visitor.post("/api/sessions/current/reauthenticate", {"password": PASSWORD})
    await visitor.learn_csrf()
    await leave(visitor)


# What others see and take ---------------------------------------------------------------------------------------------


@pytest.mark.asvs("8.2.2")
async def test_nobody_sees_who_is_leaving(world: World) -> None:
    ada, user_id = await member(world, "ada", ADDRESS)
    eve, _ = await member(world, "eve")
    await leave(ada)
    assert shown(await eve.get(f"/api/users/{user_id}"), user_id) == shown(
        await eve.get(f"/api/users/{NOBODY}"), NOBODY
    )
    for path in ("/api/users", "/api/users?sort=-coins", "/api/users?sort=name", "/members", "/members?sort=-coins"):
        text = (await eve.get(path)).text
        assert user_id not in text, path
        assert "Name of ada" not in text, path
        assert "Name of eve" in text, path
    assert (await eve.get("/api/users?sort=-coins")).json()["own"]["rank"] == 1
    for method in ("PUT", "PATCH", "DELETE"):
        answer = await eve.send(method, f"/api/users/{user_id}", None if method == "DELETE" else {"name": "Mallory"})
        assert answer.status_code == 403, "as for anybody else's id"


async def sign_up_as(world: World, uid: str, **more: str) -> httpx.Response:
    body = {"uid": uid, "name": "Somebody Else", "password": PASSWORD, **more}
    return await world.visitor().post("/api/users", body)


async def test_nobody_takes_the_handle_of_who_is_leaving(world: World) -> None:
    ada, user_id = await member(world, "ada")
    eve, eve_id = await member(world, "eve")
    await leave(ada)
    for uid in ("ada", "ADA", "\u0430da"):
        refused = await sign_up_as(world, uid)
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, "taken")
    chief = world.visitor()
    await make_admin(world, chief, "chief")
    assert (await chief.send("PATCH", f"/api/users/{eve_id}", {"uid": "ada"})).status_code == 400
    world.clock.advance(14 * 86_400)
    assert await world.services.leaving.erase_due() == 1
    assert (await sign_up_as(world, "ada")).json()["id"] != user_id
    assert (await eve.get("/api/users/me")).status_code == 200


async def test_nobody_takes_the_address_of_who_is_leaving(world: World) -> None:
    ada, user_id = await member(world, "ada", ADDRESS)
    eve, eve_id = await member(world, "eve")
    await leave(ada)
    world.clock.advance(900)
    await eve.sign_in("eve")
    assert (await eve.post(f"/api/users/{eve_id}/email", {"email": ADDRESS})).status_code == 202
    assert (await last(world, ADDRESS)).template == "known_sign_up", "no code, whoever asks"
    await sign_up_as(world, "mallory", email=ADDRESS)
    assert await world.services.users.proven_owner("email", ADDRESS) == user_id
    await come_back(world, user_id)
    assert (await world.visitor().sign_in(ADDRESS)).status_code == 201


async def test_in_mode_email_their_address_has_an_account_still(mail_world: World) -> None:
    ada = mail_world.visitor()
    await ada.post("/api/users", {"email": ADDRESS, "password": PASSWORD})
    await ada.post("/api/verifications", {"code": await code(mail_world, ADDRESS)})
    await ada.learn_csrf()
    await leave(ada)
    mail_world.clock.advance(900)
    stranger = mail_world.visitor()
    answer = await stranger.post("/api/users", {"email": ADDRESS, "password": NEW})
    assert answer.status_code == 202
    assert (await last(mail_world, ADDRESS)).template == "known_sign_up"
    assert len((await dump(mail_world.services.db))["users"]) == 1


@pytest.mark.asvs("8.3.2")
async def test_an_administrator_who_is_leaving_administers_nothing_more(world: World) -> None:
    chief, other = world.visitor(), world.visitor()
    boss = await make_admin(world, chief, "chief")
    await make_admin(world, other, "other")
    headers = chief.cookie_header()
    assert (await chief.post("/api/invitations", {"email": "hedy@example.org", "roles": ["admin"]})).status_code < 300
    invitation = (await link(world, "hedy@example.org")).removeprefix("/invitation/")
    await world.services.users.set_roles(boss["id"], ["admin"], None, OPERATOR)
    await leave(chief)
    answer = await world.visitor().post(
        "/api/invitations", {"email": "x@example.org"}, headers={**headers, "x-csrf-token": chief.csrf}
    )
    assert answer.status_code == 401
    accepted = {"token": invitation, "password": NEW, "uid": "hedy", "name": "Hedy"}
    answer = await world.visitor().post("/api/invitations/accept", accepted)
    found = await world.services.users.find_by_identifier("hedy")
    assert found is None or "admin" not in found.roles


# The end --------------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("14.2.7")
async def test_nobody_is_kept_longer_than_promised_nor_erased_sooner(world: World) -> None:
    ada, user_id = await member(world, "ada", ADDRESS)
    await leave(ada)
    promised = (await last(world, ADDRESS)).values["erased_at"]
    world.clock.advance((promised - world.clock.now()) // 1_000_000 - 1)
    assert await world.services.leaving.erase_due() == 0
    assert await world.services.users.leaving(user_id) == promised
    world.clock.advance(1)
    assert world.clock.now() == promised
    assert await world.services.users.leaving(user_id) is None
    with pytest.raises(NotFound):
        await come_back(world, user_id)
    assert await world.services.leaving.erase_due() == 1
    assert await status_of(world, user_id) is None

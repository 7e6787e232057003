"""A thief in somebody's account, or with somebody's old mails, against the way back: "This was not me" (C22, C23, C28).

ASVS 5.0: 6.1.1 (no malicious lock-out), 6.3.5, 6.3.7 (notices), 6.4.3 (no bypass), 6.5.1 (single use), 7.4.2, 7.4.3
(sessions end), 7.5.1 (fresh authentication), 15.4.2 (races).
"""

import asyncio
import json

import httpx
import pytest

from doorward.confirmations import Purpose
from doorward.kernel.caller import Caller
from doorward.kernel.errors import NotSignedIn
from doorward.kernel.instant import DAY, HOUR, SECOND, Instant
from doorward.sql import Work
from doorward.testing.authenticator import SoftwareAuthenticator
from doorward.users import User
from tests.http.conftest import ORIGIN, PASSWORD, Inbox, Visitor, World
from tests.support.attack import OPERATOR, audited, dump
from tests.support.members import STALE, code, email_of, follow, headings, last, link, member
from tests.support.notices import notice, user_of, with_bound
from tests.support.second_step import add_passkey

ADDRESS, EVES = "ada@example.org", "eve@example.net"
EVES_NETWORK = "203.0.113.66"
NEW, NEWER = "three brass lamps in the fog", "nine paper boats upstream"
NUMBER = "+4915123456789"
PAGE = {"origin": ORIGIN, "sec-fetch-site": "same-origin"}


async def flagged(world: World, user_id: str) -> bool:
    return await world.services.passwords.change_wanted(user_id) == "compromised"


async def state_of(world: World, path: str, purpose: Purpose) -> str:
    state, _ = await world.services.confirmations.look(path.rpartition("/")[2], purpose)
    return state


async def reports(world: World) -> list[dict[str, object]]:
    return [json.loads(row.payload or "{}") for row in await audited(world, "account_reported")]


async def change_address(world: World, visitor: Visitor, user_id: str, address: str) -> None:
    assert (await visitor.post(f"/api/users/{user_id}/email", {"email": address})).status_code == 202
    body = {"code": await code(world, address), "purpose": "email"}
    assert (await visitor.post("/api/verifications", body)).status_code == 200
    world.clock.advance(1)


async def prove_number(world: World, visitor: Visitor, user_id: str) -> None:
    assert (await visitor.post(f"/api/users/{user_id}/phone", {"phone": NUMBER})).status_code == 202
    body = {"code": await code(world, NUMBER), "purpose": "phone"}
    assert (await visitor.post("/api/verifications", body)).status_code == 200
    world.clock.advance(1)


async def click(world: World, path: str, visitor: Visitor | None = None) -> httpx.Response:
    """Open a link and press its button; what comes next comes a second later."""
    answer = await follow(visitor or world.visitor(), path)
    world.clock.advance(1)
    return answer


async def choose(world: World, path: str, password: str = NEW) -> None:
    """Choose the next password, and go on a second later."""
    assert (await world.visitor().submit(path, {"password": password})).status_code == 303
    world.clock.advance(1)


# What a click does ------------------------------------------------------------------------------------------------


@pytest.mark.asvs("7.4.3")
@pytest.mark.asvs("6.3.7")
async def test_one_confirmed_click_ends_everything_a_thief_holds(world: World) -> None:
    owner, user_id = await member(world, "ada", ADDRESS)
    path = await notice(world, user_id)
    thief = world.visitor(EVES_NETWORK)
    await thief.sign_in("ada")
    bearer = await world.visitor().post(
        "/api/sessions", {"identifier": "ada", "password": PASSWORD, "transport": "bearer"}
    )
    jwt = (await world.visitor().post("/api/users/authenticate", {"uid": "ada", "password": PASSWORD})).json()
    await thief.post(f"/api/users/{user_id}/email", {"email": EVES})
    pending = await link(world, EVES)
    await thief.post(f"/api/users/{user_id}/phone", {"phone": NUMBER})
    texted = await code(world, NUMBER)
    await world.visitor(EVES_NETWORK).post("/api/recovery", {"email": ADDRESS})
    asked = await link(world, ADDRESS)

    answer = await click(world, path)

    assert answer.status_code == 303
    assert "set-cookie" not in answer.headers, "nobody is signed in"
    for visitor in (owner, thief):
        assert (await visitor.get("/api/sessions/current")).status_code == 401
    for token in (bearer.json()["token"], jwt["data"]["jwt"]):
        header = {"authorization": f"Bearer {token}"}
        assert (await world.visitor().get("/api/users/me", headers=header)).status_code == 401
    tables = await dump(world.services.db)
    assert (tables["session"], tables["known_device"]) == ([], [])
    assert (await state_of(world, pending, "email"), await state_of(world, asked, "recovery")) == ("void", "void")
    body = {"code": texted, "purpose": "phone"}
    assert (await thief.http.post("/api/verifications", json=body)).status_code in {400, 401}
    refused = await world.visitor(EVES_NETWORK).sign_in("ada")
    assert (refused.status_code, refused.json()["code"]) == (403, "password_change_required")
    assert "token" not in refused.json(), "it goes to the owner's mailbox"
    (report,) = await reports(world)
    assert (report["by"], report["what"]) == ("link", "new_device")
    (row,) = await audited(world, "account_reported")
    assert (row.user_id, row.outcome) == (user_id, "success")

    place = answer.headers["location"]
    await choose(world, place)
    assert (await world.visitor().sign_in("ada")).status_code == 401
    assert (await world.visitor().sign_in("ada", NEW)).status_code == 201


async def test_the_owner_is_told_of_it_by_mail_with_a_link_to_go_on(world: World) -> None:
    """Who reads the mailbox may have clicked; and a tab is soon closed."""
    _, user_id = await member(world, "ada", ADDRESS)
    path = await notice(world, user_id)
    answer = await click(world, path, world.visitor(**{"user-agent": "Mozilla/5.0 (X11; Linux) Firefox/140.0"}))
    told = await last(world, ADDRESS)
    assert told.template == "account_reported"
    assert (told.values["device"], told.values["minutes"]) == ("Firefox on Linux", 60)
    assert told.values["path"] == answer.headers["location"]
    await choose(world, str(told.values["path"]))


@pytest.mark.asvs("6.4.3")
async def test_what_was_bound_or_proven_since_goes_and_what_is_older_stays(world: World) -> None:
    bound = with_bound(world)
    ada, user_id = await member(world, "ada", ADDRESS)
    await prove_number(world, ada, user_id)
    await bound.bind(user_id)
    world.clock.advance(1)
    assert (await click(world, await notice(world, user_id))).status_code == 303
    assert await bound.is_there()
    assert await world.services.users.contact(user_id, "phone") is not None
    ((asked_for, since, now),) = bound.asked
    assert (asked_for, now - since) == (user_id, 1 * SECOND), "the notice came a second ago"


@pytest.mark.asvs("6.3.7")
async def test_what_was_bound_at_that_very_instant_goes(world: World) -> None:
    bound = with_bound(world)
    ada, user_id = await member(world, "ada", ADDRESS)
    await bound.bind(user_id)
    path = await notice(world, user_id, "factor_added")
    await prove_number(world, ada, user_id)
    before = len(await Inbox(world).messages(ADDRESS))
    assert (await click(world, path)).status_code == 303
    assert not await bound.is_there()
    assert await world.services.users.contact(user_id, "phone") is None
    assert [mail.template for mail in await Inbox(world).messages(ADDRESS)][before:] == ["account_reported"]


async def test_the_number_of_a_notice_about_numbers_goes(world: World) -> None:
    ada, user_id = await member(world, "ada", ADDRESS)
    await prove_number(world, ada, user_id)
    told = await last(world, ADDRESS)
    assert told.template == "phone_changed"
    assert (await click(world, str(told.values["path"]))).status_code == 303
    assert await world.services.users.contact(user_id, "phone") is None


async def test_after_the_use_of_one_recovery_code_the_others_go_however_old_they_are(world: World) -> None:
    voided: list[str] = []

    def void_codes(user: User, caller: Caller, now: Instant) -> Work[None]:
        assert caller.address
        assert now
        voided.append(user.id)
        yield from ()

    object.__setattr__(world.services.not_me, "void_codes", void_codes)
    _, user_id = await member(world, "ada", ADDRESS)
    other, used = await notice(world, user_id), await notice(world, user_id, "recovery_code_used")
    assert (await click(world, used)).status_code == 303
    assert voided == [user_id]
    assert (await click(world, other)).status_code == 303
    assert voided == [user_id]


@pytest.mark.asvs("15.4.2")
async def test_a_failure_of_a_later_room_undoes_all_of_it_and_the_link_still_works(world: World) -> None:
    bound = with_bound(world)
    bound.fails = True
    owner, user_id = await member(world, "ada", ADDRESS)
    path = await notice(world, user_id)
    before = await dump(world.services.db)
    assert (await click(world, path)).status_code == 500
    assert await dump(world.services.db) == before
    bound.fails = False
    assert (await click(world, path)).status_code == 303
    assert (await owner.get("/api/sessions/current")).status_code == 401


# Once, for seven days, by a form of ours ---------------------------------------------------------------------------


@pytest.mark.asvs("6.5.1")
@pytest.mark.asvs("15.4.2")
async def test_of_twenty_clicks_at_once_one_counts(world: World) -> None:
    _, user_id = await member(world, "ada", ADDRESS)
    path = await notice(world, user_id)
    answers = await asyncio.gather(*(follow(world.visitor(), path) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [303] + [400] * 19
    assert len(await reports(world)) == 1
    late = next(answer for answer in answers if answer.status_code == 400)
    assert "This has been done already" in headings(late)
    assert 'href="/recovery"' in late.text, "whoever clicked twice sees the second answer, and has to get on"


@pytest.mark.asvs("15.4.2")
async def test_different_links_of_one_owner_at_once_neither_wait_in_a_circle_nor_count_twice(world: World) -> None:
    _, user_id = await member(world, "ada", ADDRESS)
    paths = [await notice(world, user_id) for _ in range(5)]
    answers = await asyncio.gather(*(follow(world.visitor(), path) for path in paths for _ in range(4)))
    done = [answer for answer in answers if answer.status_code == 303]
    assert 1 <= len(done) == len(await reports(world)) <= 5
    assert {answer.status_code for answer in answers} == {303, 400}
    live = [place for place in {answer.headers["location"] for answer in done} if "sent" not in place]
    assert [await state_of(world, place, "recovery") for place in live].count("live") <= 1


@pytest.mark.asvs("15.4.2")
async def test_a_sign_in_under_way_does_not_slip_by(world: World) -> None:
    """A thief who signs in again and again while the owner clicks has no session afterwards."""
    _, user_id = await member(world, "ada", ADDRESS)
    path = await notice(world, user_id)
    thieves = [world.visitor(f"203.0.113.{number}") for number in range(1, 13)]
    clicked, *answers = await asyncio.gather(
        follow(world.visitor(), path), *(thief.sign_in("ada") for thief in thieves)
    )
    assert clicked.status_code == 303
    assert {answer.status_code for answer in answers} <= {201, 401, 403}
    assert (await dump(world.services.db))["session"] == []
    for thief in thieves:
        assert (await thief.get("/api/sessions/current")).status_code == 401


@pytest.mark.asvs("7.4.3")
@pytest.mark.asvs("15.4.2")
@pytest.mark.parametrize("by", ["link", "administrator"])
async def test_a_passkey_that_is_taken_away_while_it_signs_in_lets_nobody_in(world: World, by: str) -> None:
    for turns in range(0, 320, 16):  # of the event loop, by which the thief is ahead
        uid, device, thief = f"ada{turns}", SoftwareAuthenticator(), world.visitor("203.0.113.66")
        owner, user_id = await member(world, uid, f"{uid}@example.org")
        token = (await notice(world, user_id)).removeprefix("/not-me/")
        assert (await add_passkey(owner, device)).status_code == 201
        options = (await thief.http.post("/api/sessions/passkey/options", json={})).json()
        body = {"credential": device.get(options, ORIGIN)}

        async def take_away(user_id: str = user_id, token: str = token, turns: int = turns) -> None:
            for _ in range(turns):
                await asyncio.sleep(0)
            if by == "link":
                await world.services.not_me.act(token, OPERATOR)
            else:
                await world.services.steps.reset_for(user_id, None, OPERATOR)

        answer, _ = await asyncio.gather(thief.http.post("/api/sessions/passkey", json=body), take_away())
        assert answer.status_code in {201, 400}
        assert (await thief.get("/api/sessions/current")).status_code == 401, turns
        world.clock.advance(3600)


async def test_looking_changes_nothing_and_a_made_up_link_leads_nowhere(world: World) -> None:
    owner, user_id = await member(world, "ada", ADDRESS)
    path = await notice(world, user_id)
    before = await dump(world.services.db)
    for place in (path, "/not-me/" + "A" * 43, "/not-me/" + "x" * 5_000, "/not-me/%00", f"{path}x", "/not-me/"):
        for method in ("GET", "HEAD"):
            answer = await world.visitor().http.request(method, place)
            assert answer.status_code in ({200, 405} if place == path else {404, 405}), place
    for place in (path, "/not-me/" + "A" * 43):
        forged = await world.visitor().http.post(place, data={"csrf_token": "A" * 43}, headers=PAGE)
        assert forged.status_code == 403, "a form of ours carries a token"
    assert (await world.visitor().http.post(path, json={}, headers=PAGE)).status_code == 415
    assert await dump(world.services.db) == before
    assert (await owner.get("/api/users/me")).status_code == 200


@pytest.mark.parametrize("late", [False, True])
async def test_a_link_works_for_seven_days(world: World, late: bool) -> None:  # noqa: FBT001  a parameter of the test
    _, user_id = await member(world, "ada", ADDRESS)
    path = await notice(world, user_id)
    world.clock.advance(7 * DAY // SECOND - 2 + (1 if late else 0))
    assert (await world.visitor().get(path)).status_code == (410 if late else 200)
    assert (await click(world, path)).status_code == (400 if late else 303)
    assert await flagged(world, user_id) is not late


async def test_only_a_link_that_came_with_a_notice_counts(world: World) -> None:
    """Every link is for one thing: those that confirm, recover or undo say nothing of this kind."""
    ada, user_id = await member(world, "ada", ADDRESS)
    await ada.post(f"/api/users/{user_id}/email", {"email": EVES})
    paths = [await link(world, EVES)]
    await world.visitor().post("/api/recovery", {"email": ADDRESS})
    paths.append(await link(world, ADDRESS))
    for path in paths:
        assert (await world.visitor().get("/not-me/" + path.rpartition("/")[2])).status_code == 404
    token = (await notice(world, user_id)).rpartition("/")[2]
    for place in ("/verify/", "/recovery/", "/undo/", "/sign-in/link/", "/invitation/"):
        assert (await world.visitor().get(place + token)).status_code == 404, place
    body = {"token": token, "password": NEW}
    assert (await world.visitor().post("/api/recovery/complete", body)).status_code == 400


async def test_it_works_in_any_browser_and_signs_nobody_else_out(world: World) -> None:
    ada, user_id = await member(world, "ada", ADDRESS)
    grace, _ = await member(world, "grace")
    path = await notice(world, user_id)
    first = await click(world, path, grace)
    assert first.status_code == 303
    assert "Max-Age=0" not in str(first.headers.get_list("set-cookie"))
    assert (await grace.get("/api/users/me")).status_code == 200
    assert (await ada.get("/api/users/me")).status_code == 401
    bob, bob_id = await member(world, "bob", "bob@example.org")
    own = await click(world, await notice(world, bob_id), bob)
    assert "Max-Age=0" in str(own.headers.get_list("set-cookie")), "their own is dead, and goes"


async def test_the_page_does_not_say_whose_account_it_is(world: World) -> None:
    _, user_id = await member(world, "ada", ADDRESS)
    page = (await world.visitor().get(await notice(world, user_id))).text
    assert "Firefox on Linux" in page
    for secret in (ADDRESS, "Name of ada", user_id, "192.0.2.7"):
        assert secret not in page


# Whose address it is ----------------------------------------------------------------------------------------------


@pytest.mark.asvs("6.3.7")
async def test_a_link_to_an_address_that_is_no_longer_the_accounts_does_not_act(world: World) -> None:
    """It may be somebody's who lost the mailbox with their job, or a thief's from whom the account was taken back."""
    ada, user_id = await member(world, "ada", ADDRESS)
    path = await notice(world, user_id)
    await change_address(world, ada, user_id, EVES)
    before = await dump(world.services.db)
    page = await world.visitor().get(path)
    assert page.status_code == 410
    assert "look for our e-mail" in page.text
    assert (await click(world, path)).status_code == 400
    assert await dump(world.services.db) == before
    assert (await ada.get("/api/users/me")).status_code == 200


@pytest.mark.asvs("6.3.7")
async def test_once_the_address_is_taken_back_the_owners_links_count_and_the_thiefs_do_not(world: World) -> None:
    thief, user_id = await member(world, "ada", ADDRESS)
    bound = with_bound(world)
    await bound.bind(user_id)
    owners = await notice(world, user_id, "factor_added")
    await change_address(world, thief, user_id, EVES)
    undo = await link(world, ADDRESS)
    thiefs = await notice(world, user_id)
    assert (await click(world, undo)).status_code == 303
    assert await bound.is_there(), "it was bound before the address was changed"
    assert (await click(world, thiefs, world.visitor(EVES_NETWORK))).status_code == 400
    assert (await click(world, owners)).status_code == 303
    assert not await bound.is_there(), "or the thief's second step would keep the owner out"


@pytest.mark.asvs("6.3.7")
async def test_a_thief_with_the_address_voids_none_of_the_owners_links(world: World) -> None:
    thief, user_id = await member(world, "ada", ADDRESS)
    owners = await notice(world, user_id)
    await change_address(world, thief, user_id, EVES)
    undo = await link(world, ADDRESS)
    assert (await click(world, await notice(world, user_id), world.visitor(EVES_NETWORK))).status_code == 303
    assert (await click(world, undo)).status_code == 303
    assert (await click(world, owners)).status_code == 303


async def test_taking_an_address_back_is_an_alarm_and_takes_away_what_was_bound_since(world: World) -> None:
    bound = with_bound(world)
    thief, user_id = await member(world, "ada", ADDRESS)
    await change_address(world, thief, user_id, EVES)
    undo = await link(world, ADDRESS)
    await bound.bind(user_id)
    assert (await click(world, undo)).status_code == 303
    assert not await bound.is_there()
    (report,) = await reports(world)
    assert (report["by"], report["what"]) == ("link", "email_changed")


async def test_nobody_is_told_at_a_mere_claim(world: World) -> None:
    ada = world.visitor()
    user_id = str((await ada.sign_up("ada", email=ADDRESS))["id"])
    user, now, notices = await user_of(world, user_id), world.clock.now(), world.services.notices
    before = await dump(world.services.db)
    for work in (
        lambda: notices.new_device(user, "", "", now),
        lambda: notices.factors_reset(user, now),
        lambda: notices.changed(user, "", now),
        lambda: notices.many_failures(user, 50, now),
    ):
        await world.services.db.write(work)
    assert await dump(world.services.db) == before


@pytest.mark.asvs("7.4.2")
async def test_a_link_of_a_disabled_user_is_refused(world: World) -> None:
    _, user_id = await member(world, "ada", ADDRESS)
    path = await notice(world, user_id)
    await world.services.users.set_status(user_id, "disabled", None, OPERATOR)
    assert (await world.visitor().get(path)).status_code == 410
    assert (await click(world, path)).status_code == 400
    assert not await flagged(world, user_id)


# Old mails --------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("6.4.3")
async def test_a_notice_older_than_an_hour_shuts_everybody_out_but_chooses_no_password(world: World) -> None:
    """One that was forwarded to ask what it is, or lies in the copy of a mailbox, must not be a key to the account."""
    owner, user_id = await member(world, "ada", ADDRESS)
    path = await notice(world, user_id)
    world.clock.advance(HOUR // SECOND - 1)
    answer = await click(world, path, world.visitor(EVES_NETWORK))
    assert answer.headers["location"] == "/not-me/sent"
    assert "/recovery/" not in answer.text + str(answer.headers)
    assert (await owner.get("/api/users/me")).status_code == 401
    assert await flagged(world, user_id)
    page = await world.visitor().get("/not-me/sent")
    assert "We have sent a fresh one" in page.text
    told = await last(world, ADDRESS)
    assert told.template == "account_reported"
    await choose(world, str(told.values["path"]))
    assert (await world.visitor().sign_in("ada", NEW)).status_code == 201


@pytest.mark.asvs("6.4.3")
async def test_a_notice_of_before_the_newest_password_chooses_no_password_either(world: World) -> None:
    """C23: what could set a password dies with the next one. It still takes back what a thief has bound."""
    owner, user_id = await member(world, "ada", ADDRESS)
    bound = with_bound(world)
    await bound.bind(user_id)
    path = await notice(world, user_id, "factor_added")
    await world.visitor().post("/api/recovery", {"email": ADDRESS})
    await choose(world, await link(world, ADDRESS))
    assert (await owner.sign_in("ada", NEW)).status_code == 201
    answer = await click(world, path)
    assert answer.headers["location"] == "/not-me/sent"
    assert not await bound.is_there(), "else the owner could not get past a thief's second step"
    await choose(world, str((await last(world, ADDRESS)).values["path"]), NEWER)


async def test_the_notice_of_a_new_password_is_not_older_than_it(world: World) -> None:
    thief, _ = await member(world, "ada", ADDRESS)
    change = {"current_password": PASSWORD, "new_password": NEW}
    assert (await thief.send("PUT", "/api/users/me/password", change)).status_code == 204
    told = await last(world, ADDRESS)
    assert told.template == "password_changed"
    answer = await click(world, str(told.values["path"]))
    await choose(world, answer.headers["location"], NEWER)
    assert (await thief.get("/api/users/me")).status_code == 401
    assert (await world.visitor().sign_in("ada", NEW)).status_code == 401
    assert (await world.visitor().sign_in("ada", NEWER)).status_code == 201


@pytest.mark.asvs("6.1.1")
async def test_with_a_link_those_of_later_events_are_void_so_that_nobody_is_shut_out_for_ever(world: World) -> None:
    """A copy of the mailbox does it once for each notice of seven days, from the latest to the first."""
    _, user_id = await member(world, "ada", ADDRESS)
    paths = [await notice(world, user_id) for _ in range(3)]
    assert (await click(world, paths[1])).status_code == 303
    states = [await state_of(world, path, "not_me") for path in paths]
    assert states == ["live", "used", "void"]
    void = await world.visitor().get(paths[2])
    assert (void.status_code, headings(void)) == (410, ["There is nothing left to take back"])
    assert (await click(world, paths[0])).status_code == 303
    await choose(world, str((await last(world, ADDRESS)).values["path"]))
    for path in paths:
        assert (await click(world, path)).status_code == 400
    assert (await world.visitor().sign_in("ada", NEW)).status_code == 201


@pytest.mark.asvs("7.4.3")
@pytest.mark.parametrize("what", ["new password", "end of all others", "report"])
async def test_a_thief_cannot_make_the_way_back_void(world: World, what: str) -> None:
    thief, user_id = await member(world, "ada", ADDRESS)
    path = await notice(world, user_id)
    if what == "new password":
        change = {"current_password": PASSWORD, "new_password": NEW}
        assert (await thief.send("PUT", "/api/users/me/password", change)).status_code == 204
    elif what == "end of all others":
        assert (await thief.submit("/account/sessions/end-others", {}, "/account/sessions")).status_code == 303
    else:
        await world.services.recovery.flag_compromised(user_id, OPERATOR)
    assert (await click(world, path)).status_code == 303
    assert (await thief.get("/api/users/me")).status_code == 401


# In a session -----------------------------------------------------------------------------------------------------


async def event_of(world: World, user_id: str, event: str = "session_created") -> str:
    found = [row for row in await audited(world, event) if row.user_id == user_id]
    return found[-1].id


async def report(visitor: Visitor, event_id: str) -> httpx.Response:
    token = await visitor.learn_csrf()
    return await visitor.http.post("/account/not-me", data={"csrf_token": token, "event": event_id}, headers=PAGE)


@pytest.mark.asvs("7.4.3")
async def test_whoever_is_signed_in_shuts_everybody_else_out_and_chooses_a_password(world: World) -> None:
    bound = with_bound(world)
    owner, user_id = await member(world, "ada", ADDRESS)
    thief = world.visitor(EVES_NETWORK)
    await thief.sign_in("ada")
    event_id = await event_of(world, user_id)
    await bound.bind(user_id)
    await thief.post(f"/api/users/{user_id}/email", {"email": EVES})
    pending = await link(world, EVES)
    shown = await owner.get(f"/account/not-me/{event_id}")
    assert headings(shown)[0] == "Was this you?"
    answer = await owner.submit("/account/not-me", {"event": event_id}, f"/account/not-me/{event_id}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/account/password?others=1")
    assert (await thief.get("/api/users/me")).status_code == 401
    assert (await owner.get("/api/users/me")).status_code == 200
    assert not await bound.is_there()
    assert await state_of(world, pending, "email") == "void"
    assert await flagged(world, user_id)
    assert (await dump(world.services.db))["known_device"] == []
    ((row,), (payload,)) = await audited(world, "account_reported"), await reports(world)
    assert (row.user_id, row.session_id is not None) == (user_id, True)
    assert (payload["by"], payload["what"]) == ("session", "session_created")
    told = await last(world, ADDRESS)
    assert told.template == "account_reported"
    form = {"current_password": PASSWORD, "new_password": NEW}
    assert (await owner.submit("/account/password", form)).status_code == 303
    assert not await flagged(world, user_id)
    assert await state_of(world, str(told.values["path"]), "recovery") == "void"


async def test_the_page_names_the_device_of_a_sign_in_and_of_nothing_else(world: World) -> None:
    ada, user_id = await member(world, "ada", ADDRESS)
    for event, is_named in (("session_created", True), ("user_created", False)):
        shown = await ada.get(f"/account/not-me/{await event_of(world, user_id, event)}")
        assert headings(shown)[0] == "Was this you?"
        assert ("<dt>Device</dt>" in shown.text) is is_named


@pytest.mark.asvs("7.5.1")
async def test_a_stolen_session_without_the_password_takes_nothing_back(world: World) -> None:
    bound = with_bound(world)
    stolen, user_id = await member(world, "ada", ADDRESS)
    event_id = await event_of(world, user_id)
    await bound.bind(user_id)
    world.clock.advance(STALE)
    before = await dump(world.services.db)
    for answer in (await stolen.get(f"/account/not-me/{event_id}"), await report(stolen, event_id)):
        assert answer.headers["location"].startswith("/confirm?next=")
    after = await dump(world.services.db)
    changed = {name for name in after if after[name] != before[name]}
    assert changed <= {"session", "kept_form"}, "last seen, and the form that waits for a proof"
    assert await bound.is_there()


@pytest.mark.asvs("6.1.1")
async def test_a_fresh_session_strips_nobody_of_what_has_protected_them_for_longer_than_a_mail_could(
    world: World,
) -> None:
    bound = with_bound(world)
    ada, user_id = await member(world, "ada", ADDRESS)
    event_id = await event_of(world, user_id)
    await bound.bind(user_id)
    world.clock.advance(7 * DAY // SECOND + 1)
    assert (await ada.sign_in("ada")).status_code == 201
    assert (await report(ada, event_id)).status_code == 303
    assert await bound.is_there()
    ((_, since, now),) = bound.asked
    assert now - since == 7 * DAY


@pytest.mark.asvs("8.2.2")
async def test_nobody_reports_what_happened_to_somebody_else(world: World) -> None:
    _, ada_id = await member(world, "ada", ADDRESS)
    eve, eve_id = await member(world, "eve", EVES)
    event_id = await event_of(world, ada_id)
    for answer in (await report(eve, event_id), await eve.get(f"/account/not-me/{event_id}")):
        assert answer.status_code == 404
    refused = [row for row in await audited(world, "authz_fail") if row.user_id == ada_id]
    assert refused
    assert {row.actor_id for row in refused} == {eve_id}
    for wrong in ("", "x", "A" * 5_000, "\0", "01890000-0000-7000-8000-000000000000", f"{event_id}'--"):
        assert (await report(eve, wrong)).status_code == 404
    assert await reports(world) == []


@pytest.mark.asvs("15.4.2")
async def test_a_session_that_another_worker_still_believes_in_reports_nothing(world: World) -> None:
    thief, user_id = await member(world, "ada", ADDRESS)
    event_id = await event_of(world, user_id)
    (believed,) = await world.services.sessions.list_of(user_id)
    assert (await click(world, await notice(world, user_id))).status_code == 303
    with pytest.raises(NotSignedIn):
        await world.services.not_me.act_signed_in(believed, event_id, OPERATOR)
    assert len(await reports(world)) == 1
    assert (await thief.get("/api/users/me")).status_code == 401


async def test_who_has_no_proven_address_gets_on_by_the_password_they_know(world: World) -> None:
    ada = world.visitor()
    user_id = str((await ada.sign_up("ada", email=ADDRESS))["id"])
    sent = await Inbox(world).rows()
    assert (await report(ada, await event_of(world, user_id))).status_code == 303
    assert await Inbox(world).rows() == sent
    assert await world.services.confirmations.of_user(user_id, "recovery") == [], "a claim is no way back"
    assert await email_of(ada) == (ADDRESS, False)
    form = {"current_password": PASSWORD, "new_password": NEW}
    assert (await ada.submit("/account/password", form)).status_code == 303


# Floods -----------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("6.3.5")
async def test_who_has_the_password_buries_the_owner_under_no_mails(world: World) -> None:
    _, user_id = await member(world, "ada", ADDRESS)
    user, services = await user_of(world, user_id), world.services

    async def fail() -> None:
        now = world.clock.now()
        await services.db.write(lambda: services.notices.factor_failed(user, "Authenticator app", "", now))

    async def arrive() -> None:
        now = world.clock.now()
        await services.db.write(lambda: services.notices.new_device(user, "", "203.0.113.66", now))

    await asyncio.gather(*(one() for one in [fail] * 20 + [arrive] * 30))
    sent = [mail.template for mail in await Inbox(world).messages(ADDRESS)]
    assert (sent.count("factor_failed"), sent.count("new_device")) == (1, 10)
    world.clock.advance(HOUR // SECOND - 1)
    await fail()
    assert [mail.template for mail in await Inbox(world).messages(ADDRESS)].count("factor_failed") == 1
    world.clock.advance(1)
    await fail()
    assert [mail.template for mail in await Inbox(world).messages(ADDRESS)].count("factor_failed") == 2


async def test_a_thief_who_reports_again_and_again_fills_no_inbox_and_uses_up_no_link_of_the_owners(
    world: World,
) -> None:
    thief, user_id = await member(world, "ada", ADDRESS)
    path = await notice(world, user_id)
    await world.visitor().sign_in("ada")
    newest = await event_of(world, user_id)
    for _ in range(13):
        assert (await report(thief, newest)).status_code == 303
    sent = [mail.template for mail in await Inbox(world).messages(ADDRESS)]
    assert sent.count("account_reported") == 10
    assert (await click(world, path)).status_code == 303
    assert [mail.template for mail in await Inbox(world).messages(ADDRESS)].count("account_reported") == 11

"""Reading through one's own activity what is others', and putting into it what runs at its reader (ASVS 8.2.2, 1.2.10).

A row about a member may hold the address of somebody else: of whoever tried their record, proved the address they had
claimed, or followed a link they had sent for. None of that is theirs to see.
"""

import csv
import io
import zipfile
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from doorward.account import Activity
from doorward.app import front
from doorward.audit import AuditReader, Event
from doorward.kernel.caller import Caller
from tests.attacks.test_stored_script import MARKUP, Page, shape_of
from tests.http.conftest import ORIGIN, Visitor, World
from tests.support.members import code, follow, link, member

PATH, PAGE, FILE = "/api/users/me/activity", "/account/activity", "/account/activity.csv"
VICTIM = "203.0.113.66"
VICTIMS_BROWSER = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Safari/605.1"
FORMULA = '=HYPERLINK("https://evil.example","Click")'


async def everything(visitor: Visitor) -> str:
    """All that the four ways of reading it show, a copy of one's data among them."""
    answers = [await visitor.get(path) for path in (PATH, PAGE, FILE)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    export = await visitor.post("/api/users/me/export")
    assert export.status_code == 200, export.text
    archive = zipfile.ZipFile(io.BytesIO(export.content))
    return "".join([*(answer.text for answer in answers), archive.read("activity.json").decode()])


async def rows_of(visitor: Visitor, query: str = "") -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = (await visitor.get(f"{PATH}{query}")).json()["data"]
    return data


def victim_of(world: World) -> Visitor:
    """Somebody whose address and browser nobody else is to learn."""
    return world.visitor(VICTIM, **{"user-agent": VICTIMS_BROWSER})


def hides_the_victim(text: str) -> bool:
    return not [word for word in (VICTIM, "iPhone", "Safari") if word in text]


# Cursors --------------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("8.2.2")
async def test_a_cursor_of_somebody_elses_opens_nothing_of_theirs(world: World) -> None:
    ada, eve = world.visitor(), world.visitor()
    await ada.sign_up("ada")
    world.clock.advance(1)
    await eve.sign_up("eve")
    world.clock.advance(1)
    await ada.send("PATCH", "/api/users/me", {"motto": "mine"})
    world.clock.advance(1)
    await eve.send("PATCH", "/api/users/me", {"motto": "mine"})
    own, theirs = [{row["id"] for row in await rows_of(who)} for who in (eve, ada)]
    assert own
    assert theirs
    assert not own & theirs
    for cursor in theirs:
        for query in (f"?cursor={cursor}", f"?limit=1&cursor={cursor}"):
            assert {row["id"] for row in await rows_of(eve, query)} <= own
        page = await eve.get(f"{PAGE}?cursor={cursor}")
        assert not [row_id for row_id in theirs if row_id in page.text.replace(cursor, "")]


@pytest.mark.asvs("1.2.4")
@pytest.mark.parametrize(
    "cursor",
    ["' OR '1'='1", "%", "0" * 36, "g" * 36, "01890000-0000-7000-8000-000000000000' --", "null", "[]", "-1", "\u202e",
     "01890000-0000-7000-8000-000000000000\x00", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", "z" * 8_000],
)  # fmt: skip
async def test_a_hostile_cursor_is_refused_and_shown_nowhere(world: World, cursor: str) -> None:
    eve = world.visitor()
    await eve.sign_up("eve")
    answer = await eve.get(f"{PATH}?cursor={quote(cursor)}")
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    page = await eve.get(f"{PAGE}?cursor={quote(cursor)}")
    assert page.status_code == 400
    assert await shape_of(page)


async def test_no_other_parameter_chooses_whose_it_is(world: World) -> None:
    ada, eve = world.visitor(), world.visitor()
    ada_id = (await ada.sign_up("ada"))["id"]
    await eve.sign_up("eve")
    own = await rows_of(eve)
    for name in ("id", "user", "user_id", "uid", "actor_id", "sub"):
        assert await rows_of(eve, f"?{name}={ada_id}") == own
    assert (await eve.get(f"/api/users/{ada_id}/activity")).status_code == 404


# Others' addresses ----------------------------------------------------------------------------------------------------


@pytest.mark.asvs("14.2.6")
async def test_who_proves_an_address_that_a_thief_claimed_stays_unseen_by_the_thief(world: World) -> None:
    thief, victim = world.visitor(), victim_of(world)
    await thief.sign_up("eve", email="victim@example.org")  # a claim: nothing is proven
    world.clock.advance(60)
    await victim.sign_up("victim", email="victim@example.org")
    answer = await victim.post("/api/verifications", {"code": await code(world, "victim@example.org")})
    assert answer.status_code == 200
    shown = await everything(thief)
    assert "because somebody else confirmed it as theirs" in shown
    assert hides_the_victim(shown)
    assert VICTIM in await everything(victim), "and they see themselves"


@pytest.mark.asvs("14.2.6")
async def test_who_follows_a_strangers_link_stays_unseen_by_the_stranger(world: World) -> None:
    """Whoever asks for a change has the link sent to any mailbox; it works wherever it is opened."""
    thief, _ = await member(world, "eve", "eve@example.org")
    user_id = (await thief.get("/api/users/me")).json()["id"]
    assert (await thief.post(f"/api/users/{user_id}/email", {"email": "victim@example.org"})).status_code == 202
    await follow(victim_of(world), await link(world, "victim@example.org"))
    shown = await everything(thief)
    assert shown.count("Your e-mail address was confirmed") == 8, "twice, in four places"
    assert hides_the_victim(shown)


@pytest.mark.asvs("14.2.6")
async def test_who_tries_somebody_elses_record_stays_unseen(world: World) -> None:
    ada, clumsy = world.visitor(), victim_of(world)
    user_id = (await ada.sign_up("ada"))["id"]
    other_id = (await clumsy.sign_up("clumsy"))["id"]
    for _ in range(5):
        assert (await clumsy.send("PATCH", f"/api/users/{user_id}", {"name": "x"})).status_code == 403
        world.clock.advance(61)
    shown = await everything(ada)
    assert "Somebody tried to change your account and was refused" in shown
    assert hides_the_victim(shown)
    assert other_id not in shown


async def test_a_sum_of_refusals_does_not_tell_of_others(world: World) -> None:
    """Wrong codes are summed over everybody; the row is about whoever came last."""
    ada = world.visitor()
    user_id = (await ada.sign_up("ada"))["id"]
    payload = {"action": "code", "purpose": "sign_in", "reason": "wrong code"}
    refusals, caller = world.services.refusals, Caller("198.51.100.1", "", "r")
    for whose in [None, *[f"somebody-{number}" for number in range(40)]]:
        await refusals.note(Event.AUTHN_LOGIN_FAIL, caller, payload, user_id=whose)
    world.clock.advance(61)
    await refusals.note(Event.AUTHN_LOGIN_FAIL, caller, payload, user_id=user_id)
    (row,) = await rows_of(ada, "?limit=1")
    assert {name: value for name, value in row.items() if name not in {"id", "at"}} == {
        "event": "authn_login_fail", "what": "Somebody entered a wrong code", "outcome": "failure",
        "device": None, "address": "198.51.100.1", "place": None, "here": False,
    }  # fmt: skip
    assert "×" not in (await ada.get(PAGE)).text


@pytest.mark.asvs("14.2.6")
async def test_who_signs_in_over_a_planted_session_stays_unseen_by_its_planter(world: World) -> None:
    thief, victim = world.visitor(), victim_of(world)
    await thief.sign_up("eve")
    await victim.sign_up("victim")
    await victim.send("DELETE", "/api/sessions/current")
    planted = world.visitor()
    await planted.sign_in("eve")
    for name, value in planted.http.cookies.items():
        victim.http.cookies.set(name, value)
    assert (await victim.sign_in("victim")).status_code == 201
    shown = await everything(thief)
    assert "because somebody signed in there anew" in shown
    assert hides_the_victim(shown)


async def test_who_fails_to_sign_in_is_seen_by_the_owner_and_by_nobody_else(world: World) -> None:
    """They have proven to be nobody. Without their address the owner could not tell them from themselves."""
    ada, eve = world.visitor(), world.visitor()
    await ada.sign_up("ada")
    await eve.sign_up("eve")
    await world.visitor("198.51.100.77").sign_in("ada", "seven noisy herons at noon")
    assert "198.51.100.77" in await everything(ada)
    assert "198.51.100.77" not in await everything(eve)


# Script and formulas --------------------------------------------------------------------------------------------------


def with_places(world: World, place: str) -> httpx.ASGITransport:
    """The application where every address is at `place`."""
    audit = AuditReader(world.services.db, world.services.audit)
    activity = Activity(audit, world.clock, lambda _address, _locale: place)
    return httpx.ASGITransport(app=front(replace(world.services, activity=activity)))


@pytest.mark.asvs("1.2.1")
@pytest.mark.parametrize("database_address", ["sqlite"], indirect=True)
async def test_markup_from_every_side_is_text(world: World) -> None:
    plain = world.visitor()
    await plain.sign_up("plain")
    shape = None
    for number, markup in enumerate(MARKUP):
        writer = world.visitor(f"198.51.100.{number + 1}", **{"user-agent": markup})
        await writer.sign_up(f"writer-{number}", name=markup)
        async with httpx.AsyncClient(transport=with_places(world, markup), base_url=ORIGIN) as client:
            page = await client.get(PAGE, headers=writer.cookie_header())
        found = await shape_of(page)
        shape = shape or found
        assert found == shape
        assert Page(page.text).texts.count(markup) >= 2, "the name, and the place, as they are"
        world.clock.advance(60)


@pytest.mark.asvs("1.2.10")
@pytest.mark.parametrize("database_address", ["sqlite"], indirect=True)
@pytest.mark.parametrize("evil", [FORMULA, "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1+1"])
async def test_no_cell_of_the_file_is_a_formula(world: World, evil: str) -> None:
    eve = world.visitor(**{"user-agent": evil.strip()})
    await eve.sign_up("eve", name="=1+1")
    async with httpx.AsyncClient(transport=with_places(world, evil), base_url=ORIGIN) as client:
        file = await client.get(FILE, headers=eve.cookie_header())
    _, *lines = csv.reader(io.StringIO(file.content.decode("utf-8-sig"), newline=""))
    assert {line[4] for line in lines} == {f"'{evil}"}
    assert not [cell for line in lines for cell in line if cell.lstrip().startswith(("=", "+", "-", "@"))]


@pytest.mark.asvs("3.2.1")
async def test_no_browser_shows_the_file_as_a_page(world: World) -> None:
    ada = world.visitor()
    await ada.sign_up("ada")
    answer = await ada.get(FILE)
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]

"""One's own activity as a page, as JSON and as a file (UX-53)."""

import csv
import io
import re
from html import unescape
from typing import Any

import httpx
import pytest

from doorward.kernel.caller import LOCAL_OPERATOR
from tests.http.conftest import ORIGIN, PASSWORD, Visitor, World
from tests.support.attack import make_admin

PATH, PAGE, FILE = "/api/users/me/activity", "/account/activity", "/account/activity.csv"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
WRONG = "seven noisy herons at noon"
ROW = {"id", "at", "event", "what", "outcome", "device", "address", "place", "here"}


async def told(visitor: Visitor, query: str = "") -> list[dict[str, Any]]:
    """What the API tells, newest first."""
    answer = await visitor.get(f"{PATH}{query}")
    assert answer.status_code == 200, answer.text
    data: list[dict[str, Any]] = answer.json()["data"]
    return data


def sentences(page: httpx.Response) -> list[str]:
    """The line that stands out in each entry of the page, newest first."""
    found = re.findall(r'<p class="device"[^>]*>(.*?)</p>', page.text)
    return [unescape(re.sub(r"<[^>]+>", "", text.partition(" <strong")[0])) for text in found]


async def member(world: World, uid: str = "ada") -> Visitor:
    """Someone who signed up a minute ago with Firefox."""
    visitor = world.visitor("192.0.2.1", **{"user-agent": FIREFOX})
    await visitor.sign_up(uid)
    world.clock.advance(60)
    return visitor


async def test_a_life_is_told_newest_first_in_plain_words(world: World) -> None:
    ada = await member(world)
    stranger = world.visitor("198.51.100.9", **{"user-agent": "burglar/1.0"})
    for _ in range(3):
        await stranger.sign_in("ada", WRONG)
        world.clock.advance(5)
    await ada.sign_in("ada")
    world.clock.advance(5)
    await ada.send("PATCH", "/api/users/me", {"motto": "on"})
    world.clock.advance(5)
    await ada.submit("/account/password", {"current_password": PASSWORD, "new_password": "a wholly different phrase"})

    page = await ada.get(PAGE)
    assert page.status_code == 200
    assert sentences(page) == [
        "Your password was changed",
        "You changed your profile",
        "You signed in with your password",
        "Somebody entered a wrong password",
        "You created your account",
    ]
    assert "× 3" in page.text
    rows = await told(ada)
    assert {name for row in rows for name in row} == ROW
    assert [row["event"] for row in rows if row["event"].startswith("authn")] == [
        "authn_password_change", "authn_login_success", *["authn_login_fail"] * 3,
    ]  # fmt: skip
    failed = [row for row in rows if row["outcome"] == "failure"]
    assert {(row["what"], row["device"], row["address"], row["here"]) for row in failed} == {
        ("Somebody entered a wrong password", "A program", "198.51.100.9", False)
    }


async def test_what_happened_in_this_session_is_marked(world: World) -> None:
    ada = await member(world)
    other = world.visitor("192.0.2.8")
    await other.sign_in("ada")
    world.clock.advance(5)
    rows = await told(ada)
    assert [(row["event"], row["here"]) for row in rows if row["event"] == "session_created"] == [
        ("session_created", False), ("session_created", True),
    ]  # fmt: skip
    assert {row["device"] for row in rows if row["here"]} == {"Firefox on Linux"}
    assert {row["address"] for row in rows if row["here"]} == {"192.0.2.1"}


async def test_programs_page_by_cursor_and_limit(world: World) -> None:
    ada = await member(world)
    for number in range(5):
        await ada.send("PATCH", "/api/users/me", {"motto": f"{number}"})
        world.clock.advance(1)
    whole = await told(ada)
    read: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = (await ada.get(f"{PATH}?limit=3" + (f"&cursor={cursor}" if cursor else ""))).json()
        assert len(answer["data"]) <= 3
        read, cursor = read + answer["data"], answer["next_cursor"]
    assert read == whole
    assert len(whole) == 7


@pytest.mark.parametrize(
    "query", ["?limit=0", "?limit=201", "?limit=x", "?limit=", "?cursor=x", "?cursor=", "?limit=1&limit=2"]
)
async def test_a_query_that_makes_no_sense_is_refused(world: World, query: str) -> None:
    ada = await member(world)
    assert (await ada.get(f"{PATH}{query}")).status_code == 400


async def test_older_events_are_a_page_away(world: World) -> None:
    ada = await member(world)
    for number in range(55):
        await ada.send("PATCH", "/api/users/me", {"motto": f"{number}"})
        world.clock.advance(1)
    first = await ada.get(PAGE)
    assert sentences(first) == ["You changed your profile"] * 50
    assert "Back to the newest" not in first.text
    (link,) = re.findall(r'rel="next" href="([^"]+)"', first.text)
    second = await ada.get(link)
    assert sentences(second) == [*["You changed your profile"] * 5, "You created your account"]
    assert 'rel="next"' not in second.text
    assert "Back to the newest" in second.text
    refused = await ada.get(f"{PAGE}?cursor=nonsense")
    assert refused.status_code == 400
    assert refused.headers["content-type"].startswith("text/html")


async def test_nothing_older_than_ninety_days_is_told(world: World) -> None:
    ada = await member(world)
    world.clock.advance(90 * 86_400 - 61)
    assert (await ada.sign_in("ada")).status_code == 201
    assert "user_created" in [row["event"] for row in await told(ada)]
    world.clock.advance(2)
    assert "user_created" not in [row["event"] for row in await told(ada)]
    assert "You created your account" not in sentences(await ada.get(PAGE))


@pytest.mark.asvs("14.2.6")
async def test_what_administrators_did_is_told_without_them(world: World) -> None:
    ada = await member(world)
    chief = world.visitor("203.0.113.77", **{"user-agent": "Mozilla/5.0 (Windows NT 10.0) Chrome/140.0"})
    boss = await make_admin(world, chief, "chief")
    world.clock.advance(5)
    user_id = (await ada.get("/api/users/me")).json()["id"]
    assert (await chief.send("PATCH", f"/api/users/{user_id}", {"coins": 5})).status_code == 200
    world.clock.advance(5)
    await world.services.users.set_roles(user_id, ["support"], None, LOCAL_OPERATOR)
    await ada.sign_in("ada")

    rows = [row for row in await told(ada) if row["what"].startswith("An administrator ")]
    assert [row["what"] for row in rows] == [
        "An administrator changed your roles to: support",
        "An administrator changed your profile",
    ]
    assert {(row["device"], row["address"], row["place"], row["here"]) for row in rows} == {(None, None, None, False)}
    page, file = await ada.get(PAGE), await ada.get(FILE)
    for answer in (page, file, await ada.get(PATH)):
        for secret in ("203.0.113.77", "Chrome", "Windows", boss["id"], "chief"):
            assert secret not in answer.text


# The file -------------------------------------------------------------------------------------------------------------


async def test_the_file_holds_what_the_api_tells(world: World) -> None:
    ada = await member(world)
    await ada.sign_in("ada")
    world.clock.advance(5)
    answer = await ada.get(FILE)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert answer.headers["content-disposition"] == 'attachment; filename="activity.csv"'
    assert answer.headers["cache-control"] == "no-store"
    heading, *lines = csv.reader(io.StringIO(answer.content.decode("utf-8-sig"), newline=""))
    assert heading == [
        "Time (UTC)", "What happened", "Outcome", "Device", "Place", "Address", "In this session", "Number",
    ]  # fmt: skip
    outcomes = {"success": "Succeeded", "failure": "Failed"}
    assert lines == [
        [row["at"], row["what"], outcomes[row["outcome"]], row["device"] or "", "", row["address"] or "",
         "Yes" if row["here"] else "No", row["id"]]
        for row in await told(ada)
    ]  # fmt: skip


async def test_page_and_file_speak_the_readers_language_and_programs_hear_english(world: World) -> None:
    ada = await member(world)
    await world.visitor(**{"user-agent": "burglar/1.0"}).sign_in("ada", WRONG)
    german = {"accept-language": "de"}
    file = (await ada.get(FILE, headers=german)).content.decode("utf-8-sig")
    assert '"Ja"' in file
    assert '"Ein Programm"' in file
    assert "A program" not in file
    assert (await ada.get(PATH, headers=german)).json()["data"][0]["device"] == "A program"


# Who may --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [PAGE, FILE])
async def test_strangers_are_asked_to_sign_in(world: World, path: str) -> None:
    answer = await world.visitor().get(path)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/sign-in?next={path}")


async def test_a_program_with_a_token_may_read_it(world: World) -> None:
    await member(world)
    program = world.visitor()
    body = {"identifier": "ada", "password": PASSWORD, "transport": "bearer"}
    token = (await program.post("/api/sessions", body)).json()["token"]
    answer = await program.get(PATH, headers={"authorization": f"Bearer {token}"})
    assert [row["here"] for row in answer.json()["data"]].count(True) == 2


async def test_nothing_of_the_machinery_is_told(world: World) -> None:
    """Reasons, counts and names of fields are the operator's."""
    ada = await member(world)
    await world.visitor().sign_in("ada", WRONG)
    await ada.send("PATCH", "/api/users/me", {"secret": "x"})
    for path in (PATH, PAGE, FILE):
        text = (await ada.get(path)).text
        for inner in ("wrong password&", '"reason"', "failures", "known_device", '"secret"', "request_id", "actor"):
            assert inner not in text, (path, inner)


async def test_the_page_is_in_the_navigation(world: World) -> None:
    ada = await member(world)
    page = await ada.get("/account/sessions")
    assert page.text.index('href="/account/sessions"') < page.text.index('href="/account/activity"')
    own = await ada.get(PAGE)
    assert '<a href="/account/activity" aria-current="page">' in own.text


async def test_an_account_without_events_says_so(world: World) -> None:
    ada = await member(world)
    page = await ada.get(f"{PAGE}?cursor=00000000-0000-7000-8000-000000000000")
    assert "Nothing happened in that time." in page.text


async def test_it_answers_to_the_browsers_of_the_page_alone(world: World) -> None:
    ada = await member(world)
    answer = await ada.get(PATH, headers={"origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert (await ada.http.post(PAGE, headers={"origin": ORIGIN})).status_code == 405

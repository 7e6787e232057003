"""A user's own copy of everything that is kept of them (UX-58, C26)."""

import io
import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from doorward.account import Export, Exporting, Part
from doorward.app import exports
from doorward.kernel.caller import Caller
from doorward.kernel.instant import Instant, to_rfc3339
from doorward.sql import Work
from tests.http.conftest import ORIGIN, PASSWORD, Visitor, World
from tests.support.attack import OPERATOR, audited
from tests.support.members import STALE, code, headings, member

ADDRESS, NUMBER = "ada@example.org", "+4915123456789"
API, PAGE, TARGET = "/api/users/me/export", "/account/data", "/account/export"
NAMES = [
    "README.txt", "profile.json", "contacts.json", "sessions.json", "devices.json", "authenticators.json",
    "activity.json", "messages.json",
]  # fmt: skip
CALLER = Caller("192.0.2.1")


def opened(answer: httpx.Response) -> zipfile.ZipFile:
    assert answer.status_code == 200, answer.text
    return zipfile.ZipFile(io.BytesIO(answer.content))


def read(answer: httpx.Response) -> dict[str, Any]:
    """The JSON of each file, by its name without the ending."""
    archive = opened(answer)
    return {name[:-5]: json.loads(archive.read(name)) for name in archive.namelist() if name.endswith(".json")}


async def export(visitor: Visitor) -> httpx.Response:
    return await visitor.post(API)


# What is in it --------------------------------------------------------------------------------------------------------


async def test_it_is_one_zip_to_keep(world: World) -> None:
    ada, _ = await member(world, "ada")
    answer = await export(ada)
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == 'attachment; filename="doorward-ada-2026-11-23.zip"'
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    archive = opened(answer)
    assert archive.testzip() is None
    assert archive.namelist() == NAMES
    assert {entry.external_attr >> 16 for entry in archive.infolist()} == {0o600}
    assert {entry.date_time for entry in archive.infolist()} == {(2026, 11, 23, 5, 0, 0)}


async def test_the_same_twice_is_the_same_but_for_what_happened_between(world: World) -> None:
    ada, _ = await member(world, "ada", ADDRESS)
    first, second = await export(ada), await export(ada)
    one, other = opened(first), opened(second)
    changed = [name for name in NAMES if one.read(name) != other.read(name)]
    assert changed == ["activity.json"], "which tells of the export before"


async def test_the_profile_has_every_field(world: World) -> None:
    ada, user_id = await member(world, "ada", ADDRESS)
    tracking = {"steps": [1, 2.5, None, {"ü": "صديق"}]}
    await ada.send("PATCH", "/api/users/me", {"dob": "1990-12-10", "tracking": tracking, "secret": "mine"})
    changes = world.services.users.validate_update({"coins": 7}, "app", user_id)
    await world.services.users.update(user_id, changes, None, CALLER)
    user = await world.services.users.find(user_id)
    assert user is not None
    assert read(await export(ada))["profile"] == {
        "id": user_id,
        "uid": "ada",
        "name": "Name of ada",
        "email": ADDRESS,
        "email_verified": True,
        "dob": "1990-12-10",
        "locale": "en",
        "status": "active",
        "roles": [],
        "fields": {"coins": 7, "tracking": tracking, "secret": "mine"},
        "legacy_id": None,
        "version": user.version,
        "created_at": to_rfc3339(user.created_at),
        "updated_at": to_rfc3339(user.updated_at),
    }


async def test_addresses_and_numbers_say_when_they_were_proven(world: World) -> None:
    ada, user_id = await member(world, "ada", ADDRESS)
    await ada.post(f"/api/users/{user_id}/phone", {"phone": NUMBER})
    await ada.post("/api/verifications", {"code": await code(world, NUMBER), "purpose": "phone"})
    email, phone = read(await export(ada))["contacts"]
    assert (email["kind"], email["value"]) == ("email", ADDRESS)
    assert (phone["kind"], phone["value"]) == ("phone", NUMBER)
    for one in (email, phone):
        assert re.fullmatch(r"2026-11-23T05:00:0\d\.000Z", one["verified_at"])
        assert one["verified_at"] >= one["created_at"]
    claimer = world.visitor()
    await claimer.sign_up("eve", email="eve@example.org")
    (claim,) = read(await export(claimer))["contacts"]
    assert (claim["value"], claim["verified_at"]) == ("eve@example.org", None)


async def test_sessions_and_devices_say_where_and_when(world: World) -> None:
    ada, _ = await member(world, "ada", None, **{"user-agent": "Mozilla/5.0 (X11; Linux) Firefox/150.0"})
    world.clock.advance(30)
    program = world.visitor("198.51.100.7", **{"user-agent": "curl/8"})
    await program.post("/api/sessions", {"identifier": "ada", "password": PASSWORD, "transport": "bearer"})
    found = read(await export(ada))
    assert [(one["transport"], one["address"], one["device"]) for one in found["sessions"]] == [
        ("bearer", "198.51.100.7", "curl"),
        ("cookie", "127.0.0.1", "Firefox on Linux"),
    ]
    assert found["sessions"][1]["user_agent"] == "Mozilla/5.0 (X11; Linux) Firefox/150.0"
    assert found["sessions"][0]["created_at"] == "2026-11-23T05:00:30.000Z"
    assert found["devices"] == [{"created_at": "2026-11-23T05:00:00.000Z", "last_used_at": "2026-11-23T05:00:00.000Z"}]


async def test_authenticators_are_named_and_nothing_more(world: World) -> None:
    ada, _ = await member(world, "ada")
    assert read(await export(ada))["authenticators"] == [
        {"kind": "password", "label": None, "bound_at": "2026-11-23T05:00:00.000Z", "last_used_at": None}
    ]


async def test_activity_is_what_happened_the_latest_first(world: World) -> None:
    ada, _ = await member(world, "ada")
    world.clock.advance(1)
    await world.visitor("203.0.113.9").sign_in("ada", "seven wrong herons at noon")
    world.clock.advance(1)
    found = read(await export(ada))["activity"]
    assert (found["count"], found["complete"]) == (len(found["events"]), True)
    export_event, failure, *before = found["events"]
    assert export_event == {
        "at": "2026-11-23T05:00:02.000Z", "event": "sensitive_read", "what": "Your data were exported",
        "outcome": "success", "by_you": True, "device": "Python", "address": "127.0.0.1",
        "details": {"what": "export"},
    }  # fmt: skip
    assert (failure["event"], failure["outcome"], failure["by_you"]) == ("authn_login_fail", "failure", False)
    assert (failure["address"], failure["device"]) == ("203.0.113.9", "Python"), "whoever tried to get in"
    assert failure["details"] is None
    assert {one["event"] for one in before} == {"user_created", "session_created"}


async def test_messages_are_told_of_without_what_they_said(world: World) -> None:
    ada, _ = await member(world, "ada", ADDRESS)
    world.clock.advance(1)
    await ada.send(
        "PUT", "/api/users/me/password", {"current_password": PASSWORD, "new_password": "three brass lamps lit"}
    )
    world.clock.advance(1)
    (told,) = read(await export(ada))["messages"]
    assert told == {
        "kind": "mail", "template": "password_changed", "state": "queued", "created_at": told["created_at"],
        "done_at": None,
    }  # fmt: skip
    assert told["created_at"].startswith("2026-11-23T05:00:0")


async def test_the_readme_says_what_is_where_in_plain_words(world: World) -> None:
    ada, _ = await member(world, "ada")
    text = opened(await export(ada)).read("README.txt").decode()
    assert text.startswith("Everything that Doorward keeps of the account ada, as of 2026-11-23T05:00:00.000Z.\n")
    for part in exports():
        assert f"\n{part.name}\n    {part.about}\n" in text
    assert "Not in it: your password" in text


# Who gets it ----------------------------------------------------------------------------------------------------------


async def test_a_program_gets_it_with_its_token(world: World) -> None:
    await member(world, "ada")
    body = {"identifier": "ada", "password": PASSWORD, "transport": "bearer"}
    token = (await world.visitor().post("/api/sessions", body)).json()["token"]
    answer = await world.visitor().post(API, headers={"authorization": f"Bearer {token}"})
    assert read(answer)["profile"]["uid"] == "ada"


@pytest.mark.asvs("7.5.1")
async def test_without_a_fresh_authentication_there_is_none(world: World) -> None:
    ada, _ = await member(world, "ada")
    world.clock.advance(STALE)
    refused = await export(ada)
    assert (refused.status_code, refused.json()["code"]) == (403, "reauthentication_needed")
    assert refused.json()["max_age"] == 600
    assert "max_age=600" in refused.headers["www-authenticate"]
    await ada.post("/api/sessions/current/reauthenticate", {"password": PASSWORD})
    assert (await export(ada)).status_code == 200


async def test_the_page_explains_and_hands_it_over(world: World) -> None:
    ada, _ = await member(world, "ada")
    page = await ada.get(PAGE)
    assert headings(page)[0] == "Your data"
    for part in exports():
        assert f"<li>{part.about}</li>" in page.text
    given = await ada.submit(TARGET, {}, PAGE)
    assert read(given)["profile"]["uid"] == "ada"
    assert given.headers["content-disposition"].startswith("attachment; ")


async def test_the_page_asks_for_a_fresh_authentication_and_comes_back(world: World) -> None:
    ada, _ = await member(world, "ada")
    world.clock.advance(STALE)
    page = await ada.get(PAGE)
    assert f'action="{TARGET}"' not in page.text
    assert 'href="/confirm?next=/account/data"' in page.text
    refused = await ada.http.post(TARGET, data={"csrf_token": ada.csrf}, headers={"origin": ORIGIN})
    assert (refused.status_code, refused.headers["location"]) == (303, "/confirm?next=/confirm/continue")
    assert (await ada.get(TARGET)).headers["location"] == PAGE, "not a dead end after /confirm"
    await ada.submit("/confirm", {"password": PASSWORD, "next": PAGE})
    assert (await ada.submit(TARGET, {}, PAGE)).status_code == 200


async def test_the_account_pages_lead_there(world: World) -> None:
    ada, _ = await member(world, "ada")
    page = (await ada.get("/account")).text
    assert (
        page.index('href="/account/sessions"')
        < page.index('href="/account/data"')
        < page.index('href="/account/delete"')
    )


async def test_it_is_made_a_few_times_an_hour(world: World) -> None:
    ada, _ = await member(world, "ada")
    statuses = [(await export(ada)).status_code for _ in range(6)]
    assert statuses == [200] * 5 + [429]
    refused = await ada.submit(TARGET, {}, PAGE)
    assert refused.status_code == 429
    assert "You have downloaded your data several times" in refused.text
    assert "data-wait=" in refused.text
    eve, _ = await member(world, "eve")
    assert (await export(eve)).status_code == 200, "each member has places of their own"
    world.clock.advance(3_600)
    await ada.post("/api/sessions/current/reauthenticate", {"password": PASSWORD})
    assert (await export(ada)).status_code == 200


async def test_each_export_is_in_the_audit(world: World) -> None:
    ada, user_id = await member(world, "ada")
    session = (await ada.get("/api/sessions/current")).json()["id"]
    await export(ada)
    (event,) = await audited(world, "sensitive_read")
    assert (event.outcome, event.user_id, event.actor_id, event.session_id) == ("success", user_id, user_id, session)
    assert json.loads(event.payload or "") == {"what": "export", "device": "Python"}


@pytest.mark.parametrize(
    ("uid", "plain"),
    [("ada-1", "ada-1"), ("Ада", "account"), ('a"b;c=d', "a-b-c-d"), ("a/../b\\c", "a-b-c"), ("x" * 50, "x" * 40)],
)
async def test_the_name_of_the_file_is_plain_whatever_the_handle(world: World, uid: str, plain: str) -> None:
    visitor = world.visitor()
    await visitor.sign_up(uid)
    disposition = (await export(visitor)).headers["content-disposition"]
    assert disposition == f'attachment; filename="doorward-{plain}-2026-11-23.zip"'


# Rooms that come later ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Notes:
    """A room that keeps notes and uploads, as far as an export sees it."""

    name: str
    about: str
    content: bytes | Mapping[str, Any] | Sequence[Any]

    def collect(self, user_id: str, now: Instant) -> Work[bytes | Mapping[str, Any] | Sequence[Any]]:
        assert user_id
        assert now
        yield from ()
        return self.content


def marked(text: str) -> str:
    """A translation that shows."""
    return f"<{text}>"


async def archive_of(world: World, *more: Exporting) -> zipfile.ZipFile:
    services = world.services
    ada, _ = await member(world, "ada")
    session = await services.sessions.find(str(ada.http.cookies["doorward"]), "cookie")
    assert session is not None
    made = await replace(services.export, parts=(*exports(), *more)).make(session, OPERATOR, marked)
    return zipfile.ZipFile(io.BytesIO(made.content))


async def test_another_room_adds_a_file_and_any_number_of_uploads(world: World) -> None:
    uploads = {"b.png": b"\x89PNG", "a.jpg": b"\xff\xd8\xff"}
    archive = await archive_of(
        world, Notes("notes.json", "Your notes", [{"text": "ü"}]), Notes("files/notes/", "Your pictures", uploads)
    )
    assert archive.namelist() == [*NAMES, "notes.json", "files/notes/a.jpg", "files/notes/b.png"]
    assert json.loads(archive.read("notes.json")) == [{"text": "ü"}]
    assert archive.read("files/notes/b.png") == b"\x89PNG"
    assert "files/notes/\n    <Your pictures>\n" in archive.read("README.txt").decode(), "in the reader's language"


@pytest.mark.parametrize("name", ["../a", "/a", "a/b", "", ".a", "a\\b", "a\n", "files"])
async def test_an_upload_whose_name_leads_elsewhere_is_a_mistake_of_ours(world: World, name: str) -> None:
    if name == "files":
        assert "files/files" in (await archive_of(world, Notes("files/", "", {name: b""}))).namelist()
        return
    with pytest.raises(ValueError, match="leads elsewhere"):
        await archive_of(world, Notes("files/", "", {name: b""}))


@pytest.mark.parametrize(
    "name", ["../a.json", "/a.json", "notes/a.json", "notes/", "", "a b", "profile.json", "README.txt", "files/../"]
)
def test_names_that_meet_or_lead_elsewhere_stop_the_server_at_start(name: str, export_of: type[Export]) -> None:
    nothing: Any = None
    with pytest.raises(ValueError, match="cannot all be in one archive"):
        export_of(
            nothing, nothing, nothing, nothing, nothing, nothing, nothing, "", (*exports(), Part(name, "", nothing))
        )


@pytest.fixture
def export_of() -> type[Export]:
    return Export

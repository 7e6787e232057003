"""The development mailbox: what a newcomer sees, and what tests of an application read."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest

from doorward.config import Settings
from doorward.config.settings import Site
from doorward.kernel.instant import SECOND
from doorward.messages.mailbox import AT_ONCE
from doorward.testing import MovableClock
from tests.http.conftest import ORIGIN, PASSWORD, Visitor, World, on_database

ADDRESS = "ada@example.org"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


async def write(world: World, template: str = "confirm_email", to: str = ADDRESS, **changed: str | int) -> None:
    """Have a mail sent to somebody."""
    samples: dict[str, dict[str, str | int]] = {
        "confirm_email": {"path": "/verify/t0k3n", "code": "123456", "hours": 24, "minutes": 10, "name": "Ada"},
        "invitation": {"path": "/invitation/t0k3n", "days": 7},
    }
    values = {**samples[template], **changed}
    await world.services.db.write(lambda: world.services.outbox.mail(template, to, "en", values))
    world.clock.advance(SECOND)


async def let_in(world: World) -> Visitor:
    """A browser that has followed the link in the terminal."""
    visitor = world.visitor()
    answer = await visitor.get(path(world))
    assert (answer.status_code, answer.headers["location"]) == (303, "/dev/mail")
    return visitor


def path(world: World) -> str:
    assert world.services.mailbox is not None
    return world.services.mailbox.path


async def test_the_printed_link_lets_a_browser_in_and_leaves_no_key_in_the_address(world: World) -> None:
    visitor = world.visitor()
    answer = await visitor.get(path(world))
    assert answer.headers["location"] == "/dev/mail"
    (cookie,) = [line for line in answer.headers.get_list("set-cookie") if line.startswith("doorward-mailbox=")]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    shown = await visitor.get("/dev/mail")
    assert shown.status_code == 200
    assert "Nothing has been sent yet" in shown.text


async def test_without_the_key_it_says_where_to_find_it(world: World) -> None:
    await write(world)
    for there in ("/dev/mail", "/dev/mail?key=", "/dev/mail?key=nonsense"):
        answer = await world.visitor().get(there)
        assert answer.status_code == 404
        assert "look in the terminal" in answer.text
        assert ADDRESS not in answer.text
        assert "set-cookie" not in answer.headers or "mailbox" not in answer.headers["set-cookie"]


async def test_the_newest_comes_first_with_its_link_and_its_code(world: World) -> None:
    await write(world)
    await write(world, "invitation", "bo@example.org")
    await world.services.db.write(
        lambda: world.services.outbox.text("confirm_phone", "+4915123456789", "en", {"code": "654321", "minutes": 10})
    )
    html = (await (await let_in(world)).get("/dev/mail")).text
    subjects = re.findall(r'<a href="/dev/mail/[^"]+"><bdi>([^<]+)</bdi>', html)
    assert subjects == [
        "654321 is your code for Doorward. It works for 10 minutes. Give it to nobody.",
        "You are invited to Doorward",
        "123456 is your code for Doorward",
    ]
    assert re.findall(r"\+4915123456789|bo@example.org|ada@example.org", html) == ["+4915123456789", "bo@example.org",
                                                                                  ADDRESS]  # fmt: skip
    assert '<a class="button secondary small" href="/invitation/t0k3n"' in html
    assert 'data-copy="654321"' in html
    assert '<meta http-equiv="refresh" content="3">' in html  # without JavaScript it looks again, too


async def test_a_message_is_shown_as_html_and_as_text(world: World) -> None:
    await write(world)
    visitor = await let_in(world)
    listed = await visitor.get("/dev/mail")
    (there,) = re.findall(r'href="(/dev/mail/[^"]+)"', listed.text)
    page = await visitor.get(there)
    assert "frame-src 'self'" in page.headers["content-security-policy"]
    assert f'<iframe src="{there}/html"' in page.text
    assert "http://localhost:8000/verify/t0k3n" in page.text
    sheet = await visitor.get(f"{there}/html")
    policy = sheet.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;")
    assert "sandbox allow-popups allow-popups-to-escape-sandbox" in policy
    assert "script-src" not in policy
    assert sheet.headers["x-frame-options"] == "SAMEORIGIN"
    assert '<head><base target="_blank">' in sheet.text
    assert "Hello <bdi>Ada</bdi>," in sheet.text


async def test_a_text_message_has_no_html(world: World) -> None:
    await world.services.db.write(
        lambda: world.services.outbox.text("confirm_phone", "+4915123456789", "en", {"code": "654321", "minutes": 10})
    )
    visitor = await let_in(world)
    (there,) = re.findall(r'href="(/dev/mail/[^"]+)"', (await visitor.get("/dev/mail")).text)
    page = await visitor.get(there)
    assert "<iframe" not in page.text
    assert "@localhost #654321" in page.text
    assert (await visitor.get(f"{there}/html")).status_code == 404


async def test_programs_read_it_as_json_with_the_key_in_a_header(world: World) -> None:
    await write(world)
    answer = await world.visitor().get("/dev/mail.json", headers={"x-mailbox-key": path(world).partition("=")[2]})
    (message,) = answer.json()["messages"]
    assert message.pop("id")
    assert message.pop("created_at").endswith("Z")
    assert message.pop("text").startswith("Hello Ada,\n")
    assert message == {
        "kind": "mail",
        "to": ADDRESS,
        "subject": "123456 is your code for Doorward",
        "code": "123456",
        "link": "http://localhost:8000/verify/t0k3n",
    }
    refused = await world.visitor().get("/dev/mail.json")
    assert refused.status_code == 404
    assert "The key is missing: it is in the link that the server printed" in refused.text


async def test_what_is_written_for_the_sake_of_equal_work_is_not_shown(world: World) -> None:
    await world.services.db.write(lambda: world.services.outbox.nothing(ADDRESS, "en", {"code": "123456"}))
    visitor = await let_in(world)
    assert (await visitor.get("/dev/mail.json")).json() == {"messages": []}


async def test_it_shows_the_newest_and_no_more(world: World) -> None:
    for number in range(AT_ONCE + 2):
        await write(world, to=f"n{number}@example.org")
    messages = (await (await let_in(world)).get("/dev/mail.json")).json()["messages"]
    assert [one["to"] for one in messages] == [f"n{number}@example.org" for number in range(AT_ONCE + 1, 1, -1)]


async def test_messages_are_gone_after_a_day(world: World) -> None:
    await write(world)
    world.clock.advance(86_401 * SECOND)
    await world.services.delivery.purge()
    assert (await (await let_in(world)).get("/dev/mail.json")).json() == {"messages": []}


async def test_an_id_of_nothing_is_not_found(world: World) -> None:
    visitor = await let_in(world)
    for there in ("/dev/mail/01a20b87-87aa-7a3d-a416-bb3e77f20d55", "/dev/mail/x", "/dev/mail/x/html"):
        assert (await visitor.get(there)).status_code == 404


async def test_the_key_is_the_same_after_a_restart_and_another_in_other_data(
    sqlite_address: str, settings: Settings, tmp_path: Path, clock: MovableClock
) -> None:
    paths = []
    for folder in ("one", "one", "two"):
        (tmp_path / folder).mkdir(exist_ok=True)
        async with on_database(sqlite_address, settings, tmp_path / folder, clock) as world:
            paths.append(path(world))
    assert paths[0] == paths[1] != paths[2]


@pytest.fixture
async def with_logo(
    sqlite_address: str, settings: Settings, tmp_path: Path, clock: MovableClock
) -> AsyncIterator[World]:
    """A world whose mails carry a logo."""
    (tmp_path / "logo.png").write_bytes(PNG)
    changed = msgspec.structs.replace(settings, site=Site(logo=str(tmp_path / "logo.png")))
    async with on_database(sqlite_address, changed, tmp_path, clock) as world:
        yield world


async def test_the_logo_is_shown_without_fetching_it(with_logo: World) -> None:
    await write(with_logo)
    visitor = await let_in(with_logo)
    (there,) = re.findall(r'href="(/dev/mail/[^"]+)"', (await visitor.get("/dev/mail")).text)
    sheet = (await visitor.get(f"{there}/html")).text
    assert 'src="data:image/png;base64,iVBORw0KGgo' in sheet
    assert "cid:" not in sheet


async def test_a_newcomer_signs_up_with_nothing_but_the_mailbox(mail_world: World) -> None:
    newcomer = mail_world.visitor()
    begun = await newcomer.post("/api/users", {"email": ADDRESS, "password": PASSWORD})
    assert begun.status_code == 202
    messages = (await (await let_in(mail_world)).get("/dev/mail.json")).json()["messages"]
    link: str = messages[0]["link"]
    assert link.startswith(f"{ORIGIN}/verify/")
    confirmed = await newcomer.submit(urlsplit(link).path, {})
    assert confirmed.status_code == 303
    current: httpx.Response = await newcomer.get("/api/sessions/current")
    assert current.status_code == 200

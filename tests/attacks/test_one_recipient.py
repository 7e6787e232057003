"""One message goes to one recipient, and its link leads to us, whatever was typed and whatever headers say (C17, C44).

ASVS 5.0: 1.2.x (no injection into headers), 2.2.1 (validation). Each way in which strangers have mail sent is a row of
`WAYS`: what sends it, and which answer says that it may have been sent.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from tests.http.conftest import ORIGIN, PASSWORD, Inbox, Sent, Visitor, World

Way = Callable[[Visitor, Any], Awaitable[httpx.Response]]

REFUSED = {
    "two addresses": "ada@example.org,eve@evil.example",
    "two with a space": "ada@example.org eve@evil.example",
    "two with a semicolon": "ada@example.org;eve@evil.example",
    "two at signs": "ada@example.org@evil.example",
    "a name before it": "Ada <ada@example.org>",
    "angle brackets": "<ada@example.org>",
    "CRLF": "ada@example.org\r\nBcc: eve@evil.example",
    "LF": "ada@example.org\nBcc: eve@evil.example",
    "an encoded CRLF in the local part": "ada\r@example.org",
    "NUL": "ada\x00@example.org",
    "NEL": "ada\x85@example.org",
    "a line separator": "ada\u2028@example.org",
    "an override": "ada\u202e@example.org",
    "a zero-width space": "ada\u200b@example.org",
    "5,000 characters": "a" * 4_988 + "@example.org",
    "255 octets": "a" * 64 + "@" + ("b" * 63 + ".") * 2 + "c" * 58 + ".org",
    "a long local part": "a" * 65 + "@example.org",
    "a quoted local part": '"ada lovelace"@example.org',
    "a quoted local part with a comma": '"ada,eve@evil.example"@example.org',
    "a comment": "ada(eve@evil.example)@example.org",
    "an IP literal": "ada@[127.0.0.1]",
    "an IP": "ada@127.0.0.1",
    "a bare host": "ada@localhost",
    "a percent route": "ada%evil.example@",
    "a source route": "@evil.example:ada@example.org",
    "a dot at the end": "ada@example.org.",
    "two dots": "ada..l@example.org",
    "an option of sendmail": "-oQ/tmp@example.org -be",
    "a list": ["ada@example.org", "eve@evil.example"],
    "a list of one": ["ada@example.org"],
    "an object": {"email": "ada@example.org"},
    "a number": 7,
    "true": True,
}
SENT_AS_TYPED = {
    "a plus-address": "ada+doorward@example.org",
    "an IDN": "ada@b\u00fccher.example",
    "an IDN in ASCII": "ada@xn--bcher-kva.example",
    "another script": "\u7528\u6237@\u4f8b\u5b50.example",
    "a dash": "-ada@example.org",
    "an apostrophe": "o'hara@example.org",
    "a percent sign": "ada%eve@example.org",
    "an exclamation mark": "evil.example!ada@example.org",
    "capitals": "Ada.Lovelace@Example.ORG",
}
LIES = (
    {"host": "evil.example"},
    {"host": "evil.example:8000"},
    {"x-forwarded-host": "evil.example"},
    {"x-forwarded-proto": "https", "x-forwarded-host": "evil.example", "x-forwarded-port": "1"},
    {"forwarded": "host=evil.example;proto=https"},
    {"x-original-url": "https://evil.example/", "x-host": "evil.example"},
    {"referer": "https://evil.example/"},
)


async def sign_up(visitor: Visitor, email: Any, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await visitor.http.post("/api/users", json={"email": email, "password": PASSWORD}, headers=named)


WAYS: dict[str, tuple[Way, int]] = {"sign-up": (sign_up, 202)}


def recipients(sent: list[Sent]) -> list[str]:
    return [one.recipient for one in sent]


@pytest.mark.asvs("2.2.1")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("typed", REFUSED)
async def test_what_is_not_one_address_is_refused_and_nothing_is_sent(
    mail_world: World, inbox: Inbox, way: str, typed: str
) -> None:
    send, _ = WAYS[way]
    answer = await send(mail_world.visitor(), REFUSED[typed])
    assert answer.status_code == 400
    assert "email" in {error["field"] for error in answer.json()["errors"]}
    assert await inbox.rows() == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("typed", SENT_AS_TYPED)
async def test_an_unusual_address_gets_one_message_as_it_was_typed(
    mail_world: World, inbox: Inbox, way: str, typed: str
) -> None:
    send, expected = WAYS[way]
    answer = await send(mail_world.visitor(), SENT_AS_TYPED[typed])
    assert answer.status_code == expected
    assert recipients(await inbox.rows()) == [SENT_AS_TYPED[typed]]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("lie", LIES, ids=str)
async def test_no_header_decides_where_a_link_leads(
    mail_world: World, inbox: Inbox, way: str, lie: dict[str, str]
) -> None:
    send, _ = WAYS[way]
    await send(mail_world.visitor(**lie), "ada@example.org")
    for mail in await inbox.rows():
        assert mail.recipient == "ada@example.org"
        assert "evil" not in repr(mail.values)
        paths = [value for name, value in mail.values.items() if name.endswith("path")]
        assert all(re.fullmatch(r"(/[\w-]+)+", path) for path in paths), paths


@pytest.mark.parametrize("way", WAYS)
async def test_a_known_address_in_other_letters_goes_to_the_owners_own(
    mail_world: World, inbox: Inbox, way: str
) -> None:
    send, expected = WAYS[way]
    owner = mail_world.visitor("203.0.113.9")
    await sign_up(owner, "ada@example.org")
    await owner.post("/api/verifications", {"code": (await inbox.last()).values["code"]})
    before = len(await inbox.rows())
    answer = await send(mail_world.visitor(), "ADA@EXAMPLE.ORG")
    assert answer.status_code == expected
    assert recipients((await inbox.rows())[before:]) == ["ada@example.org"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("look_alike", ["\u0430da@example.org", "ada@ex\u0430mple.org", "\uff41da@example.org"])
async def test_a_look_alike_of_a_known_address_is_another_one(
    mail_world: World, inbox: Inbox, way: str, look_alike: str
) -> None:
    send, _ = WAYS[way]
    owner = mail_world.visitor("203.0.113.9")
    await sign_up(owner, "ada@example.org")
    await owner.post("/api/verifications", {"code": (await inbox.last()).values["code"]})
    before = len(await inbox.rows())
    await send(mail_world.visitor(), look_alike)
    assert "ada@example.org" not in recipients((await inbox.rows())[before:])


async def test_a_field_given_twice_is_refused(mail_world: World, inbox: Inbox) -> None:
    visitor = mail_world.visitor()
    twice = f'{{"email": "ada@example.org", "email": "eve@evil.example", "password": "{PASSWORD}"}}'
    kind = {"content-type": "application/json"}
    assert (await visitor.http.post("/api/users", content=twice, headers=kind)).status_code == 400
    page = await visitor.get("/sign-up")
    token = page.text.split('name="csrf_token" value="')[1].split('"')[0]
    form = f"csrf_token={token}&email=ada@example.org&email=eve@evil.example&password=seven+quiet+herons+at+noon"
    kind = {"content-type": "application/x-www-form-urlencoded", "origin": ORIGIN, "sec-fetch-site": "same-origin"}
    assert (await visitor.http.post("/sign-up", content=form, headers=kind)).status_code == 400
    assert await inbox.rows() == []

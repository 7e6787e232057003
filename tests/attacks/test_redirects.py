"""Addresses that would send a browser elsewhere (C42): every parameter that a redirect follows, and every trick."""

import re
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

from tests.http.conftest import ORIGIN, PASSWORD, World

TRICKS = (
    "//evil.example",
    "///evil.example",
    "////evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "https:evil.example",
    "https://evil.example",
    "http:/evil.example",
    "HTTPS://EVIL.EXAMPLE",
    "//evil.example/account",
    "//localhost:8000@evil.example",
    "http://localhost:8000@evil.example",
    "http://localhost:8000.evil.example",
    "/%0d%0aLocation: https://evil.example",
    "/\r\nSet-Cookie: a=b",
    "/\n/evil.example",
    "/\t/evil.example",
    "\t//evil.example",
    " //evil.example",
    "//evil%E3%80%82example",
    "//evil\u3002example",
    "/\u2028/evil.example",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,x",
    "vbscript:x",
    "file:///etc/passwd",
    "?next=//evil.example",
    "#//evil.example",
    "evil.example",
    ".evil.example",
    "@evil.example",
    ":80",
    "/\x00/evil.example",
    "//[::1]",
    "//0x7f000001",
    "//127.1",
    "/" + "a" * 3_000,
    "/a\\..\\b",
    "",
)
HARMLESS = (
    "/account/sessions",
    "/members?sort=-coins",
    "/%2f/evil.example",
    "/.//evil.example",
    "/..//evil.example",
    "/@evil.example",
    "/a//b",
    "/;@evil",
)
NEXT = re.compile(r'name="next" value="([^"]*)"')


def leads_to(answer: httpx.Response) -> str:
    """Where a browser goes, as it reads the address: backslashes are slashes, tabs and line breaks are dropped."""
    location = answer.headers["location"]
    assert location.isascii()
    assert not [letter for letter in location if ord(letter) <= 0x20]
    return urljoin(f"{ORIGIN}/sign-in", location.replace("\\", "/"))


def stays_here(answer: httpx.Response) -> bool:
    parts = urlsplit(leads_to(answer))
    return f"{parts.scheme}://{parts.netloc}" == ORIGIN and "//evil" not in answer.headers["location"][:3]


@pytest.mark.asvs("3.7.2")
@pytest.mark.parametrize("database_address", ["sqlite"], indirect=True)
async def test_no_parameter_sends_anybody_elsewhere(world: World) -> None:
    member = world.visitor()
    await member.sign_up("ada")
    for number, trick in enumerate((*TRICKS, *HARMLESS)):
        world.clock.advance(60)
        stranger = world.visitor(f"198.51.100.{number + 1}")
        newcomer = {"uid": f"new-{number}", "name": "Newcomer", "password": PASSWORD, "next": trick}
        answers = [
            await member.get("/sign-in", params={"next": trick}),
            await member.get("/sign-up", params={"next": trick}),
            await member.submit("/preferences", {"theme": "dark", "return_to": trick}, "/account"),
            await member.submit("/confirm", {"password": PASSWORD, "next": trick}),
            await stranger.submit("/sign-in", {"identifier": "ada", "password": PASSWORD, "next": trick}),
            await world.visitor(f"198.51.100.{number + 1}").submit("/sign-up", newcomer),
        ]
        for answer in answers:
            assert answer.status_code == 303, (trick, answer.request.url)
            assert stays_here(answer), (trick, answer.headers["location"])
            assert answer.headers.get_list("set-cookie") == [
                c for c in answer.headers.get_list("set-cookie") if c.startswith("doorward")
            ]
            if trick in HARMLESS:
                assert answer.headers["location"] == trick


@pytest.mark.asvs("3.7.2")
@pytest.mark.parametrize("database_address", ["sqlite"], indirect=True)
async def test_forms_carry_on_only_addresses_of_ours(world: World) -> None:
    for trick in TRICKS:
        for path in ("/sign-in", "/sign-up"):
            page = await world.visitor().get(path, params={"next": trick})
            assert NEXT.findall(page.text) == ["/account"]
            again = await world.visitor().submit(path, {"identifier": "x", "password": "", "next": trick})
            assert again.status_code == 400
            assert NEXT.findall(again.text) == ["/account"]


@pytest.mark.asvs("3.7.2")
@pytest.mark.parametrize("host", ["evil.example", "localhost:8000@evil.example", "", "evil.example:8000"])
@pytest.mark.parametrize("database_address", ["sqlite"], indirect=True)
async def test_the_host_header_makes_no_link(world: World, host: str) -> None:
    visitor = world.visitor()
    headers = {
        "host": host,
        "x-forwarded-host": "evil.example",
        "x-forwarded-proto": "ftp",
        "forwarded": "host=evil.example",
    }
    for path in ("/account", "/", "/sign-in", "/nothing", "/api/users/me", "/api/openapi.json", "/setup/x"):
        answer = await visitor.get(path, headers=headers)
        assert "evil.example" not in answer.text
        assert "evil" not in answer.headers.get("location", "")


@pytest.mark.asvs("3.7.2")
@pytest.mark.parametrize("database_address", ["sqlite"], indirect=True)
async def test_who_must_sign_in_first_comes_back_to_where_they_wanted_to_go(world: World) -> None:
    await world.visitor().sign_up("ada")
    visitor = world.visitor()
    sent = await visitor.get("/account/sessions")
    assert sent.headers["location"] == "/sign-in?next=/account/sessions"
    answer = await visitor.submit(
        "/sign-in", {"identifier": "ada", "password": PASSWORD, "next": "/account/sessions"}, sent.headers["location"]
    )
    assert answer.headers["location"] == "/account/sessions"

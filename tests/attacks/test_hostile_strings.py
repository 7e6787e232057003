"""Strings that break programs, into everything that takes text: kept exactly as sent, or refused by name (C44)."""

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest

from doorward.config import Settings
from tests.http.conftest import ORIGIN, PASSWORD, Visitor, World
from tests.support.attack import fields_of
from tests.support.hostile import hostile_strings

pytestmark = pytest.mark.slow

MANY = {"per_address": "100000/1m", "everybody": "100000/1m"}
TEXTS = ("name", "email", "dob", "motto", "secret")
GOOD: Mapping[str, Any] = {"name": "Good Name", "password": PASSWORD}
READ = (
    "/api/users?sort={}",
    "/api/users?cursor={}",
    "/api/users?limit={}",
    "/api/users/{}",
    "/members?sort={}",
    "/members?cursor={}",
    "/account/activity?cursor={}",
    "/api/users/me/activity?cursor={}",
    "/api/users/me/activity?limit={}",
    "/sign-in?next={}",
    "/sign-up?next={}",
    "/confirm?next={}",
    "/account?{}=1",
    "/problems/{}",
    "/setup/{}",
    "/{}",
    "/?{}",
)
HEADERS = (  # sent together
    ("user-agent", "accept-language", "referer", "x-forwarded-for", "accept", "if-none-match"),
    ("origin", "sec-fetch-site", "x-csrf-token"),
    ("cookie",),
    ("authorization",),
    ("host",),
)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, limits={"sign-up": MANY, "sign-up-free": MANY, "sign-in": MANY})


def fewer() -> list[str]:
    """Our own strings, and every fifth of the many others."""
    strings = hostile_strings()
    return [*strings[:150], *strings[150::5]]


async def send(visitor: Visitor, method: str, path: str, body: Mapping[str, Any]) -> httpx.Response:
    """JSON in ASCII: the only way to write half a character."""
    headers = {"content-type": "application/json", "x-csrf-token": visitor.csrf}
    return await visitor.http.request(method, path, content=json.dumps(body), headers=headers)


def header_safe(strings: Iterable[str]) -> list[bytes]:
    """As a sender writes them; servers refuse line breaks and NUL in headers before we see them."""
    encoded = (text.encode("utf-8", "surrogatepass") for text in strings)
    return [value for value in encoded if not {0, 10, 13} & set(value)]


async def refused(visitor: Visitor, method: str, path: str, body: Mapping[str, Any]) -> set[str]:
    """The fields that are named when all of `body` is sent at once; half characters spoil the whole body."""
    answer = await send(visitor, method, path, body)
    assert answer.status_code in {200, 201, 400}, (body, answer.text)
    if answer.status_code != 400:
        return set()
    named = fields_of(answer)
    assert named <= set(body), answer.text
    assert named or answer.json()["code"] == "malformed", answer.text
    return named or set(body)


@pytest.mark.asvs("2.2.1")
@pytest.mark.asvs("1.2.4")
async def test_every_string_signs_up_as_it_is_or_is_refused_by_name(world: World) -> None:
    kept = 0
    for number, text in enumerate(fewer()):
        visitor = world.visitor()
        body = {"uid": text, "password": text, "tracking": {"text": text}, **dict.fromkeys(TEXTS, text)}
        named = await refused(visitor, "POST", "/api/users", body)
        good = {**GOOD, "uid": f"user-{number}"}
        accepted = {name: value for name, value in body.items() if name not in named}
        sent = {**good, **accepted}
        answer = await send(visitor, "POST", "/api/users", sent)
        if answer.status_code == 400 and fields_of(answer) == {"uid"}:  # looks like one that came before
            assert answer.json()["errors"][0]["code"] == "taken"
            continue
        assert answer.status_code == 201, (text, answer.text)
        came_back = (await visitor.get("/api/users/me")).json()
        for name in accepted.keys() - {"password"}:
            assert came_back[name] == sent[name], (name, text)
        signed_in = await world.visitor().sign_in(sent["uid"], sent["password"])
        assert signed_in.status_code == 201, text
        kept += len(accepted)
    assert kept > 100


@pytest.mark.asvs("2.2.1")
async def test_every_string_updates_a_profile_as_it_is_or_is_refused_by_name(world: World) -> None:
    visitor = world.visitor()
    await visitor.sign_up("ada")
    for text in hostile_strings():
        body = {"tracking": {"text": [text]}, "exercise": {text: None}, **dict.fromkeys(TEXTS, text)}
        named = await refused(visitor, "PATCH", "/api/users/me", body)
        sent = {name: value for name, value in body.items() if name not in named}
        if sent:
            answer = await send(visitor, "PATCH", "/api/users/me", sent)
            assert answer.status_code == 200, (text, answer.text)
            came_back = (await visitor.get("/api/users/me")).json()
            assert {name: came_back[name] for name in sent} == sent


@pytest.mark.asvs("2.2.1")
@pytest.mark.parametrize("database_address", ["sqlite"], indirect=True)
async def test_every_string_goes_through_every_form(world: World) -> None:
    visitor, stranger = world.visitor(), world.visitor(origin=ORIGIN)
    await visitor.sign_up("ada")
    mine = {"csrf_token": visitor.csrf}
    theirs = {"csrf_token": (await stranger.get("/sign-in")).text.split('name="csrf_token" value="')[1].split('"')[0]}
    for text in fewer():
        try:
            text.encode()
        except UnicodeEncodeError:
            continue  # no form can send half a character
        texts = dict.fromkeys(TEXTS, text)
        for who, path, form in (
            (stranger, "/sign-in", {**theirs, "identifier": text, "password": text, "next": text}),
            (stranger, "/sign-up", {**theirs, "uid": text, "name": text, "email": text, "password": "short"}),
            (visitor, "/account/profile", {**mine, **texts, "tracking": text, "exercise": text}),
            (visitor, "/account/password", {**mine, "current_password": text, "new_password": text}),
            (visitor, "/account/delete", {**mine, "confirm": text}),
            (visitor, "/confirm", {**mine, "password": "", "next": text}),
            (visitor, "/preferences", {**mine, "theme": text, "lang": text, "return_to": text}),
            (visitor, "/account/profile", {**mine, "name": "Ada", text or "x": text}),
        ):
            answer = await who.http.post(path, data=form)
            assert answer.status_code in {303, 400, 401, 403, 429}, (path, text, answer.status_code)


@pytest.mark.parametrize("database_address", ["postgresql"], indirect=True)
async def test_every_string_in_an_address_is_harmless(world: World) -> None:
    visitor = world.visitor()
    await visitor.sign_up("ada")
    for text in fewer():
        written = quote(text.encode("utf-8", "surrogatepass"), safe="")
        for path in READ:
            answer = await visitor.get(path.format(written))
            assert answer.status_code < 500, (path, text)


@pytest.mark.parametrize("database_address", ["sqlite"], indirect=True)
async def test_every_string_in_a_header_is_harmless(world: World) -> None:
    visitor = world.visitor()
    await visitor.sign_up("ada")
    body = {"identifier": "ada", "password": PASSWORD}
    for value in header_safe(fewer()):
        for names in HEADERS:
            headers = httpx.Headers([(name.encode(), value) for name in names])
            assert (await visitor.http.get("/api/sessions", headers=headers)).status_code < 500, (names, value)
        agent = httpx.Headers([(b"user-agent", value), (b"accept-language", value)])
        answer = await world.visitor().http.post("/api/sessions", json=body, headers=agent)
        assert answer.status_code == 201, value
    assert (await visitor.get("/account/sessions")).status_code in {200, 303}

"""Names and fields that are markup: text in every page, and JSON that no browser takes for a page ."""

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from doorward.config import Settings
from doorward.datadir import DataDir
from doorward.testing import MovableClock
from tests.http.conftest import PASSWORD, Visitor, World, running
from tests.support.geoip import PARIS, place, write_places

MARKUP = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onfocus='alert(1)' autofocus='",
    '" onmouseover="alert(1)',
    "</textarea><script>alert(1)</script>",
    "</title><svg/onload=alert(1)>",
    "<!--<base href=//evil.example>",
    "javascript:alert(1)//",
    "{{7*7}}{% raw %}${7*7}",
    "%(name)s %s {0} {name}",
    "<iframe srcdoc=x></iframe>",
    "<meta http-equiv=refresh content=0>",
    "<form action=//evil.example><button>",
    "&lt;script&gt;&#x3c;b&#x3e;",
)
ELEMENTS = {"script", "form", "meta", "link", "a", "img", "base", "iframe", "svg", "style", "object", "embed"}


class Page(HTMLParser):
    """The elements of a page, and whatever in it could run or lead away."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.shape: list[str] = []
        self.texts: list[str] = []
        self.harmful: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.shape.append(tag)
        given = {name: value or "" for name, value in attrs}
        self.texts.extend(given.values())
        self.harmful += [f"{tag} {name}" for name in given if name.startswith("on") or name in {"style", "srcdoc"}]
        if tag in {"iframe", "base", "object", "embed", "img", "style"} or "http-equiv" in given:
            self.harmful.append(tag)
        if tag == "script" and not given.get("src", "").startswith("/static/"):
            self.harmful.append(f"script {given}")
        for name in ("href", "action", "formaction", "src"):
            if name in given and not given[name].startswith(("/", "#", "mailto:")):
                self.harmful.append(f"{tag} {name}={given[name]}")
            if given.get(name, "").startswith("//"):
                self.harmful.append(f"{tag} {name}={given[name]}")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


async def shape_of(answer: httpx.Response) -> list[str]:
    """The elements of a page that is inert."""
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    page = Page(answer.text)
    assert page.harmful == []
    return page.shape


async def pages_of(visitor: Visitor) -> dict[str, httpx.Response]:
    paths = (
        "/account",
        "/account/password",
        "/account/sessions",
        "/account/activity",
        "/account/data",
        "/account/delete",
        "/members",
        "/members?sort=-coins",
        "/confirm",
        "/nothing/here",
        "/api/docs",
    )
    return {path: await visitor.get(path) for path in paths}


@pytest.mark.asvs("1.2.1")
@pytest.mark.asvs("3.2.2")
@pytest.mark.parametrize("database_address", ["sqlite"], indirect=True)
async def test_markup_in_names_and_fields_is_text_on_every_page(world: World) -> None:
    plain = world.visitor()
    await plain.sign_up("plain", name="Plain Name", motto="x", tracking={"a": ["b"]}, secret="y")
    shapes = {path: await shape_of(page) for path, page in (await pages_of(plain)).items()}
    for number, markup in enumerate(MARKUP):
        world.clock.advance(60)
        writer = world.visitor(f"198.51.100.{number + 1}", **{"user-agent": markup})
        texts: dict[str, Any] = {"name": markup, "motto": markup, "secret": markup, "tracking": {markup: [markup]}}
        await writer.sign_up(f"writer-{number}", **texts)
        for path, page in (await pages_of(writer)).items():
            shape = await shape_of(page)
            assert path.startswith("/members") or shape == shapes[path], (path, markup)
        profile = Page((await writer.get("/account")).text)
        assert profile.texts.count(markup) >= 3, "name, motto and secret come back as they were typed"
    listed = Page((await plain.get("/members")).text)
    assert listed.harmful == []
    assert [markup for markup in MARKUP if markup not in listed.texts] == []


@pytest.mark.asvs("1.2.1")
async def test_markup_in_the_names_of_a_file_of_places_is_text(
    settings: Settings, tmp_path: Path, clock: MovableClock
) -> None:
    """Whoever writes that file is nobody that we know."""
    file = write_places(tmp_path / "places.mmdb")
    server = msgspec.structs.replace(settings.server, geoip_file=str(file))
    async with running(msgspec.structs.replace(settings, server=server), DataDir.open(tmp_path / "d"), clock) as world:
        ada = world.visitor(PARIS)
        await ada.sign_up("ada")
        shape = await shape_of(await ada.get("/account/sessions"))
        for markup in MARKUP:
            write_places(file, {f"{PARIS}/32": place(markup, markup[::-1])})
            for _ in range(2):
                await world.services.places.renew()
            page = await ada.get("/account/sessions")
            assert await shape_of(page) == shape, markup
            assert f"{markup}, {markup[::-1]}" in Page(page.text).texts
            listed = await ada.get("/api/sessions")
            assert listed.headers["content-type"] == "application/json"
            assert [row["place"] for row in listed.json()["data"]] == [f"{markup}, {markup[::-1]}"]


@pytest.mark.asvs("1.2.1")
@pytest.mark.parametrize("database_address", ["sqlite"], indirect=True)
async def test_markup_that_a_refused_form_shows_again_is_text(world: World) -> None:
    visitor = world.visitor()
    shape = None
    for markup in MARKUP:
        answers = [
            await visitor.submit(
                "/sign-up", {"uid": markup, "name": markup, "email": markup, "password": "x", "next": markup}
            ),
            await visitor.submit("/sign-in", {"identifier": markup, "password": PASSWORD, "next": markup}),
            await visitor.submit("/sign-up", {markup: markup, "uid": "x"}),
            await visitor.get("/sign-in", params={"next": markup}),
            await visitor.get(f"/problems/{httpx.QueryParams({'x': markup})}"),
            await visitor.get(f"/{httpx.URL('/', params={'x': markup}).query.decode()}"),
            await visitor.get("/members", params={"sort": markup}),
        ]
        for answer in answers:
            if answer.status_code != 303:
                await shape_of(answer)
        first = Page(answers[1].text)
        assert markup in first.texts, "what was typed is still there"
        shape = shape or first.shape
        assert first.shape == shape


@pytest.mark.asvs("3.2.1")
@pytest.mark.parametrize("database_address", ["sqlite"], indirect=True)
async def test_no_browser_takes_json_for_a_page(world: World) -> None:
    visitor = world.visitor()
    user = await visitor.sign_up("ada", name=MARKUP[0], motto=MARKUP[1])
    answers = [
        await visitor.get("/api/users/me"),
        await visitor.get("/api/users"),
        await visitor.get("/api/sessions/current"),
        await visitor.get("/api/<script>alert(1)</script>"),
        await visitor.get("/api/users", params={"sort": MARKUP[0]}),
        await visitor.send("PATCH", f"/api/users/{user['id']}", {MARKUP[0]: 1}),
    ]
    for answer in answers:
        assert answer.headers["content-type"] in {"application/json", "application/problem+json"}
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]

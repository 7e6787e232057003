"""What people see and do in the front end of the fitness example, in Chromium, on three origins.

Every window is watched: an error, a violation of the Content Security Policy or a request to elsewhere fails the test.
Pictures of the pages are left in build/screenshots.
"""

import gzip
import re
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Dialog, Error, Page, Route, expect

from fitness import sample
from fitness.demo import Place
from tests.examples.test_fitness_api import drawn
from tests.support.chromium import AXE, RULES, chromium, violations
from tests.support.fitness import Member, add_user
from tests.support.hosted import PASSWORD
from tests.support.hostile import hostile_strings
from tests.support.measuring import MEASURED
from tests.support.serving import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SCREENSHOTS = ROOT / "build/screenshots"
SUBMIT = "main form[data-checked] button:not([type=button])"
VIEWS = ("notes", "exercise", "leaderboard", "profile")
MARKUP = (
    "<script>document.title = 'owned'</script>", "<img src=x onerror=\"document.title = 'owned'\">",
    "<svg/onload=\"document.title = 'owned'\">", "</li><iframe srcdoc='<script>parent.document.title = 1</script>'>",
    "<a href=\"javascript:document.title = 'owned'\">x</a>", "\" autofocus onfocus=\"document.title = 'owned'",
    "<style>body { display: none }</style>", "<base href=//evil.example>", "<meta http-equiv=refresh content=0>",
    "{{constructor.constructor('document.title = 1')()}}", "${document.title = 'owned'}", "<!--", "<![CDATA[",
    "<form action=//evil.example><button>", "&lt;b&gt;&#x3c;script&#x3e;", "<math><mi xlink:href='data:x,1'>",
)  # fmt: skip
_numbers = count(1)


@dataclass
class Watched:
    """Windows of people, and what went wrong in any of them."""

    browser: Browser
    place: Place
    wrong: list[str] = field(default_factory=list)
    contexts: list[BrowserContext] = field(default_factory=list)

    def window(self, width: int = 1100, scheme: str = "light", **more: Any) -> Page:
        given = {"viewport": {"width": width, "height": 844}, "reduced_motion": "reduce", "locale": "en", **more}
        context = self.browser.new_context(base_url=self.place.web, color_scheme=scheme, **given)  # type: ignore[arg-type]  # light, dark
        context.on("console", lambda said: self._hear(said.type, said.text))
        context.on("weberror", lambda error: self.wrong.append(str(error.error)))
        context.on("request", lambda asked: self._look(asked.url))
        context.on("dialog", self._open)
        self.contexts.append(context)
        return context.new_page()

    def _hear(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"} and "responded with a status of 4" not in text:
            self.wrong.append(text)

    def _look(self, url: str) -> None:
        ours = [f"{origin}/" for origin in (self.place.web, self.place.api, self.place.issuer)]
        if not url.startswith((*ours, "data:", "blob:")):
            self.wrong.append(url)

    def _open(self, dialog: Dialog) -> None:
        self.wrong.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    def close(self) -> None:
        for context in self.contexts:
            context.close()
        assert self.wrong == []


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def watched(browser: Browser, place: Place) -> Iterator[Watched]:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    one = Watched(browser, place)
    yield one
    one.close()


def sign_in(page: Page, uid: str, password: str = PASSWORD) -> None:
    page.goto("/")
    page.get_by_role("button", name="Sign in").click()
    page.fill("[name=identifier]", uid)
    page.fill("[name=password]", password)
    page.click(SUBMIT)
    expect(page.locator("#tabs")).to_be_visible()


def newcomer(place: Place) -> str:
    uid = f"eve{next(_numbers)}"
    add_user(place, uid)
    return uid


def go(page: Page, view: str) -> None:
    page.click(f"nav a[href='#{view}']")
    expect(page.locator(f"#{view}-title")).to_be_focused()


def settled(page: Page) -> None:
    page.wait_for_load_state("networkidle")


def accessible(page: Page) -> None:
    page.evaluate(AXE.read_text("utf-8"))
    assert violations(page, {"runOnly": {"type": "tag", "values": RULES}}) == []


def test_a_newcomer_signs_up_and_writes_notes_with_pictures(watched: Watched, place: Place, tmp_path: Path) -> None:
    page = watched.window()
    page.goto("/")
    page.get_by_role("button", name="Create an account").click()
    expect(page).to_have_url(re.compile(re.escape(f"{place.issuer}/sign-up")))
    page.fill("[name=uid]", f"zoe{next(_numbers)}")
    page.fill("[name=name]", "Zoë Lund")
    page.fill("[name=password]", "engines weave algebra")
    page.click(SUBMIT)
    expect(page.locator("#name")).to_have_text("Zoë Lund")
    expect(page).to_have_url(f"{place.web}/")
    expect(page.get_by_text("Nothing here yet")).to_be_visible()

    (tmp_path / "lake.png").write_bytes(drawn("PNG", (600, 400)))
    page.get_by_label("How did it go?").fill("Ten lengths\n<b>tired</b>")
    page.locator("#write-picture").set_input_files(tmp_path / "lake.png")
    page.get_by_role("button", name="Save note").click()
    expect(page.locator("#said")).to_have_text("Note saved")
    note = page.locator(".note")
    assert note.locator(".note-text").text_content() == "Ten lengths\n<b>tired</b>"
    expect(note.locator("img")).to_be_visible()
    assert note.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 600

    note.get_by_role("button", name="Edit").click()
    expect(note.get_by_label("Note", exact=True)).to_be_focused()
    note.get_by_label("Note", exact=True).fill("Twelve lengths")
    note.get_by_label("Remove the picture").check()
    note.get_by_role("button", name="Save").click()
    expect(note.locator(".note-text")).to_have_text("Twelve lengths")
    expect(note.locator("img")).to_have_count(0)
    page.reload()
    expect(note.locator(".note-text")).to_have_text("Twelve lengths")

    note.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("button", name="Keep it")).to_be_focused()
    page.keyboard.press("Enter")
    expect(note).to_have_count(1)
    note.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(note).to_have_count(0)
    expect(page.get_by_text("Nothing here yet")).to_be_visible()

    page.get_by_role("button", name="Sign out", exact=True).click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    assert "Zoë" not in page.content()
    page.reload()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_exercise_earns_coins_and_a_profile_is_kept(watched: Watched, place: Place) -> None:
    page = watched.window()
    sign_in(page, newcomer(place))
    go(page, "exercise")
    page.locator("#kinds").get_by_label("Swim").check()
    page.get_by_label("Minutes").fill("45")
    page.get_by_role("button", name="Log it").click()
    expect(page.locator("#said")).to_have_text("Logged. Coins earned: 45")
    expect(page.locator("#today-label")).to_have_text("Coins today: 45 of 60")
    page.get_by_label("Minutes").fill("45")
    page.get_by_role("button", name="Log it").click()
    expect(page.locator("#said")).to_have_text("Logged. Coins earned: 15")
    expect(page.locator("#done li")).to_have_count(2)

    go(page, "profile")
    expect(page.locator("#profile-coins")).to_have_text("60")
    page.get_by_label("Steps a day").fill("9500")
    page.locator("#plan").get_by_label("Yoga").check()
    page.get_by_role("button", name="Save profile").click()
    expect(page.locator("#said")).to_have_text("Profile saved")
    page.reload()
    expect(page.get_by_label("Steps a day")).to_have_value("9500")
    assert page.locator("#plan input:checked").evaluate_all("all => all.map(one => one.value)") == ["yoga"]
    go(page, "leaderboard")
    expect(page.locator("#board tr.own")).to_have_text(re.compile(r"\(you\).*60"))


@pytest.mark.parametrize(("width", "scheme"), [(1100, "light"), (390, "dark"), (320, "light"), (1100, "dark")])
@pytest.mark.asvs("14.3.3")
def test_every_view_is_for_everybody_and_fits(watched: Watched, place: Place, width: int, scheme: str) -> None:
    page = watched.window(width, scheme)
    page.goto("/")
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    accessible(page)
    page.screenshot(path=SCREENSHOTS / f"fitness-welcome-{width}-{scheme}.png")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_selector("[name=identifier]")
    assert page.url.startswith(f"{place.issuer}/sign-in"), "the password is typed on Doorward's own origin"
    page.screenshot(path=SCREENSHOTS / f"fitness-sign-in-{width}-{scheme}.png")
    page.fill("[name=identifier]", sample.WHO)
    page.fill("[name=password]", sample.PASSWORD)
    page.click(SUBMIT)
    expect(page.locator(".note img").first).to_be_visible()
    for view in VIEWS:
        go(page, view)
        settled(page)
        accessible(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
        page.screenshot(path=SCREENSHOTS / f"fitness-{view}-{width}-{scheme}.png")
    go(page, "notes")
    page.get_by_role("button", name="Edit").first.click()
    accessible(page)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Delete").first.click()
    accessible(page)
    page.screenshot(path=SCREENSHOTS / f"fitness-delete-{width}-{scheme}.png")
    assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]


def test_nobody_is_interrupted_by_an_answer_that_comes_late(watched: Watched) -> None:
    page = watched.window()
    waiting = elsewhere(page, r"/(notes|me)$")
    go(page, "notes")
    page.get_by_role("button", name="Edit").first.click()
    page.get_by_label("Note", exact=True).last.fill("in the middle of a sentence")
    answered(page, waiting)
    expect(page.get_by_label("Note", exact=True).last).to_have_value("in the middle of a sentence")
    expect(page.get_by_label("Note", exact=True).last).to_be_focused()
    page.get_by_role("button", name="Cancel").click()

    go(page, "profile")
    page.fill("#steps", "4321")
    answered(page, waiting)
    expect(page.locator("#profile-uid")).to_have_text(sample.WHO)
    expect(page.locator("#steps")).to_have_value("4321")


def test_an_answer_for_somebody_who_has_left_is_shown_to_nobody(watched: Watched) -> None:
    page = watched.window()
    other = page.context.new_page()
    waiting = elsewhere(page, r"/notes$")
    go(page, "notes")
    route = next_of(page, waiting)
    answer = route.fetch()  # it is on its way
    assert answer.json()["data"]
    other.goto("/")
    other.get_by_role("button", name="Sign out", exact=True).click()
    expect(page.locator("#welcome")).to_be_visible()
    with suppress(Error):  # nobody waits for it any more
        route.fulfill(response=answer)
    page.wait_for_timeout(500)
    expect(page.locator(".note")).to_have_count(0)


def elsewhere(page: Page, pattern: str) -> list[Route]:
    """Sign in, see the notes, and look at something else. What the page asks for then waits here."""
    sign_in(page, sample.WHO, sample.PASSWORD)
    expect(page.locator(".note").first).to_be_visible()
    go(page, "leaderboard")
    waiting: list[Route] = []

    def wait(route: Route) -> None:
        waiting.append(route)

    page.route(re.compile(pattern), wait)
    return waiting


def next_of(page: Page, waiting: list[Route]) -> Route:
    """What waits, as soon as something does."""
    while not waiting:
        page.wait_for_timeout(20)
    return waiting.pop()


def answered(page: Page, waiting: list[Route]) -> None:
    """Let through what waits, and let the page take it in."""
    route = next_of(page, waiting)
    with page.expect_response(lambda answer: answer.ok and answer.request.method == "GET") as answer:
        route.continue_()
    answer.value.finished()
    page.wait_for_timeout(200)


@pytest.mark.asvs("1.1.2", "1.2.1", "3.2.2", "3.4.3")
def test_what_people_write_is_text_wherever_it_is_shown(watched: Watched, place: Place) -> None:
    uid = newcomer(place)
    with closing(Member(place, uid)) as eve:  # else one that fails here fails whoever runs next, too
        dangerous = re.compile(r"[<>&\"'`{}]|script|\\", re.IGNORECASE)
        texts = [*MARKUP, *(text for text in hostile_strings() if dangerous.search(text) and text.strip())]
        written = [text for text in texts if _taken(eve, text)]
        assert len(written) > 60
        key = eve.person.program(f"{place.issuer}/api/sessions/current").json()["csrf_token"]
        named = eve.person.http.patch(
            f"{place.issuer}/api/users/me", json={"name": "<img src=x onerror=alert(1)>"}, headers={"x-csrf-token": key}
        )
        assert named.status_code == 200, named.text
        eve.call("POST", "/exercises", {"kind": "run", "minutes": 60})

    page = watched.window()
    sign_in(page, uid)
    expect(page.locator("#name")).to_have_text("<img src=x onerror=alert(1)>")
    expect(page.locator(".note").first).to_be_visible()
    more = page.get_by_role("button", name="Show older notes")
    while more.is_visible():
        before = page.locator(".note").count()
        more.click()
        page.wait_for_function("count => document.querySelectorAll('.note').length > count", arg=before)
    shown = page.locator(".note-text").evaluate_all("all => all.map(note => [note.textContent, note.children.length])")
    assert shown == [[text, 0] for text in reversed(written)]
    page.get_by_role("button", name="Edit").last.click()
    assert page.get_by_label("Note", exact=True).evaluate("area => area.value") == written[0].replace("\r\n", "\n")
    for view in VIEWS:
        go(page, view)
        settled(page)
    assert page.locator("main :is(script, iframe, img, style, base, meta, math)").count() == 0
    assert "Fitness" in page.title()


def _taken(member: Member, text: str) -> bool:
    if any("\ud800" <= character <= "\udfff" for character in text) or "\0" in text:
        return False
    return member.call("POST", "/notes", {"text": text}).status_code == 201


def test_the_page_has_no_sink_for_markup(watched: Watched) -> None:
    """Should a line of ours ever use innerHTML, the browser refuses it (Trusted Types)."""
    page = watched.window()
    page.goto("/")
    tried = "try { document.body.innerHTML = '<b>x</b>'; 'taken' } catch (error) { error.name }"
    assert page.evaluate(tried) == "TypeError"
    watched.wrong.clear()  # the browser complained, as it should


def test_mistakes_are_told_beside_their_field(watched: Watched, place: Place, tmp_path: Path) -> None:
    page = watched.window(390)
    sign_in(page, newcomer(place))
    page.get_by_role("button", name="Save note").click()
    expect(page.locator("#write-error")).to_have_text("Write something first")
    expect(page.get_by_label("How did it go?")).to_be_focused()
    expect(page.get_by_label("How did it go?")).to_have_attribute("aria-invalid", "true")
    accessible(page)

    (tmp_path / "page.png").write_text("<script>alert(1)</script>")
    page.get_by_label("How did it go?").fill("With a picture that is none")
    page.locator("#write-picture").set_input_files(tmp_path / "page.png")
    page.get_by_role("button", name="Save note").click()
    expect(page.locator("#write-error")).to_contain_text("The note is saved, but without the picture")
    expect(page.locator("#write-picture")).to_have_attribute("aria-invalid", "true")
    expect(page.locator(".note")).to_have_count(1)

    (tmp_path / "huge.png").write_bytes(bytes((5 << 20) + 1))
    page.get_by_label("How did it go?").fill("With a picture that is too much")
    page.locator("#write-picture").set_input_files(tmp_path / "huge.png")
    page.get_by_role("button", name="Save note").click()
    expect(page.locator("#write-error")).to_contain_text("more than 5 MB")
    expect(page.locator(".note")).to_have_count(1)
    page.screenshot(path=SCREENSHOTS / "fitness-mistake-390-light.png")

    go(page, "exercise")
    page.get_by_label("Minutes").fill("500")
    page.get_by_role("button", name="Log it").click()
    expect(page.locator("#log-error")).to_have_text("Enter whole minutes, from 1 to 300")


@pytest.mark.asvs("7.4.1", "7.4.3")
def test_signing_out_reaches_every_tab_and_everywhere_leads_to_every_device(watched: Watched, place: Place) -> None:
    page = watched.window()
    uid = newcomer(place)
    sign_in(page, uid)
    other = page.context.new_page()
    other.goto(f"{place.web}/#leaderboard")
    expect(other.locator("#name")).to_have_text(uid.title())
    page.get_by_role("button", name="Sign out", exact=True).click()
    expect(other.get_by_role("button", name="Sign in")).to_be_visible()
    expect(page.get_by_text("Doorward still knows this browser")).to_be_visible()
    expect(page.get_by_role("link", name="sign out there")).to_have_attribute(
        "href", f"{place.issuer}/account/sessions"
    )
    accessible(page)

    page.get_by_role("button", name="Sign in").click()  # Doorward still knows them
    expect(page.locator("#name")).to_have_text(uid.title())
    go(page, "profile")
    page.get_by_role("button", name="Sign out everywhere").click()
    expect(page).to_have_url(f"{place.issuer}/account/sessions")
    expect(page.get_by_role("button", name="Sign out everywhere", exact=True)).to_be_visible()


def test_a_session_that_ends_elsewhere_ends_here(watched: Watched, place: Place) -> None:
    page = watched.window()
    uid = newcomer(place)
    sign_in(page, uid)
    place.doorward("user", "disable", uid)
    expect(page.locator("#tabs")).to_be_visible()

    def out() -> bool:
        page.evaluate("location.hash = location.hash === '#exercise' ? '#leaderboard' : '#exercise'")
        page.wait_for_timeout(200)
        return page.locator("#welcome").is_visible()

    assert any(out() for _ in range(50))
    assert uid.title() not in page.content()


def test_the_front_end_weighs_little(place: Place, record_property: Callable[[str, object], None]) -> None:
    raw = packed = 0
    page = httpx.get(f"{place.web}/").text
    names = re.findall(r'(?:href|src)="([\w./]+)"', page)
    seen, waiting = {"/": page}, [name for name in names if "#" not in name]
    script = httpx.get(f"{place.issuer}/doorward.js", headers={"accept-encoding": "identity"})
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        answer = httpx.get(f"{place.web}/{name}")
        assert answer.status_code == 200, name
        seen[name] = answer.text
        waiting += re.findall(r'from "\./([\w.]+)"', answer.text)
    for text in (*seen.values(), script.text):
        raw += len(text.encode())
        packed += len(gzip.compress(text.encode(), 9))
    assert len(seen) > 8
    ours = packed - len(gzip.compress(script.text.encode(), 9))
    record_property(
        MEASURED,
        f"the front end: {len(seen)} files and Doorward's script, {raw / 1000:.1f} kB, compressed "
        f"{packed / 1000:.1f} kB, {ours / 1000:.1f} kB of them its own",
    )
    assert packed < 30_000

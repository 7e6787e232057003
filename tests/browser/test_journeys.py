"""What people do, in Chromium against a server of its own, with JavaScript and without.

Every window is watched: an error, a violation of the Content Security Policy or a request to elsewhere fails the test.
"""

import json
import re
import zipfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, Response, expect

from doorward.web.translations import NAMES
from tests.support.chromium import AXE, RULES, violations
from tests.support.serving import ROOT
from tests.support.windows import Visitor, serve

PASSWORD = "engines weave algebra"
OTHER_PASSWORD = "looms that count petals"
WORDS = ("lantern", "oatmeal", "violin", "gravel", "harbour", "teacup", "meadow", "chimney", "pepper", "saddle")
SUBMIT = "main form[data-checked] button:not([type=button])"
SUMMARY = "#error-summary"
FITNESS = ROOT / "examples/fitness/doorward.toml"
EVERY_KIND = """
[fields.motto]
type = "string"
min_length = 3
max_length = 10
[fields.story]
type = "string"
max_length = 300
[fields.age]
type = "integer"
minimum = 5
maximum = 120
[fields.weight]
type = "number"
minimum = 0.5
[fields.started]
type = "date"
minimum = "2000-01-01"
maximum = "2030-12-31"
[fields.plan]
type = "json"
[fields.terms]
type = "boolean"
label = "I keep to the rules"
required = true
[fields.club]
type = "string"
required = true
"""
# One failure is free, the next has to wait for 8 s; by then everything has been looked at.
IMPATIENT = """
[limits.account]
free_failures = 1
first_delay = "8s"
"""

pytestmark = [pytest.mark.browser, pytest.mark.slow]
_numbers = count(1)


@pytest.fixture(scope="module")
def fitness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The fitness example: where it answers, and its data."""
    # Everybody here comes from one address, and the twenty-first would have to wait for a moment.
    yield from serve(tmp_path_factory, FITNESS.read_text() + '\n[limits.sign-up-free]\nper_address = "1000/1h"\n')


@pytest.fixture(scope="module")
def fields_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A site with a field of every kind."""
    yield from serve(tmp_path_factory, EVERY_KIND)


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A site where the second wrong password has to wait."""
    yield from serve(tmp_path_factory, IMPATIENT)


@pytest.fixture
def visitor(browser: Browser, fitness: tuple[str, Path]) -> Iterator[Visitor]:
    one = Visitor(browser, fitness[0])
    yield one
    one.close()


def newcomer() -> str:
    """A username nobody has."""
    return f"ada{next(_numbers)}"


def sign_up(page: Page, uid: str, name: str = "Ada Lovelace") -> None:
    page.goto("/sign-up")
    page.fill("[name=uid]", uid)
    page.fill("[name=name]", name)
    page.fill("[name=password]", PASSWORD)
    page.click(SUBMIT)
    expect(page).to_have_url(re.compile("/account"))


def sign_in(page: Page, uid: str, password: str = PASSWORD) -> None:
    page.goto("/sign-in")
    page.fill("[name=identifier]", uid)
    page.fill("[name=password]", password)
    page.click(SUBMIT)


def notice(page: Page) -> Locator:
    return page.locator(".notice")


# The life of an account --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scripts", [True, False], ids=["with JavaScript", "without"])
def test_an_account_lives_from_sign_up_to_deletion(visitor: Visitor, *, scripts: bool) -> None:
    page, uid = visitor.window(scripts=scripts), newcomer()
    page.goto("/")
    page.click("main >> text=Create an account")
    page.fill("[name=uid]", uid)
    page.fill("[name=name]", "Ada Lovelace")
    page.fill("[name=password]", PASSWORD)
    page.click(SUBMIT)
    expect(notice(page)).to_have_text("Welcome! Your account is ready.")

    edit_profile(page)
    page.click("nav >> text=Members")
    expect(page.locator(".own")).to_contain_text("Countess of Lovelace")
    change_password(page)
    other = visitor.window(scripts=scripts)
    end_another_session(page, other, uid)
    end_every_session(page, other, uid)

    sign_out_for_good(page)
    sign_in_at_the_second_try(page, uid)
    delete_account(page, uid)
    sign_in(page, uid, OTHER_PASSWORD)
    expect(page.locator("h1")).to_have_text("Keep your account?")
    page.goto("/account")
    expect(page).to_have_url(re.compile("/sign-in"))


def edit_profile(page: Page) -> None:
    page.fill("[name=name]", "Countess of Lovelace")
    page.fill("[name=dob]", "1990-12-10")
    page.fill("[name=tracking]", '["steps"]')
    page.fill("[name=exercise]", '{"monday": {"run_km": 8.5, "with": "صديق"}}')
    page.click(SUBMIT)
    expect(notice(page)).to_have_text("Your changes are saved.")
    expect(page.locator("[name=name]")).to_have_value("Countess of Lovelace")
    expect(page.locator("[name=dob]")).to_have_value("1990-12-10")
    expect(page.locator("[name=exercise]")).to_have_value(
        '{\n  "monday": {\n    "run_km": 8.5,\n    "with": "صديق"\n  }\n}'
    )
    expect(page.locator(".facts")).to_have_text(re.compile(r"Coins\s*0"))  # not hers to write
    expect(page.locator("nav .who")).to_have_text("Countess of Lovelace")


def change_password(page: Page) -> None:
    page.click("nav .who")
    page.click(".side >> text=Password")
    page.fill("[name=current_password]", "not my password at all")
    page.fill("[name=new_password]", OTHER_PASSWORD)
    page.click(SUBMIT)
    expect(page.locator("#field-current_password-error")).to_contain_text("This is not your current password")
    expect(page.locator("[name=new_password]")).to_have_value("")
    page.fill("[name=current_password]", PASSWORD)
    page.fill("[name=new_password]", OTHER_PASSWORD)
    page.click(SUBMIT)
    expect(notice(page)).to_contain_text("Your password is changed.")


def end_another_session(page: Page, other: Page, uid: str) -> None:
    sign_in(other, uid, OTHER_PASSWORD)
    expect(other.locator("h1")).to_have_text("Your profile")
    page.click(".side >> text=Devices")
    expect(page.locator(".sessions li")).to_have_count(2)
    expect(page.locator(".sessions li", has_text="This device")).to_contain_text("Chrome on Linux")
    page.click(".sessions li:not(:has-text('This device')) button")
    expect(notice(page)).to_have_text("That session has ended.")
    expect(page.locator(".sessions li")).to_have_count(1)
    other.goto("/account")
    expect(other).to_have_url(re.compile("/sign-in"))


def end_every_session(page: Page, other: Page, uid: str) -> None:
    sign_in(other, uid, OTHER_PASSWORD)
    expect(other.locator("h1")).to_have_text("Your profile")
    page.click(".side >> text=Devices")
    page.get_by_role("button", name="Sign out everywhere", exact=True).click()
    expect(page.locator("h1")).to_have_text("Welcome to Fitness")
    for window in (page, other):
        window.goto("/account")
        expect(window).to_have_url(re.compile("/sign-in"))
    sign_in(page, uid, OTHER_PASSWORD)
    expect(page.locator("h1")).to_have_text("Your profile")


def sign_out_for_good(page: Page) -> None:
    """UX-06: what the account showed does not come back with the back button."""
    page.goto("/account")
    page.click("text=Sign out")
    expect(page.locator("h1")).to_have_text("Welcome to Fitness")
    page.go_back()
    expect(page).to_have_url(re.compile("/sign-in"))
    assert "Countess" not in page.content()


def sign_in_at_the_second_try(page: Page, uid: str) -> None:
    with page.expect_response(
        lambda response: response.request.method == "POST" and response.url.endswith("/sign-in")
    ) as answer:
        sign_in(page, uid, PASSWORD)
    assert answer.value.status == 401
    expect(page.locator(SUMMARY)).to_contain_text("The name or the password is not right")
    expect(page).to_have_title("Error: Sign in – Fitness")
    expect(page.locator("[name=identifier]")).to_have_value(uid)
    expect(page.locator("[name=password]")).to_have_value("")
    page.fill("[name=password]", OTHER_PASSWORD)
    page.click(SUBMIT)
    expect(page.locator("h1")).to_have_text("Your profile")


def delete_account(page: Page, uid: str) -> None:
    page.click(".side >> text=Delete account")
    page.click(SUBMIT)
    expect(page.locator(SUMMARY)).to_contain_text("Type your username if you want to delete your account")
    page.fill("[name=confirm]", "somebody-else")
    page.click(SUBMIT)
    expect(page.locator(SUMMARY)).to_contain_text("This is not your username")
    page.fill("[name=confirm]", uid)
    page.click(SUBMIT)
    expect(page.locator("h1")).to_have_text("Welcome to Fitness")
    expect(notice(page)).to_contain_text("Your account will be erased in 14 days.")
    expect(page.locator("nav")).to_contain_text("Sign in")


@pytest.mark.parametrize("scripts", [True, False], ids=["with JavaScript", "without"])
def test_a_copy_of_ones_data_is_downloaded(visitor: Visitor, *, scripts: bool) -> None:
    page, uid = visitor.window(scripts=scripts), newcomer()
    sign_up(page, uid)
    page.click(".side >> text=Your data")
    expect(page.locator("h1")).to_have_text("Your data")
    with page.expect_download() as download:
        page.click(SUBMIT)
    assert download.value.suggested_filename.startswith(f"doorward-{uid}-")
    with zipfile.ZipFile(download.value.path()) as archive:
        assert json.loads(archive.read("profile.json"))["uid"] == uid
    expect(page.locator("h1")).to_have_text("Your data")


def test_language_and_theme_are_chosen_on_any_page_and_stay(visitor: Visitor) -> None:
    page = visitor.window(width=375)
    page.goto("/sign-up?next=/members")
    page.select_option("[name=theme]", "dark")
    page.select_option("[name=lang]", "ar")
    page.click(".bottom button")
    expect(page).to_have_url(re.compile(r"/sign-up\?next=/members$"))
    page.fill("[name=uid]", newcomer())
    page.fill("[name=name]", "سلمى الخطيب")
    page.fill("[name=password]", PASSWORD)
    page.click(SUBMIT)
    expect(page).to_have_url(re.compile("/members$"))
    html = page.locator("html")
    for name, value in {"lang": "ar", "dir": "rtl", "data-theme": "dark"}.items():
        expect(html).to_have_attribute(name, value)
    expect(page.locator("h1")).to_have_text("الأعضاء")
    page.wait_for_load_state()
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(19, 22, 24)"


# Keyboard ----------------------------------------------------------------------------------------------------------


def test_the_keyboard_alone_signs_up_and_in(visitor: Visitor) -> None:
    page, uid = visitor.window(), newcomer()
    page.goto("/")
    tab_to(page, "main a[href='/sign-up']")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Create an account")
    tab_to(page, SUBMIT)
    page.keyboard.press("Enter")
    expect(page.locator(SUMMARY)).to_be_focused()
    for link, text in (("#field-uid", uid), ("#field-name", "Ada Lovelace"), ("#field-password", PASSWORD)):
        tab_to(page, f"{SUMMARY} a[href='{link}']")
        page.keyboard.press("Enter")
        expect(page.locator(link)).to_be_focused()
        page.keyboard.type(text)
    page.keyboard.press("Enter")
    expect(notice(page)).to_be_visible()
    tab_to(page, "nav button")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Welcome to Fitness")
    tab_to(page, "main a[href='/sign-in']")
    page.keyboard.press("Enter")
    expect(page.locator("[name=identifier]")).to_be_focused()
    page.keyboard.type(uid)
    tab_to(page, "[name=password]")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Your profile")


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until there, with the focus to be seen on all that is passed."""
    page.wait_for_load_state()
    for _ in range(60):
        page.keyboard.press("Tab")
        style = page.evaluate("(({outlineStyle, outlineWidth}) => [outlineStyle, outlineWidth])"
                              "(getComputedStyle(document.activeElement))")  # fmt: skip
        if page.evaluate("document.activeElement === document.body"):
            continue  # the browser's own controls
        assert style == ["solid", "3px"], page.evaluate("document.activeElement.outerHTML")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"Tab does not lead to {selector}")


# What is said before and after sending -----------------------------------------------------------------------------

# Field and a value that is wrong there, on the profile; then on the sign-up form.
WRONG_ON_PROFILE = [
    ("name", ""), ("name", "A"), ("name", "x" * 65), ("dob", "1899-12-31"),
    ("motto", "ab"), ("motto", "e\u0301" * 11), ("story", "x" * 301),
    ("age", "4"), ("age", "121"), ("age", "1.5"), ("age", "many"), ("weight", "0.4"), ("weight", "heavy"),
    ("started", "1999-12-31"), ("started", "2031-01-01"), ("plan", "{oops"), ("plan", "[1, NaN]"),
]  # fmt: skip
TICK_BOX = "terms"
WRONG_AT_SIGN_UP = [
    ("uid", ""), ("uid", "\N{GRINNING FACE}"), ("uid", "x" * 65), ("name", ""), ("email", "a@"),
    ("password", ""), ("password", "e\u0301" * 14), ("club", ""), ("terms", ""),
]  # fmt: skip


def test_the_page_says_before_sending_what_the_server_would_say(
    browser: Browser, fields_site: tuple[str, Path]
) -> None:
    visitor = Visitor(browser, fields_site[0])
    plain, quick = visitor.window(scripts=False), visitor.window()
    for name, value in WRONG_AT_SIGN_UP:
        for page in (plain, quick):
            page.goto("/sign-up")
            fill_in(page)
            fill(page, name, value)
        compare(plain, quick, name, value)
    for page in (plain, quick):
        page.goto("/sign-up")
        fill_in(page)
        page.click(SUBMIT)
        expect(notice(page)).to_be_visible()
    for name, value in WRONG_ON_PROFILE:
        for page in (plain, quick):
            page.goto("/account")
            fill(page, name, value)
        compare(plain, quick, name, value)
    visitor.close()


def fill_in(page: Page) -> None:
    right = {"uid": newcomer(), "name": "Ada Lovelace", "password": PASSWORD, "club": "Analytical", "terms": "yes"}
    for name, value in right.items():
        fill(page, name, value)


def fill(page: Page, name: str, value: str) -> None:
    if name == TICK_BOX:
        page.set_checked(f"[name={name}]", checked=value != "")
    else:
        page.fill(f"[name={name}]", value)


def compare(plain: Page, quick: Page, name: str, value: str) -> None:
    """Both say one thing about the field; the page with scripts did so without asking."""
    quick.evaluate("window.stayed = true")
    said = []
    for page in (plain, quick):
        page.click(SUBMIT)
        expect(page.locator(f"#field-{name}-error")).to_be_visible()
        said.append((page.text_content(f"#field-{name}-error"), page.locator(f"{SUMMARY} li").all_inner_texts()))
    assert said[0] == said[1], (name, value)
    assert quick.evaluate("window.stayed"), (name, value)


# Waiting and passwords ---------------------------------------------------------------------------------------------


def test_after_too_many_tries_the_page_counts_down_and_lets_one_try_again(
    browser: Browser, impatient: tuple[str, Path]
) -> None:
    """UX-24."""
    visitor = Visitor(browser, impatient[0])
    page, uid = visitor.window(), newcomer()
    sign_up(page, uid)
    stranger = visitor.window()
    for _ in range(3):
        sign_in(stranger, uid, "not the right password")
        expect(stranger.locator(SUMMARY)).to_be_visible()
    expect(stranger.locator("[data-clock]")).to_have_text(re.compile("0:0[1-9]"))
    expect(stranger.locator("[data-submit]")).to_be_disabled()
    expect(stranger.locator("[data-submit]")).to_be_enabled()
    expect(stranger.locator("[data-spoken]")).to_have_text("You can try again now.")
    stranger.fill("[name=password]", PASSWORD)
    stranger.click(SUBMIT)
    expect(stranger.locator("h1")).to_have_text("Your profile")
    visitor.close()


def test_without_javascript_the_page_says_at_what_time_to_try_again(
    browser: Browser, impatient: tuple[str, Path]
) -> None:
    visitor = Visitor(browser, impatient[0])
    page, uid = visitor.window(scripts=False), newcomer()
    for _ in range(3):
        sign_in(page, uid, "not the right password")
    expect(page.locator(".wait")).to_have_text(re.compile(r"Try again in 0:0\d \(\d+ \w+ \d{4}, \d\d:\d\d UTC\)"))
    expect(page.locator("[name=identifier]")).to_have_value(uid)
    visitor.close()


def test_a_password_can_be_looked_at_pasted_and_is_warned_of_caps_lock(visitor: Visitor) -> None:
    page = visitor.window()
    phrase = " ".join(f"{word} \N{GRINNING FACE} {len(word)}" for word in (*WORDS, *reversed(WORDS)))
    uid = newcomer()
    page.goto("/sign-up")
    page.fill("[name=uid]", uid)
    page.fill("[name=name]", "Ada Lovelace")
    page.focus("[name=password]")
    page.keyboard.insert_text(phrase)  # as pasting and password managers do
    page.click("[data-show]")
    expect(page.locator("[name=password]")).to_have_attribute("type", "text")
    expect(page.locator("[data-show]")).to_have_attribute("aria-pressed", "true")
    on = {"key": "A", "modifierCapsLock": True}
    page.dispatch_event("[name=password]", "keydown", on)
    expect(page.locator("[data-capslock]")).to_have_text("Caps Lock is on.")
    page.click(SUBMIT)
    expect(notice(page)).to_be_visible()
    page.click("text=Sign out")
    sign_in(page, uid, phrase)
    expect(page.locator("h1")).to_have_text("Your profile")


@pytest.mark.parametrize("scripts", [True, False], ids=["with JavaScript", "without"])
def test_a_double_click_makes_one_user(visitor: Visitor, *, scripts: bool) -> None:
    """UX-06."""
    page, uid = visitor.window(scripts=scripts), newcomer()
    page.goto("/sign-up")
    page.fill("[name=uid]", uid)
    page.fill("[name=name]", f"Twin {uid}")
    page.fill("[name=password]", PASSWORD)
    page.dblclick(SUBMIT)
    if scripts:
        expect(notice(page)).to_be_visible()
    else:  # the browser dropped the answer to the first click
        expect(page.locator(f"{SUMMARY}, .notice").first).to_be_visible()
    other = visitor.window()
    sign_in(other, uid)
    other.goto("/members?sort=name")
    expect(other.locator("tbody th", has_text=f"Twin {uid}")).to_have_count(1)


# Wrong turns -------------------------------------------------------------------------------------------------------


def test_a_form_left_open_too_long_keeps_what_was_typed_and_can_be_sent_again(visitor: Visitor) -> None:
    page, uid = visitor.window(), newcomer()
    page.goto("/sign-up")
    page.context.clear_cookies()  # as if the visit had ended long ago
    page.fill("[name=uid]", uid)
    page.fill("[name=name]", "Ada Lovelace")
    page.fill("[name=password]", PASSWORD)
    page.click(SUBMIT)
    expect(page.locator(SUMMARY)).to_contain_text("This page had been open for too long.")
    expect(page.locator("[name=uid]")).to_have_value(uid)
    expect(page.locator("[name=password]")).to_have_value("")
    page.fill("[name=password]", PASSWORD)
    page.click(SUBMIT)
    expect(notice(page)).to_have_text("Welcome! Your account is ready.")

    second = page.context.new_page()
    second.goto("/account")
    second.click("text=Sign out")
    sign_in(second, uid)  # another session, so other tokens
    expect(second.locator("h1")).to_have_text("Your profile")
    page.fill("[name=name]", "Ada King")
    page.click(SUBMIT)
    expect(page.locator(SUMMARY)).to_contain_text("This page had been open for too long.")
    expect(page.locator("[name=name]")).to_have_value("Ada King")
    page.click(SUBMIT)
    expect(notice(page)).to_have_text("Your changes are saved.")


def test_signing_out_twice_ends_at_the_sign_in_page(visitor: Visitor) -> None:
    page = visitor.window()
    sign_up(page, newcomer())
    second = page.context.new_page()
    second.goto("/members")
    page.click("text=Sign out")
    expect(page.locator("h1")).to_have_text("Welcome to Fitness")
    second.click("text=Sign out")
    expect(second.locator("h1")).to_have_text("Sign in")


def test_an_administrator_link_works_once_and_then_says_so(visitor: Visitor, fitness: tuple[str, Path]) -> None:
    link = (fitness[1] / "setup-link").read_text().strip()
    page = visitor.window()
    page.goto(link)
    page.fill("[name=uid]", newcomer())
    page.fill("[name=name]", "Grace Hopper")
    page.fill("[name=password]", PASSWORD)
    page.click(SUBMIT)
    expect(notice(page)).to_have_text("Welcome! Your account is ready.")
    late = visitor.window()
    answer = late.goto(link)
    assert answer is not None
    assert answer.status == 404
    expect(late.locator("main")).to_contain_text("This link has been used or has expired")
    expect(late.locator("main a")).to_have_attribute("href", "/")


def test_a_page_that_is_not_there_still_knows_who_asks(visitor: Visitor) -> None:
    page = visitor.window()
    sign_up(page, newcomer(), "Ada Lovelace")
    page.goto("/nowhere")
    expect(page.locator("h1")).to_have_text("There is nothing here")
    expect(page.locator("nav .who")).to_have_text("Ada Lovelace")


# Every page --------------------------------------------------------------------------------------------------------

FOR_STRANGERS = ["/", "/sign-up", "/sign-in", "/api/docs", "/nowhere", "/problems/rate-limited"]
FOR_MEMBERS = [
    "/account", "/account/password", "/account/sessions", "/account/data", "/account/delete", "/members",
    "/members?sort=name", "/confirm",
]  # fmt: skip
WITH_ERRORS = ["/sign-up", "/sign-in", "/account/password", "/account/delete", "/confirm"]
LOOKS = [("en", "light"), ("en", "dark"), ("ar", "light"), ("ar", "dark")]


def pages_of(visitor: Visitor, *, width: int, lang: str = "en", theme: str = "light") -> Iterator[tuple[str, Page]]:
    """Every page in turn, then those with errors once more after an empty form was sent."""
    page = visitor.window(width=width)
    for name, value in (("doorward-lang", lang), ("doorward-theme", theme)):
        page.context.add_cookies([{"name": name, "value": value, "url": visitor.address}])
    for member, paths in ((False, FOR_STRANGERS), (True, FOR_MEMBERS)):
        if member:
            sign_up(page, newcomer(), "Hubert Blaine Wolfeschlegelsteinhausenbergerdorff Senior")
        for path in paths:
            page.goto(path)
            page.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")
            yield path, page
            if path in WITH_ERRORS:
                page.click(SUBMIT)
                expect(page.locator(SUMMARY)).to_be_focused()
                yield f"{path} with errors", page


@pytest.mark.parametrize(("lang", "theme"), LOOKS)
def test_axe_finds_nothing_wrong_on_live_pages(visitor: Visitor, lang: str, theme: str) -> None:
    """UX-04."""
    axe = AXE.read_text()
    for path, page in pages_of(visitor, width=1280, lang=lang, theme=theme):
        page.evaluate(axe)
        assert violations(page, {"runOnly": RULES}) == [], path


@pytest.mark.parametrize("lang", NAMES)
def test_live_pages_do_not_scroll_sideways_at_400_percent(visitor: Visitor, lang: str) -> None:
    """UX-05; WCAG 1.4.10: a window of 1280 pixels at 400 % is 320 wide."""
    for path, page in pages_of(visitor, width=320, lang=lang):
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, path


def test_every_answer_of_a_page_forbids_to_keep_it(visitor: Visitor) -> None:
    """UX-06."""
    page = visitor.window()
    kept: list[str] = []

    def look(response: Response) -> None:
        if response.request.is_navigation_request() and response.headers.get("cache-control") != "no-store":
            kept.append(response.url)

    page.context.on("response", look)
    for path in FOR_STRANGERS:
        page.goto(path)
    sign_up(page, newcomer())
    for path in FOR_MEMBERS:
        page.goto(path)
    assert kept == []


def test_the_api_reference_can_be_read(visitor: Visitor) -> None:
    page = visitor.window(scripts=False)
    page.goto("/api/docs")
    described = visitor.window().request.get(f"{visitor.address}/api/openapi.json").json()["paths"]
    expect(page.locator(".reference section details")).to_have_count(
        sum(len(methods) for methods in described.values())
    )
    entry = page.locator("details#post-api-users")
    expect(entry.locator("pre").first).to_be_hidden()
    entry.locator("summary").click()
    expect(entry.locator("pre").first).to_contain_text(f"curl -X POST {visitor.address}/api/users")
    expect(entry.locator("tbody")).to_contain_text("tracking")

"""From sign-up to a new password with a mailbox: in Chromium, over a real mail server, with JavaScript and without.

The journey of issue UX-30…32: sign up, follow the mail, forget the password, follow the next mail, sign in.
"""

import re
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.chromium import AXE, RULES, violations
from tests.support.post import Post
from tests.support.smtp_server import smtp_server
from tests.support.windows import Visitor, serve

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PASSWORD = "engines weave algebra"
OTHER_PASSWORD = "looms that count petals"
SUBMIT = "main form button:not([type=button])"
SUMMARY = "#error-summary"
FLOOD = """
[limits.sign-up-free]
per_address = "1/1h"
"""
_numbers = count(1)


@pytest.fixture(scope="module")
def post(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Post]:
    with smtp_server(tmp_path_factory.mktemp("post") / "mails.jsonl") as server:
        yield Post(server)


def site_of(factory: pytest.TempPathFactory, post: Post, config: str = "") -> Iterator[tuple[str, Path]]:
    yield from serve(
        factory,
        f'[signin]\nemail_link = true\n[signup]\nidentifier = "email"\n{config}',
        {
            "DOORWARD_SIGNUP__IDENTIFIER": "email",
            "DOORWARD_MAIL__URL": f"smtp://127.0.0.1:{post.server.port}",
            "DOORWARD_MAIL__FROM": "Doorward <door@example.org>",
        },
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, post: Post) -> Iterator[tuple[str, Path]]:
    yield from site_of(tmp_path_factory, post)


@pytest.fixture(scope="module")
def flooded(tmp_path_factory: pytest.TempPathFactory, post: Post) -> Iterator[tuple[str, Path]]:
    yield from site_of(tmp_path_factory, post, FLOOD)


def newcomer() -> str:
    """An address nobody has."""
    return f"ada{next(_numbers)}@example.org"


def looked_at(page: Page) -> None:
    """Nothing shuts anybody out, nothing is wider than the window."""
    if page.evaluate("typeof axe") == "undefined":
        page.evaluate(AXE.read_text())
    assert violations(page, {"runOnly": RULES}) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def sign_up(page: Page, address: str) -> None:
    page.goto("/sign-up")
    page.fill("[name=email]", address)
    page.fill("[name=password]", PASSWORD)
    page.click(SUBMIT)
    page.wait_for_url("**/verify")


@pytest.mark.parametrize("locale", ["en", "ar"])
@pytest.mark.parametrize("scripts", [True, False], ids=["with JavaScript", "without"])
def test_sign_up_confirm_forget_choose_anew_and_sign_in(
    visitor: Visitor, post: Post, locale: str, *, scripts: bool
) -> None:
    page, address = visitor.window(scripts=scripts, locale=locale, width=375), newcomer()
    sign_up(page, address)
    expect(page.locator("html")).to_have_attribute("dir", "rtl" if locale == "ar" else "ltr")
    expect(page.locator("main")).to_contain_text(address)
    page.goto(post.link(address))
    page.click(SUBMIT)
    page.wait_for_url("**/account?welcome=1")

    page.click("header form button")
    page.goto("/sign-in")
    page.click('main a[href^="/recovery"]')
    page.fill("[name=email]", address)
    page.click(SUBMIT)
    page.wait_for_url("**/recovery/sent")
    page.goto(post.link(address, 2))
    page.fill("[name=password]", OTHER_PASSWORD)
    page.click(SUBMIT)
    expect(page).not_to_have_url(re.compile("/recovery/[A-Za-z0-9_-]{43}"))
    assert "text/html" in dict(post.last(address, 3)["parts"])  # the notice

    page.goto("/sign-in")
    page.fill("[name=identifier]", address)
    page.fill("[name=password]", PASSWORD)
    page.click(SUBMIT)
    expect(page.locator(SUMMARY)).to_be_visible()
    page.fill("[name=password]", OTHER_PASSWORD)
    page.click(SUBMIT)
    page.wait_for_url("**/account")


def test_the_code_confirms_too_and_a_wrong_one_is_told(visitor: Visitor, post: Post) -> None:
    page, address = visitor.window(), newcomer()
    sign_up(page, address)
    page.fill("[name=code]", "000000")
    page.click(SUBMIT)
    expect(page.locator(SUMMARY)).to_contain_text("This code is not right")
    code = post.code(address)
    page.fill("[name=code]", f"{code[:3]} {code[3:]}")
    page.click(SUBMIT)
    page.wait_for_url("**/account?welcome=1")


def test_a_link_on_another_device_asks_for_a_password_and_signs_nobody_in(visitor: Visitor, post: Post) -> None:
    page, phone, address = visitor.window(), visitor.window(width=375, is_mobile=True), newcomer()
    sign_up(page, address)
    phone.goto(post.link(address))
    phone.fill("[name=password]", OTHER_PASSWORD)
    phone.click(SUBMIT)
    phone.wait_for_url("**/sign-in?verified=1")
    phone.fill("[name=identifier]", address)
    phone.fill("[name=password]", OTHER_PASSWORD)
    phone.click(SUBMIT)
    phone.wait_for_url("**/account")
    page.goto(post.link(address))
    expect(page.locator("h1")).to_have_text("Your address is confirmed already")


def test_signing_up_with_a_known_address_looks_the_same_and_tells_its_owner(visitor: Visitor, post: Post) -> None:
    page, address = visitor.window(), newcomer()
    sign_up(page, address)
    page.goto(post.link(address))
    page.click(SUBMIT)
    stranger = visitor.window()
    sign_up(stranger, address)
    expect(stranger.locator("main")).to_contain_text(f"We have sent an e-mail to {address}")
    assert "already have an account" in post.last(address, 2)["headers"]["subject"]


def test_a_mailed_link_signs_in_where_it_was_asked_for_and_its_code_elsewhere(visitor: Visitor, post: Post) -> None:
    page, address = visitor.window(), newcomer()
    sign_up(page, address)
    page.goto(post.link(address))
    page.click(SUBMIT)
    page.click("header form button")
    page.goto("/sign-in")
    page.click('main a[href^="/sign-in/email"]')
    page.fill("[name=email]", address)
    page.click(SUBMIT)
    phone = visitor.window(width=375)
    phone.goto(post.link(address, 2))
    expect(phone.locator("main")).to_contain_text("Chrom")  # says which browser asked
    phone.goto("/account")
    expect(phone).to_have_url(re.compile("/sign-in"))
    page.fill("[name=code]", post.code(address, 2))
    page.click(SUBMIT)
    page.wait_for_url("**/account")


@pytest.mark.parametrize("scripts", [True, False], ids=["with JavaScript", "without"])
def test_in_a_flood_the_browser_does_a_little_work(
    browser: Browser, flooded: tuple[str, Path], post: Post, *, scripts: bool
) -> None:
    visitor = Visitor(browser, flooded[0])
    page = visitor.window(scripts=scripts)
    page.goto("/sign-up")
    if page.locator("[data-challenge]").count() == 0:
        sign_up(page, newcomer())  # the one that is free; an earlier test may have taken it
    page.goto("/sign-up")
    address = newcomer()
    page.fill("[name=email]", address)
    page.fill("[name=password]", PASSWORD)
    page.click(SUBMIT)
    expect(page.locator("[data-challenge]")).to_be_visible()
    expect(page.locator("[name=email]")).to_have_value(address)
    page.fill("[name=password]", PASSWORD)
    if not scripts:
        time.sleep(30)  # what the page asks for
    page.click(SUBMIT)
    page.wait_for_url("**/verify", timeout=30_000)
    assert post.code(address)
    visitor.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["en", "ar"])
def test_every_page_of_the_journey_shuts_nobody_out(visitor: Visitor, post: Post, locale: str, theme: Any) -> None:
    page, address = visitor.window(locale=locale, width=320, color_scheme=theme), newcomer()
    sign_up(page, address)
    looked_at(page)
    page.click(SUBMIT)  # no code
    looked_at(page)
    link = post.link(address)
    page.goto(link)
    looked_at(page)
    other = visitor.window(locale=locale, width=320, color_scheme=theme)
    other.goto(link)
    looked_at(other)
    page.click(SUBMIT)
    other.goto(link)
    looked_at(other)
    for path in ("/account", "/account/email", "/account/password"):
        page.goto(path)
        looked_at(page)
    for path in ("/recovery", "/recovery/sent", "/recovery/made-up", "/verify/made-up", "/verify", "/invitation/x",
                 "/undo/x", "/sign-in/email", "/sign-in/link/x"):  # fmt: skip
        other.goto(path)
        looked_at(other)
    other.goto("/recovery")
    other.fill("[name=email]", address)
    other.click(SUBMIT)
    other.goto(post.link(address, 2))
    looked_at(other)

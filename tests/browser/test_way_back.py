"""An account without a password and without a mailbox: made with a passkey, lost, and found again with a paper code.

In Chromium against a server of its own, with a virtual authenticator; the way back without JavaScript, too.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.serving import ROOT
from tests.support.windows import Visitor, serve, with_authenticator

PASSWORD = "looms that count petals"
SUBMIT = "main form button:not([type=button])"

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The fitness example, where people sign up with a handle."""
    yield from serve(tmp_path_factory, (ROOT / "examples/fitness/doorward.toml").read_text())


def sign_up(page: Page, uid: str) -> None:
    page.goto("/sign-up")
    page.get_by_role("link", name="Create your account with a passkey").click()
    page.fill("[name=uid]", uid)
    page.fill("[name=name]", "Ada Lovelace")
    page.click(SUBMIT)
    expect(page.locator("main h1")).to_have_text("Create your passkey")
    expect(page.locator("main")).to_contain_text(f"the one of {uid}")
    page.get_by_role("button", name="Create a passkey").click()
    expect(page).to_have_url(re.compile(r"/account\?welcome=1"))


def test_an_account_of_a_passkey_is_lost_and_found_again_with_a_code(visitor: Visitor) -> None:
    page = visitor.window()
    with_authenticator(page)
    sign_up(page, "ada")
    expect(page.locator("main")).to_contain_text("If you lose your passkey, nothing lets you back in yet.")
    page.get_by_role("button", name="Make recovery codes").click()
    expect(page.locator("main h1")).to_have_text("Your recovery codes")
    expect(page.locator("#codes code")).to_have_count(10)
    codes = page.locator("#codes code").all_inner_texts()
    page.fill("[name=code]", codes[9])
    page.get_by_role("button", name="Done").click()
    page.goto("/account")
    expect(page.locator("main")).not_to_contain_text("nothing lets you back in yet")

    windows = [visitor.window(), visitor.window(scripts=False)]
    for number, other in enumerate(windows):
        other.goto("/sign-in")
        other.click('main a[href="/recovery"]')
        other.click('main a[href="/recovery/code"]')
        other.fill("[name=identifier]", "ada")
        other.fill("[name=code]", codes[number].upper())
        other.click(SUBMIT)
        expect(other.locator("main")).to_contain_text("Your other recovery codes end with it")
    last = windows[-1]
    last.fill("[name=password]", PASSWORD)
    last.click(SUBMIT)
    expect(last).to_have_url(re.compile(r"/sign-in\?recovered=1"))
    last.fill("[name=identifier]", "ada")
    last.fill("[name=password]", PASSWORD)
    last.click(SUBMIT)
    expect(last).to_have_url(re.compile("/sign-in/step"))


def test_whoever_goes_back_finds_what_they_have_entered_and_one_passkey_is_kept(visitor: Visitor) -> None:
    page = visitor.window()
    cdp, authenticator = with_authenticator(page)
    page.goto("/sign-up/passkey?next=/members")
    page.fill("[name=uid]", "grace")
    page.fill("[name=name]", "Grace Hopper")
    page.click(SUBMIT)
    page.get_by_role("link", name="Change what you have entered").click()
    expect(page.locator("[name=uid]")).to_have_value("grace")
    page.fill("[name=uid]", "hopper")
    page.click(SUBMIT)
    expect(page.locator("main")).to_contain_text("the one of hopper")
    page.get_by_role("button", name="Create a passkey").click()
    expect(page).to_have_url(re.compile("/account"))
    assert len(cdp.send("WebAuthn.getCredentials", {"authenticatorId": authenticator})["credentials"]) == 1


def test_without_javascript_a_password_is_one_click_away_and_codes_are_made(visitor: Visitor) -> None:
    page = visitor.window(scripts=False)
    page.goto("/sign-up/passkey")
    page.get_by_role("link", name="Create it with a password instead").click()
    page.fill("[name=uid]", "mary")
    page.fill("[name=name]", "Mary Jackson")
    page.fill("[name=password]", PASSWORD)
    page.click(SUBMIT)
    expect(page.locator("main")).to_contain_text("If you forget your password, nothing lets you back in yet.")
    page.get_by_role("button", name="Make recovery codes").click()
    expect(page.locator("#codes code")).to_have_count(10)

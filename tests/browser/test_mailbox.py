"""The development mailbox as a newcomer meets it: from the greeting in the terminal to an account, in Chromium."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.chromium import AXE, RULES, violations
from tests.support.serving import running
from tests.support.windows import Visitor

PASSWORD = "engines weave algebra"
SUBMIT = "main form button:not([type=button])"

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@dataclass(frozen=True, slots=True)
class Site:
    """A server with no mail server: where it answers, and the link it printed."""

    address: str
    inbox: str


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    data = tmp_path_factory.mktemp("site") / "data"
    environ = {**os.environ, "DOORWARD_SIGNUP__IDENTIFIER": "email"}
    with running("doorward.cli", "serve", "--port", "0", "--data", str(data), environ=environ) as server:
        printed = re.search(r"Mail & SMS inbox +(\S+)", server.greeting)
        assert printed is not None
        yield Site(f"http://localhost:{server.port}", printed[1])


@pytest.fixture
def visitor(browser: Browser, site: Site) -> Iterator[Visitor]:
    one = Visitor(browser, site.address)
    yield one
    one.close()


def sign_up(page: Page, address: str) -> None:
    page.goto("/sign-up")
    page.fill("[name=email]", address)
    page.fill("[name=password]", PASSWORD)
    page.click(SUBMIT)
    page.wait_for_url("**/verify")


def looked_at(page: Page) -> None:
    """Nothing shuts anybody out, nothing is wider than the window."""
    page.wait_for_load_state()
    page.evaluate(AXE.read_text())
    assert violations(page, {"runOnly": RULES}) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_message_appears_by_itself_and_its_link_makes_the_account(visitor: Visitor, site: Site) -> None:
    mailbox = visitor.window()
    mailbox.goto(site.inbox)
    expect(mailbox).to_have_url(f"{site.address}/dev/mail")
    expect(mailbox.get_by_text("Nothing has been sent yet")).to_be_visible()
    page = mailbox.context.new_page()
    sign_up(page, "ada@example.org")
    mailbox.bring_to_front()
    entry = mailbox.locator("[data-mails] > li")
    expect(entry).to_have_count(1)
    expect(entry).to_contain_text("ada@example.org")
    expect(mailbox.get_by_text("Nothing has been sent yet")).to_be_hidden()
    expect(mailbox.locator("[data-news]")).to_have_text(re.compile(r"New message: \d{6} is your code"))
    looked_at(mailbox)
    entry.get_by_role("link", name="Open the link").click()
    mailbox.click(SUBMIT)
    mailbox.wait_for_url("**/account?welcome=1")


def test_a_code_can_be_copied(visitor: Visitor, site: Site) -> None:
    mailbox = visitor.window(permissions=["clipboard-read", "clipboard-write"])
    sign_up(mailbox, "ada@example.org")
    mailbox.goto(site.inbox)
    code = mailbox.locator("[data-mails] code").inner_text()
    mailbox.get_by_role("button", name="Copy the code").click()
    expect(mailbox.get_by_role("button", name="Copied")).to_be_visible()
    assert mailbox.evaluate("navigator.clipboard.readText()") == code
    mailbox.go_back()
    mailbox.goto("/verify")
    mailbox.fill("[name=code]", code)
    mailbox.click(SUBMIT)
    mailbox.wait_for_url("**/account?welcome=1")


def test_a_mail_is_shown_as_it_will_be_seen_and_its_links_open_elsewhere(visitor: Visitor, site: Site) -> None:
    mailbox = visitor.window()
    sign_up(mailbox, "ada@example.org")
    mailbox.goto(site.inbox)
    mailbox.locator("[data-mails] a").first.click()
    looked_at(mailbox)
    frame = mailbox.frame_locator("iframe")
    expect(frame.get_by_text("One step is left").last).to_be_visible()
    background = frame.locator(".button").evaluate("element => getComputedStyle(element).backgroundColor")
    assert background == "rgb(11, 93, 78)"  # its own styles are in force
    assert frame.locator(".code").inner_text().strip().isdigit()
    with mailbox.context.expect_page() as opened:
        frame.get_by_role("link", name="Confirm my address").click()
    page = opened.value
    page.click(SUBMIT)
    page.wait_for_url("**/account?welcome=1")  # the same browser, although the frame is nobody's
    # What looks into the frame here tries to do so by script, and hears what any script in a mail would.
    (heard,) = visitor.complaints
    assert {line.partition(" in ")[0] for line in heard} == {"Blocked script execution"}
    heard.clear()


def test_without_javascript_it_looks_again_too(visitor: Visitor, site: Site) -> None:
    mailbox = visitor.window(scripts=False)
    mailbox.goto(site.inbox)
    sign_up(mailbox.context.new_page(), "ada@example.org")
    expect(mailbox.locator("[data-mails] > li")).to_have_count(1)
    expect(mailbox.locator("[data-copy]")).to_be_hidden()


def test_another_browser_is_told_where_the_link_is(visitor: Visitor) -> None:
    page = visitor.window()
    page.goto("/dev/mail")
    expect(page.locator("h1")).to_have_text("The development mailbox is locked")
    looked_at(page)

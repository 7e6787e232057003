"""Every page as Chromium shows it, from a file server that sends our own Content Security Policy.

The routes are not asked here: the samples of tests/support/sample_pages.py stand for what they hand to the templates.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect
from typing_extensions import override

from doorward.web.headers import CONTENT_SECURITY_POLICY
from doorward.web.pages import Pages
from doorward.web.translations import NAMES
from tests.support.chromium import AXE, RULES, violations
from tests.support.sample_pages import PAGES, rendered

pytestmark = pytest.mark.browser
# Words that reach out of their own box, or of the window. What may be scrolled on purpose is not cut, nor is what
# only screen readers see.
CUT = """() => {
  const found = [], words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), range = new Range();
  while (words.nextNode()) {
    const within = words.currentNode.parentElement;
    const holder = within.closest("button, a, li, p, h1, h2, h3, label, th, td, dt, dd, div");
    const apart = within.closest(".unseen, .skip, .table, pre, option, template, noscript");
    if (!words.currentNode.data.trim() || apart) continue;
    range.selectNodeContents(words.currentNode);
    const text = range.getBoundingClientRect(), box = holder.getBoundingClientRect();
    const cut = text.left < box.left - 1 || text.right > box.right + 1 || text.left < 0 || text.right > innerWidth;
    if (text.width && cut) found.push(words.currentNode.data);
  }
  return found;
}"""
AXE_SOURCE = AXE.read_text()
STAY = "HTMLFormElement.prototype.requestSubmit = () => {}"  # a page that sends itself on can be looked at, too


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """A server on the loopback: /<sample>?lang=ar&theme=dark, and the static files."""
    pages = Pages("Doorward", support="help@example.org")
    files = pages.static_files()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            target = urlsplit(self.path)
            wish = {name: values[0] for name, values in parse_qs(target.query).items()}
            sample = target.path.removeprefix("/")
            media_type, body = "text/html; charset=utf-8", b""
            if target.path in files:
                media_type, body = files[target.path]
            elif target.path == "/dev/mail.json":  # what the mailbox's page asks for again and again
                media_type, body = "application/json", b'{"messages": []}'
            elif sample in PAGES:
                body = rendered(pages, sample, locale=wish.get("lang", "en"), theme=wish.get("theme", "light"))
            self.send_response(200 if body else 404)
            self.send_header("content-type", media_type)
            self.send_header("content-security-policy", CONTENT_SECURITY_POLICY)
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.send_response(204)  # the browser stays where it is
            self.end_headers()

        @override
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"  # a name, or passkey.js would hide its buttons
        server.shutdown()


@contextmanager
def watched(browser: Browser) -> Iterator[tuple[Page, list[str]]]:
    """A tab, and what goes wrong in it: a CSP violation among others."""
    context = browser.new_context(reduced_motion="reduce")
    context.add_init_script(STAY)
    tab = context.new_page()
    complaints: list[str] = []
    tab.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    yield tab, complaints
    context.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab of its own that fails the test when anything went wrong in it."""
    with watched(browser) as (tab, complaints):
        yield tab
    assert complaints == []


@pytest.fixture(scope="module")
def one_tab(browser: Browser) -> Iterator[tuple[Page, list[str]]]:
    with watched(browser) as found:
        yield found


@pytest.fixture
def sheet(one_tab: tuple[Page, list[str]]) -> Iterator[Page]:
    """The same tab for every sample that is only looked at: to open one takes longer than to look."""
    tab, complaints = one_tab
    complaints.clear()
    yield tab
    assert complaints == []


@pytest.mark.parametrize("sample", PAGES)
def test_axe_finds_nothing_wrong_in_light_or_dark(site: str, sheet: Page, sample: str) -> None:
    open_sample(sheet, f"{site}/{sample}?lang=en&theme=light")
    assert violations(sheet, {"runOnly": RULES}) == []
    sheet.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert violations(sheet, {"runOnly": {"type": "rule", "values": ["color-contrast"]}}) == []


@pytest.mark.parametrize("sample", PAGES)
def test_axe_finds_nothing_wrong_from_right_to_left(site: str, sheet: Page, sample: str) -> None:
    """Colours are those of the other direction, and take axe the longest."""
    open_sample(sheet, f"{site}/{sample}?lang=ar&theme=light")
    assert violations(sheet, {"runOnly": RULES, "rules": {"color-contrast": {"enabled": False}}}) == []


def open_sample(page: Page, address: str) -> None:
    """With everything unfolded, and axe beside it."""
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(address)
    page.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")
    page.evaluate(AXE_SOURCE)


@pytest.mark.parametrize("lang", NAMES)
def test_nothing_scrolls_sideways_or_is_cut_at_320_pixels(site: str, sheet: Page, lang: str) -> None:
    """WCAG 1.4.10; also what 400 % zoom makes of a window 1280 pixels wide. German has the longest words."""
    sheet.set_viewport_size({"width": 320, "height": 640})
    found: dict[str, object] = {}
    for sample in PAGES:
        sheet.goto(f"{site}/{sample}?lang={lang}")
        sheet.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")
        width, cut = sheet.evaluate("document.documentElement.scrollWidth"), sheet.evaluate(CUT)
        if width > 320 or cut:
            found[sample] = width, cut
    assert found == {}


@pytest.mark.parametrize("sample", PAGES)
def test_targets_are_44_pixels_high(site: str, sheet: Page, sample: str) -> None:
    """WCAG 2.5.5 for what is pressed; links within sentences are exempt."""
    sheet.set_viewport_size({"width": 375, "height": 800})
    sheet.goto(f"{site}/{sample}")
    targets = (
        "button, .button, select, input:not([type=checkbox], [type=hidden], [hidden]), nav a, .site, thead a, summary"
    )
    measured = "all => all.map(e => [e.outerHTML, e.getBoundingClientRect().height])"
    heights = sheet.eval_on_selector_all(targets, measured)
    assert [html for html, height in heights if 0 < height < 44] == []


def test_a_form_says_what_is_wrong_before_it_is_sent(site: str, page: Page) -> None:
    page.goto(f"{site}/sign-up")
    page.fill("[name=uid]", "a")
    page.fill("[name=email]", "not an address")
    page.click("main button:not([type=button])")
    assert page.inner_text("#error-summary").splitlines() == [
        "There is a problem", "The username needs at least 2 characters", "Enter your name", "That is no address",
        "Enter a password",
    ]  # fmt: skip
    assert page.title() == "Error: Create an account – Doorward"
    assert page.evaluate("document.activeElement.id") == "error-summary"
    uid = page.locator("[name=uid]")
    assert uid.get_attribute("aria-invalid") == "true"
    assert uid.get_attribute("aria-describedby") == "field-uid-hint field-uid-error"
    assert page.text_content("#field-uid-error") == "Error: The username needs at least 2 characters"


def test_a_summary_link_goes_into_its_field(site: str, page: Page) -> None:
    page.goto(f"{site}/sign-up-wrong")
    expect(page.locator("#error-summary")).to_be_focused()
    page.click("text=The password needs at least 15 characters >> nth=0")
    assert page.evaluate("document.activeElement.id") == "field-password"


def test_lengths_are_counted_in_code_points_after_composing(site: str, page: Page) -> None:
    """The server counts so; a browser's own minlength and maxlength count UTF-16 units."""
    page.goto(f"{site}/sign-up")
    page.fill("[name=uid]", "\N{GRINNING FACE}")
    page.fill("[name=name]", "\N{GRINNING FACE}" * 64)
    page.fill("[name=password]", "e\u0301" * 14)
    page.click("main button:not([type=button])")
    assert page.inner_text("#error-summary").splitlines()[1:] == [
        "The username needs at least 2 characters", "The password needs at least 15 characters",
    ]  # fmt: skip


def test_a_right_form_is_sent_with_the_password_hidden_again(site: str, page: Page) -> None:
    page.goto(f"{site}/sign-in")
    expect(page.locator("[name=identifier]")).to_be_focused()
    page.fill("[name=identifier]", "ada")
    page.fill("[name=password]", "a few words")
    show = page.locator("[data-show]")
    show.click()
    assert show.get_attribute("aria-pressed") == "true"
    assert page.get_attribute("[name=password]", "type") == "text"
    with page.expect_request("**/sign-in") as sent:
        page.click("main button:not([type=button])")
    assert parse_qs(sent.value.post_data or "")["password"] == ["a few words"]
    assert page.get_attribute("[name=password]", "type") == "password"


def test_caps_lock_is_pointed_out_and_forgotten(site: str, page: Page) -> None:
    page.goto(f"{site}/sign-in")
    press = "on => document.querySelector('[name=password]').dispatchEvent(new KeyboardEvent('keyup', on))"
    page.focus("[name=password]")
    page.evaluate(press, {"key": "A", "modifierCapsLock": True})
    assert page.inner_text("[data-capslock]") == "Caps Lock is on."
    page.focus("[name=identifier]")
    assert page.text_content("[data-capslock]") == ""


def test_the_countdown_speaks_at_its_start_and_its_end_only(site: str, page: Page) -> None:
    page.clock.install(time=0)
    page.clock.pause_at(1)
    page.goto(f"{site}/sign-in-wait")
    button, spoken = page.locator("[data-submit]"), page.locator("[data-spoken]")
    assert spoken.text_content() == "Try again in 0:42"
    assert button.is_disabled()
    page.clock.run_for(12_000)
    assert page.inner_text("[data-clock]") == "0:30"
    assert spoken.text_content() == "Try again in 0:42"
    page.clock.run_for(31_000)
    assert spoken.text_content() == "You can try again now."
    assert button.is_enabled()


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("abcdefghijkl", "Characters still missing: 3"),
        ("abcabcabcabcabcabc", "This password repeats itself"),
        ("qwertyuiopasdfgh", "These are keys in a row"),
        ("Ada.Lovelace-1815!", "This password is made of your name"),
        ("ada likes quiet herons", ""),
    ],
)
def test_a_new_password_gets_advice_while_it_is_typed(site: str, page: Page, typed: str, said: str) -> None:
    """Politely and without a word to the server; nothing is refused before the form is sent."""
    asked: list[str] = []
    page.goto(f"{site}/sign-up")
    page.wait_for_load_state("networkidle")  # the icon comes last
    page.on("request", lambda request: asked.append(request.url))
    page.fill("[name=name]", "Ada Lovelace")
    page.locator("[name=password]").press_sequentially("some other text")
    page.fill("[name=password]", typed)
    line = page.locator("[data-advice]")
    expect(line).to_have_text(re.compile(f"^{re.escape(said)}" if said else "^$"))
    page.wait_for_timeout(1_000)
    assert line.get_attribute("role") == "status"
    spoken = line.text_content() or ""
    assert spoken.startswith(said)
    assert bool(spoken) == bool(said)
    assert asked == []


def test_pages_work_without_javascript(site: str, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site}/sign-in-wait")
    assert page.inner_text(".wait").startswith("Try again in 0:42 (23 November 2026, 05:00 UTC)")
    assert page.locator("[data-show]").is_hidden()
    assert page.locator("[data-submit]").is_enabled()
    context.close()

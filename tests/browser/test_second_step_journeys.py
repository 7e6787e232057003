"""A second step in Chromium, against a server of its own: set up, asked for, lost, taken down; and passkeys beside it.

The codes are pyotp's, from the key that the page shows; the passkeys are of Chromium's virtual authenticator. What
works without JavaScript is done without it, too.
"""

import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pyotp
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.elapsed import let_code_change, let_pass
from tests.support.serving import ROOT
from tests.support.windows import Visitor, serve, with_authenticator

PASSWORD = "engines weave algebra"
SUBMIT = "main form button:not([type=button])"
SUMMARY = "#error-summary"
CODES = 10
CLIPBOARD = ["clipboard-read", "clipboard-write"]
# What the browser does when it is told to print is not ours; that it is told is.
PRINTED = "window.print = () => { document.documentElement.dataset.printed = 'yes'; }"
# The browser then offers no passkey by itself where a name is typed, and the button is all there is.
NO_WAITING = "delete PublicKeyCredential.isConditionalMediationAvailable"
# What a button says once it was pressed, for however short a time.
PRESSED = """button => new Promise((done) => {
  new MutationObserver(() => done(button.textContent)).observe(button, { childList: true });
  button.click();
})"""

pytestmark = [pytest.mark.browser, pytest.mark.slow]
both = pytest.mark.parametrize("scripts", [True, False], ids=["with JavaScript", "without"])
_numbers = count(1)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The fitness example: where it answers, and its data."""
    yield from serve(tmp_path_factory, (ROOT / "examples/fitness/doorward.toml").read_text())


def sign_up(page: Page) -> str:
    """An account with a password alone; its username."""
    uid = f"ada{next(_numbers)}"
    page.goto("/sign-up")
    page.fill("[name=uid]", uid)
    page.fill("[name=name]", "Ada Lovelace")
    page.fill("[name=password]", PASSWORD)
    page.click(SUBMIT)
    expect(page).to_have_url(re.compile("/account"))
    return uid


def sign_in(page: Page, uid: str) -> None:
    """Name and password."""
    page.goto("/sign-in")
    page.fill("[name=identifier]", uid)
    page.fill("[name=password]", PASSWORD)
    page.click(SUBMIT)


def sign_out(page: Page) -> None:
    page.click("header form button")
    expect(page.locator("h1")).to_have_text("Welcome to Fitness")


def heading(page: Page) -> Locator:
    return page.locator("h1")


def notice(page: Page) -> Locator:
    return page.locator(".notice")


def section(page: Page, title: str) -> Locator:
    """The part of the security page about one kind."""
    return page.locator("section", has=page.get_by_role("heading", name=title))


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def set_up_app(page: Page, data: Path) -> pyotp.TOTP:
    """Turn an app on, from the security page; the app. It shows another code afterwards."""
    page.goto("/account/security")
    press(page, "Set up an app")
    app = app_shown(page)
    page.fill("[name=code]", app.now())
    press(page, "Turn it on")
    expect(notice(page)).to_contain_text("Your authenticator app is set up.")
    let_code_change(data)
    return app


def app_shown(page: Page) -> pyotp.TOTP:
    """An app with the key that the page shows."""
    return pyotp.TOTP(page.inner_text("#app-key").replace(" ", ""))


def make_codes(page: Page) -> list[str]:
    """Make recovery codes from the security page, and keep them."""
    page.goto("/account/security")
    press(page, "Make recovery codes")
    expect(page.locator("#codes code")).to_have_count(CODES)
    codes = page.locator("#codes code").all_inner_texts()
    page.check("[name=kept]")
    press(page, "Done")
    expect(notice(page)).to_contain_text("Your recovery codes are set up.")
    return codes


def show_code(page: Page, app: pyotp.TOTP) -> None:
    """Answer at the second step."""
    expect(page.locator("main .lead")).to_have_text("Enter the six digits that your authenticator app shows.")
    page.fill("[name=code]", app.now())
    page.click(SUBMIT)


# Setting it up -----------------------------------------------------------------------------------------------------


@both
def test_an_app_is_set_up_and_whoever_came_with_the_password_alone_is_out(visitor: Visitor, *, scripts: bool) -> None:
    page, other = visitor.window(scripts=scripts), visitor.window()
    uid = sign_up(page)
    sign_in(other, uid)
    expect(heading(other)).to_have_text("Your profile")

    page.click(".side >> text=Second step")
    expect(page.locator("main")).to_contain_text("With a second step a stolen password is not enough.")
    press(page, "Set up an app")
    expect(heading(page)).to_have_text("Set up an authenticator app")
    picture = page.get_by_role("img", name="QR code with the key below")
    expect(picture.locator("svg.qr path").first).to_be_visible()
    key = page.inner_text("#app-key")
    assert re.fullmatch(r"[A-Z2-7]{4}( [A-Z2-7]{4}){7}", key)

    page.fill("[name=code]", "000000")
    press(page, "Turn it on")
    expect(page.locator(SUMMARY)).to_contain_text("This code does not fit.")
    assert page.inner_text("#app-key") == key, "the app that has it already goes on"
    page.fill("[name=code]", app_shown(page).now())
    press(page, "Turn it on")
    expect(notice(page)).to_have_text("Your authenticator app is set up. Other devices have been signed out.")
    expect(section(page, "Authenticator app").locator(".badge")).to_have_text("On")
    assert key not in page.content()
    other.goto("/account")
    expect(other).to_have_url(re.compile("/sign-in"))
    page.goto("/account/security/app")
    expect(page).to_have_url(re.compile("/account/security$"))  # the key is shown no more


@both
def test_recovery_codes_are_shown_once_and_copied_saved_and_printed(
    visitor: Visitor, tmp_path: Path, data: Path, *, scripts: bool
) -> None:
    page = visitor.window(scripts=scripts, permissions=CLIPBOARD)
    page.add_init_script(PRINTED)
    uid = sign_up(page)
    set_up_app(page, data)
    expect(section(page, "Recovery codes")).to_contain_text("If you lose your second step, you cannot get in any more.")
    press(page, "Make recovery codes")
    expect(page.locator("#codes code")).to_have_count(CODES)
    codes = page.locator("#codes code").all_inner_texts()
    assert len(set(codes)) == CODES

    tools = page.locator(".actions", has=page.locator("[data-copy]"))
    if scripts:
        copied, saved = copy_and_save(page, tmp_path)
        assert re.findall(r"\S+", copied) == codes
        assert re.findall(r"(?m)^\S+$", saved) == codes
        assert re.match(rf"Recovery codes for Fitness, {uid}, made on \d{{4}}-\d\d-\d\d\n\n", saved)
        press(page, "Print")
        expect(page.locator("html")).to_have_attribute("data-printed", "yes")
    else:
        expect(tools.locator("button, a").filter(visible=True)).to_have_count(0)

    press(page, "Done")
    expect(page.locator(SUMMARY)).to_contain_text("Tick the box, or enter one of the codes")
    expect(page.locator("#codes code"), "nothing is lost by an early press").to_have_text(codes)
    page.check("[name=kept]")
    press(page, "Done")
    expect(section(page, "Recovery codes").locator(".badge")).to_have_text(f"Left: {CODES}")
    for path in ("/account/security", "/account/security/codes", "/account/activity"):
        page.goto(path)
        assert not [code for code in codes if code in page.content()], path


def copy_and_save(page: Page, folder: Path) -> tuple[str, str]:
    """What the clipboard and the file hold."""
    copy = page.locator("[data-copy]")
    expect(copy).to_have_text("Copy")
    assert copy.evaluate(PRESSED) == "Copied"
    copy.click()
    expect(copy, "however often it was pressed").to_have_text("Copy")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert re.fullmatch(r"recovery-codes-\d{4}-\d\d-\d\d\.txt", download.value.suggested_filename)
    download.value.save_as(folder / "codes.txt")
    return page.evaluate("navigator.clipboard.readText()"), (folder / "codes.txt").read_text()


# Signing in with it ------------------------------------------------------------------------------------------------


@both
def test_the_second_step_is_asked_for_and_a_used_code_is_refused(
    visitor: Visitor, data: Path, *, scripts: bool
) -> None:
    page = visitor.window(scripts=scripts)
    uid = sign_up(page)
    app = set_up_app(page, data)
    page.goto("/members")
    sign_out(page)
    page.goto("/sign-in?next=/members")
    page.fill("[name=identifier]", uid)
    page.fill("[name=password]", PASSWORD)
    page.click(SUBMIT)
    expect(page).to_have_url(re.compile("/sign-in/step$"))
    for path in ("/account", "/account/security"):  # half signed in is not signed in
        page.goto(path)
        expect(page).to_have_url(re.compile(r"/sign-in\?next="))
    page.goto("/sign-in/step")
    page.fill("[name=code]", "000000")
    page.click(SUBMIT)
    expect(page.locator(SUMMARY)).to_contain_text("This code is not right, or it has been used before.")
    expect(page).to_have_title("Error: Second step – Fitness")
    code = app.now()
    page.fill("[name=code]", f"{code[:3]} {code[3:]}")
    page.click(SUBMIT)
    expect(heading(page)).to_have_text("Members")  # where they wanted to go

    stranger = visitor.window(scripts=scripts)
    sign_in(stranger, uid)
    stranger.fill("[name=code]", code)
    stranger.click(SUBMIT)
    expect(stranger.locator(SUMMARY)).to_contain_text("it has been used before")


@both
def test_whoever_has_lost_the_app_gets_in_with_a_recovery_code_and_sets_another_up(
    visitor: Visitor, data: Path, *, scripts: bool
) -> None:
    page = visitor.window(scripts=scripts)
    uid = sign_up(page)
    lost, codes = set_up_app(page, data), make_codes(page)
    sign_out(page)
    sign_in(page, uid)
    page.get_by_role("navigation", name="Try another way").get_by_text("I have none of these").click()
    expect(heading(page)).to_have_text("No way left?")
    page.get_by_role("link", name="Recovery code").click()
    expect(page.locator("main .lead")).to_contain_text("Enter one of the codes that you have kept.")
    page.fill("[name=code]", "aaaa-bbbb-cccc-dddd")
    page.click(SUBMIT)
    expect(page.locator(SUMMARY)).to_contain_text("This recovery code is not right, or it has been used before")
    page.fill("[name=code]", codes[3].replace("-", " ").upper())
    page.click(SUBMIT)

    expect(heading(page)).to_have_text("Set up a second step")
    expect(page.locator("main .lead")).to_contain_text("A recovery code stood in for your second step.")
    page.goto("/account")  # no way around it
    expect(page).to_have_url(re.compile("/sign-in"))
    page.goto("/sign-in/set-up")
    press(page, "Set up an app")
    found = app_shown(page)
    page.fill("[name=code]", found.now())
    press(page, "Turn it on")
    expect(notice(page)).to_contain_text("Your second step is set up.")
    expect(section(page, "Recovery codes").locator(".badge")).to_have_text(f"Left: {CODES - 1}")

    let_code_change(data)
    sign_out(page)
    sign_in(page, uid)
    show_code(page, lost)
    expect(page.locator(SUMMARY)).to_be_visible()
    show_code(page, found)
    expect(heading(page)).to_have_text("Your profile")


# Proving it anew ---------------------------------------------------------------------------------------------------


@both
def test_after_ten_minutes_taking_it_down_asks_for_both_and_then_takes_it_down(
    visitor: Visitor, data: Path, *, scripts: bool
) -> None:
    page = visitor.window(scripts=scripts)
    sign_up(page)
    app = set_up_app(page, data)
    page.goto("/account/security")
    let_pass(page, data)
    press(page, "Turn it off")
    expect(heading(page)).to_have_text("Confirm that it is you")
    page.fill("[name=password]", "not my password at all")
    press(page, "Confirm")
    expect(page.locator(SUMMARY)).to_be_visible()
    page.fill("[name=password]", PASSWORD)
    press(page, "Confirm")
    expect(page).to_have_url(re.compile("/sign-in/step$"))
    expect(heading(page)).to_have_text("Confirm that it is you")
    page.goto("/account/security")
    expect(section(page, "Authenticator app").locator(".badge")).to_have_text("On")  # the password was half of it
    page.goto("/sign-in/step")
    show_code(page, app)
    if not scripts:
        expect(page.locator("main .lead")).to_contain_text("nothing of it is lost")
        press(page, "Go on")
    expect(notice(page)).to_have_text("That is removed.")
    expect(section(page, "Authenticator app").locator(".badge")).to_have_count(0)


# Passkeys ----------------------------------------------------------------------------------------------------------


def test_a_passkey_is_added_named_used_and_removed(visitor: Visitor) -> None:
    page = visitor.window()
    cdp, authenticator = with_authenticator(page)
    page.add_init_script(NO_WAITING)
    uid = sign_up(page)
    add_passkey(page)
    kept = cdp.send("WebAuthn.getCredentials", {"authenticatorId": authenticator})["credentials"]
    assert [(one["rpId"], one["isResidentCredential"], one["userName"]) for one in kept] == [("localhost", True, uid)]

    press(page, "Create a passkey")
    expect(page.get_by_role("alert")).to_have_text("This device has a passkey for your account already.")
    passkeys = section(page, "Passkeys")
    passkeys.get_by_text("Rename").click()
    passkeys.get_by_label("Name").fill("هاتف Ada <1>")
    passkeys.get_by_role("button", name="Save").click()
    expect(notice(page)).to_have_text("The new name is saved.")
    expect(passkeys.locator(".device")).to_have_text("هاتف Ada <1>")

    sign_out(page)
    page.goto("/sign-in")
    press(page, "Sign in with a passkey")
    expect(heading(page)).to_have_text("Your profile")  # neither name nor password nor second step
    page.goto("/account/security")
    expect(passkeys.locator(".hint").first).to_contain_text("last used")

    passkeys.get_by_role("button", name="Remove").click()
    expect(notice(page)).to_have_text("That is removed.")
    expect(passkeys.locator("li")).to_have_count(0)
    sign_out(page)
    sign_in(page, uid)
    expect(heading(page)).to_have_text("Your profile")  # the password is enough again


def add_passkey(page: Page) -> None:
    """From the security page."""
    page.goto("/account/security")
    press(page, "Create a passkey")
    expect(notice(page)).to_have_text("Your passkey is set up.")
    expect(section(page, "Passkeys").locator("li")).to_have_count(1)


def test_a_passkey_signs_in_where_the_name_is_typed_with_nothing_typed(visitor: Visitor) -> None:
    """UX-20: what the browser offers in the field, the virtual authenticator takes at once."""
    page = visitor.window()
    with_authenticator(page)
    sign_up(page)
    add_passkey(page)
    page.goto("/members")
    sign_out(page)
    page.goto("/account/activity")
    expect(heading(page)).to_have_text("What happened to your account")
    assert "/sign-in" not in page.url


def test_a_removed_passkey_is_told_that_it_is_not_known(visitor: Visitor) -> None:
    page = visitor.window()
    page.add_init_script(NO_WAITING)
    with_authenticator(page)
    sign_up(page)
    add_passkey(page)
    page.add_init_script("delete PublicKeyCredential.signalAllAcceptedCredentials")  # so that the device keeps it
    section(page, "Passkeys").get_by_role("button", name="Remove").click()
    sign_out(page)
    page.goto("/sign-in")
    press(page, "Sign in with a passkey")
    expect(page.get_by_role("alert")).to_have_text("That did not work. Try again, or choose another way.")


def test_a_passkey_is_the_second_step_and_proves_its_owner_anew(visitor: Visitor, data: Path) -> None:
    page = visitor.window()
    page.add_init_script(NO_WAITING)
    with_authenticator(page)
    uid = sign_up(page)
    add_passkey(page)
    sign_out(page)
    sign_in(page, uid)
    expect(page).to_have_url(re.compile("/sign-in/step$"))
    press(page, "Use a passkey")
    expect(heading(page)).to_have_text("Your profile")

    page.goto("/account/email")
    let_pass(page, data)
    page.fill("[name=email]", "ada@example.org")
    press(page, "Send me a mail to confirm it")
    expect(heading(page)).to_have_text("Confirm that it is you")
    press(page, "Use a passkey")
    expect(notice(page)).to_have_text("We have sent you a message.")
    expect(page.locator("main")).to_contain_text("ada@example.org")


def test_without_javascript_a_passkey_is_explained_and_the_other_way_is_a_click_away(
    visitor: Visitor, data: Path
) -> None:
    page = visitor.window()
    with_authenticator(page)
    uid = sign_up(page)
    app = set_up_app(page, data)
    add_passkey(page)
    plain = visitor.window(scripts=False)
    sign_in(plain, uid)
    plain.goto("/sign-in/step?with=passkey")
    expect(plain.locator("main noscript p")).to_have_text(
        "Passkeys need JavaScript. Switch it on, or choose another way."
    )
    plain.get_by_role("navigation", name="Try another way").get_by_role("link", name="Authenticator app").click()
    show_code(plain, app)
    expect(heading(plain)).to_have_text("Your profile")

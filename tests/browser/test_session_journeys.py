"""Sessions that people see and end, the proof that a sensitive step asks for anew, "this was not me", and leaving.

In Chromium, against a server of its own that sends over a real mail server; without JavaScript, too.
"""

import json
import re
import zipfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.elapsed import let_pass
from tests.support.post import Post
from tests.support.smtp_server import smtp_server
from tests.support.windows import Visitor, serve

PASSWORD = "engines weave algebra"
OTHER_PASSWORD = "looms that count petals"
SUBMIT = "main form button:not([type=button])"
SUMMARY = "#error-summary"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 "
    "Mobile/15E148 Safari/604.1"
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]
both = pytest.mark.parametrize("scripts", [True, False], ids=["with JavaScript", "without"])
_numbers = count(1)


@pytest.fixture(scope="module")
def post(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Post]:
    with smtp_server(tmp_path_factory.mktemp("post") / "mails.jsonl") as server:
        yield Post(server)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, post: Post) -> Iterator[tuple[str, Path]]:
    """Where people sign up with an address and have a handle, too; and its data."""
    mail = {
        "DOORWARD_SIGNUP__IDENTIFIER": "email",
        "DOORWARD_MAIL__URL": f"smtp://127.0.0.1:{post.server.port}",
        "DOORWARD_MAIL__FROM": "Doorward <door@example.org>",
    }
    yield from serve(tmp_path_factory, "", mail)


def member(page: Page, post: Post) -> str:
    """Sign up and confirm the address; the address. One mail has come to it."""
    address = f"ada{next(_numbers)}@example.org"
    page.goto("/sign-up")
    page.fill("[name=email]", address)
    page.fill("[name=password]", PASSWORD)
    page.click(SUBMIT)
    page.wait_for_url("**/verify")
    page.goto(post.link(address))
    page.click(SUBMIT)
    page.wait_for_url("**/account?welcome=1")
    return address


def sign_in(page: Page, address: str, password: str = PASSWORD) -> None:
    page.goto("/sign-in")
    page.fill("[name=identifier]", address)
    page.fill("[name=password]", password)
    page.click(SUBMIT)


def signed_in(visitor: Visitor, address: str, **options: Any) -> Page:
    """Another browser of the same member."""
    page = visitor.window(**options)
    sign_in(page, address)
    expect(heading(page)).to_have_text("Your profile")
    return page


def heading(page: Page) -> Locator:
    return page.locator("h1")


def notice(page: Page) -> Locator:
    return page.locator(".notice")


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def is_out(page: Page) -> None:
    """The very next request of this browser opens nothing."""
    page.goto("/account")
    expect(page).to_have_url(re.compile(r"/sign-in\?next="))


# Ending sessions ---------------------------------------------------------------------------------------------------


@both
def test_what_a_second_browser_sends_after_its_session_was_ended_is_not_done(
    visitor: Visitor, post: Post, *, scripts: bool
) -> None:
    page = visitor.window(scripts=scripts)
    address = member(page, post)
    second = signed_in(visitor, address, scripts=scripts, user_agent=IPHONE)
    name = second.input_value("[name=name]")
    second.fill("[name=name]", "Not Ada any more")

    page.click(".side >> text=Devices")
    expect(page.locator(".sessions li")).to_have_count(2)
    row = page.locator(".sessions li", has_text="Safari on iPhone")
    expect(row).to_contain_text("127.0.0.1")
    expect(page.locator(".sessions li", has_text="This device").get_by_role("button")).to_have_count(0)
    row.get_by_role("button", name="Sign out").click()
    expect(notice(page)).to_have_text("That session has ended.")
    expect(page.locator(".sessions li")).to_have_count(1)

    second.click(SUBMIT)
    expect(second).to_have_url(re.compile("/sign-in"))
    expect(second.locator("header")).to_contain_text("Sign in")
    page.goto("/account")
    expect(page.locator("[name=name]")).to_have_value(name)


def test_all_others_end_and_then_all_of_them(visitor: Visitor, post: Post) -> None:
    page = visitor.window()
    address = member(page, post)
    others = [signed_in(visitor, address), signed_in(visitor, address, user_agent=IPHONE)]
    page.goto("/account/sessions")
    expect(page.locator(".sessions li")).to_have_count(3)
    press(page, "Sign out everywhere else")
    expect(notice(page)).to_have_text("All other sessions have ended.")
    expect(page.locator(".sessions li")).to_have_count(1)
    expect(page.get_by_role("button", name="Sign out everywhere else")).to_have_count(0)
    expect(page.get_by_role("button", name="Sign out everywhere")).to_be_visible()  # of apps, too
    for other in others:
        is_out(other)

    other = signed_in(visitor, address)
    page.goto("/account/sessions")
    press(page, "Sign out everywhere")
    expect(heading(page)).to_have_text(re.compile("^Welcome to"))
    is_out(page)
    is_out(other)
    sign_in(page, address)
    expect(heading(page)).to_have_text("Your profile")


# Proving it anew ---------------------------------------------------------------------------------------------------


@both
def test_after_ten_minutes_a_new_address_needs_the_password_and_is_not_typed_twice(
    visitor: Visitor, post: Post, data: Path, *, scripts: bool
) -> None:
    page = visitor.window(scripts=scripts)
    address = member(page, post)
    page.goto("/account/email")
    let_pass(page, data)  # while the form is open
    page.fill("[name=email]", f"new.{address}")
    press(page, "Send me a mail to confirm it")
    expect(heading(page)).to_have_text("Confirm that it is you")
    page.fill("[name=password]", "not my password at all")
    press(page, "Confirm")
    expect(page.locator(SUMMARY)).to_be_visible()
    page.fill("[name=password]", PASSWORD)
    press(page, "Confirm")
    if not scripts:
        expect(page.locator("main .lead")).to_contain_text("nothing of it is lost")
        press(page, "Go on")
    expect(notice(page)).to_have_text("We have sent you a message.")
    expect(page.locator("main")).to_contain_text(f"new.{address}")
    page.goto(post.link(f"new.{address}"))
    page.click(SUBMIT)
    expect(page.locator("main")).to_contain_text(f"new.{address}")


@both
def test_after_ten_minutes_a_copy_of_the_data_needs_the_password_and_comes_then(
    visitor: Visitor, post: Post, data: Path, *, scripts: bool
) -> None:
    page = visitor.window(scripts=scripts)
    member(page, post)
    page.click(".side >> text=Your data")
    let_pass(page, data)  # while the page is open
    press(page, "Download your data")
    expect(heading(page)).to_have_text("Confirm that it is you")
    page.fill("[name=password]", PASSWORD)
    with page.expect_download() as download:
        press(page, "Confirm")
        if not scripts:
            press(page, "Go on")
    assert zipfile.is_zipfile(download.value.path())


def test_pages_that_are_opened_late_ask_first_and_come_back_to_themselves(
    visitor: Visitor, post: Post, data: Path
) -> None:
    page = visitor.window()
    member(page, post)
    for path, ask in (
        ("/account/email", "Confirm that it is you"),
        ("/account/data", "Confirm that it is you"),
        ("/account/delete", "Confirm that it is you"),
        ("/account/security", "Add a passkey"),
    ):
        let_pass(page, data)
        page.goto(path)
        page.get_by_role("link", name=ask).click()
        page.fill("[name=password]", PASSWORD)
        press(page, "Confirm")
        expect(page).to_have_url(re.compile(f"{path}$"))
        expect(page.get_by_role("link", name=ask)).to_have_count(0)


# This was not me ---------------------------------------------------------------------------------------------------


@both
def test_the_mail_about_a_new_device_shuts_everybody_out_at_a_press(
    visitor: Visitor, post: Post, data: Path, *, scripts: bool
) -> None:
    page = visitor.window(scripts=scripts)
    address = member(page, post)
    let_pass(page, data)  # whoever has just signed up is told of no device
    thief = signed_in(visitor, address, user_agent=IPHONE)

    mail = post.last(address, 2)
    assert "Safari on iPhone" in dict(mail["parts"])["text/plain"]
    phone = visitor.window(scripts=scripts, width=360)  # where the mail is read, signed in as nobody
    phone.goto(post.link(address, 2))
    expect(heading(phone)).to_have_text("Was this you?")
    expect(phone.locator(".facts")).to_contain_text("Safari on iPhone")
    thief.goto("/account/security")
    expect(heading(thief)).to_have_text("Second step and passkeys")  # looking has changed nothing
    press(phone, "This was not me")

    is_out(thief)
    is_out(page)
    expect(heading(phone)).to_have_text("Choose a new password")
    sign_in(thief, address)
    expect(heading(thief)).not_to_have_text("Your profile")
    phone.fill("[name=password]", OTHER_PASSWORD)
    press(phone, "Set the new password")
    expect(notice(phone)).to_have_text("Your new password is set. Sign in with it.")
    sign_in(thief, address)
    expect(thief.locator(SUMMARY)).to_be_visible()
    sign_in(page, address, OTHER_PASSWORD)
    expect(heading(page)).to_have_text("Your profile")

    phone.goto(post.link(address, 2))
    expect(heading(phone)).to_have_text("This has been done already")


@both
def test_what_somebody_else_did_is_found_in_ones_activity_and_taken_back(
    visitor: Visitor, post: Post, data: Path, *, scripts: bool
) -> None:
    page = visitor.window(scripts=scripts)
    address = member(page, post)
    let_pass(page, data)
    thief = signed_in(visitor, address, user_agent=IPHONE)

    page.click(".side >> text=Activity")
    rows = page.locator(".sessions li")
    expect(rows.first).to_contain_text("You signed in with your password")
    expect(rows.first).to_contain_text("Safari on iPhone")
    expect(rows.first.locator(".badge")).to_have_count(0)
    expect(rows.last).to_contain_text("You created your account")
    expect(rows.last.get_by_text("This was not me")).to_have_count(0)
    rows.first.get_by_text("This was not me").click()
    expect(heading(page)).to_have_text("Confirm that it is you")  # eleven minutes have passed
    page.fill("[name=password]", PASSWORD)
    press(page, "Confirm")
    expect(heading(page)).to_have_text("Was this you?")
    expect(page.locator("main .lead")).to_have_text("A device signed in to your account.")
    expect(page.locator(".facts")).to_contain_text("Safari on iPhone")
    expect(page.locator("main")).to_contain_text("Everybody is signed out, except you here.")
    press(page, "This was not me")

    is_out(thief)
    expect(page).to_have_url(re.compile("/account/password"))
    expect(page.locator("main")).to_contain_text("Please choose a new one now.")
    page.fill("[name=current_password]", PASSWORD)
    page.fill("[name=new_password]", OTHER_PASSWORD)
    press(page, "Change password")
    expect(notice(page)).to_contain_text("Your password is changed.")
    page.goto("/account/activity")
    expect(rows.filter(has_text="You reported that something was not you")).to_have_count(1)
    sign_in(thief, address)
    expect(thief.locator(SUMMARY)).to_be_visible()


# Leaving and coming back -------------------------------------------------------------------------------------------


@both
def test_somebody_takes_their_data_leaves_and_comes_back(visitor: Visitor, post: Post, *, scripts: bool) -> None:
    page = visitor.window(scripts=scripts)
    address = member(page, post)
    other = signed_in(visitor, address)
    page.click(".side >> text=Delete account")
    page.click("text=Download your data first")
    with page.expect_download() as download:
        press(page, "Download your data")
    with zipfile.ZipFile(download.value.path()) as archive:
        names = set(archive.namelist())
        contacts = json.loads(archive.read("contacts.json"))
    assert {"README.txt", "profile.json", "contacts.json", "sessions.json", "activity.json"} <= names
    assert address in json.dumps(contacts)

    page.goto("/account/delete")
    expect(page.locator("main")).to_contain_text("We send you an e-mail about it now")
    page.fill("[name=confirm]", page.locator("main form bdi").inner_text())
    press(page, "Delete my account")
    expect(notice(page)).to_contain_text("Your account will be erased in 14 days.")
    is_out(other)
    assert "will be erased" in post.last(address, 2)["headers"]["subject"]

    sign_in(page, address)
    expect(heading(page)).to_have_text("Keep your account?")
    page.goto("/account")  # not yet
    expect(page).to_have_url(re.compile("/sign-in"))
    sign_in(page, address)
    press(page, "Keep my account and sign in")
    expect(heading(page)).to_have_text("Your profile")
    expect(notice(page)).to_have_text("Welcome back! Your account stays.")
    sign_in(other, address)
    expect(heading(other)).to_have_text("Your profile")

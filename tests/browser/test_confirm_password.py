"""Where the sign-up page asks for the password twice, it says when they differ, with scripts and without."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.support.chromium import chromium
from tests.support.windows import Visitor, serve

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PASSWORD = "engines weave algebra"
SUBMIT = "main form[data-checked] button:not([type=button])"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    yield from serve(tmp_path_factory, "[signup]\nconfirm_password = true\n")


@pytest.mark.parametrize("scripts", [True, False], ids=["with JavaScript", "without"])
def test_two_that_differ_are_told_beside_the_field(browser: Browser, twice: tuple[str, Path], *, scripts: bool) -> None:
    visitor = Visitor(browser, twice[0])
    page = visitor.window(scripts=scripts)
    sent: list[str] = []
    page.on("request", lambda asked: sent.append(asked.method) if asked.method == "POST" else None)
    page.goto("/sign-up")
    page.fill("[name=uid]", f"ada-{scripts}".lower())
    page.fill("[name=name]", "Ada")
    page.fill("[name=password]", PASSWORD)
    page.fill("[name=password_confirmation]", PASSWORD.upper())
    page.click(SUBMIT)
    expect(page.locator("#field-password_confirmation-error")).to_contain_text("The two passwords are not the same")
    assert (sent == []) is scripts, "a script sees it before it is sent"
    page.fill("[name=password]", PASSWORD)
    page.fill("[name=password_confirmation]", PASSWORD)
    page.click(SUBMIT)
    expect(page).to_have_url(re.compile("/account"))
    visitor.close()

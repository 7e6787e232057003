"""What `doorward add static` writes: a front end of files alone, started as its README says, signed in to."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect

from tests.support.hosted import PASSWORD
from tests.support.ports import free_port
from tests.support.serving import operate, running
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@contextmanager
def started(folder: Path, command: str, url: str) -> Iterator[None]:
    words = command.split()
    assert words.pop(0) == "python3"
    process = subprocess.Popen([sys.executable, *words], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        wait_until(lambda: answers(url))
        yield
    finally:
        process.terminate()
        process.communicate(timeout=20)


def answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def complaints(page: Page, allowed: tuple[str, ...]) -> list[str]:
    """Fills with errors, violations of the page's own policy, and requests to elsewhere."""
    found: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            found.append(message.text)

    def look(request: Request) -> None:
        if not request.url.startswith(allowed):
            found.append(request.url)

    page.on("console", hear)
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("request", look)
    return found


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"], ids=["on another site", "on one site"])
def test_an_example_of_files_alone_is_signed_in_to(
    tmp_path: Path, browser: Browser, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, folder, url = str(tmp_path / "data"), tmp_path / "My <pages>", f"http://{host}:{free_port()}"
    monkeypatch.setenv("DOORWARD_SIGNUP__IDENTIFIER", "uid")
    monkeypatch.setenv("DOORWARD_SERVER__PORT", str(free_port()))
    told = operate("add", "static", str(folder), "--url", url, "--data", data)
    command = re.search(r"^  (python3 .*)$", told, re.MULTILINE)
    assert command, told
    assert command[1] in (folder / "README.md").read_text()
    assert sorted(file.name for file in folder.iterdir()) == ["README.md", "app.js", "index.html", "style.css"]
    assert [file.name for file in folder.iterdir() if re.search(r"@\w+@", file.read_text())] == []
    operate("user", "add", "ada", "--name", "Ada <3", "--password-stdin", "--data", data, typed=PASSWORD)
    context = browser.new_context(locale="en")
    with running("doorward.cli", "serve", "--data", data) as server, started(folder, command[1], f"{url}/"):
        page = context.new_page()
        heard = complaints(page, (f"http://localhost:{server.port}/", f"{url}/"))
        page.goto(f"{url}/")
        expect(page.locator("h1")).to_have_text("My <pages>")
        expect(page.locator("#who")).to_have_text("Nobody is signed in.")
        page.click("text=Sign in")
        page.fill("[name=identifier]", "ada")
        page.fill("[name=password]", PASSWORD)
        page.click("main form[data-checked] button:not([type=button])")
        expect(page.locator("#who")).to_have_text("Hello, Ada <3")
        page.reload()
        expect(page.locator("#who")).to_have_text("Hello, Ada <3")
        page.click("text=Sign out")
        expect(page.locator("#who")).to_have_text("Nobody is signed in.")
        page.reload()
        expect(page.locator("#who")).to_have_text("Nobody is signed in.")
        assert [one for one in heard if not one.endswith("/favicon.ico") and "404" not in one] == []
    context.close()

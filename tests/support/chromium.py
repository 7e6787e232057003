"""Debian's Chromium, and what every page shown in it must keep to."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

AXE = Path(__file__).parents[2] / "node_modules/axe-core/axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
# Of a page that is right this takes nothing, and one that is wrong is found out a little later.
expect.set_options(timeout=30_000)
_REFUSED = "Failed to load resource: the server responded with a status of 4"  # Chromium says so of any page


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser until the block ends."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=QUIET)
        yield browser
        browser.close()


def complaints_of(context: BrowserContext, origin: str) -> list[str]:
    """A list that fills with what goes wrong in any tab: errors, CSP violations, requests to elsewhere."""
    found: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        refused_page = message.text.startswith(_REFUSED) and "/static/" not in message.location["url"]
        if message.type in {"error", "warning"} and not refused_page:
            found.append(message.text)

    def look(request: Request) -> None:
        if not request.url.startswith((f"{origin}/", "data:")) or request.url.endswith("/csp-reports"):
            found.append(f"{request.method} {request.url}")

    context.on("console", hear)
    context.on("weberror", lambda error: found.append(str(error.error)))
    context.on("request", look)
    return found


def violations(page: Page, options: Mapping[str, object]) -> list[object]:
    """What axe-core finds wrong with a page that has it loaded."""
    found = page.evaluate("options => axe.run(options).then(result => result.violations)", options)
    return [(violation["id"], [node["html"] for node in violation["nodes"]]) for violation in found]

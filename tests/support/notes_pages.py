"""What people do in the app of the document, and what its script can be asked."""

from typing import Any

from playwright.sync_api import Page, expect

from tests.support.two_sites import ISSUER, ORIGIN, PASSWORD, RESOURCE, TwoSites

SUBMIT = "main form[data-checked] button:not([type=button])"


def start(page: Page, uid: str = "ada") -> None:
    """Go to Doorward's own page, and say there who one is."""
    page.goto(f"{ORIGIN}/")
    page.click("#sign-in")
    prove(page, uid)


def prove(page: Page, uid: str = "ada") -> None:
    """Say at Doorward who one is."""
    page.fill("[name=identifier]", uid)
    page.fill("[name=password]", PASSWORD)
    page.click(SUBMIT)


def sign_in(page: Page, uid: str = "ada") -> None:
    """The same, and be back."""
    start(page, uid)
    says(page, f"Hello, {uid.title()}")


def says(page: Page, text: str) -> None:
    """Wait until the page says who is signed in."""
    expect(page.locator("#who")).to_have_text(text)


def asked(page: Page, sites: TwoSites, script: str, argument: Any = None) -> Any:
    """Run a script where `door` is what the page's own script holds: modules, and their doors, are shared."""
    options = f"{{ clientId: '{sites.client_id}', resource: '{RESOURCE}' }}"
    opened = f"const door = (await import('{ISSUER}/doorward.js')).doorward({options});"
    return page.evaluate(f"async (argument) => {{ {opened} {script} }}", argument)


def status(page: Page, sites: TwoSites, path: str = "/api/me") -> int:
    """What the API answers to the page's script."""
    found: int = asked(page, sites, "return (await door.fetch(argument)).status;", path)
    return found

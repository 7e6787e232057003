"""What every test in a browser needs: a browser, and windows on the `site` of its own module; or two sites at once."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext

from doorward_client.threads import GUARDS
from tests.support.chromium import chromium
from tests.support.notes_app import notes_app
from tests.support.two_sites import PASSWORD, TwoSites, browser_of_two_sites, two_sites
from tests.support.windows import Visitor


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def visitor(browser: Browser, site: tuple[str, Path]) -> Iterator[Visitor]:
    one = Visitor(browser, site[0])
    yield one
    one.close()


@pytest.fixture(scope="module")
def data(site: tuple[str, Path]) -> Path:
    return site[1]


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoSites]:
    """Doorward with two people, and an app on another registrable domain."""
    before = set(GUARDS)
    with two_sites(tmp_path_factory.mktemp("sites"), notes_app) as found:
        for uid in ("ada", "bob"):
            found.json("user", "add", uid, "--name", uid.title(), "--password-stdin", typed=PASSWORD)
        yield found
        for guard in set(GUARDS) - before:
            guard.close()


@pytest.fixture(scope="module")
def two_sites_browser(sites: TwoSites) -> Iterator[Browser]:
    """A browser that finds both, and refuses cookies of third parties."""
    with browser_of_two_sites(sites.authority, sites.ports) as started:
        yield started


@pytest.fixture
def context(two_sites_browser: Browser, sites: TwoSites) -> Iterator[BrowserContext]:
    """Somebody's browser, which knows nothing yet."""
    sites.heard.clear()
    context = two_sites_browser.new_context(locale="en", reduced_motion="reduce")
    yield context
    context.close()

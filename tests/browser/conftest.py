"""What every test in a browser needs: a browser, and windows on the `site` of its own module."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.chromium import chromium
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

"""pytest fixtures. In the `conftest.py` of your tests: `pytest_plugins = ["doorward_client.testing.plugin"]`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from doorward_client.testing import Issuer, MovableClock, ServerMissing
from doorward_client.testing import doorward_server as run_server
from doorward_client.threads import GUARDS


@pytest.fixture
def doorward_clock() -> MovableClock:
    """The clock of `doorward_issuer`."""
    return MovableClock()


@pytest.fixture
def doorward_issuer(doorward_clock: MovableClock) -> Iterator[Issuer]:
    """An issuer on a port of its own, until the test ends."""
    with Issuer(doorward_clock) as issuer:
        yield issuer


@pytest.fixture
def doorward_config() -> str | Path:
    """What `doorward_server` is configured by: override it with your doorward.toml, or with the text of one."""
    return ""


@pytest.fixture
def doorward_server(doorward_config: str | Path) -> Iterator[Any]:
    """Doorward itself (`doorward.testing.Server`), empty, until the test ends. Needs `doorward[testing]`.

    Guards of apps that the test has made are closed after it.
    """
    before = set(GUARDS)
    try:
        running = run_server(doorward_config)
    except ServerMissing as missing:
        pytest.fail(str(missing), pytrace=False)
    with running as server:
        yield server
    for guard in set(GUARDS) - before:
        guard.close()

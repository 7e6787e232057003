"""pytest fixtures. In the `conftest.py` of your tests: `pytest_plugins = ["doorward_client.testing.plugin"]`."""

from collections.abc import Iterator

import pytest

from doorward_client.testing import Issuer, MovableClock


@pytest.fixture
def doorward_clock() -> MovableClock:
    """The clock of `doorward_issuer`."""
    return MovableClock()


@pytest.fixture
def doorward_issuer(doorward_clock: MovableClock) -> Iterator[Issuer]:
    """An issuer on a port of its own, until the test ends."""
    with Issuer(doorward_clock) as issuer:
        yield issuer

"""What tests of the client library share: an issuer on the loopback, an app registered there, somebody to be."""

import pytest

from doorward_client import Settings
from doorward_client.testing import Issuer, User
from doorward_client.testing.issuer import Client
from doorward_client.testing.plugin import doorward_clock, doorward_issuer

__all__ = ["doorward_clock", "doorward_issuer"]


@pytest.fixture
def app(doorward_issuer: Issuer) -> Client:
    return doorward_issuer.client()


@pytest.fixture
def ada(doorward_issuer: Issuer) -> User:
    return doorward_issuer.user("Ada", roles=["editor"])


@pytest.fixture
def settings(doorward_issuer: Issuer, app: Client) -> Settings:
    return Settings(doorward_issuer.url, app.client_id, app.secret, app_url="http://127.0.0.1:9")

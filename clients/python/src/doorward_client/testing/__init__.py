"""A test kit for apps: an issuer that does what a test says, and Doorward itself where that is installed."""

from doorward_client.testing.clock import MovableClock
from doorward_client.testing.issuer import Issuer, User
from doorward_client.testing.server import ServerMissing, doorward_server

__all__ = ["Issuer", "MovableClock", "ServerMissing", "User", "doorward_server"]

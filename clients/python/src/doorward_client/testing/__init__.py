"""A test kit for apps: an issuer on the loopback whose users, tokens and clock do what a test says."""

from doorward_client.testing.clock import MovableClock
from doorward_client.testing.issuer import Issuer, User

__all__ = ["Issuer", "MovableClock", "User"]

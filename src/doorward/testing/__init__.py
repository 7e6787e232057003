"""For the tests of those who build on Doorward: the server itself, and small real classes for who is around it.

Nothing here records calls or pretends. It needs the extra `testing`; docs/testing-your-app.md tells how.
"""

from doorward.testing.authenticator import SoftwareAuthenticator
from doorward.testing.browser import Browser
from doorward.testing.clock import LiveClock, MovableClock
from doorward.testing.inbox import Inbox, Letter, Sent
from doorward.testing.people import CodeApp, User
from doorward.testing.server import RegisteredApp, Server, doorward_server, eventually

__all__ = [
    "Browser",
    "CodeApp",
    "Inbox",
    "Letter",
    "LiveClock",
    "MovableClock",
    "RegisteredApp",
    "Sent",
    "Server",
    "SoftwareAuthenticator",
    "User",
    "doorward_server",
    "eventually",
]

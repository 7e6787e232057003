"""The first administrator comes in by a link that works once, for an hour."""

from doorward.setup.routes import SetupRoutes
from doorward.setup.service import Setup

__all__ = ["Setup", "SetupRoutes"]

"""Sessions: opaque, kept on the server, ended at once everywhere.

The room promises that no session starts but through `Sessions.finish`, that a token is stored only as its SHA-256, and
that an ended session is refused within a second by every worker and node.
"""

from doorward.sessions.devices import describe
from doorward.sessions.exporting import export_devices, export_sessions
from doorward.sessions.model import (
    FRESH_SECONDS,
    PROFILES,
    Session,
    SignedIn,
    Transport,
    email_proof,
    password_proof,
)
from doorward.sessions.routes import CURRENT, CurrentSessionLane, SessionCookies, SessionRoutes, session_of
from doorward.sessions.service import BEARER_PREFIX, Sessions

__all__ = [
    "BEARER_PREFIX",
    "CURRENT",
    "FRESH_SECONDS",
    "PROFILES",
    "CurrentSessionLane",
    "Session",
    "SessionCookies",
    "SessionRoutes",
    "Sessions",
    "SignedIn",
    "Transport",
    "describe",
    "email_proof",
    "export_devices",
    "export_sessions",
    "password_proof",
    "session_of",
]

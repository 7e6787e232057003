"""Sessions: opaque, kept on the server, ended at once everywhere.

The room promises that no session starts but through `Sessions.finish`, that a token is stored only as its SHA-256, and
that an ended session is refused within a second by every worker and node.
"""

from doorward.kernel.devices import describe
from doorward.sessions.exporting import export_devices, export_sessions
from doorward.sessions.model import (
    FRESH_SECONDS,
    PROFILES,
    TICKET_SECONDS,
    NeedsStep,
    Owes,
    Revocation,
    Session,
    SignedIn,
    SignInOutcome,
    Start,
    Ticket,
    Transport,
    email_proof,
    password_proof,
)
from doorward.sessions.routes import CURRENT, STEP_PAGE, CurrentSessionLane, SessionCookies, SessionRoutes, session_of
from doorward.sessions.service import BEARER_PREFIX, Sessions
from doorward.sessions.store import REVOCATIONS_AT_ONCE, list_revocations

__all__ = [
    "BEARER_PREFIX",
    "CURRENT",
    "FRESH_SECONDS",
    "PROFILES",
    "REVOCATIONS_AT_ONCE",
    "STEP_PAGE",
    "TICKET_SECONDS",
    "CurrentSessionLane",
    "NeedsStep",
    "Owes",
    "Revocation",
    "Session",
    "SessionCookies",
    "SessionRoutes",
    "Sessions",
    "SignInOutcome",
    "SignedIn",
    "Start",
    "Ticket",
    "Transport",
    "describe",
    "email_proof",
    "export_devices",
    "export_sessions",
    "list_revocations",
    "password_proof",
    "session_of",
]

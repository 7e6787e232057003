"""Protect an app with Doorward: verify tokens, follow revocations, sign browsers in.

Start with the module of your framework: `doorward_client.flask`, `.fastapi`, `.django`, `.asgi` or `.wsgi`.
"""

from doorward_client.clock import Clock
from doorward_client.errors import (
    Forbidden,
    ForgedRequest,
    InsufficientAuthentication,
    InvalidProof,
    InvalidRequest,
    InvalidToken,
    NotSignedIn,
    Refused,
    SignInFailed,
    Unavailable,
)
from doorward_client.principal import LOGIN, Principal, Requirement
from doorward_client.request import Reply, Request
from doorward_client.sessions import SessionsInMemory, SessionsInSQLite, SessionStore
from doorward_client.settings import Settings
from doorward_client.tasks import AsyncGuard
from doorward_client.threads import Guard

__all__ = [
    "LOGIN",
    "AsyncGuard",
    "Clock",
    "Forbidden",
    "ForgedRequest",
    "Guard",
    "InsufficientAuthentication",
    "InvalidProof",
    "InvalidRequest",
    "InvalidToken",
    "NotSignedIn",
    "Principal",
    "Refused",
    "Reply",
    "Request",
    "Requirement",
    "SessionStore",
    "SessionsInMemory",
    "SessionsInSQLite",
    "Settings",
    "SignInFailed",
    "Unavailable",
]

__version__ = "0.1.0"

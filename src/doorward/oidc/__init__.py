"""Apps: who they are, how their users come to them, and what they are given (OAuth 2.0, OpenID Connect).

The room promises that no code and no refresh token counts twice, that nobody is sent to an address which is not
registered character by character, and that whatever ends a session or a user ends what apps were given with it.
"""

from doorward.oidc.authorize import AUTHORIZE, Authorize
from doorward.oidc.clients import Clients, Registered
from doorward.oidc.families import Families
from doorward.oidc.following import Following
from doorward.oidc.forward import Forward
from doorward.oidc.forward_routes import ForwardRoutes
from doorward.oidc.grants import Grants
from doorward.oidc.live import Introspector, Live
from doorward.oidc.model import (
    AUTH_METHODS,
    KINDS,
    PROXY_CALLBACK,
    REVOCATIONS,
    WITHOUT_SECRET,
    AuthMethod,
    Client,
    ClientKind,
    hash_of,
    redirect_problem,
)
from doorward.oidc.routes import OidcRoutes, metadata
from doorward.oidc.signed import SignedStatements, check_public_keys

__all__ = [
    "AUTHORIZE",
    "AUTH_METHODS",
    "KINDS",
    "PROXY_CALLBACK",
    "REVOCATIONS",
    "WITHOUT_SECRET",
    "AuthMethod",
    "Authorize",
    "Client",
    "ClientKind",
    "Clients",
    "Families",
    "Following",
    "Forward",
    "ForwardRoutes",
    "Grants",
    "Introspector",
    "Live",
    "OidcRoutes",
    "Registered",
    "SignedStatements",
    "check_public_keys",
    "hash_of",
    "metadata",
    "redirect_problem",
]

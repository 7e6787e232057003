"""Why a request is not let through, and the answer that says so (RFC 6750 §3, RFC 9449 §7.1, RFC 9470 §3)."""

from collections.abc import Sequence
from typing import ClassVar


class Refused(Exception):  # noqa: N818  named for what happened, as each of its kinds is
    """A request that is not let through. `description` is plain ASCII for whoever wrote the client."""

    status: ClassVar[int] = 401
    error: ClassVar[str | None] = None  # the code of RFC 6750 §3.1 or of one of its extensions
    scheme: ClassVar[str | None] = "Bearer"  # None: authenticating would not help

    def __init__(self, description: str, **parameters: str) -> None:
        super().__init__(description)
        self.description = description
        self.parameters = parameters

    def challenges(self, *, dpop: bool) -> Sequence[str]:
        """Values for `WWW-Authenticate`; with `dpop`, only DPoP-bound tokens are asked for."""
        if self.scheme is None:
            return ()
        scheme = "DPoP" if dpop else self.scheme
        said = {"error": self.error, "error_description": self.description} if self.error else {}
        said |= self.parameters
        if scheme == "DPoP":
            said["algs"] = "ES256 EdDSA RS256"
        return (" ".join((scheme, ", ".join(f'{name}="{value}"' for name, value in said.items()))).strip(),)


class NotSignedIn(Refused):
    """Nothing was shown: no token, no session. As RFC 6750 §3.1 wants it, the answer carries no error code."""


class InvalidRequest(Refused):
    """The request says two things at once, such as two ways to authenticate."""

    status = 400
    error = "invalid_request"


class InvalidToken(Refused):
    """The token is forged, expired, revoked, or not for this app."""

    error = "invalid_token"


class InvalidProof(Refused):
    """The DPoP proof (RFC 9449) is missing, replayed, or belongs to another request, token or key."""

    error = "invalid_dpop_proof"
    scheme = "DPoP"


class Forbidden(Refused):
    """A scope or a role is missing; signing in again does not help."""

    status = 403
    error = "insufficient_scope"


class InsufficientAuthentication(Refused):
    """It has to be shown anew who this is, or with a second factor (RFC 9470)."""

    error = "insufficient_user_authentication"

    def __init__(self, description: str, *, max_age: int | None = None, acr_values: str | None = None) -> None:
        said = {} if max_age is None else {"max_age": str(max_age)}
        super().__init__(description, **said, **({} if acr_values is None else {"acr_values": acr_values}))
        self.max_age = max_age
        self.acr_values = acr_values


class ForgedRequest(Refused):
    """A changing request came with the session's cookie but without its CSRF token, or from another site."""

    status = 403
    scheme = None


class SignInFailed(Refused):
    """The answer of the issuer does not end the sign-in that this browser began."""

    status = 400
    scheme = None


class Unavailable(Refused):
    """Whether the token still counts cannot be found out now. Nothing is let through that might be revoked."""

    status = 503
    scheme = None
